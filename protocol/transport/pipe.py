"""One direction of a connection in memory, with the faults that a test wants of it.

Bytes that a writer hands over lie in the pipe until the reader takes them; their number is bounded, so
that back-pressure is real. Everything a fault does is worked out when the reader asks, from trio's
clock: no task runs in the background, and an autojump clock skips every delay.

It knows nothing of connections; `protocol.transport.memory` makes one of two pipes.
"""

from __future__ import annotations

import enum
import itertools
import math
from collections import deque
from collections.abc import Callable, Iterator
from typing import Final

import attrs
import trio

CAPACITY: Final = 65536
"""Bytes that lie in a pipe at most by default; about what a socket holds."""

_SLOW_STEP: Final = 0.01


class Cut(enum.Enum):
    """How a connection ends that somebody cuts."""

    FIN = "fin"
    """As if the other program had ended: its stream is over, and who still writes is reset."""
    RST = "rst"
    """As if a cable had been pulled and a firewall answered: both sides are reset."""


@attrs.frozen
class PipeStatistics:
    """What has gone through a pipe.

    Attributes:
        sent: bytes that the writer got rid of, those included that were lost in a cut.
        delivered: bytes that the reader took.
        held: bytes that lie in between.
    """

    sent: int
    delivered: int
    held: int


class Pipe:
    """One direction. The faults are methods; all may be called at any time, together, and again.

    Args:
        capacity: bytes that lie in it at most.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self.capacity = capacity
        self.on_cut: Callable[[Cut], None] = self.end
        self._flight: deque[tuple[float, memoryview]] = deque()
        self._sent = 0
        self._delivered = 0
        self._held = 0
        self._end: Cut | None = None
        self._end_due = -math.inf
        self._last_due = -math.inf
        self._broken = False  # the reader is gone, or the link is cut: writing is in vain
        self._reader: trio.Event | None = None
        self._writer: trio.Event | None = None
        self._cut_at: tuple[int, Cut] | None = None
        self._hold_at: int | None = None
        self._delay = 0.0
        self._merge = 0.0
        self._merge_until = -math.inf
        self._segments: Iterator[int] | None = None
        self._segment = 0
        self._rate: float | None = None
        self._slow_until = -math.inf

    # The faults.

    def cut_after(self, sent: int, how: Cut = Cut.RST) -> None:
        """Cut the whole connection when the writer has sent so many bytes; the reader still gets those.

        Args:
            sent: counted from the connection's beginning. `pipe.statistics().sent` is where it is now;
                if it has come that far already, the connection is cut at once.
            how: what the two sides notice.
        """
        self._cut_at = (sent, how)
        if self._sent >= sent:
            self.on_cut(how)

    def hold(self, after: int = 0) -> None:
        """Let nothing arrive any more, not even the end: packets are lost in this direction.

        Args:
            after: bytes that still arrive, counted from the connection's beginning.
        """
        self._hold_at = after

    def release(self) -> None:
        """End `hold`: what was sent meanwhile arrives."""
        self._hold_at = None
        self._wake_reader()

    def delay(self, seconds: float) -> None:
        """Let what is sent from now on arrive so much later."""
        self._delay = seconds

    def deliver_in(self, *sizes: int, repeat: bool = True) -> None:
        """Split: the reader gets pieces of at most these sizes in turn; no sizes end that.

        Args:
            sizes: bytes, each at least 1; `deliver_in(1)` delivers byte by byte.
            repeat: begin again after the last size; otherwise the rest comes as it was sent.
        """
        if any(size < 1 for size in sizes):
            raise ValueError("a piece has at least one byte")
        self._segments = (itertools.cycle(sizes) if repeat else iter(sizes)) if sizes else None
        self._segment = 0

    def merge(self, seconds: float) -> None:
        """Let all that is sent within so many seconds arrive in one piece; 0 ends that."""
        self._merge = seconds

    def slow(self, bytes_per_second: float | None) -> None:
        """Have the reader take no more than that; None ends it."""
        if bytes_per_second is not None and bytes_per_second <= 0:
            raise ValueError("a slow reader takes more than nothing; use hold()")
        self._rate = bytes_per_second
        self._slow_until = -math.inf
        self._wake_reader()

    # The writer's side.

    def put(self, data: bytes | memoryview, *, overfill: bool = False) -> int:
        """Take bytes to be delivered; how many were taken.

        Args:
            data: what to send.
            overfill: take all of it whatever room there is, for a caller that cannot keep a rest.

        Raises:
            ConnectionResetError: nobody will read this.
        """
        if self._broken or self._end is not None:
            raise ConnectionResetError
        taken = len(data) if overfill else max(0, min(len(data), self.capacity - self._held))
        arriving = taken
        if self._cut_at is not None:
            arriving = min(taken, self._cut_at[0] - self._sent)
        if arriving:
            self._flight.append((self._due(), memoryview(bytes(data[:arriving]))))
            self._held += arriving
            self._wake_reader()
        self._sent += taken
        if self._cut_at is not None and self._sent >= self._cut_at[0]:
            self.on_cut(self._cut_at[1])
        return taken

    @property
    def has_room(self) -> bool:
        """Whether `put` takes something or raises."""
        return self._broken or self._end is not None or self._held < self.capacity

    async def wait_room(self) -> None:
        """Wait until `put` takes something or raises; it may come back too early."""
        if self._writer is not None:
            raise trio.BusyResourceError("another task is already writing")
        if self.has_room:
            await trio.lowlevel.checkpoint()
            return
        event = self._writer = trio.Event()
        try:
            await event.wait()
        finally:
            if self._writer is event:
                self._writer = None

    def end(self, how: Cut) -> None:
        """Let the reader find the end behind what was sent. The first end counts."""
        if self._end is None:
            self._end = how
            self._end_due = self._due() if self._delay or self._merge else self._last_due
        self.wake()

    # The reader's side.

    def take(self, most: int) -> bytes | None:
        """Take what has arrived; None if nothing has, `b""` at the end.

        Raises:
            ConnectionResetError: the connection was cut, and all that came before it has been taken.
        """
        data = self._gather(most, consume=True)
        if data:
            self._wake_writer()
        return data

    def peek(self, most: int) -> bytes | None:
        """As `take`, but it stays there."""
        return self._gather(most, consume=False)

    async def wait_data(self) -> None:
        """Wait until `take` gives something or raises; it may come back too early."""
        if self._reader is not None:
            raise trio.BusyResourceError("another task is already reading")
        now = trio.current_time()
        ready = self._ready_at()
        if ready <= now:
            await trio.lowlevel.checkpoint()
            return
        event = self._reader = trio.Event()
        try:
            with trio.move_on_at(ready):
                await event.wait()
        finally:
            if self._reader is event:
                self._reader = None

    def abandon(self) -> None:
        """Nobody reads any more: what lies here is lost, and the writer will learn it."""
        self._broken = True
        self._flight.clear()
        self._held = 0
        self.wake()

    def break_off(self) -> None:
        """Nothing more gets in: the writer is reset; what was sent is still delivered."""
        self._broken = True
        self.wake()

    def wake(self) -> None:
        """Have both sides look again."""
        self._wake_reader()
        self._wake_writer()

    def statistics(self) -> PipeStatistics:
        """What has gone through so far."""
        return PipeStatistics(self._sent, self._delivered, self._held)

    def _wake_reader(self) -> None:
        if self._reader is not None:
            self._reader.set()
            self._reader = None

    def _wake_writer(self) -> None:
        if self._writer is not None:
            self._writer.set()
            self._writer = None

    def _due(self) -> float:
        if self._delay or self._merge:
            now = trio.current_time()
            if self._merge and now >= self._merge_until:
                self._merge_until = now + self._merge
            due = max(now, self._merge_until if self._merge else now) + self._delay
            self._last_due = max(self._last_due, due)  # nothing overtakes
        return self._last_due

    def _ready_at(self) -> float:
        """When the reader gets something: a time in the past if it can now, infinity if nobody knows."""
        if self._hold_at is not None and self._delivered >= self._hold_at:
            return math.inf
        if self._flight:
            return max(self._flight[0][0], self._slow_until)
        return math.inf if self._end is None else self._end_due

    def _gather(self, most: int, *, consume: bool) -> bytes | None:
        now = trio.current_time()
        if self._ready_at() > now:
            return None
        if not self._flight:
            if self._end is Cut.RST:
                raise ConnectionResetError
            return b""
        left = self._allowed(most)
        parts: list[memoryview] = []
        for due, data in self._flight:
            if left <= 0 or due > now:
                break
            parts.append(data[:left])
            left -= len(parts[-1])
        gathered = b"".join(parts)
        if consume:
            self._consume(len(gathered), now)
        return gathered

    def _allowed(self, most: int) -> int:
        if self._hold_at is not None:
            most = min(most, self._hold_at - self._delivered)
        if self._rate is not None:
            most = min(most, max(1, int(self._rate * _SLOW_STEP)))
        if self._segments is not None and self._segment == 0:
            self._segment = next(self._segments, 0)
            if self._segment == 0:
                self._segments = None
        return min(most, self._segment) if self._segments is not None else most

    def _consume(self, count: int, now: float) -> None:
        self._delivered += count
        self._held -= count
        if self._segments is not None:
            self._segment -= count
        if self._rate is not None:
            self._slow_until = now + count / self._rate
        while count:
            due, data = self._flight[0]
            if len(data) > count:
                self._flight[0] = (due, data[count:])
                return
            count -= len(data)
            self._flight.popleft()
