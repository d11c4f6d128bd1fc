"""What a client trusts: the content of its Resources folder.

`ca.pem` holds authorities; `cert.pem` without a `key.pem` is one as well, so that an administrator may
simply copy the server's `cert.pem` here. With `key.pem` beside it, it is this client's own identity.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import attrs

from protocol.certs import errors
from protocol.certs.certificates import (
    check_strength,
    check_times,
    encode_certificate,
    key_fingerprint,
    load_certificates,
    spki_fingerprint,
)
from protocol.certs.identity import (
    CERT_FILE,
    KEY_FILE,
    ClientIdentity,
    open_client_identity,
    server_key_error,
)
from protocol.certs.keys import weakness
from protocol.certs.pair import is_unfinished
from protocol.certs.pem import check_folder, read_blocks
from protocol.certs.pins import KNOWN_SERVERS_FILE, KnownServer, read_known_servers, server_key

ANCHORS_FILE = "ca.pem"
_AUTHORITY_KEY = Path("authority") / "ca-key.pem"


@attrs.frozen
class Trust:
    """What a client trusts, and who it is itself.

    Attributes:
        resources: the folder, or None where the client has none.
        anchors: certificates of authorities, as DER.
        identity: this client's own, for servers that want one; None where it has none.
        known_servers: servers met before, by `server_key`.
    """

    resources: Path | None = None
    anchors: tuple[bytes, ...] = attrs.field(
        default=(), repr=lambda anchors: f"<{len(anchors)} certificates>"
    )
    identity: ClientIdentity | None = None
    known_servers: Mapping[str, KnownServer] = attrs.field(factory=dict)

    def find_server(self, host: str, port: int) -> KnownServer | None:
        """Look a server up in `known_servers.toml`."""
        return self.known_servers.get(server_key(host, port))

    def check_not_own_key(self, der: bytes | None) -> None:
        """Check that the server does not use the key that lies in this client's folder.

        Args:
            der: the certificate that the server showed.

        Raises:
            ServerKeyInClientResources: it does: somebody copied the server's key here.
        """
        if self.identity is None or der is None:
            return
        if spki_fingerprint(der) == self.identity.fingerprint:
            raise server_key_error(self.identity.key_file)


def load_trust(
    resources: Path | None,
    *,
    passphrase: bytes | Callable[[], bytes | None] | None = None,
    now: datetime | None = None,
) -> Trust:
    """Read a client's Resources folder.

    Args:
        resources: the folder, which has to exist; None for a client that has none, and trusts pins and
            the operating system's authorities alone.
        passphrase: of the client's own key, or what finds it. That is called only where the key is
            encrypted: a passphrase file that `settings.toml` names for the server need not exist here.
        now: the present time, UTC; None takes the clock.

    Returns:
        What the client trusts.

    Raises:
        ServerKeyInClientResources: the server's private key lies there.
        ResourcesError: one of its other classes.
    """
    if resources is None:
        return Trust()
    check_folder(resources, setting="[tls] client_resources")
    moment = now or datetime.now(UTC)
    known = read_known_servers(resources / KNOWN_SERVERS_FILE)
    if os.path.lexists(resources / _AUTHORITY_KEY):
        raise server_key_error(resources / _AUTHORITY_KEY)
    has_key = os.path.lexists(resources / KEY_FILE) or is_unfinished(resources)
    files = [ANCHORS_FILE] if has_key else [ANCHORS_FILE, CERT_FILE]
    anchors = tuple(
        dict.fromkeys(
            anchor
            for name in files
            if os.path.lexists(resources / name)
            for anchor in load_anchors(resources / name, moment)
        )
    )
    identity = None
    if has_key:
        secret = _find_passphrase(resources / KEY_FILE, passphrase)
        check_key_is_no_servers(resources / KEY_FILE, known, anchors, secret)
        identity = open_client_identity(resources, passphrase=secret, now=moment)
    return Trust(resources, anchors, identity, known)


def _find_passphrase(key_file: Path, passphrase: bytes | Callable[[], bytes | None] | None) -> bytes | None:
    if not callable(passphrase):
        return passphrase
    try:
        encrypted = any(block.encrypted for block in read_blocks(key_file, private=True))
    except errors.ResourcesError:
        return None  # what is wrong with the key itself is told when the identity is opened
    return passphrase() if encrypted else None


def load_anchors(path: Path, now: datetime) -> tuple[bytes, ...]:
    """Read the authorities of a file.

    Args:
        path: the file.
        now: the present time, UTC.

    Returns:
        The certificates as DER.

    Raises:
        ResourcesError: one of its classes; that of the times where none of them is in its time, and of the
            strength where none that is would be accepted.
    """
    certificates = load_certificates(path)
    usable = [part for part in certificates if part.not_valid_before_utc <= now <= part.not_valid_after_utc]
    if not usable:
        check_times(path, certificates, now)
    if all(weakness(part.public_key()) for part in usable):
        check_strength(path, usable)
    return tuple(encode_certificate(certificate) for certificate in certificates)


def check_key_is_no_servers(
    path: Path, known: Mapping[str, KnownServer], anchors: tuple[bytes, ...], passphrase: bytes | None
) -> None:
    """Check that a client's key is not that of a server which it pins, or which is what it trusts.

    Args:
        path: the key's file.
        known: the servers that it knows.
        anchors: the certificates that it trusts, as DER.
        passphrase: of the key.

    Raises:
        ServerKeyInClientResources: it is.
    """
    servers = {server.pin for server in known.values()} | {spki_fingerprint(anchor) for anchor in anchors}
    if not servers - {None}:
        return
    from protocol.certs.keys import load_private_key

    try:
        fingerprint = key_fingerprint(load_private_key(path, passphrase=passphrase).public_key())
    except errors.ResourcesError:
        return  # what is wrong with the key itself is told when the identity is opened
    if fingerprint in servers:
        raise server_key_error(path)
