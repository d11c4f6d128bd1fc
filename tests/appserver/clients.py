"""Client certificates for a server that wants them, and the revocation lists of their authority."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from protocol.settings.atomic import PRIVATE, PUBLIC, create_file, replace_file

DAY = timedelta(days=1)


class ClientAuthority:
    """An authority that issues clients' certificates and takes them back."""

    def __init__(self) -> None:
        self._ca = trustme.CA(key_type=trustme.KeyType.ECDSA)
        self.pem: bytes = self._ca.cert_pem.bytes()

    def issue(self, folder: Path, name: str | None, *, end: datetime | None = None) -> int:
        """Put a certificate and its key into a client's Resources folder; returns the serial number.

        Args:
            folder: it need not exist.
            name: the common name; None for a certificate without one.
            end: of its time.
        """
        folder.mkdir(exist_ok=True)
        leaf = self._ca.issue_cert(
            "client@example", common_name=name, not_after=end, key_type=trustme.KeyType.ECDSA
        )
        pem = leaf.cert_chain_pems[0].bytes()
        for file, content, mode in (
            ("key.pem", leaf.private_key_pem.bytes(), PRIVATE),
            ("cert.pem", pem, PUBLIC),
        ):
            if not create_file(folder / file, content, mode=mode):
                replace_file(folder / file, content)
        return x509.load_pem_x509_certificate(pem).serial_number

    def revocations(
        self, serials: Iterable[int] = (), *, issued: datetime | None = None, until: datetime | None = None
    ) -> bytes:
        """Make a revocation list, as PEM."""
        return revocation_list(self._ca, serials, issued=issued, until=until)


def revocation_list(
    authority: trustme.CA,
    serials: Iterable[int] = (),
    *,
    issued: datetime | None = None,
    until: datetime | None = None,
) -> bytes:
    """Make the revocation list of an authority, as PEM.

    Args:
        authority: with a key on a curve.
        serials: what is revoked.
        issued: a day ago without.
        until: in a week without.
    """
    now = datetime.now(UTC)
    key = load_pem_private_key(authority.private_key_pem.bytes(), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(x509.load_pem_x509_certificate(authority.cert_pem.bytes()).subject)
        .last_update(issued or now - DAY)
        .next_update(until or now + 7 * DAY)
    )
    for serial in serials:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(now).build()
        builder = builder.add_revoked_certificate(entry)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
