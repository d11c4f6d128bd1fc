"""One live connection and all that goes over it, the same on both sides.

A `Peer` joins the sans-IO core to a transport: the writing task, the worker that reads and handles
(`protocol.peer.dispatch`), the clock of the keepalive, and the calls that this side makes. It begins after the
handshake. It knows nothing of listening, reconnecting, certificates or sign-in.
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import trio

from protocol.peer import builtins
from protocol.peer.background import first_of
from protocol.peer.credit import CreditWaits
from protocol.peer.dispatch import Dispatcher
from protocol.peer.errors import ConnectionLost, Draining
from protocol.peer.heartbeat import Heartbeat
from protocol.peer.incoming import Incoming
from protocol.peer.leaving import untaken_info
from protocol.peer.pending import Extra, PendingCall
from protocol.peer.service import Service
from protocol.peer.statistics import PeerStatistics
from protocol.peer.writer import PeerTooSlow, Writer
from protocol.settings import TimeoutSettings
from protocol.transport import Transport, TransportError
from protocol.wire import codes
from protocol.wire.connection import Connection
from protocol.wire.envelope import Goaway
from protocol.wire.errors import ErrorInfo, Executed, GoawayCode
from protocol.wire.events import (
    BlockedReceived,
    CancelReceived,
    CreditReceived,
    DataReceived,
    DataTooLarge,
    EndReceived,
    ErrorReceived,
    Event,
    EventReceived,
    Failed,
    GapReceived,
    GoawayReceived,
    HeadReceived,
    PongReceived,
    SubReceived,
    UnsubReceived,
)

logger = logging.getLogger("appserver.connections")

Owner = PendingCall | Incoming
"""What the frames of a call of this side are for."""


class Peer:
    """The other side of one connection.

    Args:
        transport: connected.
        connection: its core, after the handshake.
        service: what this side offers.
        limiter: worker threads for `def` handlers.
        timeouts: for writing.
        owner: whatever the connection belongs to (the server's session, the client).

    Attributes:
        ended: the connection is over.
        reason: why, in words; empty before that.
        goaway: the other side's announcement that it will end the connection, or None.
        credit: where senders wait for room at the other side.
        reading: who reads.
        writer: what leaves.
        slots: where callers wait beyond the other side's limit of open calls.
    """

    def __init__(
        self,
        transport: Transport,
        connection: Connection,
        service: Service,
        *,
        limiter: trio.CapacityLimiter,
        timeouts: TimeoutSettings,
        owner: object = None,
    ) -> None:
        self.transport = transport
        self.connection = connection
        self.service = service
        self.owner = owner
        self.ended = False
        self.reason = ""
        self.goaway: Goaway | None = None
        self.on_goaway: Callable[[Goaway], object] | None = None
        self.writer = Writer(
            transport,
            connection,
            timeout=timeouts.write,
            most_pending=connection.limits.pending_output,
            on_room=self._resume_calls,
        )
        self.flush = self.writer.flush
        self.wake = self.writer.wake
        self.credit = CreditWaits(connection, self.wake, lambda: ConnectionLost(self._lost(Executed.MAYBE)))
        self._dispatcher = Dispatcher(self, limiter)
        self.reading = self._dispatcher.reading
        self._heartbeat = Heartbeat(self)
        self.slots = trio.lowlevel.ParkingLot()
        self._answered = trio.Event()
        self._idle = trio.Event()
        self._scope = trio.CancelScope()

    async def run(self, events: Sequence[Event] = ()) -> str:
        """Serve the connection until it ends.

        Args:
            events: what was received with the handshake's last frame.

        Returns:
            Why it ended, in words.
        """
        try:
            with self._scope:
                async with trio.open_nursery() as nursery:
                    self.writer.open(partial(nursery.start_soon, self._guard, self.writer.run))
                    self._heartbeat.start()
                    try:
                        await self._guard(self._dispatcher.run, list(events))
                    finally:
                        self.writer.close()
                    nursery.cancel_scope.cancel()
        finally:
            self.end("the connection was closed here")
            self._heartbeat.stop()
            self.service.topics.forget(self)
            with trio.move_on_after(1, shield=True):
                await self._say_goodbye()
            self.writer.discard()  # megabytes, for as long as anybody holds on to this object
        return self.reason

    async def _guard(self, run: Callable[..., Any], *args: Any) -> None:
        """Turn the failures of a connection into its end."""
        try:
            await run(*args)
        except* (TransportError, PeerTooSlow) as group:
            self.fail(first_of(group))

    async def _say_goodbye(self) -> None:
        """Send what waits (a GOAWAY with the reason), as far as the transport still takes it."""
        with contextlib.suppress(TransportError, PeerTooSlow):
            await self.writer.drain()

    def end(self, reason: str) -> None:
        """End the connection; the first reason counts. Open calls have their outcome at once.

        Handlers are cancelled, and may take their time to end: nobody else waits for them.
        """
        if not self.ended:
            self.ended = True
            self.reason = reason
            self._fail_calls()
            self._scope.cancel()

    def fail(self, error: BaseException) -> None:
        """End the connection for what went wrong with it."""
        if isinstance(error, PeerTooSlow):
            self.leave(GoawayCode.SLOW_CONSUMER, str(error))
        else:
            self.end(error.cause if isinstance(error, TransportError) else str(error))

    def leave(self, code: GoawayCode, text: str, **hints: Any) -> None:
        """End the connection with a GOAWAY that says why."""
        self.connection.goaway(code, text, **hints)
        self.end(text)

    async def drain(self, text: str, *, reconnect_after: float | None = None) -> None:
        """Tell the other side to take its next calls elsewhere, and wait for those that are open."""
        self.connection.goaway(GoawayCode.SHUTDOWN, text, reconnect_after=reconnect_after)
        self.wake()
        while self.connection.streams.taken and not self.ended:
            self._idle = trio.Event()
            await self._idle.wait()

    def statistics(self) -> PeerStatistics:
        """A snapshot."""
        return PeerStatistics.of(self)

    @property
    def has_room(self) -> bool:
        """Whether so little waits to be sent that another call's answer may be added."""
        connection = self.connection
        return connection.outbox.scheduler.size <= connection.limits.pending_output

    @property
    def takes_calls(self) -> bool:
        """Whether a call of this side can leave now: one open call less than the limit, and room."""
        return self.connection.can_open and self.has_room

    def _resume_calls(self) -> None:
        self._dispatcher.resume_calls()
        self.credit.written()
        if self.slots:
            self.batch_done()

    # What the dispatcher reports

    def take_event(self, event: Event) -> None:
        """Act on anything but a call or a result."""
        match event:
            case DataReceived(stream, owner, data):
                incoming = owner or self._dispatcher.incoming.get(stream)
                if isinstance(incoming, Incoming):
                    incoming.put(data)
            case CreditReceived(stream):
                self.credit.granted(stream)
            case BlockedReceived(stream, owner):
                receiver = owner or self._dispatcher.incoming.get(stream)
                if receiver is not None and not isinstance(receiver, PendingCall):
                    receiver.announce(partial(self._await_message, stream))
            case EventReceived(owner, sequence, body, size):
                owner.put(sequence, body, size)
            case GapReceived(owner, sequence, lost, extra):
                owner.gap(sequence, lost, extra)
            case ErrorReceived(owner, error):
                owner.settle(error)
            case EndReceived(stream, owner, extra):
                incoming = owner or self._dispatcher.incoming.get(stream)
                if isinstance(incoming, Incoming):
                    incoming.end(extra)
                elif isinstance(incoming, PendingCall):
                    incoming.settle(ErrorInfo(codes.INVALID_RESULT, "END instead of RESULT", Executed.YES))
            case HeadReceived(stream, owner, head):
                incoming = owner or self._dispatcher.incoming.get(stream)
                if isinstance(incoming, Incoming):
                    incoming.put_head(head)
            case DataTooLarge(stream, owner, size, limit):
                self._fail_items(stream, owner, size, limit)
            case CancelReceived(stream):
                self._dispatcher.cancel(stream)
            case SubReceived(stream, topic, extra):
                builtins.subscribe(self, stream, topic, extra)
            case UnsubReceived(stream):
                for known in self.service.topics:
                    known.unsubscribe(self, stream)
            case GoawayReceived(goaway, untaken):
                self._take_goaway(goaway, untaken)
            case PongReceived():
                self._heartbeat.answered()
            case Failed(error):
                logger.warning(
                    "connection ended: the other side broke the protocol",
                    extra={"peer": self.transport.peer_address, "finding": str(error)},
                )
                self.end(f"protocol error: {error}")
            case _:  # the handshake's events come before a Peer exists; UNIMPLEMENTED needs no answer
                pass

    def _await_message(self, stream: int, waiting: bool) -> None:
        """Whether the application waits for the message that was announced on a stream."""
        if waiting:
            self.connection.flow.admit(stream)
        else:
            self.connection.flow.withdraw(stream)
        self.wake()

    def call_done(self) -> None:
        """A handler of this side has ended."""
        if not self.connection.streams.taken:
            self._idle.set()
            self._answered.set()

    def _take_goaway(self, goaway: Goaway, untaken: list[Any]) -> None:
        self.goaway = goaway
        for owner in untaken:
            owner.settle(untaken_info(goaway))
        self.slots.unpark_all()
        if self.on_goaway is not None:
            self.on_goaway(goaway)

    def _fail_items(self, stream: int, owner: Any, size: int, limit: int) -> None:
        text = f"an item has {size} bytes, {limit} are accepted (limits.message)"
        info = ErrorInfo(codes.MESSAGE_TOO_LARGE, text, Executed.MAYBE)
        incoming = owner or self._dispatcher.incoming.get(stream)
        if incoming is not None:
            incoming.settle(info)
        if owner is not None:
            self.connection.cancel(stream)

    def _fail_calls(self) -> None:
        """Give every open call of this side its outcome: the connection is over."""
        self.reading.end()
        connection = self.connection
        connection.close()
        unsent = connection.unsent_calls()
        if unsent:  # what is said not to have run must not leave any more
            self.writer.hold_back()
        streams = connection.streams
        for stream, owner in list(streams.opened.items()):
            executed = Executed.NO if stream in unsent else Executed.MAYBE
            owner.settle(self._lost(executed))
        for owner in list(streams.subscriptions.values()):
            if owner is not None:
                owner.settle(self._lost(Executed.MAYBE))
        streams.opened.clear()
        streams.subscriptions.clear()
        self._dispatcher.incoming.fail_all(self._lost(Executed.MAYBE))
        self.credit.give_up()
        self.slots.unpark_all()
        self._idle.set()
        self._answered.set()
        self._heartbeat.answered()

    def _lost(self, executed: Executed) -> ErrorInfo:
        text = f"the connection to {self.transport.peer_address} was lost: {self.reason}"
        return ErrorInfo(ConnectionLost.CODE, text, executed)

    # Calls of this side

    def to_exception(self, info: ErrorInfo, method: str) -> BaseException:
        """The exception that the caller of a failed call sees."""
        return self.service.errors.to_exception(info, method, self.connection.limits)

    def open(
        self, owner: Owner, body: bytes, deadline: float, *, extra: Extra | None = None, reads: bool = False
    ) -> int:
        """Send a call and return its stream; `protocol.peer.outgoing.open_call` says more. `wait_slot` comes first."""
        if self.ended or self.goaway is not None:
            self.check_open(owner.method)
        remaining = None if deadline == math.inf else max(0.0, deadline - trio.current_time())
        stream = self.connection.open_call(owner, owner.method, body, deadline=remaining, extra=extra)
        alone = len(self.connection.streams.opened) == 1
        self.reading.note_call(alone and reads)
        if self.writer.leaves_at_once(alone):
            self.write()
        else:
            self.wake()
        return stream

    def write(self) -> None:
        """Write what waits here and now, in a task that is not the connection's; a failure is its end."""
        try:
            self.flush()
        except (TransportError, PeerTooSlow) as exc:
            self.fail(exc)

    def check_open(self, method: str) -> None:
        """Raise where no call can be made any more; nothing was executed then."""
        if self.ended:
            raise ConnectionLost(self._lost(Executed.NO), method)
        if self.goaway is not None:
            raise Draining(untaken_info(self.goaway), method)

    async def wait_slot(self) -> None:
        """Wait until the other side takes another call, and has taken most of what was sent before."""
        while not self.takes_calls and not self.ended and self.goaway is None:
            try:
                await self.slots.park()
            except trio.Cancelled:
                self.batch_done()  # the slot that this one was woken for is another's
                raise

    async def wait_answered(self) -> None:
        """Wait until no call of either side and no subscription of this one is open, after a GOAWAY."""
        streams = self.connection.streams
        while (streams.opened or streams.subscriptions or streams.taken) and not self.ended:
            self._answered = trio.Event()
            await self._answered.wait()

    def batch_done(self) -> None:
        """What was received at once has been acted on: slots may be free, calls may all be answered."""
        opened = len(self.connection.streams.opened)
        if self.slots and self.has_room:
            self.slots.unpark(count=max(0, self.connection.peer_limits.open_calls - opened))
        if self.goaway is not None:
            self._answered.set()
        if self.connection.draining:
            self.call_done()

    def abandon(self, stream: int) -> None:
        """Tell the other side that a call's outcome is no longer wanted."""
        if not self.ended:
            self.connection.cancel(stream)
            self.wake()

    async def ping(self) -> float:
        """Ask whether the other side is alive; returns the seconds its answer took."""
        seconds = 0.0 if self.ended else await self._heartbeat.ping()
        if self.ended:
            raise ConnectionLost(self._lost(Executed.MAYBE), "ping")
        return seconds
