"""Subscriptions of this side: events as they arrive, and what was lost between them.

A subscription outlives a connection: on the next one it is taken up again with the number of the last
event seen, and what the publisher cannot give any more comes as a gap.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import trio

from protocol.interface import EventsLost, EventSpec, Gap, InvalidValue
from protocol.peer.errors import ConnectionLost
from protocol.peer.peer import Peer
from protocol.peer.waiting import Await, Waiters
from protocol.wire import codes
from protocol.wire.codec import unpack
from protocol.wire.connection import State
from protocol.wire.errors import CodecError, ErrorInfo, Executed, LocalProtocolError

T = TypeVar("T")

_PASSING = frozenset({ConnectionLost.CODE, codes.DRAINING})
"""Ends of a subscription that concern the connection alone: the next one takes it up."""


class Attachment:
    """A subscription on one connection: the `owner` of its stream there.

    Args:
        queue: the subscription.
        peer: the connection.

    Attributes:
        stream: its stream on this connection.
        begin: the number that its first event follows; None until the publisher has confirmed it.
        held: what came while the connection before this one still had the turn.
        last: number of the last event that it gave or called lost.
        announced: the next event is a large one, which comes when this is told to wait for it; None where there
            is none.
    """

    __slots__ = ("_queue", "announced", "begin", "epoch", "held", "last", "peer", "seen", "stream")

    def __init__(self, queue: EventQueue, peer: Peer) -> None:
        self._queue = queue
        self.peer = peer
        self.stream = 0
        self.begin: int | None = None
        self.epoch = ""
        self.last = 0
        self.seen = 0
        """Number of the last event that the connection before this one gave."""
        self.held: deque[tuple[int, bytes, int] | Gap] = deque()
        self.announced: Await | None = None

    def put(self, sequence: int, body: bytes, size: int) -> None:
        """Take an event from the connection."""
        self.last = sequence
        self.announced = None
        self._queue.put(self, sequence, body, size)

    def announce(self, announced: Await) -> None:
        """Take note that the next event is a large one."""
        self.announced = announced
        self._queue.announce(self)

    def gap(self, sequence: int, lost: int, extra: dict[str, Any]) -> None:
        """Take a GAP: the one with an epoch confirms the subscription on this connection.

        One without a number is of an event that was too large to be read: the next one.
        """
        epoch = extra.get("epoch")
        if type(epoch) is str:
            self.begin, self.epoch, self.last = sequence, epoch, sequence
            self._queue.begin(self)
        else:
            self.last = max(self.last, sequence) if sequence else self.last + 1
            self._queue.gap(self, Gap(lost, self.last + 1))

    def hold(self, item: tuple[int, bytes, int] | Gap) -> None:
        """Keep what came before its turn."""
        # No credit bounds GAPs, which are no events: merged, there is one between two events at most.
        if isinstance(item, Gap) and self.held and isinstance(last := self.held[-1], Gap):
            self.held[-1] = Gap(last.lost + item.lost, item.sequence)
        else:
            self.held.append(item)

    def settle(self, outcome: bytes | ErrorInfo) -> None:
        """Take the end of the subscription on this connection."""
        assert isinstance(outcome, ErrorInfo)
        self._queue.settle(self, outcome)

    def consume(self, size: int) -> None:
        """As `CreditWaits.consume`, as long as there is a connection."""
        peer = self.peer
        if not peer.ended and peer.connection.flow.consume(self.stream, size):
            peer.wake()

    def unsubscribe(self) -> None:
        """End it on this connection."""
        if not self.peer.ended:
            self.peer.connection.unsubscribe(self.stream)
            self.peer.wake()


class EventQueue:
    """What one subscription has received, on each connection in turn.

    Theory of operation. After a GOAWAY the next connection is there before the last one has ended, and the
    subscription is on both for a while. The older one has the turn until it has given the number after
    which the newer one began; what the newer one gives meanwhile is held, and what both have is dropped
    once. So a change of the connection costs no event and doubles none. No credit is given for what is held.

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
        self._items: deque[tuple[Attachment, bytes, int] | Gap] = deque()
        self._waiters = Waiters()
        self._attached: deque[Attachment] = deque()  # the oldest has the turn
        self._sequence = 0
        self._epoch = ""
        self.confirmed = trio.Event()

    def attach(self, peer: Peer) -> None:
        """Subscribe on a connection."""
        extra: dict[str, object] = {}
        if self._epoch:
            extra = {"after": self._sequence, "epoch": self._epoch}
        attachment = Attachment(self, peer)
        attachment.stream = peer.connection.subscribe(attachment, self.spec.qualified, extra)
        self._attached.append(attachment)
        peer.reading.take_back()
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
        while self._attached:
            self._attached.popleft().unsubscribe()

    def put(self, attachment: Attachment, sequence: int, body: bytes, size: int) -> None:
        """Take an event from a connection."""
        if not self._has_turn(attachment):
            attachment.hold((sequence, body, size))
            return
        self._take(attachment, sequence, body, size)
        if len(self._attached) > 1:
            self._pass_turn()
        self._waiters.wake()

    def announce(self, attachment: Attachment) -> None:
        """Take note that the next event of a connection is a large one."""
        if self._waiters and self._has_turn(attachment):
            self._await_announced(True)

    def begin(self, attachment: Attachment) -> None:
        """Take the confirmation of the subscription on a connection."""
        if self._has_turn(attachment):
            self._begin(attachment)
            self.confirmed.set()
        self._pass_turn()
        self._waiters.wake()

    def gap(self, attachment: Attachment, gap: Gap) -> None:
        """Take a GAP from a connection."""
        if not self._has_turn(attachment):
            attachment.hold(gap)
            return
        self._take_gap(attachment, gap)
        self._pass_turn()
        self._waiters.wake()

    def _has_turn(self, attachment: Attachment) -> bool:
        return bool(self._attached) and attachment is self._attached[0]

    def _take(self, attachment: Attachment, sequence: int, body: bytes, size: int) -> None:
        if sequence <= attachment.seen:  # the connection before this one gave it, too
            attachment.consume(size)
            return
        self._sequence = sequence
        self._items.append((attachment, body, size))

    def _take_gap(self, attachment: Attachment, gap: Gap) -> None:
        lost = gap.lost
        if attachment.seen:  # the connection before this one may have given some of them
            lost = min(lost, max(0, gap.sequence - 1 - attachment.seen))
        if lost:
            self._add_gap(lost, gap.sequence)
        self._sequence = max(self._sequence, gap.sequence - 1)

    def _begin(self, attachment: Attachment) -> None:
        """Go on where a connection begins that was confirmed and has the turn."""
        assert attachment.begin is not None
        begin = attachment.begin
        lost = begin  # after a restart the publisher counts from 1 and knows nothing of what it sent before
        if attachment.epoch == self._epoch:
            attachment.seen = self._sequence
            lost = max(0, begin - self._sequence)
            begin = max(begin, self._sequence)
        if self._epoch and (lost or attachment.epoch != self._epoch):
            self._add_gap(lost, begin + 1)
        self._sequence, self._epoch = begin, attachment.epoch

    def _pass_turn(self) -> None:
        """Let the next connection have the turn, where it begins at or before what has come."""
        while len(self._attached) > 1:
            after = self._attached[1]
            if after.begin is None or (after.epoch == self._epoch and after.begin > self._sequence):
                return
            self._attached.popleft().unsubscribe()
            self._take_turn()

    def _take_turn(self) -> None:
        """Take what was held of the connection that has the turn now."""
        attachment = self._attached[0]
        if attachment.begin is None:
            return
        self._begin(attachment)
        held, attachment.held = attachment.held, deque()
        for item in held:
            if isinstance(item, Gap):
                self._take_gap(attachment, item)
            else:
                self._take(attachment, *item)

    def _add_gap(self, lost: int, sequence: int) -> None:
        # No credit bounds GAPs, which are no events: merged, there is one between two events at most.
        if self._items and isinstance(last := self._items[-1], Gap):
            self._items[-1] = Gap(last.lost + lost, sequence)
        else:
            self._items.append(Gap(lost, sequence))

    def settle(self, attachment: Attachment, outcome: ErrorInfo) -> None:
        """Take the end of the subscription on a connection."""
        if attachment not in self._attached:
            return
        had_turn = self._has_turn(attachment)
        self._attached.remove(attachment)
        if not (self.lasting and outcome.code in _PASSING):
            self.fail(attachment.peer.to_exception(outcome, self.spec.qualified))
        elif had_turn and self._attached:
            self._take_turn()
            self._pass_turn()
            self._waiters.wake()

    def fail(self, error: BaseException) -> None:
        """End the subscription for good."""
        self.error = error
        self.detach()
        self.confirmed.set()
        self._waiters.wake()
        if self.on_failed is not None:
            self.on_failed(self)

    async def get(self, *, gaps: bool) -> Any:
        """The next value.

        Args:
            gaps: give lost events as `Gap` values.

        Raises:
            CallError: the subscription has ended.
            EventsLost: there are some, and `gaps` is False.
        """
        if self._items:
            await trio.lowlevel.checkpoint_if_cancelled()
        while not self._items:  # also where another task has taken it meanwhile
            if self.error is not None:
                raise self.error
            await self._waiters.wait(self._await_announced)
        item = self._items.popleft()
        if isinstance(item, Gap):
            if gaps:
                return item
            raise EventsLost(item.lost, item.sequence)
        attachment, body, size = item
        peer = attachment.peer
        attachment.consume(size)
        try:
            return self.spec.item.decode(unpack(body, peer.connection.limits))
        except (InvalidValue, CodecError, RecursionError) as exc:
            info = ErrorInfo(codes.INVALID_RESULT, str(exc), Executed.MAYBE)
            raise peer.to_exception(info, self.spec.qualified) from exc

    def _await_announced(self, waiting: bool) -> None:
        """Let a large event come that was announced, or not any more."""
        if self._attached and (announced := self._attached[0].announced) is not None:
            announced(waiting)


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
        await trio.lowlevel.checkpoint_if_cancelled()
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

    def __anext__(self) -> Coroutine[Any, Any, T]:
        return self._queue.get(gaps=self._gaps)

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
