"""What a GOAWAY asks for, to come back at once or to stay away, and what it says of calls."""

from __future__ import annotations

from protocol.wire import codes
from protocol.wire.envelope import Goaway
from protocol.wire.errors import ErrorInfo, Executed, GoawayCode

_INVITATIONS = frozenset(
    {
        GoawayCode.SHUTDOWN,
        GoawayCode.POLICY,
        # The client may have another certificate by now; if not, the next handshake says so by its alert.
        GoawayCode.CERTIFICATE_EXPIRED,
        GoawayCode.CERTIFICATE_REVOKED,
        GoawayCode.CERTIFICATE_UNTRUSTED,
    }
)


def is_invitation(goaway: Goaway | None) -> bool:
    """Whether the other side is in order and wants the connection made anew.

    With any other code something is wrong with the connection or with what was sent on it: then a call that was
    not executed must not be sent again without its caller's knowing, or it might end one connection after another.
    """
    return goaway is not None and goaway.code in _INVITATIONS


def untaken_info(goaway: Goaway) -> ErrorInfo:
    """What a call fails with that was not taken any more."""
    return ErrorInfo(codes.DRAINING, goaway.text, Executed.NO, retry_after=goaway.reconnect_after)
