"""A client's certificate as a server keeps it: who the client is, and whether that still holds.

Theory of operation. OpenSSL verifies the chain in the handshake, and never again. What it verified is read once
(`read_chain`) and kept with the session in a form that is quickly compared with the clock, with the authorities that
are trusted now and with their revocation lists. The same comparison is made right after the handshake, for what
OpenSSL does not look at: lists where not every authority has one, and those of the authorities between.

The name is the subject's common name. It is compared, logged and shown, so one that could be mistaken for another is
no name: several of them, control characters, spaces at its ends. A certificate without a common name is a client that
is trusted and nobody in particular.
"""

from __future__ import annotations

import enum
import unicodedata
import warnings
from collections.abc import Set
from datetime import datetime
from typing import TYPE_CHECKING

import attrs

from protocol.certs.certificates import facts_of
from protocol.certs.parsing import parse_certificate
from protocol.certs.revocation import Revocations, authority_id

if TYPE_CHECKING:
    from cryptography.x509 import Name


MAX_NAME = 64
"""Characters of a common name. Source: RFC 5280 appendix A.1, ub-common-name."""


_UNSEEN = (
    range(0x34F, 0x350),
    range(0x115F, 0x1161),
    range(0x17B4, 0x17B6),
    range(0x180B, 0x1810),
    range(0x2800, 0x2801),
    range(0x3164, 0x3165),
    range(0xFE00, 0xFE10),
    range(0xFFA0, 0xFFA1),
    range(0xE0100, 0xE01F0),
)
"""Characters that count as letters or marks and show nothing: fillers, joiners, selectors and the empty Braille cell.

Source: Unicode 15.0, Default_Ignorable_Code_Point, without those that the categories C and Z have anyhow.
"""


class UnfitName(ValueError):
    """The common name of a client's certificate is no name that a server can go by."""


class Loss(enum.Enum):
    """Why a client's certificate no longer counts."""

    EXPIRED = "expired"
    REVOKED = "revoked"
    UNTRUSTED = "untrusted"


@attrs.frozen(kw_only=True)
class ClientCertificate:
    """What a server knows of a client by its certificate, which was verified. All of it is public.

    Attributes:
        name: the subject's common name, empty where it has none.
        subject: distinguished name, as RFC 4514 writes it.
        issuer: distinguished name of the authority that signed it.
        serial: serial number, hexadecimal, by which it is revoked.
        fingerprint: "sha256:" and 64 hex digits, of the public key.
        not_after: end of its time, UTC.
    """

    name: str
    subject: str
    issuer: str
    serial: str
    fingerprint: str
    not_after: datetime


@attrs.frozen
class ClientChain:
    """A chain that was verified in a handshake.

    Attributes:
        certificate: the client's own.
        ends: when the first of its certificates ends, UTC.
        members: its certificates up to the authority that is trusted, by `authority_id`.
        links: for each of them that another one has issued, who, and its serial number.
    """

    certificate: ClientCertificate
    ends: datetime
    members: frozenset[bytes] = attrs.field(repr=False)
    links: tuple[tuple[bytes, int], ...] = attrs.field(repr=False)

    def loss(self, authorities: Set[bytes], revocations: Revocations, now: datetime) -> Loss | None:
        """Say why the certificate no longer counts; None where it does.

        Args:
            authorities: those that are trusted now, by `authority_id`.
            revocations: what they have taken back.
            now: the present time, UTC.
        """
        if self.members.isdisjoint(authorities):
            return Loss.UNTRUSTED
        if any(revocations.is_revoked(authority, serial) for authority, serial in self.links):
            return Loss.REVOKED
        return Loss.EXPIRED if now > self.ends else None

    def is_overdue(self, revocations: Revocations, now: datetime) -> bool:
        """Tell whether nobody knows if it was revoked: the list of one of its authorities is out of date."""
        return any(revocations.is_overdue(authority, now) for authority, _ in self.links)


def read_chain(chain: tuple[bytes, ...]) -> ClientChain:
    """Read a verified chain.

    Args:
        chain: as DER: the client's certificate first, the authority that is trusted last.

    Raises:
        UnfitName: the name in it.
        ValueError: a certificate cannot be understood.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that are too long or empty, of which we make what we make
        certificates = [parse_certificate(der) for der in chain]
        own = certificates[0]
        name, facts = common_name(own.subject), facts_of(own)
        members = [authority_id(part) for part in certificates]
    certificate = ClientCertificate(
        name=name,
        subject=facts.subject,
        issuer=facts.issuer,
        serial=f"{own.serial_number:x}",
        fingerprint=facts.fingerprint,
        not_after=facts.not_after,
    )
    links = zip(members[1:], (part.serial_number for part in certificates), strict=False)
    ends = min(part.not_valid_after_utc for part in certificates)
    return ClientChain(certificate, ends, frozenset(members), tuple(links))


def common_name(subject: Name) -> str:
    """Give the one common name of a certificate's subject, empty where it has none.

    Raises:
        UnfitName: there are several, or it is none that can be shown and compared.
    """
    from cryptography.x509.oid import NameOID

    names = [str(part.value) for part in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if not names or names == [""]:
        return ""
    if len(names) > 1:
        raise UnfitName(f"the client's certificate has {len(names)} common names, and must have one")
    (name,) = names
    if finding := unfitness(name):
        raise UnfitName(f"the common name of the client's certificate {finding}")
    return name


def unfitness(name: str) -> str | None:
    """Say why a text is no name that a server can go by, as the end of a sentence; None where it is one.

    Args:
        name: not empty.
    """
    if len(name) > MAX_NAME:
        return f"is longer than {MAX_NAME} characters"
    if any(map(_is_unseen, name)):
        return "has characters that nobody sees"
    if name != name.strip() or name != unicodedata.normalize("NFC", name):
        return "looks like another one (spaces, accents)"
    return None


def _is_unseen(character: str) -> bool:
    if unicodedata.category(character)[0] in "CZ":
        return character != " "
    return any(ord(character) in codes for codes in _UNSEEN)
