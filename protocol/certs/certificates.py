"""Certificates: reading them from PEM, the facts that people want to see, and what is wrong with one.

The checks here are those that a server makes on its own files, before a client meets them. What a
client makes of a server's certificate is OpenSSL's decision (`context`), or the pin's (`pins`).

Source: RFC 5280 (fields and extensions), RFC 7469 section 2.4 (SHA-256 of the public key's info).
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from protocol.certs import errors
from protocol.certs.keys import weakness
from protocol.certs.parsing import certificate_from, parse_certificate
from protocol.certs.pem import read_contents

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from protocol.certs.keys import PrivateKey

FINGERPRINT_PREFIX = "sha256:"

_LABELS = {"CERTIFICATE", "X509 CERTIFICATE"}
BROKEN_HASHES = frozenset({"md5", "sha1"})
"""Hashes for which somebody can make two texts with one signature."""

_RENEW = "Renew the certificate"


@attrs.frozen(kw_only=True)
class CertificateFacts:
    """What there is to know of a certificate. All of it is public.

    Attributes:
        subject: distinguished name, as RFC 4514 writes it.
        names: host names and IP addresses that it is for.
        issuer: distinguished name of who signed it.
        not_before: begin of its time, UTC.
        not_after: end of its time, UTC.
        fingerprint: "sha256:" and 64 hex digits, of the public key: it outlives a renewal.
    """

    subject: str
    names: tuple[str, ...]
    issuer: str
    not_before: datetime
    not_after: datetime
    fingerprint: str


def load_certificates(path: Path) -> tuple[Certificate, ...]:
    """Read the certificates of a PEM file.

    Args:
        path: the file.

    Returns:
        The certificates in the file's order, at least one.

    Raises:
        ResourcesError: one of its classes.
    """
    remedy = "Keep certificates and keys in files of their own"
    contents = read_contents(path, _LABELS, expected="certificates are", remedy=remedy)
    return tuple(certificate_from(path, content) for content in contents)


def encode_certificate(certificate: Certificate) -> bytes:
    """Write a certificate as DER."""
    from cryptography.hazmat.primitives.serialization import Encoding

    return certificate.public_bytes(Encoding.DER)


def facts_of(certificate: Certificate) -> CertificateFacts:
    """Gather the facts of a certificate."""
    return CertificateFacts(
        subject=certificate.subject.rfc4514_string(),
        names=names_of(certificate),
        issuer=certificate.issuer.rfc4514_string(),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        fingerprint=key_fingerprint(certificate.public_key()),
    )


def facts_of_der(der: bytes) -> CertificateFacts:
    """Gather the facts of a certificate as TLS shows it.

    Raises:
        ValueError: this is no certificate.
    """
    return facts_of(parse_certificate(der))


def names_of(certificate: Certificate) -> tuple[str, ...]:
    """List the host names and IP addresses of a certificate; its common name is none of them."""
    from cryptography import x509

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    return (
        *names.get_values_for_type(x509.DNSName),
        *(str(address) for address in names.get_values_for_type(x509.IPAddress)),
    )


def purposes_of(certificate: Certificate) -> frozenset[str] | None:
    """List what a certificate is for: of "server", "client" and "other"; None where it does not say."""
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID as Usage

    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except (x509.ExtensionNotFound, ValueError):
        return None
    words = {Usage.SERVER_AUTH: "server", Usage.CLIENT_AUTH: "client"}
    if Usage.ANY_EXTENDED_KEY_USAGE in usages:
        return frozenset(words.values())
    return frozenset(words.get(usage, "other") for usage in usages)


def spki_fingerprint(der: bytes) -> str:
    """Compute the fingerprint of a certificate's public key: what a pin is compared with.

    Args:
        der: a certificate; need not be trusted.

    Returns:
        "sha256:" and 64 hex digits, over the DER of its SubjectPublicKeyInfo.

    Raises:
        ValueError: this is no certificate.
    """
    return key_fingerprint(parse_certificate(der).public_key())


def key_fingerprint(public_key: object) -> str:
    """Compute the fingerprint of a public key, as `spki_fingerprint` does."""
    return fingerprint_of(public_bytes(public_key))


def fingerprint_of(der: bytes) -> str:
    """Compute the fingerprint of anything: "sha256:" and 64 hex digits. That of a whole certificate is no pin."""
    return FINGERPRINT_PREFIX + hashlib.sha256(der).hexdigest()


def check_times(path: Path, certificates: Sequence[Certificate], now: datetime) -> None:
    """Check that certificates are in their time.

    Raises:
        ExpiredCertificate: the first that is over.
        NotYetValidCertificate: the first that has not begun.
    """
    for certificate in certificates:
        name = certificate_name(certificate)
        if now > certificate.not_valid_after_utc:
            ended = certificate.not_valid_after_utc
            raise errors.ExpiredCertificate(path, f"{name} expired on {ended:%Y-%m-%d %H:%M} UTC", _RENEW)
        if now < certificate.not_valid_before_utc:
            begins = certificate.not_valid_before_utc
            raise errors.NotYetValidCertificate(
                path,
                f"{name} is not valid before {begins:%Y-%m-%d %H:%M} UTC, and it is {now:%Y-%m-%d %H:%M} UTC here",
                "Set this machine's clock, or wait",
            )


def check_chain(path: Path, certificates: Sequence[Certificate], key: PrivateKey | None) -> None:
    """Check that the first certificate is the key's, and each of the others signed the one before it.

    Args:
        path: the file they come from.
        certificates: in the file's order.
        key: the private key, or None where there is none to compare with.

    Raises:
        KeyMismatch: no certificate is the key's.
        WrongChainOrder: one is, but in the wrong place, or one does not belong there.
    """
    if key is not None:
        own = public_bytes(key.public_key())
        matches = [public_bytes(certificate.public_key()) == own for certificate in certificates]
        if not any(matches):
            raise errors.KeyMismatch(
                path,
                "the private key beside it is not the key of this certificate",
                "Put the key and the certificate that belong together there",
            )
        if not matches[0]:
            raise errors.WrongChainOrder(
                path,
                f"the server's own certificate is number {matches.index(True) + 1} in it",
                "Put the server's certificate first, then the one that signed it, and so on",
            )
    for position, (lower, upper) in enumerate(itertools.pairwise(certificates), start=2):
        try:
            lower.verify_directly_issued_by(upper)
        except Exception as error:  # ValueError, TypeError or InvalidSignature: all say that it did not
            raise errors.WrongChainOrder(
                path,
                f"certificate {position} ({certificate_name(upper)}) did not sign the one before it",
                "Put each certificate before the one that signed it, and remove those that belong elsewhere",
            ) from error


def check_strength(path: Path, certificates: Sequence[Certificate]) -> None:
    """Check keys and signatures.

    Raises:
        WeakKey: a key is too short, or a signature rests on a hash that is broken.
    """
    for certificate in certificates:
        finding = weakness(certificate.public_key())
        algorithm = certificate.signature_hash_algorithm
        # Nobody relies on the signature that a certificate gives itself.
        if algorithm is not None and algorithm.name in BROKEN_HASHES and not is_self_signed(certificate):
            finding = f"its signature uses {algorithm.name.upper()}, which is broken"
        if finding:
            raise errors.WeakKey(
                path,
                f"{certificate_name(certificate)}: {finding}",
                "Get a new certificate with a stronger key",
            )


def check_server_leaf(path: Path, certificate: Certificate) -> None:
    """Check that a certificate names hosts and is for a server.

    Raises:
        NoNames: it has no subject alternative name; a common name counts nowhere any more (RFC 9525).
        AuthorityCertificate: it may issue certificates itself, and is not its own anchor.
        WrongPurpose: it is for something else.
    """
    if not names_of(certificate):
        raise errors.NoNames(
            path,
            "the certificate has no subject alternative name, so no client will accept it",
            "Get one with the server's host names and addresses as subject alternative names",
        )
    # A certificate that signed itself is its own anchor, and OpenSSL makes those with CA:TRUE.
    if is_authority(certificate) and not is_self_signed(certificate):
        raise errors.AuthorityCertificate(
            path,
            "the certificate is an authority's (CA:TRUE), which strict clients refuse from a server",
            "Get one for TLS servers (CA:FALSE)",
        )
    purposes = purposes_of(certificate)
    if purposes is not None and "server" not in purposes:
        raise errors.WrongPurpose(
            path, "the certificate is not for a server (extended key usage)", "Get one for TLS servers"
        )
    if not _may_sign(certificate):
        raise errors.WrongPurpose(
            path,
            "the certificate's key may not sign handshakes (key usage without digital signature)",
            "Get one for TLS servers",
        )


def is_key_of(key: PrivateKey, certificate: Certificate) -> bool:
    """Tell whether a private key and a certificate belong together."""
    return public_bytes(key.public_key()) == public_bytes(certificate.public_key())


def is_authority(certificate: Certificate) -> bool:
    """Tell whether a certificate may issue others (basic constraints, CA:TRUE)."""
    from cryptography import x509

    try:
        return bool(certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca)
    except (x509.ExtensionNotFound, ValueError):
        return False


def is_self_signed(certificate: Certificate) -> bool:
    """Tell whether a certificate names itself as its issuer."""
    return certificate.issuer == certificate.subject


def _may_sign(certificate: Certificate) -> bool:
    from cryptography import x509

    try:
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except (x509.ExtensionNotFound, ValueError):
        return True
    return bool(usage.digital_signature)


def public_bytes(public_key: object) -> bytes:
    """Write a public key as the DER of its SubjectPublicKeyInfo: equal keys are equal bytes."""
    from typing import cast

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    # All kinds of public key have this method, and no common type that says so.
    return cast(RSAPublicKey, public_key).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def certificate_name(certificate: Certificate) -> str:
    """Name a certificate in a sentence: its subject, or its host names where that is empty."""
    return f'"{certificate.subject.rfc4514_string() or ", ".join(names_of(certificate))}"'
