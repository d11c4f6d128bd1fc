"""Everything that is wrong with both Resources folders, and not the first thing only."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from protocol.certs import errors
from protocol.certs.certificates import check_times, load_certificates
from protocol.certs.first_start import AUTHORITY_FILE, AUTHORITY_FOLDER, AUTHORITY_KEY_FILE, load_authority
from protocol.certs.identity import (
    CERT_FILE,
    KEY_FILE,
    NEXT_KEY_FILE,
    check_server_resources,
    client_checks,
    load_server_key,
    server_key_error,
)
from protocol.certs.keys import load_private_key
from protocol.certs.pair import is_unfinished
from protocol.certs.pem import check_folder
from protocol.certs.pins import KNOWN_SERVERS_FILE, KnownServer, read_known_servers
from protocol.certs.register_file import read_register, register_file
from protocol.certs.trust import ANCHORS_FILE, check_key_is_no_servers, load_anchors

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

Check = Callable[[], object]


def check_resources(
    server: Path | None,
    client: Path | None,
    *,
    passphrase: bytes | None = None,
    makes_missing: bool = False,
    now: datetime | None = None,
) -> tuple[errors.ResourcesError, ...]:
    """Check a server's and a client's Resources folder.

    Args:
        server: the server's folder; None leaves it out.
        client: the client's; None leaves it out.
        passphrase: of the keys: the settings name one for both sides.
        makes_missing: whether a start makes the server's files where there is no certificate, so that
            they may be missing.
        now: the present time, UTC; None takes the clock.

    Returns:
        The findings, the server's first; none where all is in order.
    """
    moment = now or datetime.now(UTC)
    found: list[errors.ResourcesError] = []
    if server is not None:
        found += check_server_folder(server, passphrase=passphrase, makes_missing=makes_missing, now=moment)
    if client is not None:
        found += check_client_resources(client, passphrase=passphrase, now=moment)
    return tuple(found)


def check_server_folder(
    resources: Path, *, passphrase: bytes | None, makes_missing: bool, now: datetime
) -> tuple[errors.ResourcesError, ...]:
    """Check a server's folder: what it serves with, a key that waits, its own authority and its register.

    Args:
        resources: the folder.
        passphrase: of its keys.
        makes_missing: as for `check_resources`.
        now: the present time, UTC.
    """
    found = check_server_resources(resources, passphrase=passphrase, now=now)
    if makes_missing and not os.path.lexists(resources / CERT_FILE):
        found = tuple(
            error for error in found if not isinstance(error, errors.MissingFolder | errors.MissingFile)
        )
    waiting, authority = resources / NEXT_KEY_FILE, resources / AUTHORITY_FOLDER
    checks: list[Check] = []
    if os.path.lexists(waiting):
        checks.append(lambda: load_private_key(waiting, passphrase=passphrase))
    if os.path.lexists(authority / AUTHORITY_KEY_FILE):
        checks.append(lambda: _check_authority(resources, now))
    if os.path.lexists(register_file(resources)):
        checks.append(lambda: read_register(resources))
    return (*found, *_findings(checks))


def check_client_resources(
    resources: Path, *, passphrase: bytes | None = None, now: datetime | None = None
) -> tuple[errors.ResourcesError, ...]:
    """Find everything that is wrong with a client's Resources folder.

    Args:
        resources: the folder.
        passphrase: of the client's own key, where it is encrypted.
        now: the present time, UTC; None takes the clock.

    Returns:
        The findings; none where `load_trust` succeeds.
    """
    moment = now or datetime.now(UTC)
    try:
        check_folder(resources, setting="[tls] client_resources")
    except errors.ResourcesError as error:
        return (error,)
    return tuple(_findings(_client_checks(resources, passphrase, moment)))


def _client_checks(resources: Path, passphrase: bytes | None, now: datetime) -> Iterator[Check]:
    def check_no_authority_key() -> None:
        key_file = resources / AUTHORITY_FOLDER / AUTHORITY_KEY_FILE
        if os.path.lexists(key_file):
            raise server_key_error(key_file)

    yield lambda: read_known_servers(resources / KNOWN_SERVERS_FILE)
    yield check_no_authority_key
    if os.path.lexists(resources / ANCHORS_FILE):
        yield lambda: load_anchors(resources / ANCHORS_FILE, now)
    if os.path.lexists(resources / KEY_FILE) or is_unfinished(resources):
        yield from _identity_checks(resources, passphrase, now)
    elif os.path.lexists(resources / CERT_FILE):
        yield lambda: load_anchors(resources / CERT_FILE, now)


def _identity_checks(resources: Path, passphrase: bytes | None, now: datetime) -> Iterator[Check]:
    key_file, cert_file = resources / KEY_FILE, resources / CERT_FILE
    present: tuple[Certificate, ...] = ()
    with contextlib.suppress(errors.ResourcesError):
        present = load_certificates(cert_file)
    try:
        key = load_server_key(resources, present, passphrase=passphrase)
    except errors.ResourcesError:
        key = None
        yield lambda: load_private_key(key_file, passphrase=passphrase)
    known: Mapping[str, KnownServer] = {}
    anchors: tuple[bytes, ...] = ()
    with contextlib.suppress(errors.ResourcesError):  # what is wrong with them is another finding
        known = read_known_servers(resources / KNOWN_SERVERS_FILE)
        if os.path.lexists(resources / ANCHORS_FILE):
            anchors = load_anchors(resources / ANCHORS_FILE, now)
    yield lambda: check_key_is_no_servers(key_file, known, anchors, passphrase)
    try:
        certificates = load_certificates(cert_file)
    except errors.ResourcesError:
        yield lambda: load_certificates(cert_file)
    else:
        yield from client_checks(resources, certificates, key, now)


def _check_authority(resources: Path, now: datetime) -> None:
    authority, _ = load_authority(resources)
    check_times(resources / AUTHORITY_FOLDER / AUTHORITY_FILE, (authority,), now)


def _findings(checks: Iterator[Check] | list[Check]) -> Iterator[errors.ResourcesError]:
    for check in checks:
        try:
            check()
        except errors.ResourcesError as error:
            yield error
