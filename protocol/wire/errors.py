"""The errors of the wire, and the form in which a failed call's error travels.

`ProtocolError` is the base. `RemoteProtocolError` says that the other side broke the protocol,
`LocalProtocolError` that this side used the connection wrongly (a bug of the caller). What a
failed *call* reports is not an exception of this room but `ErrorInfo`, plain data: the room that
runs calls turns it into the exception that the caller sees.
"""

from __future__ import annotations

import enum

import attrs


class ProtocolError(Exception):
    """The wire protocol was broken, by one side or the other."""


class LocalProtocolError(ProtocolError):
    """This side asked for something that the protocol does not allow; a bug in the code that asked."""


MAX_TEXT = 500
"""Characters of the text about the other side's fault: it quotes untrusted values, which may be megabytes."""


class RemoteProtocolError(ProtocolError):
    """The other side sent something that the protocol does not allow; the connection is over.

    Attributes:
        code: one of `GoawayCode`'s values, as sent to the other side.
    """

    def __init__(self, message: str, code: GoawayCode | None = None) -> None:
        super().__init__(message if len(message) <= MAX_TEXT else message[:MAX_TEXT] + "…")
        self.code = code if code is not None else GoawayCode.PROTOCOL_ERROR


class MessageTooLarge(LocalProtocolError):
    """A message to be sent is larger than the other side accepts; nothing was sent.

    Attributes:
        size: bytes of the message.
        limit: bytes that the other side accepts.
    """

    def __init__(self, size: int, limit: int) -> None:
        super().__init__(f"the message has {size} bytes, the other side accepts {limit} (limits.message)")
        self.size = size
        self.limit = limit


class CodecError(ValueError):
    """A value cannot be packed, or bytes cannot be unpacked, within the limits."""


class GoawayCode(enum.Enum):
    """Why a connection ends, as GOAWAY says it."""

    SHUTDOWN = "shutdown"
    """The server stops or restarts; reconnect after the given time."""
    PROTOCOL_ERROR = "protocol_error"
    """The other side broke the protocol."""
    FRAME_TOO_LARGE = "frame_too_large"
    FLOW_CONTROL = "flow_control"
    """More was sent than there was credit for, or more messages at once than allowed."""
    UNSUPPORTED = "unsupported"
    """A frame of an unknown type was marked as critical."""
    SLOW_CONSUMER = "slow_consumer"
    """The other side does not read what it asked for."""
    TIMEOUT = "timeout"
    """The other side was silent for too long, or its handshake was."""
    KICKED = "kicked"
    """An administrator ended the session."""
    POLICY = "policy"
    """The connection no longer meets the server's settings; reconnect."""
    CERTIFICATE_EXPIRED = "certificate_expired"
    """The client's certificate has ended; reconnect with one that has not."""
    CERTIFICATE_REVOKED = "certificate_revoked"
    """The authority has taken the client's certificate back; reconnect with another one."""
    CERTIFICATE_UNTRUSTED = "certificate_untrusted"
    """The server no longer trusts the authority of the client's certificate; reconnect with another one."""


class Executed(enum.Enum):
    """Whether a failed call's handler ran: it alone decides whether a retry is safe."""

    NO = "no"
    """The handler was not started."""
    MAYBE = "maybe"
    """Nobody can say: the handler was stopped midway, or the connection was lost after the call was sent."""
    YES = "yes"
    """The handler ran to its end: it returned or raised."""


@attrs.frozen
class ErrorInfo:
    """A failed call's error as it travels in ERROR.

    Attributes:
        code: stable string; `rpc.*` is the protocol's own, all others are the application's.
        message: one broad sentence for the caller; not trusted by the receiver for anything but display.
        executed: whether the handler ran.
        data: packed attributes of a registered exception class, or None.
        retry_after: seconds after which a retry makes sense, or None.
        trace: identifier under which the server logged the detail, or None.
        causes: members of an exception group, in order.
    """

    code: str
    message: str
    executed: Executed
    data: bytes | None = None
    retry_after: float | None = None
    trace: str | None = None
    causes: tuple[ErrorInfo, ...] = ()
