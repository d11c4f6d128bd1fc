"""Opening a side's own identity: the private key and the certificate chain of its Resources folder.

Both files are read once and checked together. What passed is kept in memory and is what TLS gets, so
nothing that changes on the disk in between can slip in. The key stays out of every repr.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from protocol.certs import errors
from protocol.certs.certificates import (
    CertificateFacts,
    check_chain,
    check_server_leaf,
    check_strength,
    check_times,
    encode_certificate,
    facts_of,
    is_key_of,
    is_self_signed,
    load_certificates,
    names_of,
    purposes_of,
)
from protocol.certs.dhparams import FFDHE2048, DhParameters, load_dh_parameters
from protocol.certs.keys import load_private_key
from protocol.certs.pem import check_folder
from protocol.certs.revocation import REVOCATIONS_FILE, Revocations, load_revocations

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from protocol.certs.keys import PrivateKey

KEY_FILE = "key.pem"
CERT_FILE = "cert.pem"
NEXT_KEY_FILE = "next-key.pem"
"""A new key that waits for its certificate: see `pair`."""
CLIENTS_CA_FILE = "clients-ca.pem"

_READINGS = 3
"""How often a pair that does not fit is read: between the first two files another pair may have come."""


@attrs.frozen(kw_only=True)
class Identity(CertificateFacts):
    """A private key and its certificate, checked; with the certificate's facts.

    Attributes:
        resources: the folder they come from.
        key_file: the private key's file.
        cert_file: the certificate's file.
        chain: what TLS shows, as DER: the certificate first. A root at its end is left out, since
            whoever does not have it already has no reason to trust it.
        private_key: the key. Never log it.
    """

    resources: Path
    key_file: Path
    cert_file: Path
    chain: tuple[bytes, ...] = attrs.field(repr=False)
    private_key: PrivateKey = attrs.field(repr=False, eq=False)


@attrs.frozen(kw_only=True)
class ServerIdentity(Identity):
    """A server's identity.

    Attributes:
        client_authorities: the authorities of `clients-ca.pem`, as DER. Where there are any, a client
            without a certificate from one of them is refused.
        revocations: what `clients-crl.pem` says of their certificates.
        dh_parameters: those of `dhparams.pem`, for clients of TLS 1.2 without elliptic curves.
    """

    client_authorities: tuple[bytes, ...] = attrs.field(default=(), repr=False)
    revocations: Revocations = attrs.field(factory=lambda: Revocations(Path(REVOCATIONS_FILE)))
    dh_parameters: DhParameters = FFDHE2048


@attrs.frozen(kw_only=True)
class ClientIdentity(Identity):
    """A client's own identity, for servers that want one."""


def open_server_identity(
    resources: Path, *, passphrase: bytes | None = None, now: datetime | None = None
) -> ServerIdentity:
    """Open the server's key and certificate, and refuse what would not serve.

    Args:
        resources: the server's Resources folder.
        passphrase: of an encrypted key. Nobody is ever asked for it.
        now: the present time, UTC; None takes the clock.

    Returns:
        The identity.

    Raises:
        ResourcesError: one of its classes, for the first thing found; see `check_server_resources`.
    """
    moment = now or datetime.now(UTC)
    check_folder(resources, setting="[tls] resources")
    key_file, cert_file = resources / KEY_FILE, resources / CERT_FILE
    certificates, key = _load_pair(resources, passphrase)
    for check in _server_checks(cert_file, certificates, key, moment):
        check()
    authorities = _client_authorities(resources, moment)
    return ServerIdentity(
        **_facts(certificates),
        resources=resources,
        key_file=key_file,
        cert_file=cert_file,
        chain=_shown(certificates),
        private_key=key,
        client_authorities=tuple(encode_certificate(authority) for authority in authorities),
        revocations=load_revocations(resources / REVOCATIONS_FILE, authorities, moment),
        dh_parameters=load_dh_parameters(resources),
    )


def check_server_resources(
    resources: Path, *, passphrase: bytes | None = None, now: datetime | None = None
) -> tuple[errors.ResourcesError, ...]:
    """Find everything that is wrong with a server's Resources folder, and not the first thing only.

    Args:
        resources: as for `open_server_identity`.
        passphrase: likewise.
        now: likewise.

    Returns:
        The findings; none where `open_server_identity` succeeds and nothing is to be said of what it
        opened.
    """
    moment = now or datetime.now(UTC)
    found: list[errors.ResourcesError] = []
    try:
        check_folder(resources, setting="[tls] resources")
    except errors.ResourcesError as error:
        return (error,)
    cert_file = resources / CERT_FILE
    key: PrivateKey | None = None
    certificates: tuple[Certificate, ...] = ()
    try:
        certificates = load_certificates(cert_file)
    except errors.ResourcesError as error:
        found.append(error)
    try:
        key = load_server_key(resources, certificates, passphrase=passphrase)
    except errors.ResourcesError as error:
        found.insert(0, error)
    for check in _server_checks(cert_file, certificates, key, moment) if certificates else ():
        try:
            check()
        except errors.ResourcesError as error:
            found.append(error)
    found += _client_findings(resources, moment)
    try:
        load_dh_parameters(resources)
    except errors.ResourcesError as error:
        found.append(error)
    return tuple(found)


def open_client_identity(
    resources: Path, *, passphrase: bytes | None = None, now: datetime | None = None
) -> ClientIdentity:
    """Open a client's own key and certificate, for servers that want one.

    Args:
        resources: the client's Resources folder; it holds `key.pem`.
        passphrase: of an encrypted key.
        now: the present time, UTC; None takes the clock.

    Raises:
        ServerKeyInClientResources: these are a server's files.
        ResourcesError: one of its other classes.
    """
    moment = now or datetime.now(UTC)
    key_file, cert_file = resources / KEY_FILE, resources / CERT_FILE
    check_not_servers(key_file, load_certificates(cert_file))
    certificates, key = _load_pair(resources, passphrase)
    for check in client_checks(resources, certificates, key, moment):
        check()
    return ClientIdentity(
        **_facts(certificates),
        resources=resources,
        key_file=key_file,
        cert_file=cert_file,
        chain=_shown(certificates),
        private_key=key,
    )


def client_checks(
    resources: Path, certificates: tuple[Certificate, ...], key: PrivateKey | None, now: datetime
) -> tuple[Callable[[], None], ...]:
    """Give the checks of a client's own certificate, each of which raises a ResourcesError.

    Args:
        resources: the client's Resources folder.
        certificates: those of its `cert.pem`.
        key: its key, or None where that cannot be used.
        now: the present time, UTC.
    """
    path = resources / CERT_FILE
    return (
        lambda: check_not_servers(resources / KEY_FILE, certificates),
        lambda: check_chain(path, certificates, key),
        lambda: check_strength(path, certificates),
        lambda: check_times(path, certificates, now),
    )


def check_not_servers(key_file: Path, certificates: tuple[Certificate, ...]) -> None:
    """Check that a client's files are not a server's.

    Raises:
        ServerKeyInClientResources: they are.
    """
    if _is_for_a_server_alone(certificates[0]):
        raise server_key_error(key_file)


def load_server_key(
    resources: Path, certificates: Sequence[Certificate], *, passphrase: bytes | None = None
) -> PrivateKey:
    """Read the private key of a server's certificate, or of a client's own.

    That is `key.pem`, except in the moment in which the certificate of a new key is in place and the key
    itself is not yet, or where the process that put them there was killed in that moment: then it is
    `next-key.pem`. So whoever reads has a pair that fits, at any moment.

    Args:
        resources: the Resources folder.
        certificates: those of `cert.pem`, read before; none where there are none.
        passphrase: of an encrypted key.

    Raises:
        ResourcesError: `key.pem` cannot be used.
    """
    waiting = resources / NEXT_KEY_FILE
    if certificates and os.path.lexists(waiting):
        with contextlib.suppress(errors.ResourcesError):
            key = load_private_key(waiting, passphrase=passphrase)
            if is_key_of(key, certificates[0]):
                return key
    return load_private_key(resources / KEY_FILE, passphrase=passphrase)


def server_key_error(key_file: Path) -> errors.ServerKeyInClientResources:
    """Make the error for a server's private key in a client's folder."""
    return errors.ServerKeyInClientResources(
        key_file,
        "this is the server's private key, and whoever has this client can be the server with it",
        "Delete it here; a client needs the server's cert.pem alone. Then give the server a new key",
    )


def _load_pair(resources: Path, passphrase: bytes | None) -> tuple[tuple[Certificate, ...], PrivateKey]:
    cert_file = resources / CERT_FILE
    for _ in range(_READINGS):
        try:
            certificates = load_certificates(cert_file)
        except errors.ResourcesError:
            load_private_key(resources / KEY_FILE, passphrase=passphrase)  # its fault is told first
            raise
        key = load_server_key(resources, certificates, passphrase=passphrase)
        if any(is_key_of(key, certificate) for certificate in certificates):
            break
    return certificates, key


def _server_checks(
    path: Path, certificates: tuple[Certificate, ...], key: PrivateKey | None, now: datetime
) -> tuple[Callable[[], None], ...]:
    return (
        lambda: check_chain(path, certificates, key),
        lambda: check_strength(path, certificates),
        lambda: check_server_leaf(path, certificates[0]),
        lambda: check_times(path, certificates, now),
    )


def _facts(certificates: tuple[Certificate, ...]) -> dict[str, Any]:
    return attrs.asdict(facts_of(certificates[0]))


def _shown(certificates: tuple[Certificate, ...]) -> tuple[bytes, ...]:
    shown = certificates[:-1] if len(certificates) > 1 and is_self_signed(certificates[-1]) else certificates
    return tuple(encode_certificate(certificate) for certificate in shown)


def _client_findings(resources: Path, now: datetime) -> Iterator[errors.ResourcesError]:
    """Find what is wrong with the files that say which clients are let in."""
    try:
        authorities = _client_authorities(resources, now)
        revocations = load_revocations(resources / REVOCATIONS_FILE, authorities, now)
    except errors.ResourcesError as error:
        yield error
        return
    yield from revocations.findings(now)


def _client_authorities(resources: Path, now: datetime) -> tuple[Certificate, ...]:
    path = resources / CLIENTS_CA_FILE
    # A dangling link is an error and not an absent file: that would let every client in.
    if not os.path.lexists(path):
        return ()
    certificates = load_certificates(path)
    check_strength(path, certificates)
    check_times(path, certificates, now)
    return certificates


def _is_for_a_server_alone(certificate: Certificate) -> bool:
    purposes = purposes_of(certificate)
    if purposes is None:
        # No purpose stated, but hosts named: a server's, as made by `openssl req -x509`.
        return bool(names_of(certificate))
    return "server" in purposes and "client" not in purposes
