"""Certificate requests (PKCS#10): what an authority needs to issue a server's certificate.

Source: RFC 2986 (PKCS#10), RFC 5280 appendix A.1 (how long the fields may be), RFC 9525 (names).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from protocol.certs import errors
from protocol.certs.authority import general_name, hash_for, key_usage, parse_address
from protocol.certs.certificates import key_fingerprint
from protocol.certs.identity import KEY_FILE, NEXT_KEY_FILE
from protocol.certs.keys import load_private_key
from protocol.certs.names import canonical_name
from protocol.certs.pair import changing, writing
from protocol.certs.pem import encode_pem
from protocol.settings.atomic import PUBLIC, replace_file
from protocol.settings.checks import is_host

if TYPE_CHECKING:
    from protocol.certs.keys import PrivateKey

REQUEST_FILE = "request.pem"

_PRINTABLE = re.compile(r"[^\x00-\x1f\x7f]+")


def _field(longest: int) -> str | None:
    def check(_subject: object, attribute: attrs.Attribute[str | None], value: str | None) -> None:
        if value is None:
            return
        if len(value) > longest or not value.strip() or _PRINTABLE.fullmatch(value) is None:
            name = attribute.name.replace("_", " ")
            raise errors.SubjectError(name, f"expected 1 to {longest} printable characters, not {value!r}")

    field: str | None = attrs.field(default=None, validator=check)
    return field


def _check_country(_subject: object, _attribute: attrs.Attribute[str | None], value: str | None) -> None:
    if value is not None and re.fullmatch(r"[A-Za-z]{2}", value) is None:
        raise errors.SubjectError("country", f"expected two letters, as DE or US, not {value!r}")


@attrs.frozen(kw_only=True)
class Subject:
    """Whom a certificate is for. Public authorities check all of it, and ignore what they cannot check.

    Attributes:
        common_name: CN, what people call the server; its first host name as a rule. 64 characters.
        organization: O, the legal name. 64 characters.
        organizational_unit: OU, the department. 64 characters.
        locality: L, the town. 128 characters.
        state: ST, the state or province, in full. 128 characters.
        country: C, two letters as in ISO 3166.
    """

    common_name: str | None = _field(64)
    organization: str | None = _field(64)
    organizational_unit: str | None = _field(64)
    locality: str | None = _field(128)
    state: str | None = _field(128)
    country: str | None = attrs.field(default=None, validator=_check_country)


@attrs.frozen
class Request:
    """A certificate request that was written.

    Attributes:
        file: where it is.
        pem: its text, to be sent to the authority.
        subject: distinguished name, as RFC 4514 writes it.
        names: host names and IP addresses that it asks for.
        key_file: the key that it is for.
        fingerprint: "sha256:" and 64 hex digits, of that key's public half.
    """

    file: Path
    pem: str
    subject: str
    names: tuple[str, ...]
    key_file: Path
    fingerprint: str


def write_request(
    resources: Path,
    subject: Subject,
    names: Sequence[str],
    *,
    file: Path | None = None,
    passphrase: bytes | None = None,
) -> Request:
    """Write a certificate request for the key in Resources, or for the one that waits in `next-key.pem`.

    Args:
        resources: the server's Resources folder.
        subject: whom the certificate is to be for; the first name becomes the common name without one.
        names: host names (also `*.example.com`) and IP addresses that clients call the server, at least
            one.
        file: where to write it; `request.pem` in the folder without. One that is there is replaced: a
            request is made anew at will, and is no secret.
        passphrase: of the key, where it is encrypted.

    Returns:
        The request.

    Raises:
        SubjectError: a name cannot stand in a certificate, or there is none.
        ResourcesError: the key cannot be used, or the file not be written.
    """
    wanted = check_names(names)
    with changing(resources, passphrase=passphrase):
        waiting = resources / NEXT_KEY_FILE
        key_file = waiting if waiting.exists() else resources / KEY_FILE
        key = load_private_key(key_file, passphrase=passphrase)
    if subject.common_name is None:
        subject = attrs.evolve(subject, common_name=next((name for name in wanted if len(name) <= 64), None))
    target = file or resources / REQUEST_FILE
    pem, written = make_request(key, subject, wanted)
    with writing(target.parent):
        replace_file(target, pem, mode=PUBLIC)
    return Request(
        file=target,
        pem=pem.decode(),
        subject=written,
        names=wanted,
        key_file=key_file,
        fingerprint=key_fingerprint(key.public_key()),
    )


def make_request(key: PrivateKey, subject: Subject, names: Sequence[str]) -> tuple[bytes, str]:
    """Make a certificate request.

    Args:
        key: the server's key, which signs it; only its public half goes into it.
        subject: whom the certificate is to be for.
        names: checked by `check_names`.

    Returns:
        The request as PEM, and its subject as RFC 4514 writes it.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    fields = (
        (NameOID.COUNTRY_NAME, subject.country and subject.country.upper()),
        (NameOID.STATE_OR_PROVINCE_NAME, subject.state),
        (NameOID.LOCALITY_NAME, subject.locality),
        (NameOID.ORGANIZATION_NAME, subject.organization),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, subject.organizational_unit),
        (NameOID.COMMON_NAME, subject.common_name),
    )
    name = x509.Name([x509.NameAttribute(oid, value) for oid, value in fields if value is not None])
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(name)
        .add_extension(x509.SubjectAlternativeName([general_name(part) for part in names]), critical=False)
        # Authorities decide on these themselves; a private one may copy what it is asked for.
        .add_extension(key_usage(digital_signature=True, signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hash_for(key))
    )
    return encode_pem("CERTIFICATE REQUEST", request.public_bytes(Encoding.DER)), name.rfc4514_string()


def check_names(names: Sequence[str]) -> tuple[str, ...]:
    """Check names for a certificate.

    Args:
        names: host names, also `*.example.com`, and IP addresses.

    Returns:
        The names as a certificate shows them, each once.

    Raises:
        SubjectError: one of them is none, or there are none.
    """
    if not names:
        raise errors.SubjectError("names", "name at least one host name or IP address of the server")
    for name in names:
        if not _can_be_named(name):
            raise errors.SubjectError(
                "names",
                f"expected a host name (other letters as xn--...) or an IP address, not {name!r}",
            )
    return tuple(dict.fromkeys(canonical_name(name) for name in names))


def _can_be_named(name: str) -> bool:
    if not is_host(name):
        return False
    # What looks like an address has to be one: neither 300.1.1.1 nor *.10.0.0.1 is a host.
    last = name.rstrip(".").rpartition(".")[2]
    return parse_address(name) is not None or not (":" in name or last.isdigit())
