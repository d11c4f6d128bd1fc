"""The private authority of a first start, and the certificates that it issues. Pure: no files, no clock.

Certificates are made so that the strictest verifiers accept them: basic constraints, subject
alternative names, key identifiers of subject and authority, key usage and extended key usage.

Source: RFC 5280 section 4.2; CA/Browser Forum Baseline Requirements section 7.1 for the details.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.x509 import Certificate, CertificateBuilder, GeneralName, KeyUsage, Name

    from protocol.certs.keys import PrivateKey

    IpAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

AUTHORITY_LIFETIME = timedelta(days=3650)
SERVER_LIFETIME = timedelta(days=90)
"""Mozilla's modern profile (version 5.7) takes 90 days at most, its intermediate one 366. This one is renewed
by itself when a third of it is left, also while the server runs."""

CLIENT_LIFETIME = timedelta(days=365)
"""It is renewed from two thirds of it on: whoever uses the client once in four months stays enrolled."""

BACKDATED = timedelta(hours=1)
"""How far clients' clocks may be behind."""


def make_authority_certificate(key: PrivateKey, *, name: str, now: datetime) -> Certificate:
    """Make the certificate of a private authority.

    Args:
        key: the authority's key, which signs it.
        name: what to call it. A part of the key's identifier is added, because two authorities of one
            name make verifiers speak of bad signatures where they mean another authority.
        now: the present time, UTC.
    """
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    common_name = f"{name[:40]} private authority {identifier.digest.hex()[:8]}"
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    usage = key_usage(digital_signature=False, signs_certificates=True)
    builder = (
        _builder(subject, subject, now, now + AUTHORITY_LIFETIME)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    )
    return builder.sign(key, hash_for(key))


def issue_server_certificate(
    authority: Certificate, authority_key: PrivateKey, key: PrivateKey, *, names: Sequence[str], now: datetime
) -> Certificate:
    """Issue a server's certificate.

    Args:
        authority: the authority's certificate.
        authority_key: its key.
        key: the server's key; only its public half goes into the certificate.
        names: host names and IP addresses, at least one, the most telling first.
        now: the present time, UTC.
    """
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    common_name = next((name for name in names if len(name) <= 64), "server")
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    end = min(now - BACKDATED + SERVER_LIFETIME, authority.not_valid_after_utc)
    builder = (
        _builder(subject, authority.subject, now, end)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage(digital_signature=True, signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([general_name(name) for name in names]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
        )
    )
    return builder.sign(authority_key, hash_for(authority_key))


def issue_client_certificate(
    authority: Certificate, authority_key: PrivateKey, public_key: object, *, name: str, now: datetime
) -> Certificate:
    """Issue a client's certificate: good for a TLS client, and for nothing else.

    Args:
        authority: the authority's certificate.
        authority_key: its key.
        public_key: the client's, checked; nobody here has the other half.
        name: the client's name, checked; it becomes the common name.
        now: the present time, UTC.
    """
    from typing import cast

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = cast(EllipticCurvePublicKey, public_key)  # or of another kind that certificates can have
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    end = min(now + CLIENT_LIFETIME, authority.not_valid_after_utc)
    builder = (
        _builder(subject, authority.subject, now, end)
        .public_key(key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(key_usage(digital_signature=True, signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(authority_key.public_key()), critical=False
        )
    )
    return builder.sign(authority_key, hash_for(authority_key))


def general_name(name: str) -> GeneralName:
    """Make the entry of a subject alternative name: an address where it is one, else a host name."""
    from cryptography import x509

    address = parse_address(name)
    return x509.DNSName(name.rstrip(".").lower()) if address is None else x509.IPAddress(address)


def parse_address(name: str) -> IpAddress | None:
    """Read an IP address, without its zone; None where the name is not one."""
    try:
        return ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return None


def _builder(subject: Name, issuer: Name, now: datetime, end: datetime) -> CertificateBuilder:
    from cryptography import x509

    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(end)
    )


def key_usage(*, digital_signature: bool, signs_certificates: bool) -> KeyUsage:
    """Make the key usage of a server's or an authority's certificate."""
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def hash_for(key: PrivateKey) -> SHA256 | None:
    """The hash that a key signs certificates and requests with; None where the key's kind has its own."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ed448, ed25519

    # The Edwards curves hash by themselves.
    return None if isinstance(key, ed25519.Ed25519PrivateKey | ed448.Ed448PrivateKey) else hashes.SHA256()
