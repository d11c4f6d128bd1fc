"""The file of the register: `authority/clients.json`, readable by its owner alone, replaced whole.

Whoever changes it holds the lock (`changing_register`); whoever reads alone needs none.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import attrs

from protocol.certs.enrolment_errors import DamagedRegister, FullRegister
from protocol.certs.first_start import AUTHORITY_FOLDER, make_folder
from protocol.certs.locking import locked
from protocol.certs.pair import writing
from protocol.certs.pem import read_file
from protocol.certs.register import EnrolledClient, Invitation, Register
from protocol.settings.atomic import PRIVATE, remove_leftovers, replace_file

REGISTER_FILE = "clients.json"
_VERSION = 1

MAX_SIZE = 64 << 20
"""Bytes of the largest register: a client has about 900, so some seventy thousand."""


def register_file(resources: Path) -> Path:
    """Where the register of a server's Resources folder is."""
    return resources / AUTHORITY_FOLDER / REGISTER_FILE


def read_register(resources: Path) -> Register:
    """Read the register.

    Args:
        resources: the server's Resources folder.

    Returns:
        What stands there; an empty one where there is no file.

    Raises:
        DamagedRegister: it cannot be understood. It is never taken for empty: revoked clients would be forgotten.
        ResourcesError: it cannot be read, or others can read it.
    """
    path = register_file(resources)
    if not os.path.lexists(path):
        return Register()
    try:
        return _from_json(json.loads(read_file(path, private=True, most=MAX_SIZE)))
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error) as error:
        raise DamagedRegister(
            path,
            f"the register of clients cannot be understood ({type(error).__name__})",
            "Bring it back from a backup; without one move it away and invite all clients anew",
        ) from None


@contextlib.contextmanager
def changing_register(resources: Path) -> Iterator[Register]:
    """Hold the register for a change; `write_register` makes it.

    Args:
        resources: the server's Resources folder; it exists.

    Yields:
        What stands there.

    Raises:
        ResourcesError: it cannot be used, or another process keeps it.
    """
    with writing(resources):
        make_folder(resources / AUTHORITY_FOLDER)
        with locked(register_file(resources)):
            remove_leftovers(resources / AUTHORITY_FOLDER)
            yield read_register(resources)


def write_register(resources: Path, register: Register, *, now: datetime) -> None:
    """Write the register, which the caller holds.

    Raises:
        FullRegister: it would be more than anybody reads; it is as before.
        OSError: it cannot be written; likewise.
    """
    content = json.dumps(_to_json(register.tidied(now)), indent=1).encode()
    if len(content) > MAX_SIZE:
        raise FullRegister(
            register_file(resources),
            f"the register of clients would have {len(content)} bytes, and may have {MAX_SIZE}",
            "Take no more clients in by this server",
        )
    replace_file(register_file(resources), content, mode=PRIVATE, keep_mode=False)


def _to_json(register: Register) -> dict[str, Any]:
    return {
        "version": _VERSION,
        "revocations": register.revocations,
        "invitations": [
            {**attrs.asdict(invitation), "expires": invitation.expires.isoformat()}
            for invitation in register.invitations
        ],
        "clients": [
            {
                "name": client.name,
                "fingerprint": client.fingerprint,
                "enrolled": client.enrolled.isoformat(),
                "certificate": base64.b64encode(client.certificate).decode(),
                "serials": [[f"{serial:x}", end.isoformat()] for serial, end in client.serials],
                "revoked": client.revoked and client.revoked.isoformat(),
            }
            for client in register.clients
        ],
    }


def _from_json(document: Any) -> Register:
    if document["version"] != _VERSION:
        raise ValueError("another version")
    return Register(
        tuple(
            Invitation(**{**entry, "expires": _time(entry["expires"])}) for entry in document["invitations"]
        ),
        tuple(
            EnrolledClient(
                name=entry["name"],
                fingerprint=entry["fingerprint"],
                enrolled=_time(entry["enrolled"]),
                certificate=base64.b64decode(entry["certificate"], validate=True),
                serials=_serials(entry["serials"]),
                revoked=entry["revoked"] and _time(entry["revoked"]),
            )
            for entry in document["clients"]
        ),
        int(document["revocations"]),
    )


def _time(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time without its zone")
    return moment.astimezone(UTC)


def _serials(entries: Any) -> tuple[tuple[int, datetime], ...]:
    serials = tuple((int(serial, 16), _time(end)) for serial, end in entries)
    if not serials:
        raise ValueError("a client without a certificate")
    return serials
