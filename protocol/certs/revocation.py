"""Revocation lists: which client certificates their authority has taken back before their end.

`clients-crl.pem` holds one list or several, each signed by an authority of `clients-ca.pem`. An authority
needs no list; where it has one, the list counts for its own certificates and for nobody else's.

What makes a list unusable is an error of its own, and nothing of the file is used then. Two things are findings
and no more, since a server that refused to start or to reload over them would be out of order by a date or by the
order in which two files are copied: a list whose next one is overdue (its authority's clients are refused, see
`client_certificates`), and one by an authority that is not trusted at all, which nobody's certificate depends on.

Source: RFC 5280 section 5.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from protocol.certs import errors
from protocol.certs.certificates import BROKEN_HASHES, public_bytes
from protocol.certs.parsing import parse_certificate
from protocol.certs.pem import read_contents

if TYPE_CHECKING:
    from cryptography.x509 import Certificate, CertificateRevocationList

REVOCATIONS_FILE = "clients-crl.pem"
REVOCATIONS_LABEL = "X509 CRL"
"""What stands after BEGIN."""

MAX_SIZE = 16 << 20
"""Bytes of the largest file that is read: lists of large authorities have some hundred thousand entries."""

CLOCK_DIFFERENCE = timedelta(minutes=10)
"""By how much an authority's clock may be ahead of ours: to believe a list too early takes back more, never less."""

_GET_IT = "Get the authority's present list, whole and in PEM"


@attrs.frozen(kw_only=True)
class RevocationList:
    """One list that counts.

    Attributes:
        issuer: distinguished name of the authority, as RFC 4514 writes it.
        authority: `authority_id` of the certificate that its signature was checked with.
        issued: when it was made, UTC.
        until: when the next one is due, UTC; None where it does not say.
        serials: serial numbers of the certificates that are revoked.
        der: the list as it was signed.
    """

    issuer: str
    authority: bytes = attrs.field(repr=False)
    issued: datetime
    until: datetime | None
    serials: frozenset[int] = attrs.field(repr=lambda serials: f"<{len(serials)} revoked>")
    der: bytes = attrs.field(repr=False)


@attrs.frozen
class Revocations:
    """What `clients-crl.pem` says.

    Attributes:
        file: the file; it need not exist.
        lists: those that count.
        strangers: authors of lists that do not: no authority of `clients-ca.pem` has this name.
    """

    file: Path
    lists: tuple[RevocationList, ...] = ()
    strangers: tuple[str, ...] = ()

    def is_revoked(self, authority: bytes, serial: int) -> bool:
        """Tell whether an authority has taken a certificate back; any of its lists may say so."""
        return any(serial in part.serials for part in self.lists if part.authority == authority)

    def cover(self, certificates: Iterable[bytes]) -> bool:
        """Tell whether each of several authorities, given as DER, has a list."""
        return authority_ids(certificates) <= {part.authority for part in self.lists}

    def is_overdue(self, authority: bytes, now: datetime) -> bool:
        """Tell whether an authority's newest list should have been followed by another one."""
        return any(
            newest.until is not None and now > newest.until
            for newest in self.newest_lists()
            if newest.authority == authority
        )

    def newest_lists(self) -> Iterable[RevocationList]:
        """Give the newest list of each authority that has any."""
        found: dict[bytes, RevocationList] = {}
        for part in sorted(self.lists, key=lambda part: part.issued):
            found[part.authority] = part
        return found.values()

    def findings(self, now: datetime) -> Iterator[errors.ResourcesError]:
        """Say what is wrong with lists that are nevertheless no reason to stop serving."""
        for newest in self.newest_lists():
            if newest.until is not None and now > newest.until:
                yield errors.ExpiredRevocationList(
                    self.file,
                    f'the list of "{newest.issuer}" was to be followed by another on '
                    f"{newest.until:%Y-%m-%d %H:%M} UTC, so new connections of its clients are refused",
                    "Put the authority's present list there; it is taken over without a restart",
                )
        for name in self.strangers:
            yield errors.UntrustedRevocationList(
                self.file,
                f'the list of "{name}" is signed by no authority of clients-ca.pem, so it counts for nobody',
                "Put that authority into clients-ca.pem, or take its list out of this file",
            )


def load_revocation_lists(path: Path) -> tuple[CertificateRevocationList, ...]:
    """Read the lists of a PEM file, without asking who signed them.

    Args:
        path: the file.

    Returns:
        The lists in the file's order, at least one.

    Raises:
        ResourcesError: one of its classes: the file holds anything else, or a list that says only a part.
    """
    remedy = "Keep revocation lists in a file of their own"
    contents = read_contents(
        path, {REVOCATIONS_LABEL}, expected="revocation lists are", remedy=remedy, most=MAX_SIZE
    )
    return tuple(_read_list(path, content) for content in contents)


def is_list_of(revoked: CertificateRevocationList, authority: Certificate) -> bool:
    """Tell whether an authority has signed a list, and may sign lists."""
    from typing import cast

    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    if revoked.issuer != authority.subject or not _may_sign_lists(authority):
        return False
    try:
        # All kinds of public key that sign are taken, and no common type says so.
        return revoked.is_signature_valid(cast(RSAPublicKey, authority.public_key()))
    except Exception:  # a key of another kind than the signature: TypeError, ValueError, UnsupportedAlgorithm
        return False


def load_revocations(path: Path, authorities: Sequence[Certificate], now: datetime) -> Revocations:
    """Read the lists of a PEM file and check who signed them.

    Args:
        path: the file; where it is missing, nothing is revoked.
        authorities: the certificates of `clients-ca.pem`.
        now: the present time, UTC.

    Returns:
        What they say; see `Revocations.findings` for what is wrong with it.

    Raises:
        UntrustedRevocationList: one bears the name of an authority and not its signature.
        NotYetValidRevocationList: one is from the future, by more than clocks differ.
        ResourcesError: as for `load_revocation_lists`.
    """
    # A dangling link is an error and not an absent file: that would let everybody in again.
    if not os.path.lexists(path):
        return Revocations(path)
    lists: list[RevocationList] = []
    strangers: list[str] = []
    for one in load_revocation_lists(path):
        name = one.issuer.rfc4514_string()
        signers = [authority for authority in authorities if is_list_of(one, authority)]
        if not signers and any(one.issuer == authority.subject for authority in authorities):
            raise errors.UntrustedRevocationList(
                path,
                f'the list of "{name}" is not signed by the authority of that name in clients-ca.pem',
                f"{_GET_IT}, or take it out where the authority has another key now",
            )
        if not signers:
            strangers.append(name)
            continue
        if now + CLOCK_DIFFERENCE < one.last_update_utc:
            raise errors.NotYetValidRevocationList(
                path,
                f'the list of "{name}" is not valid before {one.last_update_utc:%Y-%m-%d %H:%M} UTC, '
                "which is not yet by this machine's clock",
                "Set this machine's clock, or wait",
            )
        lists += (_facts_of(one, name, identifier) for identifier in {authority_id(each) for each in signers})
    return Revocations(path, tuple(lists), tuple(dict.fromkeys(strangers)))


def authority_id(certificate: Certificate) -> bytes:
    """Identify an authority by its name and key, which stay when its certificate is renewed."""
    name = certificate.subject.public_bytes()
    return hashlib.sha256(
        len(name).to_bytes(4, "big") + name + public_bytes(certificate.public_key())
    ).digest()


def authority_ids(certificates: Iterable[bytes]) -> frozenset[bytes]:
    """Identify several authorities, given as DER."""
    return frozenset(authority_id(parse_certificate(der)) for der in certificates)


def _facts_of(one: CertificateRevocationList, name: str, identifier: bytes) -> RevocationList:
    from cryptography.hazmat.primitives.serialization import Encoding

    return RevocationList(
        issuer=name,
        authority=identifier,
        issued=one.last_update_utc,
        until=one.next_update_utc,
        serials=frozenset(entry.serial_number for entry in one),
        der=one.public_bytes(Encoding.DER),
    )


def _read_list(path: Path, content: bytes) -> CertificateRevocationList:
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        one = x509.load_der_x509_crl(content)
        _check_whole(path, one)
    except (ValueError, x509.DuplicateExtension, x509.InvalidVersion) as error:
        raise errors.DamagedPem(path, "a revocation list in it is damaged", "Copy it again") from error
    except (UnsupportedAlgorithm, x509.UnsupportedGeneralNameType) as error:
        name = one.issuer.rfc4514_string()
        raise errors.PartialRevocationList(
            path, f'the list of "{name}" says something that is not understood ({error})', _GET_IT
        ) from error
    return one


def _check_whole(path: Path, one: CertificateRevocationList) -> None:
    """Check that a list says all there is, and that its signature is worth something."""
    from cryptography import x509

    name = one.issuer.rfc4514_string()
    algorithm = one.signature_hash_algorithm
    if algorithm is not None and algorithm.name in BROKEN_HASHES:
        raise errors.WeakKey(
            path,
            f'the signature of the list of "{name}" uses {algorithm.name.upper()}, which is broken',
            "Let the authority sign its lists with SHA-256",
        )
    for extension in one.extensions:
        match extension.value:
            case x509.DeltaCRLIndicator():
                part = "only what has changed since another one (a delta list)"
            case x509.IssuingDistributionPoint() as point if (
                point.indirect_crl
                or point.only_some_reasons
                or point.only_contains_ca_certs
                or point.only_contains_attribute_certs
            ):
                part = "only a part of what is revoked, or what others have issued"
            case x509.UnrecognizedExtension() if extension.critical:
                part = f"something that is not understood ({extension.oid.dotted_string})"
            case _:
                continue
        raise errors.PartialRevocationList(path, f'the list of "{name}" says {part}', _GET_IT)


def _may_sign_lists(authority: Certificate) -> bool:
    from cryptography import x509

    try:
        usage = authority.extensions.get_extension_for_class(x509.KeyUsage).value
    except (x509.ExtensionNotFound, ValueError):
        return True
    return bool(usage.crl_sign)
