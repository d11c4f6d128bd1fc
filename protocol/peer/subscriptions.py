"""Subscriptions of this side: events as they arrive, and what was lost between them.

A subscription outlives a connection: on the next one it is taken up again with the number of the last
event seen, and what the publisher cannot give any more comes as a gap.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import trio

from protocol.interface import EventsLost, EventSpec, Gap, InvalidValue
from protocol.peer.errors import ConnectionLost
from protocol.peer.peer import Peer
from protocol.wire import codes
from protocol.wire.codec import unpack
from protocol.wire.connection import State
from protocol.wire.errors import CodecError, ErrorInfo, Executed, LocalProtocolError

T = TypeVar("T")


class EventQueue:
    """What one subscription has received: the `owner` of its stream, on each connection in turn.

    Args:
        spec: the event.

    Attributes:
        error: why the subscription has ended, or None.
        confirmed: set once the publisher has taken it, or it has ended.
        lasting: it goes on with the next connection when this one is lost.
        on_failed: called with the queue when the subscription ends for good: nobody is to attach it again.
    """

    def __init__(self, spec: EventSpec) -> None:
        self.spec = spec
        self.lasting = True
        self.on_failed: Callable[[EventQueue], object] | None = None
        self.error: BaseException | None = None
        self._items: deque[tuple[Peer, int, bytes, int] | Gap] = deque()
        self._changed = trio.Event()
        self._waited_for = False
        self._admit: Callable[[], object] | None = None
        self._peer: Peer | None = None
        self._stream = 0
        self._sequence = 0
        self._epoch = ""
        self.confirmed = trio.Event()

    def attach(self, peer: Peer) -> None:
        """Subscribe on a connection."""
        extra: dict[str, object] = {}
        if self._epoch:
            extra = {"after": self._sequence, "epoch": self._epoch}
        self._peer = peer
        self._admit = None  # what the former connection's publisher announced is void
        self._stream = peer.connection.subscribe(self, self.spec.qualified, extra)
        peer.wake()

    def reattach(self, peer: Peer) -> None:
        """Subscribe on the next connection; where the publisher takes fewer than the last one, this fails it."""
        connection = peer.connection
        if connection.state is not State.OPEN:
            return  # it has ended already: the one after it
        if len(connection.streams.subscriptions) >= connection.peer_limits.subscriptions:
            text = f"the other side takes {connection.peer_limits.subscriptions} subscriptions, not more"
            info = ErrorInfo(codes.TOO_MANY_CALLS, text, Executed.NO)
            self.fail(peer.to_exception(info, self.spec.qualified))
        else:
            self.attach(peer)

    def detach(self) -> None:
        """Unsubscribe."""
        if self._peer is not None and not self._peer.ended:
            self._peer.connection.unsubscribe(self._stream)
            self._peer.wake()
        self._peer = None

    def put(self, sequence: int, body: bytes, size: int) -> None:
        """Take an event from the connection."""
        assert self._peer is not None
        self._sequence = sequence
        self._items.append((self._peer, self._stream, body, size))
        self._wake()

    def announce(self, admit: Callable[[], object]) -> None:
        """Take note that the next event is a large one: `admit`, called when it is waited for, lets it come."""
        if self._waited_for:
            admit()
        else:
            self._admit = admit

    def gap(self, sequence: int, lost: int, extra: dict[str, Any]) -> None:
        """Take a GAP: the one with an epoch confirms the subscription on this connection."""
        epoch = extra.get("epoch")
        if type(epoch) is str:
            # After a restart the publisher counts from 1 and knows nothing of what it sent before.
            if self._epoch and (lost or epoch != self._epoch):
                self._add_gap(lost or sequence, sequence + 1)
            self._epoch = epoch
            self.confirmed.set()
        elif lost:
            self._add_gap(lost, sequence + 1)
        self._sequence = sequence
        self._wake()

    def _add_gap(self, lost: int, sequence: int) -> None:
        # No credit bounds GAPs, which are no events: merged, there is one between two events at most.
        if self._items and isinstance(last := self._items[-1], Gap):
            self._items[-1] = Gap(last.lost + lost, sequence)
        else:
            self._items.append(Gap(lost, sequence))

    def settle(self, outcome: bytes | ErrorInfo) -> None:
        """Take the end of the subscription on this connection."""
        assert isinstance(outcome, ErrorInfo)
        peer, self._peer = self._peer, None
        if peer is not None and not (self.lasting and outcome.code == ConnectionLost.CODE):
            self.fail(peer.to_exception(outcome, self.spec.qualified))

    def fail(self, error: BaseException) -> None:
        """End the subscription for good."""
        self.error = error
        self.confirmed.set()
        self._wake()
        if self.on_failed is not None:
            self.on_failed(self)

    async def get(self) -> Any:
        """The next value or `Gap`.

        Raises:
            CallError: the subscription has ended.
            EventsLost: never; the caller turns a `Gap` into it where it wants to.
        """
        while not self._items:
            if self.error is not None:
                raise self.error
            self._changed = trio.Event()
            if self._admit is not None:
                self._admit()
                self._admit = None
            self._waited_for = True
            await self._changed.wait()
        await trio.lowlevel.checkpoint_if_cancelled()
        item = self._items.popleft()
        if isinstance(item, Gap):
            return item
        peer, stream, body, size = item
        if not peer.ended:
            peer.connection.flow.consume(stream, size)
            peer.wake()
        try:
            return self.spec.item.decode(unpack(body, peer.connection.limits))
        except (InvalidValue, CodecError, RecursionError) as exc:
            info = ErrorInfo(codes.INVALID_RESULT, str(exc), Executed.MAYBE)
            raise peer.to_exception(info, self.spec.qualified) from exc

    def _wake(self) -> None:
        self._waited_for = False
        self._changed.set()


class RemoteSubscription(Generic[T]):
    """A subscription as application code holds it: `async with`, then `async for`.

    Args:
        queue: where its events arrive.
        enter: called to begin, returns once it is attached to a connection.
        leave: called to end.
        gaps: give lost events as `Gap` values instead of raising `EventsLost`.
    """

    def __init__(
        self,
        queue: EventQueue,
        enter: Callable[[EventQueue], Any],
        leave: Callable[[EventQueue], object],
        *,
        gaps: bool,
    ) -> None:
        self._queue = queue
        self._enter = enter
        self._leave = leave
        self._gaps = gaps

    async def __aenter__(self) -> Self:
        await self._enter(self._queue)
        try:
            await self._queue.confirmed.wait()
            if self._queue.error is not None:
                raise self._queue.error
        except BaseException:
            self._leave(self._queue)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        self._leave(self._queue)

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        item = await self._queue.get()
        if isinstance(item, Gap) and not self._gaps:
            raise EventsLost(item.lost, item.sequence)
        value: T = item
        return value

    def __enter__(self) -> Self:
        raise LocalProtocolError("this subscription is asynchronous: use `async with` and `async for`")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        """Never reached: `__enter__` raises."""

    def __iter__(self) -> Iterator[T]:
        raise LocalProtocolError("this subscription is asynchronous: use `async with` and `async for`")
