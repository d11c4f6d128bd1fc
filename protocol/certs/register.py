"""The server's register: who was invited, who has joined, and who was revoked. Pure: no file, no clock.

An invitation and the client that comes of it are in one register, so that the one is used up and the other entered in
one step. Of a secret there is only the hash: 160 random bits need no slow one.
"""

from __future__ import annotations

import hashlib
import hmac
import unicodedata
from datetime import datetime, timedelta

import attrs

from protocol.certs import errors
from protocol.certs.client_certificates import MAX_NAME, unfitness

_REMEMBERED = timedelta(days=7)
"""How long an invitation that nobody used is known by its secret after its end, to be called expired."""


@attrs.frozen(kw_only=True)
class Invitation:
    """One invitation.

    Attributes:
        name: the client's.
        digest: SHA-256 of the secret, in hexadecimal digits.
        expires: the end of its time, UTC.
        replaces: whether the client that has the name is revoked when another joins by this.
        used_by: fingerprint of the key that has joined by it, None before.
    """

    name: str
    digest: str = attrs.field(repr=False)
    expires: datetime
    replaces: bool = False
    used_by: str | None = None


@attrs.frozen(kw_only=True)
class EnrolledClient:
    """One client that has joined.

    Attributes:
        name: its name, the common name of its certificates.
        fingerprint: of its key.
        enrolled: when it joined, UTC.
        certificate: its newest certificate, DER.
        serials: of all its certificates that have not ended, each with its end, UTC.
        revoked: when it was revoked, UTC, or None.
    """

    name: str
    fingerprint: str
    enrolled: datetime
    certificate: bytes = attrs.field(repr=False)
    serials: tuple[tuple[int, datetime], ...]
    revoked: datetime | None = None

    @property
    def until(self) -> datetime:
        """The end of its newest certificate."""
        return max(end for _, end in self.serials)

    def is_live(self, now: datetime) -> bool:
        """Whether its certificate counts."""
        return self.revoked is None and now <= self.until


@attrs.frozen
class Register:
    """All of it.

    Attributes:
        invitations: in the order in which they were made.
        clients: in the order in which they joined.
        revocations: how many lists of revoked certificates were written.
    """

    invitations: tuple[Invitation, ...] = ()
    clients: tuple[EnrolledClient, ...] = ()
    revocations: int = 0

    def find_invitation(self, secret: bytes) -> Invitation | None:
        """Find the invitation of a secret, in the same time whatever comes of it."""
        digest = digest_of(secret)
        found = None
        for invitation in self.invitations:
            if hmac.compare_digest(invitation.digest, digest):
                found = invitation
        return found

    def live_client(self, name: str, now: datetime) -> EnrolledClient | None:
        """The client that has a name now."""
        wanted = folded(name)
        live = (client for client in self.clients if client.is_live(now))
        return next((client for client in live if folded(client.name) == wanted), None)

    def with_client(self, client: EnrolledClient, *, instead_of: EnrolledClient | None = None) -> Register:
        """This register with a client more, or another state of one."""
        kept = tuple(each for each in self.clients if each != instead_of)
        return attrs.evolve(self, clients=(*kept, client))

    def with_invitation(self, invitation: Invitation, *, instead_of: Invitation | None = None) -> Register:
        """This register with an invitation more, or another state of one."""
        kept = tuple(each for each in self.invitations if each != instead_of)
        return attrs.evolve(self, invitations=(*kept, invitation))

    def without_open_invitations(self, name: str) -> Register:
        """This register without the invitations of a name that nobody has used."""
        wanted = folded(name)
        kept = tuple(
            each for each in self.invitations if each.used_by is not None or folded(each.name) != wanted
        )
        return attrs.evolve(self, invitations=kept)

    def tidied(self, now: datetime) -> Register:
        """This register without what nobody needs any more."""
        return attrs.evolve(
            self,
            invitations=tuple(each for each in self.invitations if now <= each.expires + _REMEMBERED),
            clients=tuple(each for each in self.clients if now <= each.until or each.revoked is None),
        )


def digest_of(secret: bytes) -> str:
    """What is stored of a secret."""
    return hashlib.sha256(b"appserver invitation" + secret).hexdigest()


def folded(name: str) -> str:
    """A name as it is compared: two that people take for the same are the same."""
    return unicodedata.normalize("NFKC", name).casefold()


def check_name(name: str) -> str:
    """Check a client's name.

    Args:
        name: as given.

    Returns:
        The name as it is stored (NFC).

    Raises:
        SubjectError: it is empty, or none that the certificate's reader would take.
    """
    composed = unicodedata.normalize("NFC", name)
    finding = unfitness(composed) if composed else "is empty"
    if finding is None and len(composed.encode("utf-8", "replace")) > MAX_NAME:
        finding = f"has more than {MAX_NAME} octets in UTF-8"  # some count characters, and some these
    if finding is not None:
        raise errors.SubjectError(
            "name", f"{name!r} {finding}: give 1 to {MAX_NAME} characters that can be seen"
        )
    return composed
