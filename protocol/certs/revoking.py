"""Revoking clients: the register remembers it, and `clients-crl.pem` tells it to TLS.

The list is signed by the private authority, and holds what it has revoked and what has not ended by itself. It is valid
for as long as the authority is: it is a file of this server, made anew with every change, and not a copy
whose age would have to be bounded. Lists of other authorities in the same file stay.

Source: RFC 5280 section 5.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from protocol.certs.authority import hash_for
from protocol.certs.client_authorities import enrolled_are_accepted
from protocol.certs.enrolment_errors import NotEnrolled
from protocol.certs.first_start import load_authority
from protocol.certs.pem import encode_pem
from protocol.certs.register import EnrolledClient, Register, folded
from protocol.certs.register_file import changing_register, read_register, write_register
from protocol.certs.revocation import REVOCATIONS_FILE, REVOCATIONS_LABEL, load_revocation_lists
from protocol.settings.atomic import PUBLIC, replace_file

if TYPE_CHECKING:
    from cryptography.x509 import Certificate, CertificateRevocationList, RevokedCertificate

    from protocol.certs.keys import PrivateKey


@attrs.frozen(kw_only=True)
class Revoked:
    """What a revocation came to.

    Attributes:
        name: the client's.
        since: when it was revoked, UTC; None where it had not joined yet.
        certificates: how many of its certificates are on the list.
        invitations: how many open codes for it are worthless now.
        file: the list, None where it needs none.
        required: whether clients without a certificate are refused: where they are not, it comes in without one.
    """

    name: str
    since: datetime | None
    certificates: int
    invitations: int
    file: Path | None
    required: bool


@attrs.frozen(kw_only=True)
class ClientEntry:
    """A client or an invitation, for lists.

    Attributes:
        name: the client's.
        state: "enrolled", "invited", "revoked", "ended" (its certificate did), or "expired" (its code did).
        since: when it joined or was revoked, UTC; None for an invitation.
        until: the end of its newest certificate, or of its code, UTC.
        fingerprint: of its key; None for an invitation.
    """

    name: str
    state: str
    since: datetime | None
    until: datetime
    fingerprint: str | None


def list_clients(resources: Path, *, now: datetime | None = None) -> tuple[ClientEntry, ...]:
    """List the clients that have joined, and those that are invited.

    Args:
        resources: the server's Resources folder.
        now: the present time, UTC; None takes the clock.

    Raises:
        ResourcesError: the register cannot be used.
    """
    moment = now or datetime.now(UTC)
    register = read_register(resources)
    entries = [_client_entry(client, moment) for client in register.clients]
    entries += [
        ClientEntry(
            name=each.name,
            state="invited" if moment <= each.expires else "expired",
            since=None,
            until=each.expires,
            fingerprint=None,
        )
        for each in register.invitations
        if each.used_by is None
    ]
    return tuple(sorted(entries, key=lambda entry: (folded(entry.name), entry.until)))


def _client_entry(client: EnrolledClient, now: datetime) -> ClientEntry:
    state = "revoked" if client.revoked is not None else "enrolled" if client.is_live(now) else "ended"
    return ClientEntry(
        name=client.name,
        state=state,
        since=client.revoked or client.enrolled,
        until=client.until,
        fingerprint=client.fingerprint,
    )


def revoke_client(resources: Path, name: str, *, now: datetime | None = None) -> Revoked:
    """Revoke a client, and withdraw invitations for its name. It may be done again, which writes the list anew.

    Args:
        resources: the server's Resources folder.
        name: the client's.
        now: the present time, UTC; None takes the clock.

    Returns:
        What came of it.

    Raises:
        NotEnrolled: nobody has the name.
        ResourcesError: a file cannot be used or written. The register may have it already: do it again.
    """
    moment = (now or datetime.now(UTC)).replace(microsecond=0)
    with changing_register(resources) as register:
        left = register.without_open_invitations(name)
        withdrawn = len(register.invitations) - len(left.invitations)
        named = [client for client in register.clients if folded(client.name) == folded(name)]
        if not named and not withdrawn:
            raise NotEnrolled(
                name, "no client has this name, and nobody is invited by it", "See appserver clients list"
            )
        for client in named:
            if client.revoked is None:
                left = left.with_client(attrs.evolve(client, revoked=moment), instead_of=client)
        write_register(resources, left, now=moment)
        file = None
        if named:
            file = write_revocations(resources, left, *load_authority(resources), now=moment)
    return Revoked(
        name=named[-1].name if named else name,
        since=max((client.revoked or moment for client in named), default=None),
        certificates=sum(len(client.serials) for client in named),
        invitations=withdrawn,
        file=file,
        required=enrolled_are_accepted(resources),
    )


def write_revocations(
    resources: Path, register: Register, authority: Certificate, authority_key: PrivateKey, *, now: datetime
) -> Path:
    """Write the list of what the private authority has revoked.

    Args:
        resources: the server's Resources folder, with the register held.
        register: as it is written.
        authority: the authority's certificate.
        authority_key: its key.
        now: the present time, UTC.

    Returns:
        The file.

    Raises:
        ResourcesError: there is one, and it cannot be understood.
        OSError: it cannot be written.
    """
    path = resources / REVOCATIONS_FILE
    others = list(_lists_of_others(path, authority))
    register = attrs.evolve(register, revocations=register.revocations + 1)
    write_register(resources, register, now=now)  # a list's number is never given twice
    own = make_revocation_list(authority, authority_key, register, now=now)
    replace_file(path, b"".join(_as_pem(each) for each in (own, *others)), mode=PUBLIC)
    return path


def make_revocation_list(
    authority: Certificate, authority_key: PrivateKey, register: Register, *, now: datetime
) -> CertificateRevocationList:
    """Make the list of what an authority has revoked; arguments as for `write_revocations`."""
    from cryptography import x509

    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.subject)
        .last_update(now)
        .next_update(authority.not_valid_after_utc)
        .add_extension(x509.CRLNumber(register.revocations), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
        )
    )
    for client in register.clients:
        if client.revoked is not None:
            for serial, end in client.serials:
                if end >= now:
                    builder = builder.add_revoked_certificate(_entry(serial, client.revoked))
    return builder.sign(authority_key, hash_for(authority_key))


def _entry(serial: int, revoked: datetime) -> RevokedCertificate:
    from cryptography import x509

    return x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(revoked).build()


def _lists_of_others(path: Path, authority: Certificate) -> Iterator[CertificateRevocationList]:
    if os.path.lexists(path):
        yield from (each for each in load_revocation_lists(path) if each.issuer != authority.subject)


def _as_pem(revocations: CertificateRevocationList) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return encode_pem(REVOCATIONS_LABEL, revocations.public_bytes(Encoding.DER))
