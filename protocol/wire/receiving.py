"""What a received frame does to a connection: one function a frame type.

Each takes the connection and the frame's parts and returns the event to report, or None. All of them
see untrusted bytes; all they may raise is RemoteProtocolError, which ends the connection. What only
concerns one call is answered on its stream instead.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from protocol.wire import codes
from protocol.wire.bodies import read_call, read_event, read_result
from protocol.wire.codec import pack
from protocol.wire.envelope import (
    Goaway,
    Hello,
    Refuse,
    Welcome,
    decode_error,
    read_fields,
)
from protocol.wire.errors import ErrorInfo, Executed, GoawayCode, RemoteProtocolError
from protocol.wire.events import (
    BlockedReceived,
    CallReceived,
    CancelReceived,
    CreditReceived,
    DataReceived,
    DataTooLarge,
    EndReceived,
    ErrorReceived,
    Event,
    EventReceived,
    GapReceived,
    GoawayReceived,
    HeadReceived,
    HelloReceived,
    PongReceived,
    RefuseReceived,
    ResultReceived,
    SubReceived,
    UnimplementedReceived,
    UnsubReceived,
    WelcomeReceived,
)
from protocol.wire.framing import HEAD, MORE, Flag, Frame, FrameType
from protocol.wire.reassembly import Oversize
from protocol.wire.roles import Role, State

if TYPE_CHECKING:
    from protocol.wire.connection import Connection

_BEFORE_WELCOME = {
    Role.SERVER: frozenset({FrameType.HELLO, FrameType.PING, FrameType.GOAWAY}),
    Role.CLIENT: frozenset(
        {FrameType.WELCOME, FrameType.REFUSE, FrameType.PING, FrameType.PONG, FrameType.GOAWAY}
    ),
}
_ONLY_BEFORE_WELCOME = frozenset({FrameType.HELLO, FrameType.WELCOME, FrameType.REFUSE})


def receive_frame(connection: Connection, frame: Frame) -> Event | None:
    """Take one frame of any type."""
    kind, flags, stream, payload = frame
    if connection.state is State.HANDSHAKE:
        if kind not in _BEFORE_WELCOME[connection.role]:
            raise RemoteProtocolError(f"a frame of type {kind:#04x} before the handshake")
    elif kind in _ONLY_BEFORE_WELCOME:
        raise RemoteProtocolError(f"a frame of type {kind:#04x} after the handshake")
    take = _TABLE.get(kind)
    if take is None:
        if flags & Flag.CRITICAL:
            raise RemoteProtocolError(f"critical frame type {kind:#04x} is unknown", GoawayCode.UNSUPPORTED)
        connection.outbox.control(FrameType.UNIMPLEMENTED, pack([kind, stream]))
        return None
    # A CREDIT answers what came the other way and so may stand inside a message of its stream.
    if flags & MORE or (stream in connection.reassembly and kind != FrameType.CREDIT):
        if kind not in _DIVISIBLE:
            raise RemoteProtocolError(f"a frame of type {kind:#04x} cannot be continued")
        message = connection.reassembly.add(frame)
        if message is None:
            return None
        if isinstance(message, Oversize):
            return _take_oversize(connection, kind, stream, message.size)
        payload = message
    return take(connection, stream, flags, payload)


def _reject(connection: Connection, stream: int, code: str, text: str) -> None:
    """Answer a call or subscription that is not taken."""
    connection.outbox.send(
        FrameType.ERROR, stream, connection.outbox.error(ErrorInfo(code, text, Executed.NO))
    )


def _take_oversize(connection: Connection, kind: int, stream: int, size: int) -> Event | None:
    """A message longer than the limit: it fails its stream and nothing else."""
    limit = connection.limits.message
    text = f"the message has {size} bytes, {limit} are accepted (limits.message)"
    streams = connection.streams
    match kind:
        case FrameType.CALL | FrameType.SUB:
            streams.check_new(stream, stream in streams.taken or stream in connection.publications)
            _reject(connection, stream, codes.MESSAGE_TOO_LARGE, text)
        case FrameType.RESULT | FrameType.ERROR:
            owner = streams.close(stream)
            executed = Executed.YES if kind == FrameType.RESULT else Executed.MAYBE
            if owner is not None:
                return ErrorReceived(owner, ErrorInfo(codes.MESSAGE_TOO_LARGE, text, executed))
        case FrameType.DATA:
            owner = streams.opened.get(stream)
            if (owner is not None or stream in streams.taken) and stream not in streams.unwanted:
                streams.drop_items(stream)
                return DataTooLarge(stream, owner, size, limit)
        case FrameType.EVENT:
            owner = streams.subscriptions.get(stream)
            if owner is not None:
                connection.flow.receive(stream, size, grows=False)
                connection.flow.consume(stream, size)
                return GapReceived(owner, 0, 1, {})
        case _:
            raise RemoteProtocolError(text)
    return None


# The handshake


def _hello(connection: Connection, stream: int, flags: int, payload: bytes) -> Event | None:
    if connection.greeted:
        raise RemoteProtocolError("a second HELLO")
    connection.greeted = True
    hello = Hello.decode(payload, connection.limits)
    connection.outbox.set_limits(connection.limits, hello.limits)  # for the answer, whichever it is
    return HelloReceived(hello)


def _welcome(connection: Connection, stream: int, flags: int, payload: bytes) -> Event | None:
    welcome = Welcome.decode(payload, connection.limits)
    connection.opened(welcome.limits)
    return WelcomeReceived(welcome)


def _refuse(connection: Connection, stream: int, flags: int, payload: bytes) -> Event | None:
    refuse = Refuse.decode(payload, connection.limits)
    connection.close()
    return RefuseReceived(refuse)


# Calls


def _call(connection: Connection, stream: int, flags: int, payload: bytes) -> Event | None:
    streams = connection.streams
    streams.check_new(stream, stream in streams.taken or stream in connection.publications)
    method, deadline, body, extra = read_call(payload, connection.limits)
    if connection.draining:
        _reject(connection, stream, codes.DRAINING, "this side is closing the connection; connect again")
        return None
    if len(streams.taken) >= connection.limits.open_calls:
        text = f"{connection.limits.open_calls} calls are open already (limits.open_calls)"
        _reject(connection, stream, codes.TOO_MANY_CALLS, text)
        return None
    streams.take(stream)
    return CallReceived(stream, method, deadline, body, extra)


def _result(connection: Connection, stream: int, flags: int, payload: bytes) -> Event | None:
    body = read_result(payload, connection.limits)
    owner = connection.streams.close(stream)
    return None if owner is None else ResultReceived(owner, body)


def _error(connection: Connection, stream: int, flags: int, payload: bytes) -> Event | None:
    error = decode_error(payload, connection.limits)
    owner = connection.streams.close(stream)
    return None if owner is None else ErrorReceived(owner, error)


def _cancel(connection: Connection, stream: int, flags: int, payload: bytes) -> Event | None:
    if stream not in connection.streams.taken:
        return None
    connection.streams.drop_items(stream)
    return CancelReceived(stream)


# Items, blobs and credit


def _data(connection: Connection, stream: int, flags: int, payload: bytes) -> Event | None:
    streams = connection.streams
    owner = streams.opened.get(stream)
    if (owner is None and stream not in streams.taken) or stream in streams.unwanted:
        return None  # of a stream that has just ended, or that nobody reads any more
    if stream in streams.ended:
        raise RemoteProtocolError(f"stream {stream}: DATA after END")
    if flags & HEAD:
        if connection.flow.has_received(stream):
            raise RemoteProtocolError(f"stream {stream}: a head that is not the first DATA")
        connection.flow.window(stream)
        (head,) = read_fields("DATA", payload, connection.limits)
        return HeadReceived(stream, owner, head)
    if not payload:  # costs no credit, so there could be any number
        raise RemoteProtocolError(f"stream {stream}: DATA without content")
    connection.flow.receive(stream, len(payload))
    return DataReceived(stream, owner, payload)


def _end(connection: Connection, stream: int, flags: int, payload: bytes) -> Event | None:
    (extra,) = read_fields("END", payload, connection.limits)
    streams = connection.streams
    if stream in streams.opened:
        return EndReceived(stream, streams.close(stream), extra)
    if stream in streams.taken:
        if stream in streams.unwanted:
            return None
        if stream in streams.ended:
            raise RemoteProtocolError(f"stream {stream}: a second END")
        streams.ended[stream] = None
        connection.flow.stop_receiving(stream)  # it may come instead of an item that was announced and let in
        return EndReceived(stream, None, extra)
    streams.close(stream)
    return None


def _credit(connection: Connection, stream: int, flags: int, payload: bytes) -> Event | None:
    size, _ = read_fields("CREDIT", payload, connection.limits, int)
    if connection.publications.grant(stream, size):
        return None
    streams = connection.streams
    owner = streams.opened.get(stream)
    if owner is None and stream not in streams.taken:
        return None
    connection.flow.credit(stream).grant(size)
    return CreditReceived(stream, owner)


def _blocked(connection: Connection, stream: int, flags: int, payload: bytes) -> Event | None:
    size, _ = read_fields("BLOCKED", payload, connection.limits, int)
    streams = connection.streams
    subscribed = stream in streams.subscriptions
    owner = (streams.subscriptions if subscribed else streams.opened).get(stream)
    if (owner is None and stream not in streams.taken) or stream in streams.unwanted:
        return None  # of a stream or subscription that is ending
    if stream in streams.ended:
        raise RemoteProtocolError(f"stream {stream}: BLOCKED after END")
    connection.flow.block(stream, size, grows=not subscribed)
    return BlockedReceived(stream, owner)


# Events


def _sub(connection: Connection, stream: int, flags: int, payload: bytes) -> Event | None:
    topic, extra = read_fields("SUB", payload, connection.limits, str)
    streams = connection.streams
    streams.check_new(stream, stream in streams.taken or stream in connection.publications)
    if connection.draining:
        _reject(connection, stream, codes.DRAINING, "this side is closing the connection; connect again")
        return None
    if len(connection.publications) >= connection.limits.subscriptions:
        text = f"{connection.limits.subscriptions} subscriptions are open already (limits.subscriptions)"
        _reject(connection, stream, codes.TOO_MANY_CALLS, text)
        return None
    connection.publications.expect(stream)
    return SubReceived(stream, topic, extra)


def _unsub(connection: Connection, stream: int, flags: int, payload: bytes) -> Event | None:
    return UnsubReceived(stream) if connection.publications.end(stream) else None


def _event(connection: Connection, stream: int, flags: int, payload: bytes) -> Event | None:
    sequence, body = read_event(payload, connection.limits)
    subscriptions = connection.streams.subscriptions
    if stream not in subscriptions:
        return None
    owner = subscriptions[stream]
    connection.flow.receive(stream, len(payload), grows=False)
    if owner is None:  # unsubscribed, and its END is on the way
        return None
    return EventReceived(owner, sequence, body, len(payload))


def _gap(connection: Connection, stream: int, flags: int, payload: bytes) -> Event | None:
    sequence, lost, extra = read_fields("GAP", payload, connection.limits, int, int)
    owner = connection.streams.subscriptions.get(stream)
    return None if owner is None else GapReceived(owner, sequence, lost, extra)


# The connection itself


def _ping(connection: Connection, stream: int, flags: int, payload: bytes) -> Event | None:
    if len(payload) > 64:
        raise RemoteProtocolError("PING: a payload of more than 64 bytes")
    connection.outbox.control(FrameType.PONG, payload)
    return None


def _pong(connection: Connection, stream: int, flags: int, payload: bytes) -> Event | None:
    token, _ = read_fields("PONG", payload, connection.limits, int)
    return PongReceived(token)


def _ack(connection: Connection, stream: int, flags: int, payload: bytes) -> Event | None:
    position, _ = read_fields("ACK", payload, connection.limits, int)
    connection.session.acknowledge(position, connection.sent_position)
    return None


def _goaway(connection: Connection, stream: int, flags: int, payload: bytes) -> Event | None:
    goaway = Goaway.decode(payload, connection.limits)
    streams = connection.streams
    last = goaway.last
    untaken = [number for number in streams.opened if streams.is_later(number, last)]
    owners = [streams.opened.pop(number) for number in untaken]
    for number in untaken:
        streams.forget(number)
    return GoawayReceived(goaway, owners)


def _unimplemented(connection: Connection, stream: int, flags: int, payload: bytes) -> Event | None:
    kind, of_stream, _ = read_fields("UNIMPLEMENTED", payload, connection.limits, int, int)
    return UnimplementedReceived(kind, of_stream)


_DIVISIBLE = frozenset(
    {
        FrameType.WELCOME,
        FrameType.CALL,
        FrameType.DATA,
        FrameType.RESULT,
        FrameType.ERROR,
        FrameType.SUB,
        FrameType.EVENT,
    }
)

_TABLE: dict[int, Callable[[Connection, int, int, bytes], Event | None]] = {
    FrameType.HELLO: _hello,
    FrameType.WELCOME: _welcome,
    FrameType.REFUSE: _refuse,
    FrameType.CALL: _call,
    FrameType.DATA: _data,
    FrameType.END: _end,
    FrameType.RESULT: _result,
    FrameType.ERROR: _error,
    FrameType.CANCEL: _cancel,
    FrameType.CREDIT: _credit,
    FrameType.BLOCKED: _blocked,
    FrameType.SUB: _sub,
    FrameType.UNSUB: _unsub,
    FrameType.EVENT: _event,
    FrameType.GAP: _gap,
    FrameType.PING: _ping,
    FrameType.PONG: _pong,
    FrameType.ACK: _ack,
    FrameType.GOAWAY: _goaway,
    FrameType.UNIMPLEMENTED: _unimplemented,
}

AFTER_HANDSHAKE = {kind: take for kind, take in _TABLE.items() if kind not in _ONLY_BEFORE_WELCOME}
"""What takes a frame of an open connection that is a whole message: `receive_frame` has nothing to check then."""
