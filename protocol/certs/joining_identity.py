"""What a server shows to clients that join, and what they are to verify it by afterwards.

A code names the private authority, whatever the server's certificate is of. So the server shows a certificate of that
authority to those who join, made for the purpose and kept in memory alone, with the authority behind it: the
client has nothing but its fingerprint yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import attrs

from protocol.certs import errors
from protocol.certs.authority import issue_server_certificate
from protocol.certs.certificates import (
    check_chain,
    encode_certificate,
    facts_of,
    is_self_signed,
    load_certificates,
)
from protocol.certs.first_start import AUTHORITY_FILE, AUTHORITY_FOLDER, check_issues, load_authority
from protocol.certs.identity import CERT_FILE, ServerIdentity
from protocol.certs.inviting import server_names
from protocol.certs.keys import make_private_key


def make_joining_identity(
    resources: Path, *, names: Sequence[str] = (), now: datetime | None = None
) -> ServerIdentity:
    """Make a server's key and certificate for clients that join.

    Args:
        resources: the server's Resources folder, with the private authority.
        names: host names and addresses, besides those of this machine and of the server's certificate.
        now: the present time, UTC; None takes the clock.

    Returns:
        The identity; it has no client authorities, for those who join have no certificate.

    Raises:
        ResourcesError: the authority cannot be used.
    """
    moment = (now or datetime.now(UTC)).replace(microsecond=0)
    authority, authority_key = load_authority(resources)
    check_issues(resources / AUTHORITY_FOLDER / AUTHORITY_FILE, authority, moment)
    key = make_private_key("p256")
    certificate = issue_server_certificate(
        authority, authority_key, key, names=server_names(resources, names), now=moment
    )
    return ServerIdentity(
        **attrs.asdict(facts_of(certificate)),
        resources=resources,
        key_file=resources / AUTHORITY_FOLDER / AUTHORITY_FILE,  # to be blamed: it has no file of its own
        cert_file=resources / AUTHORITY_FOLDER / AUTHORITY_FILE,
        chain=(encode_certificate(certificate), encode_certificate(authority)),
        private_key=key,
    )


def anchors_for_clients(resources: Path) -> tuple[bytes, tuple[bytes, ...]]:
    """Say what a client that joins is to verify the server by from then on.

    Args:
        resources: the server's Resources folder.

    Returns:
        The private authority, and the anchors, as DER: that authority where it issued the server's certificate, the
        root where `cert.pem` has one; none where there is no root in it, as with a public authority, which clients
        know or have been given.

    Raises:
        ResourcesError: a file cannot be used.
    """
    authority = load_certificates(resources / AUTHORITY_FOLDER / AUTHORITY_FILE)[0]
    chain = load_certificates(resources / CERT_FILE)
    try:
        check_chain(resources / CERT_FILE, (chain[0], authority), None)
    except errors.WrongChainOrder:
        roots = [part for part in chain if is_self_signed(part)]
    else:
        roots = [authority]
    return encode_certificate(authority), tuple(encode_certificate(root) for root in roots)
