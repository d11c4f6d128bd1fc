"""Revocation lists of every kind for the tests."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from tests.protocol.certs.conftest import NOW, Authority


def revocation_list(
    authority: Authority,
    serials: Iterable[int] = (),
    *,
    issued: datetime | None = None,
    until: datetime | None = None,
    extension: x509.ExtensionType | None = None,
    another: x509.ExtensionType | None = None,
) -> bytes:
    """Make a list as PEM.

    Args:
        authority: who signs it.
        serials: what is revoked.
        issued: a day ago without.
        until: in a week without.
        extension: marked critical.
        another: likewise.
    """
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.subject)
        .last_update(issued or NOW - timedelta(days=1))
        .next_update(until or NOW + timedelta(days=7))
    )
    for serial in serials:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOW).build()
        builder = builder.add_revoked_certificate(entry)
    for each in (extension, another):
        if each is not None:
            builder = builder.add_extension(each, critical=True)
    return builder.sign(authority.key, hashes.SHA256()).public_bytes(Encoding.PEM)
