"""The private authority's own revocation list in `clients-crl.pem`, as the register has it.

The list is signed by the private authority, and holds what it has revoked and what has not ended by itself. It is valid
for as long as the authority is: it is a file of this server, made anew with every change, and not a copy
whose age would have to be bounded. Lists of other authorities in the same file stay.

Theory of operation. Nobody is let in again by a file that was lost: an administrator who writes another authority's
new list over the file takes ours away, so a server puts it back as it reads its files (`restore_revocations`); and
where the register is a new one, or an older one from a backup, what our list has said it goes on saying.

Source: RFC 5280 section 5.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from protocol.certs.authority import BACKDATED, CLIENT_LIFETIME, hash_for
from protocol.certs.certificates import load_certificates
from protocol.certs.client_authorities import enrolled_are_accepted
from protocol.certs.first_start import AUTHORITY_FILE, AUTHORITY_FOLDER, load_authority
from protocol.certs.pem import encode_pem
from protocol.certs.register import Register
from protocol.certs.register_file import changing_register, read_register, write_register
from protocol.certs.revocation import (
    REVOCATIONS_FILE,
    REVOCATIONS_LABEL,
    is_list_of,
    load_revocation_lists,
)
from protocol.settings.atomic import PUBLIC, replace_file

if TYPE_CHECKING:
    from cryptography.x509 import Certificate, CertificateRevocationList, RevokedCertificate

    from protocol.certs.keys import PrivateKey

_SHORTEST = timedelta(days=1)
"""For which a list is valid, also where the authority has ended."""


def restore_revocations(resources: Path, *, create: bool = True, now: datetime | None = None) -> bool:
    """Write the own list anew where `clients-crl.pem` lacks what the register has revoked.

    Args:
        resources: the server's Resources folder.
        create: whether a missing file is made; False where somebody may be replacing it at this moment.
        now: the present time, UTC; None takes the clock.

    Returns:
        Whether anything was written.

    Raises:
        ResourcesError: somebody would be let in again, and a file cannot be used or written.
    """
    moment = (now or datetime.now(UTC)).replace(microsecond=0)
    path = resources / REVOCATIONS_FILE
    if not (create or os.path.lexists(path)) or not enrolled_are_accepted(resources):
        return False
    revoked = {serial for serial, _ in _revoked(read_register(resources), moment)}
    if not revoked:
        return False
    authority = load_certificates(resources / AUTHORITY_FOLDER / AUTHORITY_FILE)[0]
    if revoked <= {entry.serial_number for entry in _said(_lists(path), authority)}:
        return False
    with changing_register(resources) as register:
        write_revocations(resources, register, *load_authority(resources), now=moment)
    return True


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
    present = _lists(path)
    register = attrs.evolve(register, revocations=register.revocations + 1)
    write_register(resources, register, now=now)  # a list's number is never given twice
    said = _said(present, authority)
    own = make_revocation_list(authority, authority_key, register, said, now=now)
    others = [each for each in present if not _is_own(each, authority)]
    replace_file(path, b"".join(_as_pem(each) for each in (own, *others)), mode=PUBLIC)
    return path


def make_revocation_list(
    authority: Certificate,
    authority_key: PrivateKey,
    register: Register,
    said: Iterable[RevokedCertificate] = (),
    *,
    now: datetime,
) -> CertificateRevocationList:
    """Make the list of what an authority has revoked.

    Args:
        authority: the authority's certificate.
        authority_key: its key.
        register: as it is written.
        said: what its list said until now.
        now: the present time, UTC.
    """
    from cryptography import x509

    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.subject)
        .last_update(now)
        .next_update(max(authority.not_valid_after_utc, now + _SHORTEST))
        .add_extension(x509.CRLNumber(register.revocations), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
        )
    )
    entries = dict(_revoked(register, now))
    known = {serial for client in register.clients for serial, _ in client.serials}
    for entry in said:
        # The register knows more: when it ends, or that it has ended. Of others the latest end is known.
        end = entry.revocation_date_utc + BACKDATED + CLIENT_LIFETIME
        if entry.serial_number not in known and end >= now:
            entries[entry.serial_number] = entry.revocation_date_utc
    for serial, revoked in entries.items():
        builder = builder.add_revoked_certificate(_entry(serial, revoked))
    return builder.sign(authority_key, hash_for(authority_key))


def _revoked(register: Register, now: datetime) -> Iterator[tuple[int, datetime]]:
    """What a register has revoked and what has not ended, with the time when it was revoked."""
    for client in register.clients:
        if client.revoked is not None:
            for serial, end in client.serials:
                if end >= now:
                    yield serial, client.revoked


def _entry(serial: int, revoked: datetime) -> RevokedCertificate:
    from cryptography import x509

    return x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(revoked).build()


def _lists(path: Path) -> tuple[CertificateRevocationList, ...]:
    return load_revocation_lists(path) if os.path.lexists(path) else ()


def _said(lists: Iterable[CertificateRevocationList], authority: Certificate) -> Iterator[RevokedCertificate]:
    """What an authority has said in lists."""
    for each in lists:
        if is_list_of(each, authority):
            yield from each


def _is_own(one: CertificateRevocationList, authority: Certificate) -> bool:
    """Whether a list is the authority's, or was until it was damaged: one of another that has its name is not."""
    from cryptography import x509

    if one.issuer != authority.subject or is_list_of(one, authority):
        return one.issuer == authority.subject
    key = x509.SubjectKeyIdentifier.from_public_key(authority.public_key())
    try:
        named = one.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    except x509.ExtensionNotFound:
        return False
    return named.key_identifier == key.digest


def _as_pem(revocations: CertificateRevocationList) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding

    return encode_pem(REVOCATIONS_LABEL, revocations.public_bytes(Encoding.DER))
