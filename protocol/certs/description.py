"""What people want to know of a certificate file: the one in force, or one that came by mail."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from protocol.certs.bundles import read_certificates
from protocol.certs.certificates import (
    CertificateFacts,
    encode_certificate,
    facts_of,
    fingerprint_of,
    load_certificates,
)
from protocol.certs.identity import CERT_FILE, NEXT_KEY_FILE
from protocol.certs.renewal import next_renewal

if TYPE_CHECKING:
    from cryptography.x509 import Certificate


@attrs.frozen(kw_only=True)
class Description(CertificateFacts):
    """The facts of a certificate in a file. All of it is public.

    Attributes:
        file: the file.
        days_left: whole days until it ends; negative where it is over.
        serial: serial number, hexadecimal.
        certificate_fingerprint: "sha256:" and 64 hex digits, of the whole certificate, as browsers and
            `openssl x509 -fingerprint -sha256` show it; it changes with each renewal.
        key: kind of the key, as "P-256" or "RSA 3072".
        chain: subjects of all certificates in the file.
        renewal: when a start renews it by itself, UTC; None where another authority has to.
        key_waits: whether a new key waits for its certificate beside it.
    """

    file: Path
    days_left: int
    serial: str
    certificate_fingerprint: str
    key: str
    chain: tuple[str, ...]
    renewal: datetime | None
    key_waits: bool


def describe_resources(resources: Path, *, now: datetime | None = None) -> Description:
    """Describe the certificate of a server's Resources folder; no private key is read for it.

    Args:
        resources: the folder.
        now: the present time, UTC; None takes the clock.

    Raises:
        ResourcesError: one of its classes: there is no certificate that can be read.
    """
    file = resources / CERT_FILE
    description = _describe(file, load_certificates(file), now or datetime.now(UTC))
    return attrs.evolve(
        description,
        renewal=next_renewal(resources),
        key_waits=os.path.lexists(resources / NEXT_KEY_FILE),
    )


def describe_file(file: Path, *, now: datetime | None = None) -> Description:
    """Describe the first certificate of any file: PEM, DER or PKCS#7.

    Args:
        file: the file.
        now: the present time, UTC; None takes the clock.

    Raises:
        ResourcesError: one of its classes: there is no certificate in it.
    """
    return _describe(file, read_certificates(file), now or datetime.now(UTC))


def _describe(file: Path, certificates: tuple[Certificate, ...], now: datetime) -> Description:
    certificate = certificates[0]
    return Description(
        **attrs.asdict(facts_of(certificate), recurse=False),
        file=file,
        days_left=(certificate.not_valid_after_utc - now).days,
        serial=f"{certificate.serial_number:x}",
        certificate_fingerprint=fingerprint_of(encode_certificate(certificate)),
        key=_kind(certificate.public_key()),
        chain=tuple(part.subject.rfc4514_string() for part in certificates),
        renewal=None,
        key_waits=False,
    )


def _kind(key: object) -> str:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    match key:
        case rsa.RSAPublicKey():
            return f"RSA {key.key_size}"
        case ec.EllipticCurvePublicKey():
            known = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
            return known.get(key.curve.name, key.curve.name)
        case _:
            return type(key).__name__.strip("_").removesuffix("PublicKey")
