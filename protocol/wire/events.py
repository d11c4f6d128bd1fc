"""What `Connection.receive` reports: one tuple for each thing that happened.

`owner` is whatever object the user of the connection attached to the stream when it opened
it; the connection never looks at it. On a stream that the other side opened it is None:
there the user keeps what it needs by the stream's id.
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

from protocol.wire.envelope import Goaway, Hello, Refuse, Welcome
from protocol.wire.errors import ErrorInfo, RemoteProtocolError


class HelloReceived(NamedTuple):
    """A client introduced itself; answer with `welcome` or `refuse`."""

    hello: Hello


class WelcomeReceived(NamedTuple):
    """The server accepted this client; the connection is open."""

    welcome: Welcome


class RefuseReceived(NamedTuple):
    """The server refused this client; the connection is over."""

    refuse: Refuse


class CallReceived(NamedTuple):
    """The other side calls a method. `deadline` is the seconds it will wait, or None."""

    stream: int
    method: str
    deadline: float | None
    body: bytes
    extra: dict[str, Any]


class ResultReceived(NamedTuple):
    """A call of this side returned."""

    owner: Any
    body: bytes


class ErrorReceived(NamedTuple):
    """A call, stream or subscription of this side failed."""

    owner: Any
    error: ErrorInfo


class HeadReceived(NamedTuple):
    """A blob's description, before its content."""

    stream: int
    owner: Any
    head: dict[str, Any]


class DataReceived(NamedTuple):
    """An item of a stream or a piece of a blob; call `flow.consume(stream, len(data))` when it was used."""

    stream: int
    owner: Any
    data: bytes


class EndReceived(NamedTuple):
    """The other side has sent all its items or content; where it was the callee, the stream has ended."""

    stream: int
    owner: Any
    extra: dict[str, Any]


class CancelReceived(NamedTuple):
    """The caller no longer wants the result; the callee still ends the stream with one terminal frame."""

    stream: int


class CreditReceived(NamedTuple):
    """More may be sent on a stream."""

    stream: int
    owner: Any


class BlockedReceived(NamedTuple):
    """The next message of a stream needs more credit than there is.

    Call `flow.admit` when the application waits for it, and `flow.withdraw` when it does not any more.
    """

    stream: int
    owner: Any


class DataTooLarge(NamedTuple):
    """An item was larger than this side accepts and was not kept; only its stream has failed."""

    stream: int
    owner: Any
    size: int
    limit: int


class SubReceived(NamedTuple):
    """The other side subscribes; answer with `publications.accept` or `refuse_call`."""

    stream: int
    topic: str
    extra: dict[str, Any]


class UnsubReceived(NamedTuple):
    """The other side ended its subscription; it has been answered."""

    stream: int


class EventReceived(NamedTuple):
    """An event of a subscription; call `flow.consume(stream, size)` when it was used."""

    owner: Any
    sequence: int
    body: bytes
    size: int


class GapReceived(NamedTuple):
    """A subscription's next event follows `sequence`; `lost` events before it were dropped."""

    owner: Any
    sequence: int
    lost: int
    extra: dict[str, Any]


class PongReceived(NamedTuple):
    """The answer to a PING of this side."""

    token: int


class GoawayReceived(NamedTuple):
    """The other side ends the connection. `untaken` are the owners of streams it never took."""

    goaway: Goaway
    untaken: list[Any]


class Failed(NamedTuple):
    """The other side broke the protocol; the connection is closed. Always the last event."""

    error: RemoteProtocolError


class UnimplementedReceived(NamedTuple):
    """The other side does not know a frame's type."""

    kind: int
    stream: int


Event: TypeAlias = (
    HelloReceived
    | WelcomeReceived
    | RefuseReceived
    | CallReceived
    | ResultReceived
    | ErrorReceived
    | HeadReceived
    | DataReceived
    | EndReceived
    | CancelReceived
    | CreditReceived
    | BlockedReceived
    | DataTooLarge
    | SubReceived
    | UnsubReceived
    | EventReceived
    | GapReceived
    | PongReceived
    | GoawayReceived
    | UnimplementedReceived
    | Failed
)
