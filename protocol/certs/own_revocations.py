"""The private authority's own revocation list in `clients-crl.pem`, as the register has it.

The list is signed by the private authority, and holds what it has revoked and what has not ended by itself. It is valid
for as long as the authority is: it is a file of this server, made anew with every change, and not a copy
whose age would have to be bounded. Lists of other authorities in the same file stay.

Source: RFC 5280 section 5.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from protocol.certs.authority import hash_for
from protocol.certs.pem import encode_pem
from protocol.certs.register import Register
from protocol.certs.register_file import write_register
from protocol.certs.revocation import REVOCATIONS_FILE, REVOCATIONS_LABEL, load_revocation_lists
from protocol.settings.atomic import PUBLIC, replace_file

if TYPE_CHECKING:
    from cryptography.x509 import Certificate, CertificateRevocationList, RevokedCertificate

    from protocol.certs.keys import PrivateKey


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
