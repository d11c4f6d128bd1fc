"""Reading what an authority sends: certificates as PEM, DER or PKCS#7, and PKCS#12 with the key.

What is in Resources is PEM and nothing else (`pem`). What comes in by mail or from a web page is any of
these, under any name, so the content decides and not the name.

Source: RFC 7468 (PEM), RFC 5280 (DER), RFC 2315 (PKCS#7), RFC 7292 (PKCS#12).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from protocol.certs import errors
from protocol.certs.keys import check_strength
from protocol.certs.parsing import certificate_from, check_understood
from protocol.certs.pem import Block, is_binary, parse_blocks, read_file

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from protocol.certs.keys import PrivateKey

_CERTIFICATE_LABELS = {"CERTIFICATE", "X509 CERTIFICATE"}
_PKCS7_LABELS = {"PKCS7", "PKCS #7 SIGNED DATA", "CMS"}
_REQUEST_LABELS = {"CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST"}

_PASSPHRASE_REMEDY = "Give it with --passphrase-file or --passphrase-variable"


@attrs.frozen
class Bundle:
    """The content of a PKCS#12 file.

    Attributes:
        key: the private key. Never log it.
        certificates: all that are in it, in no particular order.
    """

    key: PrivateKey = attrs.field(repr=False)
    certificates: tuple[Certificate, ...]


def read_certificates(path: Path) -> tuple[Certificate, ...]:
    """Read the certificates that an authority sent.

    Args:
        path: a file with PEM (LF or CRLF, perhaps a byte order mark, one or many), DER, or PKCS#7 in
            either form.

    Returns:
        The certificates in the file's order, at least one.

    Raises:
        ResourcesError: one of its classes; WrongContents where the file holds a key, a request or PKCS#12.
    """
    content = read_file(path)
    if is_binary(content):
        return _from_der(path, content)
    found: list[Certificate] = []
    for block in parse_blocks(path, content):
        found += _from_block(path, block)
    return tuple(found)


def read_pkcs12(path: Path, *, passphrase: bytes | None = None) -> Bundle:
    """Read a PKCS#12 file (.p12, .pfx). Never asks anybody for anything.

    Args:
        path: the file.
        passphrase: of the file; None for one that has none.

    Returns:
        Its key and certificates.

    Raises:
        PassphraseNeeded: it has a passphrase, and none was given.
        WrongPassphrase: it has another one.
        ResourcesError: one of its other classes.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import pkcs12

    content = read_file(path)
    _check_is_pkcs12(path, content)
    try:
        loaded = pkcs12.load_pkcs12(content, passphrase)
    except UnsupportedAlgorithm as error:
        raise errors.WrongContents(
            path,
            "it is encrypted in a way that is not known here",
            "Export it again with AES-256 and SHA-256",
        ) from error
    except (ValueError, TypeError):
        # The cause is left out: it says less than the class does.
        if passphrase is None:
            raise errors.PassphraseNeeded(
                path, "the file is encrypted and no passphrase was given", _PASSPHRASE_REMEDY
            ) from None
        raise errors.WrongPassphrase(
            path, "the passphrase does not open the file", "Correct the passphrase, or ask for the file again"
        ) from None
    if loaded.key is None:
        raise errors.WrongContents(
            path, "it holds no private key", "Install its certificates: appserver certificates install"
        )
    if loaded.cert is None:
        raise errors.WrongContents(
            path, "it holds no certificate for its key", "Ask for the file with the certificate in it"
        )
    key = check_strength(path, loaded.key)
    certificates = tuple(part.certificate for part in (loaded.cert, *loaded.additional_certs))
    check_understood(path, certificates)
    return Bundle(key, certificates)


def _from_block(path: Path, block: Block) -> tuple[Certificate, ...]:
    if block.label in _CERTIFICATE_LABELS:
        return (certificate_from(path, block.content),)
    if block.label in _PKCS7_LABELS:
        return _from_pkcs7(path, block.content)
    if block.label in _REQUEST_LABELS:
        raise errors.WrongContents(
            path, "this is a certificate request", "Send it to the authority, and install what it sends back"
        )
    if block.label.endswith("PRIVATE KEY"):
        raise errors.WrongContents(
            path,
            "it holds a private key, and certificates alone are expected",
            "Take the key out of it, and keep it from others",
        )
    raise errors.WrongContents(
        path, f"certificates are expected, it holds a {block.label}", "Ask for the certificate in PEM format"
    )


def _from_der(path: Path, content: bytes) -> tuple[Certificate, ...]:
    if _is_cut_off(content):
        raise errors.DamagedPem(path, "the file is cut off", "Copy it again, whole")
    if _looks_like_pkcs12(content):
        raise errors.WrongContents(
            path, "this is PKCS#12, with a private key in it", "Use: appserver certificates import"
        )
    if content[_header_length(content) :][:1] == b"\x06":  # an object identifier: of PKCS#7's content
        return _from_pkcs7(path, content)
    return (certificate_from(path, content),)


def _from_pkcs7(path: Path, der: bytes) -> tuple[Certificate, ...]:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import pkcs7

    try:
        found = tuple(pkcs7.load_der_pkcs7_certificates(der))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise errors.DamagedPem(
            path, "the PKCS#7 in it cannot be understood", "Copy it again, or ask for PEM"
        ) from error
    if not found:
        raise errors.WrongContents(
            path, "the PKCS#7 in it has no certificate", "Ask for the certificate in PEM format"
        )
    check_understood(path, found)
    return found


def _check_is_pkcs12(path: Path, content: bytes) -> None:
    if not is_binary(content):
        raise errors.WrongContents(
            path,
            "this is not PKCS#12 (.p12, .pfx)",
            "For certificates in PEM format use: appserver certificates install",
        )
    if _is_cut_off(content):
        raise errors.DamagedPem(path, "the file is cut off", "Copy it again, whole")
    if not _looks_like_pkcs12(content):
        raise errors.WrongContents(
            path,
            "this is not PKCS#12 (.p12, .pfx) but another binary format",
            "For certificates use: appserver certificates install",
        )


def _looks_like_pkcs12(content: bytes) -> bool:
    # PFX ::= SEQUENCE { version INTEGER {v3(3)}, ... }; a certificate or PKCS#7 begins otherwise.
    return content[_header_length(content) :].startswith(b"\x02\x01\x03")


def _header_length(content: bytes) -> int:
    """Octets of a DER value's tag and length."""
    return 2 + (content[1] & 0x7F if len(content) > 1 and content[1] & 0x80 else 0)


def _is_cut_off(content: bytes) -> bool:
    # 0x80 is BER's indefinite length, which some programs write: there the end is not known.
    if len(content) < 2 or content[1] == 0x80:
        return len(content) < 2
    header = _header_length(content)
    length = int.from_bytes(content[2:header]) if content[1] & 0x80 else content[1]
    return len(content) < header + length
