"""Certificates from their bytes: the one place that takes them from outside.

cryptography reads a certificate's parts only when they are asked for, and then says by errors of six kinds that it
does not know one: long after the certificate was taken, where nobody expects it. So all parts that anything here
will ask for are read at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from protocol.certs import errors

if TYPE_CHECKING:
    from cryptography.x509 import Certificate


class NotUnderstood(ValueError):
    """A certificate has a part that is not understood; the text says which."""


def parse_certificate(der: bytes) -> Certificate:
    """Read a certificate.

    Args:
        der: need not be trusted.

    Raises:
        NotUnderstood: its key, signature or an extension is of a kind that is not known here.
        ValueError: this is no certificate.
    """
    from cryptography import x509

    try:
        certificate = x509.load_der_x509_certificate(der)
    except x509.InvalidVersion as error:
        raise NotUnderstood(str(error)) from error
    _read_parts(certificate)
    return certificate


def certificate_from(path: Path, der: bytes) -> Certificate:
    """Read a certificate out of a file.

    Args:
        path: the file, for the errors.
        der: what is in it.

    Raises:
        DamagedPem: this is no certificate.
        UnusableCertificate: it has a part that is not understood.
    """
    try:
        return parse_certificate(der)
    except NotUnderstood as error:
        raise _unusable(path, error) from error
    except ValueError as error:
        raise errors.DamagedPem(path, "a certificate in it is damaged", "Copy it again") from error


def check_understood(path: Path, certificates: Sequence[Certificate]) -> None:
    """Check certificates that came out of a file in another way.

    Raises:
        UnusableCertificate: one has a part that is not understood.
    """
    for certificate in certificates:
        try:
            _read_parts(certificate)
        except NotUnderstood as error:
            raise _unusable(path, error) from error


def _unusable(path: Path, error: NotUnderstood) -> errors.UnusableCertificate:
    return errors.UnusableCertificate(
        path,
        f"a certificate in it has a part that is not understood here ({error})",
        "Ask its authority for one with a common kind of key, signature and names",
    )


def _read_parts(certificate: Certificate) -> None:
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        certificate.public_key()
        _ = certificate.extensions, certificate.signature_hash_algorithm, certificate.version
    except (
        ValueError,
        UnsupportedAlgorithm,
        x509.DuplicateExtension,
        x509.InvalidVersion,
        x509.UnsupportedGeneralNameType,
    ) as error:
        raise NotUnderstood(str(error)) from error
