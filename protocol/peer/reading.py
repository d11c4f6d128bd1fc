"""Who reads a connection: its leader, or for a while whoever waits for an answer.

Theory of operation. An answer that the leader reads costs its caller another pass of the loop. Where one call follows
another, the leader therefore stops reading and lends that to the callers: each sends its call, waits for the
connection itself and takes its own answer. All that is not simply that answer goes to the leader, which reads again
from then on: nothing is acted on here, no handler runs in a caller's task.

Where other connections of the loop are busy as well, the leader has its connection watched (`Transport.watch`): one
task asks about all of them. What comes for calls and subscriptions of a client is taken there and then, and its leader
is woken only for anything else. A server's leader is woken, for what comes there mostly are calls.

A caller that has its answer leaves the connection unread, for the next call comes at once. The leader looks every
`TICK` whether that is so, and otherwise reads on; so what the other side says by itself waits for two of them at most,
and only behind calls that came close together. Who opens anything else, or a second call, has the leader read at once.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

import trio

from protocol.peer.busy_polling import BusyPolling
from protocol.peer.company import current_company
from protocol.peer.pending import PendingCall
from protocol.peer.waiting import Waiters
from protocol.peer.writer import PeerTooSlow
from protocol.transport import TransportError
from protocol.transport.base import RECORD
from protocol.wire.connection import Role
from protocol.wire.errors import ErrorInfo
from protocol.wire.events import (
    BlockedReceived,
    CreditReceived,
    DataReceived,
    DataTooLarge,
    EndReceived,
    ErrorReceived,
    Event,
    EventReceived,
    GapReceived,
    HeadReceived,
    ResultReceived,
)

if TYPE_CHECKING:
    from protocol.peer.peer import Peer

STREAK = 16
"""Calls, one after the other, after which reading is lent."""
CLOSE = 0.05
"""Seconds in which these must have come."""
TICK = 0.005
"""Seconds between two looks of the leader whether it must read again."""
LONG = 0.2
"""Seconds after which the leader takes reading from a thread: it would have given it back, did it go on."""
DISTURBED = 16 * STREAK
"""So many calls more come before reading is lent again, once something else than answers has come."""

_ANSWERS = frozenset(
    {
        ResultReceived,
        ErrorReceived,
        HeadReceived,
        DataReceived,
        EndReceived,
        DataTooLarge,
        EventReceived,
        GapReceived,
    }
)
"""What is for callers and subscribers of this side."""
_OURS = _ANSWERS | {BlockedReceived, CreditReceived}
"""All that concerns calls and subscriptions of this side alone."""


class Reading:
    """Who reads one connection.

    Args:
        peer: the connection.
        events: what was received and is for the leader to act on.

    Attributes:
        busy_polling: of the connection.
        lent: the leader does not read.
        reader: the call whose caller reads in its place, or None.
    """

    __slots__ = (
        "_alone",
        "_changes",
        "_company",
        "_events",
        "_failure",
        "_is_watched",
        "_leader",
        "_offset",
        "_peer",
        "_since",
        "_timed",
        "_turns",
        "_waiting_since",
        "_watching",
        "busy_polling",
        "lent",
        "reader",
    )

    def __init__(self, peer: Peer, events: deque[Event]) -> None:
        self._peer = peer
        self._events = events
        self._since = -math.inf
        self._alone = 0  # calls that were made while no other was open, since `_since`
        self._turns = 0  # of callers
        self._leader = Waiters()  # while it does not read
        self._timed = False  # and looks every tick
        self._offset = 0.0
        self._company = current_company()
        self._changes = 0
        self._waiting_since = 0.0
        self._watching: trio.lowlevel.Task | None = None  # the leader, while the connection is watched
        self._is_watched = False  # since the leader began to wait
        self._failure: BaseException | None = None  # of what was read meanwhile
        self.busy_polling = BusyPolling(peer.transport)
        self.lent = False
        self.reader: PendingCall | None = None

    def wait_readable(self) -> Coroutine[object, object, None]:
        """Wait until there may be something to read, busily where it comes at once every time."""
        if self.polls_busily(trio.current_time()):
            return self._poll()
        return self._peer.transport.wait_readable()

    async def _poll(self) -> None:
        if not await self.busy_polling.poll() and not self._peer.ended:  # `end` wakes only who sleeps
            await self._peer.transport.wait_readable()

    def polls_busily(self, now: float) -> bool:
        """Whether the wait that begins now, on the connection's clock, begins with busy polling.

        It does not where nothing was received since the last one: what keeps TLS from reading may leave the socket
        readable for good.
        """
        received = self._peer.connection.last_received
        if received <= self._waiting_since:
            return False
        self.busy_polling.note(received - self._waiting_since)
        self._waiting_since = now
        self._has_company()
        return self.busy_polling.is_due

    def _has_company(self) -> bool:
        """Whether other connections were read since this was asked last: then nobody polls busily for a while."""
        changes, self._changes = self._changes, self._company.changes
        if changes == self._changes:
            return False
        self.busy_polling.reset()
        return True

    # The leader's side

    def wait_in_lead(self) -> Coroutine[Any, Any, object]:
        """Wait until the leader has something to do, or lend reading to callers meanwhile."""
        if self._is_due():
            return self._lend()
        if self._has_company() and self._peer.transport.watch(self._take_watched):
            self._watching = trio.lowlevel.current_task()
            self._is_watched = True
            return trio.lowlevel.wait_task_rescheduled(self._stop_watching)  # noqa: ASYNC105 - whoever asked awaits it
        streams = self._peer.connection.streams
        if streams.opened or streams.taken:  # other tasks have something to do
            return self._peer.transport.wait_readable()
        return self.wait_readable()

    def _is_due(self) -> bool:
        """Whether calls come one after another, and close together: then `_lend`."""
        if self._alone < STREAK:
            return False
        now = trio.current_time()
        close = now - self._since < CLOSE
        self._since = now
        self._alone = 0
        return close

    def _take_watched(self, readable: bool) -> bool:
        """See `protocol.transport.poll_set.Call`: read, or wake the leader. Runs in the poll set's task."""
        if self._watching is None:  # it was woken, and has not run yet
            return False
        if readable and self._peer.connection.role is Role.CLIENT:
            try:
                if self._take_all():
                    return True
            except BaseException as exc:  # the leader's, as if it had read itself
                self._failure = exc
        leader = self._watching
        try:
            self._watching = None
            if leader is not None:  # taking has not cancelled it
                trio.lowlevel.reschedule(leader)
        except BaseException:  # a signal handler's: the next call tries again
            self._watching = leader
            raise
        return False

    def _stop_watching(self, _: object = None) -> trio.lowlevel.Abort:
        self._watching = None
        self._peer.transport.unwatch()
        return trio.lowlevel.Abort.SUCCEEDED

    def resume_lead(self) -> None:
        """The leader has waited; raises what went wrong while its connection was watched."""
        if self._is_watched:
            self._is_watched = False
            self._stop_watching()
            if self._failure is not None:
                raise self._failure

    def _take_all(self) -> bool:
        """Take what has arrived for calls and subscriptions of this side.

        Calls of the other side, and whatever ends the connection, are left to the leader.

        Returns:
            Whether nothing is.
        """
        peer, events = self._peer, self._events
        data = peer.transport.receive_nowait()
        if not data:
            return False
        self._company.note(self)
        events.extend(peer.connection.receive(data, trio.current_time()))
        while events and type(events[0]) in _OURS:
            event = events.popleft()
            if type(event) is ResultReceived:
                event.owner.settle(event.body)
            else:
                peer.take_event(event)
        if events or len(data) >= RECORD or not self._has_company():
            return False
        peer.batch_done()
        peer.flush()
        return True

    async def _lend(self) -> None:
        """Let callers read, until something else has come or no call any more."""
        self.lent = True
        self._offset = trio.current_time() - time.perf_counter()
        try:
            while self.lent:
                turns = self._turns
                with trio.move_on_after(TICK) as scope:
                    self._timed = True
                    await self._leader.wait()
                if not scope.cancelled_caught or self._turns != turns:
                    continue
                if self.reader is None:
                    return
                self._timed = False  # whoever reads takes long, and tells when he is done
                with trio.move_on_after(LONG if self.reader.in_thread else math.inf) as scope:
                    await self._leader.wait()
                if scope.cancelled_caught and self._turns == turns:
                    self.reader = None  # he looks before he reads again
                    return
        finally:
            self.lent = False
            self._alone = min(self._alone, 0)

    def wake_leader(self) -> None:
        """Have the leader look who reads."""
        self._leader.wake()

    # The callers' side

    def note_call(self, reads: bool) -> None:
        """A call was opened.

        Args:
            reads: it is the only one, and its caller reads where that is lent.
        """
        if reads:
            self._alone += 1
        elif self._alone > 0 or self.lent:
            self.take_back()

    def take_back(self) -> None:
        """Something else was asked of the other side: the leader reads at once, where nobody does."""
        self._alone = min(self._alone, 0)
        if self.is_free:
            self.lent = False
            self.wake_leader()

    @property
    def is_free(self) -> bool:
        """Whether whoever waits for an answer has to read for it."""
        return self.lent and self.reader is None

    async def wait(self, pending: PendingCall) -> bytes | ErrorInfo:
        """Wait for the outcome of a call: read until it is there, or the leader has to act on what came."""
        peer = self._peer
        self.begin_turn(pending)
        try:
            over = pending.done
            while not over:
                await self.wait_readable()
                over = pending.done or self.take(pending, trio.current_time())
                peer.flush()
            peer.batch_done()
        except (TransportError, PeerTooSlow) as exc:
            peer.fail(exc)
        finally:
            if self.end_turn(pending):
                self.wake_leader()
        if pending.done and type(pending.outcome) is bytes:
            return pending.outcome
        return await pending.wait()

    def begin_turn(self, pending: PendingCall) -> None:
        """The caller of a call reads from now on."""
        self.reader = pending
        self._turns += 1

    def end_turn(self, pending: PendingCall) -> bool:
        """It does not any more; returns whether the leader must be woken."""
        self.reader = None
        if pending.done and not self._peer.connection.streams.opened:
            return not self._timed
        self.lent = False
        return True

    def take(self, pending: PendingCall, now: float) -> bool:
        """Take what has arrived, for a call's outcome.

        Args:
            pending: the call.
            now: the time, on the connection's clock.

        Returns:
            Whether that was all there is to read here: the outcome is there, or the leader has to go on.

        Raises:
            TransportError: the connection is broken.
        """
        receive = self._peer.transport.receive_nowait
        while data := receive():
            self._company.note(self)
            events = self._peer.connection.receive(data, now)
            if len(events) == 1:
                event = events[0]
                if type(event) is ResultReceived and event.owner is pending:
                    pending.settle(event.body)
                    return True
            if events:
                self._alone = -DISTURBED
                self._events.extend(events)
                return True
        return data is not None  # the end, which the leader finds as well

    def now(self) -> float:
        """The time on the connection's clock, in any thread."""
        return time.perf_counter() + self._offset

    def end(self) -> None:
        """The connection is over: what has come before counts all the same, and whoever waits for it looks again.

        Nobody else would settle a call whose answer was received and not acted on yet.
        """
        while self._events:
            event = self._events.popleft()
            if type(event) is ResultReceived:
                event.owner.settle(event.body)
            elif type(event) in _ANSWERS:
                self._peer.take_event(event)
        if self.reader is not None:
            self._peer.transport.wake()
