"""One connection, without its I/O: bytes and time in, events and bytes out.

The same class serves both roles and every user: the server, the clients, the loopback harness and the
published vectors. It enforces the protocol on what it receives and keeps to it in what it sends. It
knows no socket, no clock and no task; the user of it

1. passes received bytes to `receive` and acts on the events it returns,
2. calls the methods that send,
3. writes what `data_to_send` returns, after each of the two, and then asks `publications` to `resume`,
4. calls `tick` when `next_tick` has come.

Receiving lies in `protocol.wire.receiving`, one small function a frame type.
"""

from __future__ import annotations

import math

from protocol.wire.bodies import read_result
from protocol.wire.codec import new_packer, pack
from protocol.wire.envelope import Goaway, Hello, Refuse, Welcome
from protocol.wire.errors import (
    ErrorInfo,
    Executed,
    GoawayCode,
    LocalProtocolError,
    MessageTooLarge,
    RemoteProtocolError,
)
from protocol.wire.events import Event, Failed, RefuseReceived, ResultReceived
from protocol.wire.flow import Flow
from protocol.wire.framing import Flag, FrameReader, FrameTooLarge, FrameType
from protocol.wire.keepalive import Keepalive, Pulse
from protocol.wire.limits import HANDSHAKE_FRAME, Limits
from protocol.wire.outbox import Outbox
from protocol.wire.publications import Publications
from protocol.wire.reassembly import Reassembly
from protocol.wire.receiving import AFTER_HANDSHAKE, receive_frame
from protocol.wire.roles import Role, State
from protocol.wire.session import Session
from protocol.wire.shortening import encode_short_goaway, encode_short_refuse
from protocol.wire.streams import StreamTable

__all__ = ["Connection", "Role", "State"]

MAX_DEADLINE_MS = (1 << 53) - 1


class Connection:
    """The protocol's state for one connection.

    Args:
        role: the side this is.
        limits: what this side accepts.
        ping_interval: seconds without a received byte after which a PING leaves; 0 for never.
        now: the time, seconds of any steady clock.

    Attributes:
        peer_limits: what the other side accepts; the defaults until the handshake.
        keepalive: the life signs.
        outbox: the frames on their way out.
        session: the positions.
        streams: the books of live streams.
        flow: their credit.
        publications: the other side's subscriptions.
        draining: a GOAWAY was sent; new calls are answered with `rpc.draining`.
        greeted: a HELLO was received.
        pack: as `protocol.wire.codec.pack`, for the thread that uses the connection.
    """

    def __init__(
        self, role: Role, limits: Limits | None = None, *, ping_interval: float = 30.0, now: float = 0.0
    ) -> None:
        self.role = role
        self.limits = limits if limits is not None else Limits()
        self.peer_limits = Limits()
        self.state = State.HANDSHAKE
        self.draining = False
        self.greeted = False
        self.session = Session()
        self.outbox = Outbox(self.limits)
        self.flow = Flow(self.limits, self.outbox, self.session)
        self.streams = StreamTable(first=1 if role is Role.CLIENT else 2, flow=self.flow)
        self.publications = Publications(self.outbox, self.limits.pending_output // 2)
        self.reassembly = Reassembly(self.limits.message)
        self.keepalive = Keepalive(ping_interval, now)
        self._reader = FrameReader(HANDSHAKE_FRAME if role is Role.SERVER else self.limits.frame)
        self.pack = new_packer()
        self._pings = 0

    # What comes in

    def receive(self, data: bytes, now: float) -> list[Event]:
        """Take received bytes.

        Args:
            data: untrusted; not empty.
            now: the time, seconds.

        Returns:
            What happened, in order. After a `Failed`, which is always the last, the connection is
            closed: send what waits and close the transport.
        """
        self.keepalive.heard(now)
        events: list[Event] = []
        if self.state is State.CLOSED:
            return events
        failure: RemoteProtocolError | None = None
        try:
            frames = self._reader.feed(data)
        except FrameTooLarge as exc:
            frames, failure = exc.frames, exc
        positioned = 0
        incomplete = self.reassembly.incomplete
        opened = self.state is State.OPEN
        try:
            for frame in frames:
                kind, flags, stream, payload = frame
                if 0x10 <= kind < 0x30:
                    positioned += 1
                whole = opened and not flags and not incomplete
                if whole and kind == 0x13:  # RESULT, without a further call
                    owner = self.streams.opened.pop(stream, None)
                    if owner is not None:
                        self.streams.forget(stream)
                        events.append(ResultReceived(owner, read_result(payload, self.limits)))
                    continue
                take = AFTER_HANDSHAKE.get(kind) if whole else None
                event = receive_frame(self, frame) if take is None else take(self, stream, flags, payload)
                if event is not None:
                    events.append(event)
                    if type(event) is RefuseReceived:
                        return events
                    opened = self.state is State.OPEN
        except RemoteProtocolError as exc:
            failure = exc
        if failure is not None:
            self.fail(failure)
            events.append(Failed(failure))
        else:
            position = self.session.count(positioned, len(data))
            if position is not None:
                self.outbox.control(FrameType.ACK, pack([position]))
            if self.flow.awaited:
                self.flow.advance()
        return events

    def fail(self, error: RemoteProtocolError) -> None:
        """End the connection because the other side broke the protocol; a GOAWAY says so."""
        if self.state is not State.CLOSED:
            self.goaway(error.code, str(error))
            self.state = State.CLOSED

    def tick(self, now: float) -> Pulse:
        """Look at the clock: a PING may have to leave, or the other side may be dead.

        A server sends none during the handshake, which has its own time limit: a client may not answer yet.
        """
        if self._is_greeting:
            return Pulse.QUIET
        pulse = self.keepalive.tick(now)
        if pulse is Pulse.PING:
            self.ping()
        return pulse

    @property
    def next_tick(self) -> float:
        """When `tick` has to be called next, seconds."""
        return math.inf if self._is_greeting else self.keepalive.due

    @property
    def _is_greeting(self) -> bool:
        return self.role is Role.SERVER and self.state is State.HANDSHAKE

    @property
    def last_received(self) -> float:
        """When the last bytes came, seconds."""
        return self.keepalive.last

    # What goes out

    def data_to_send(self, most: int = 256 * 1024) -> bytes:
        """Take what is to be written next, whole frames of about `most` bytes; empty for nothing."""
        return self.outbox.scheduler.pull(most)

    @property
    def pending(self) -> int:
        """Bytes that wait for `data_to_send`."""
        return self.outbox.scheduler.size

    @property
    def sent_position(self) -> int:
        """Position of the last frame that left."""
        return self.outbox.scheduler.position

    def unsent_calls(self) -> set[int]:
        """Streams of calls that have not left: should the connection be lost now, they were not executed."""
        return self.outbox.scheduler.unsent_calls()

    # The handshake

    def send_hello(self, hello: Hello) -> None:
        """Introduce this client."""
        if self.role is not Role.CLIENT:
            raise LocalProtocolError("only a client sends HELLO")
        payload = hello.encode()
        if len(payload) > HANDSHAKE_FRAME:
            raise MessageTooLarge(len(payload), HANDSHAKE_FRAME)
        self.outbox.control(FrameType.HELLO, payload)

    def welcome(self, welcome: Welcome, peer_limits: Limits) -> None:
        """Accept the client whose HELLO stated `peer_limits`."""
        if self.role is not Role.SERVER or self.state is not State.HANDSHAKE:
            raise LocalProtocolError("only a server in its handshake sends WELCOME")
        self.opened(peer_limits)
        self.outbox.control(FrameType.WELCOME, welcome.encode())

    def refuse(self, refuse: Refuse) -> None:
        """Refuse the client; the connection is over."""
        if self.role is not Role.SERVER or self.state is State.OPEN:
            raise LocalProtocolError("only a server in its handshake sends REFUSE")
        self.outbox.control(FrameType.REFUSE, encode_short_refuse(refuse, self.outbox.largest_frame))
        self.state = State.CLOSED

    def opened(self, peer_limits: Limits) -> None:
        """Enter the open state with what the other side stated."""
        self.peer_limits = peer_limits
        self.flow.set_peer_limits(peer_limits)
        self.outbox.set_limits(self.limits, peer_limits)
        self._reader.limit = self.limits.frame
        self.state = State.OPEN

    def goaway(
        self, code: GoawayCode, text: str, *, reconnect_after: float | None = None, address: str | None = None
    ) -> None:
        """Announce the end: calls that the other side opens from now on are not taken."""
        if self.state is not State.CLOSED:
            self.draining = True
            goaway = Goaway(self.streams.last_taken, code, text, reconnect_after, address)
            payload = encode_short_goaway(goaway, self.outbox.largest_frame)
            self.outbox.control(FrameType.GOAWAY, payload)

    def close(self) -> None:
        """Receive nothing any more."""
        self.state = State.CLOSED

    def ping(self) -> int:
        """Send a PING; returns the token that its PONG will carry."""
        self._pings += 1
        self.outbox.control(FrameType.PING, pack([self._pings]))
        return self._pings

    # Calls that this side opens

    @property
    def can_open(self) -> bool:
        """Whether the other side takes another call now."""
        return len(self.streams.opened) < self.peer_limits.open_calls

    def open_call(
        self,
        owner: object,
        method: str,
        body: bytes,
        *,
        deadline: float | None = None,
        extra: dict[str, object] | None = None,
    ) -> int:
        """Call a method of the other side.

        Args:
            owner: any object but None; what is received on the stream is reported with it.
            method: qualified name.
            body: packed arguments.
            deadline: seconds that this side will wait.
            extra: the envelope's optional map.

        Returns:
            The stream's id.

        Raises:
            MessageTooLarge: the other side accepts no message of this size.
            LocalProtocolError: the connection is not open, or the other side's limit is reached.
        """
        if self.state is not State.OPEN:
            raise LocalProtocolError("the connection is not open")
        streams = self.streams
        if len(streams.opened) >= self.peer_limits.open_calls:
            raise LocalProtocolError(
                f"the other side takes {self.peer_limits.open_calls} open calls, not more"
            )
        milliseconds = None if deadline is None else max(0, int(min(deadline * 1000, MAX_DEADLINE_MS)))
        fields: list[object] = [method, milliseconds, body]
        if extra:
            fields.append(extra)
        stream = streams.new_id()
        self.outbox.send(FrameType.CALL, stream, self.pack(fields))
        streams.opened[stream] = owner
        return stream

    def cancel(self, stream: int) -> None:
        """Tell the callee that the result is not wanted any more; its terminal frame still comes."""
        if stream in self.streams.opened:
            self.streams.drop_items(stream)
            self.outbox.send(FrameType.CANCEL, stream, b"\x90")

    def subscribe(self, owner: object, topic: str, extra: dict[str, object] | None = None) -> int:
        """Subscribe to a topic of the other side; returns the stream's id."""
        if self.state is not State.OPEN:
            raise LocalProtocolError("the connection is not open")
        if len(self.streams.subscriptions) >= self.peer_limits.subscriptions:
            limit = self.peer_limits.subscriptions
            raise LocalProtocolError(f"the other side takes {limit} subscriptions, not more")
        stream = self.streams.new_id()
        self.outbox.send(FrameType.SUB, stream, pack([topic, extra] if extra else [topic]))
        self.streams.subscriptions[stream] = owner
        return stream

    def unsubscribe(self, stream: int) -> None:
        """End a subscription; nothing more is reported of it."""
        if self.streams.subscriptions.get(stream) is not None:
            self.streams.subscriptions[stream] = None  # live until the other side's END
            self.outbox.send(FrameType.UNSUB, stream, b"\x90")

    # Items and blobs, either way

    def credit_of(self, stream: int) -> int:
        """Bytes that may be sent on a stream; 0 where it has ended."""
        return self.flow.credit(stream).left if self.streams.is_live(stream) else 0

    def announce_data(self, stream: int, size: int) -> bool:
        """Say, where the other side has to know, that an item waits for credit: it is sent next then.

        Returns:
            Whether it has to wait.

        Raises:
            MessageTooLarge: the other side accepts no message of this size.
        """
        self.outbox.check_size(size)
        return self.streams.is_live(stream) and self.flow.announce(stream, size)

    def send_head(self, stream: int, head: dict[str, object]) -> None:
        """Describe a blob, before its content."""
        if not self.streams.is_live(stream):
            return
        self.outbox.send(FrameType.DATA, stream, pack([head]), bulk=True, flags=Flag.HEAD)

    def send_data(self, stream: int, data: bytes | memoryview, *, bulk: bool = False) -> None:
        """Send an item, or a piece of a blob (`bulk`, at most one frame's size).

        Where the stream has ended meanwhile, or there are no bytes, nothing is sent.

        Raises:
            LocalProtocolError: there is no credit for it; `announce_data` it and wait for `CreditReceived`.
            MessageTooLarge: the other side accepts no message of this size; nothing was sent.
        """
        if not data or not self.streams.is_live(stream):
            return
        self.outbox.check_size(len(data))
        self.flow.credit(stream).spend(len(data))
        self.outbox.send(FrameType.DATA, stream, data, bulk=bulk)

    def send_end(self, stream: int, extra: dict[str, object] | None = None, *, bulk: bool = False) -> None:
        """All was sent. From the callee it is the stream's terminal frame."""
        payload = pack([extra]) if extra else b"\x90"
        if stream in self.streams.taken:
            self._finish(FrameType.END, stream, payload, bulk=bulk)
        elif stream in self.streams.opened:
            self.outbox.send(FrameType.END, stream, payload, bulk=bulk)

    # Calls that the other side opened

    def send_result(self, stream: int, body: bytes) -> None:
        """Answer a call; raises MessageTooLarge, and then the call is still open."""
        self._finish(FrameType.RESULT, stream, self.pack([body]))

    def send_error(self, stream: int, error: ErrorInfo) -> None:
        """Fail a call, stream or subscription of the other side; what is too long for it is shortened."""
        if self.publications.end(stream, error):
            return
        self._finish(FrameType.ERROR, stream, self.outbox.error(error))

    def _finish(self, kind: FrameType, stream: int, payload: bytes, *, bulk: bool = False) -> None:
        """Send a stream's terminal frame, of which there is exactly one."""
        if stream not in self.streams.taken:
            raise LocalProtocolError(f"stream {stream} has ended, or was never the other side's")
        self.outbox.send(kind, stream, payload, bulk=bulk)
        self.streams.taken.discard(stream)
        self.streams.forget(stream)

    def refuse_call(self, stream: int, code: str, message: str) -> None:
        """Fail a call or subscription that was not executed; nothing where UNSUB has ended it meanwhile."""
        if stream in self.streams.taken or stream in self.publications:
            self.send_error(stream, ErrorInfo(code, message, Executed.NO))
