"""What a caller sees when a call fails.

`CallError` is the base: code, message, whether the handler ran, and the trace under which the other
side logged the detail. Each of the protocol's codes has its own class; a registered exception of the
application arrives as itself (`protocol.peer.replies`). A code that is neither arrives as `CallError`.
"""

from __future__ import annotations

from protocol.wire import codes
from protocol.wire.errors import ErrorInfo


class CallError(Exception):
    """A call failed.

    Attributes:
        info: all of it, as received.
        code: stable string; `rpc.*` is the protocol's own.
        message: one sentence.
        method: qualified name of what was called, where it is known.
        executed: whether the handler ran; `Executed.NO` alone makes a retry safe in every case.
        retry_after: seconds after which a retry makes sense, or None.
        trace: identifier under which the other side logged the detail, or None.
    """

    code = ""

    def __init__(self, info: ErrorInfo, method: str = "") -> None:
        super().__init__(info, method)
        self.info = info
        self.code = info.code
        self.message = info.message
        self.method = method
        self.executed = info.executed
        self.retry_after = info.retry_after
        self.trace = info.trace

    def __str__(self) -> str:
        text = f"{self.method}: {self.message}" if self.method else self.message
        details = [f"executed: {self.executed.value}"]
        if self.trace:
            details.append(f"trace {self.trace}")
        return f"{text} ({', '.join(details)})"


class UnknownMethod(CallError):
    """The other side has no such interface, method or event."""


class InvalidArguments(CallError):
    """An argument is not what the other side's interface says; the message names it."""


class InvalidResult(CallError):
    """The handler returned what its interface does not say, or this side cannot read it; the message says where."""


class TooManyCalls(CallError):
    """The other side's limit of open calls or subscriptions is reached."""


class CallTooLarge(CallError):
    """A call's arguments, result or item are larger than the message limit; the message names both numbers."""


class DeadlineExceeded(CallError):
    """The handler did not finish in the time that its caller would wait."""


class CallCancelled(CallError):
    """The call was cancelled on the other side."""


class InternalError(CallError):
    """The handler failed unexpectedly; the other side's log has the reason under `trace`."""


class Draining(CallError):
    """The other side is closing the connection and takes no further calls."""


class SlowSubscriber(CallError):
    """The subscription was ended: this side did not take its events fast enough."""


class BlobDamaged(CallError):
    """A blob's content is not what was sent, or is incomplete."""


class ConnectionLost(CallError):
    """The connection ended while the call was open.

    `executed` is `no` where the call had not left this side, otherwise `maybe`.
    """

    CODE = "rpc.connection_lost"


CLASSES: dict[str, type[CallError]] = {
    codes.UNKNOWN_METHOD: UnknownMethod,
    codes.UNKNOWN_TOPIC: UnknownMethod,
    codes.INVALID_ARGUMENTS: InvalidArguments,
    codes.INVALID_RESULT: InvalidResult,
    codes.TOO_MANY_CALLS: TooManyCalls,
    codes.MESSAGE_TOO_LARGE: CallTooLarge,
    codes.DEADLINE_EXCEEDED: DeadlineExceeded,
    codes.CANCELLED: CallCancelled,
    codes.INTERNAL: InternalError,
    codes.DRAINING: Draining,
    codes.SLOW_SUBSCRIBER: SlowSubscriber,
    codes.BLOB_DAMAGED: BlobDamaged,
    ConnectionLost.CODE: ConnectionLost,
}
