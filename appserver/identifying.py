"""Who a client is by its certificate: known before it has said a word, or it is not let in.

The handshake has verified the certificate. What OpenSSL cannot see there is looked at here, and by then there is no
alert any more: the client is told by REFUSE.
"""

from __future__ import annotations

from datetime import datetime

from appserver.encryption import OBJECTIONS, Encryption
from protocol.certs import ClientChain, UnfitName, read_chain
from protocol.transport import Security

LIST_RETRY = 60.0
"""Seconds after which a client tries again whose authority's revocation list is out of date."""


class NotIdentified(Exception):
    """A client's certificate does not let it in; the text is for its user.

    Attributes:
        retry_after: seconds after which another try makes sense, or None.
    """

    def __init__(self, text: str, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.retry_after = retry_after


def identify(security: Security, accepted: Encryption, now: datetime) -> ClientChain | None:
    """Look at what a client has shown in the handshake.

    Args:
        security: what the connection negotiated.
        accepted: what it was accepted under.
        now: the present time, UTC.

    Returns:
        Its certificate; None where the server wants none.

    Raises:
        NotIdentified: it is revoked, or has no fit name, or nobody can say whether it was revoked.
    """
    if not accepted.authorities or accepted.identity is None:
        return None
    if not security.client_chain:
        raise NotIdentified("this server wants to see the client's certificate")
    try:
        chain = read_chain(security.client_chain)
    except UnfitName as exc:
        raise NotIdentified(str(exc)) from exc
    except ValueError as exc:
        raise NotIdentified("the client's certificate cannot be understood") from exc
    revocations = accepted.identity.revocations
    loss = chain.loss(accepted.authorities, revocations, now)
    if loss is not None:
        raise NotIdentified(OBJECTIONS[loss].text)
    if chain.is_overdue(revocations, now):
        raise NotIdentified(
            "nobody can say whether the client's certificate was revoked: the list of its authority is out of date "
            "(clients-crl.pem)",
            LIST_RETRY,
        )
    return chain
