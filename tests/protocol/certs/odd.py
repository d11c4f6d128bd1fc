"""Certificates with a part that the certificate library does not know, some of which OpenSSL takes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.protocol.certs.conftest import NOW

ALTERNATIVE_NAME = "2.5.29.17"


def self_signed(key: ec.EllipticCurvePrivateKey, *extensions: tuple[str, str]) -> bytes:
    """Make a certificate as DER, with extensions that are given as they lie in it, in hexadecimal."""
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "odd")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=1))
    )
    for identifier, value in extensions:
        content = x509.UnrecognizedExtension(x509.ObjectIdentifier(identifier), bytes.fromhex(value))
        builder = builder.add_extension(content, critical=False)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def with_unread_name(key: ec.EllipticCurvePrivateKey) -> bytes:
    """One whose alternative name is an X.400 address."""
    return self_signed(key, (ALTERNATIVE_NAME, "3004a3023000"))


def exchanged(der: bytes, old: str, new: str) -> bytes:
    """Exchange a part that is given in hexadecimal."""
    assert bytes.fromhex(old) in der
    return der.replace(bytes.fromhex(old), bytes.fromhex(new))


def _with_extension_twice(key: ec.EllipticCurvePrivateKey) -> bytes:
    return exchanged(self_signed(key, ("1.2.3.4", "0500"), ("1.2.3.5", "0500")), "06032a0305", "06032a0304")


def _with_point_beside_the_curve(key: ec.EllipticCurvePrivateKey) -> bytes:
    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return exchanged(self_signed(key), point.hex(), "04" + "01" * 64)


ODD: dict[str, tuple[Callable[[ec.EllipticCurvePrivateKey], bytes], str]] = {
    "a kind of name": (with_unread_name, "x400Address"),
    "an extension twice": (_with_extension_twice, "Duplicate 1.2.3.4"),
    "a kind of signature": (
        lambda key: exchanged(self_signed(key), "06082a8648ce3d040302", "06082a8648ce3d04030a"),
        "Signature algorithm",
    ),
    "a curve": (
        lambda key: exchanged(self_signed(key), "06082a8648ce3d030107", "06082a8648ce3d030108"),
        "Curve 1.2.840.10045.3.1.8",
    ),
    "a kind of key": (
        lambda key: exchanged(self_signed(key), "06072a8648ce3d0201", "06072a8648ce3d0209"),
        "Unknown key type",
    ),
    "a point beside the curve": (_with_point_beside_the_curve, "Invalid key"),
    "a version": (lambda key: exchanged(self_signed(key), "a003020102", "a003020107"), "7 is not a valid"),
}
