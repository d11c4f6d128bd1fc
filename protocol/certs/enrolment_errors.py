"""What can be wrong with an invitation, a code, or a client's request for its certificate.

No text here ever holds a code or the secret in it.
"""

from __future__ import annotations

from protocol.certs.errors import CertificatesError, PeerError, ResourcesError


class DamagedRegister(ResourcesError):
    """The register of invitations and clients cannot be understood."""


class FullRegister(ResourcesError):
    """There is no room for another client."""


class WrongAuthority(PeerError):
    """The server that answers is not the one whose administrator made the code."""


class CodeError(CertificatesError, ValueError):
    """A text is no invitation's code, or not a whole one."""


class NotACode(CodeError):
    """The text is something else."""


class MistypedCode(CodeError):
    """It was a code once: a character of it is wrong, missing or too many."""


class EnrolmentError(CertificatesError):
    """The administrator's command cannot be carried out.

    Attributes:
        name: the client's.
        finding: what is in the way.
        remedy: what to do.
    """

    def __init__(self, name: str, finding: str, remedy: str) -> None:
        super().__init__(f"{name}: {finding}. {remedy}")
        self.name = name
        self.finding = finding
        self.remedy = remedy


class AlreadyEnrolled(EnrolmentError):
    """A client of this name has a certificate that counts."""


class NotEnrolled(EnrolmentError):
    """There is no client and no invitation of this name."""


class CannotInvite(EnrolmentError):
    """A client could not join by what the invitation would say."""


class RequestError(CertificatesError):
    """A client's request for a certificate is refused; the text is fit for the client."""


class UnknownInvitation(RequestError):
    """No invitation has this secret."""


class UsedInvitation(RequestError):
    """Another key has joined by it."""


class ExpiredInvitation(RequestError):
    """Its time is over."""


class UnfitRequest(RequestError):
    """The request cannot be read, is not signed by its key, or that key is weak."""


class RenewalRefused(RequestError):
    """The key is of no client whose certificate may be renewed."""
