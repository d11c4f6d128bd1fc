"""What is another than before when a server's settings and certificates were read again."""

from __future__ import annotations

from collections.abc import Iterator

import attrs

from appserver.encryption import Encryption
from protocol.certs import REVOCATIONS_FILE, CertificateFacts, ServerIdentity
from protocol.certs.dhparams import DH_FILE
from protocol.certs.identity import CERT_FILE, CLIENTS_CA_FILE, KEY_FILE
from protocol.settings import Settings, all_options, value_at

_AT_START = ("client_server.host", "client_server.port", "application.", "log.")
"""Settings, or the beginnings of their names, that are read at the start alone."""

_FILES = {
    **dict.fromkeys((field.name for field in attrs.fields(CertificateFacts)), CERT_FILE),
    "chain": CERT_FILE,
    "fingerprint": KEY_FILE,
    "client_authorities": CLIENTS_CA_FILE,
    "revocations": REVOCATIONS_FILE,
    "dh_parameters": DH_FILE,
}
"""Where the parts of an identity come from; one that is not here names itself."""

_PLACES = frozenset({"resources", "key_file", "cert_file"})
"""Parts that say where the others are: the setting is named."""


def needs_restart(key: str) -> bool:
    """Whether a setting is read at the start alone."""
    return key.startswith(_AT_START)


def changes_between(
    before: tuple[Settings, Encryption], after: tuple[Settings, Encryption]
) -> tuple[str, ...]:
    """Name what has changed; empty where all is as before.

    Returns:
        Keys of settings, and files of the Resources folder.
    """
    keys = [key for key in all_options() if value_at(before[0], key) != value_at(after[0], key)]
    named = [f"{key} (at the next start)" if needs_restart(key) else key for key in keys]
    return (*named, *_files(before[1].identity, after[1].identity))


def _files(before: ServerIdentity | None, after: ServerIdentity | None) -> Iterator[str]:
    if before is None or after is None:
        if before is not after:
            yield CERT_FILE
        return
    parts = [
        field.name
        for field in attrs.fields(ServerIdentity)
        if field.eq
        and field.name not in _PLACES
        and getattr(before, field.name) != getattr(after, field.name)
    ]
    yield from dict.fromkeys(_FILES.get(part, part) for part in parts)
