"""The clock of all connections of one loop: a single task, which sleeps until the next of them is due.

A task and a deadline for each would be a third of what an idle session costs the server. What is here knows no
connection: it calls what it was given, and asks when to call it again. A due time is not moved when it changes,
which it does with every frame that comes: the call comes early then, and gives the new one.

It is a system task of trio, begun with the first connection and ended after the last: connections of one loop have
no nursery in common, and those of a server can use one no better than a client's can.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import math
from collections.abc import Callable

import trio

logger = logging.getLogger("appserver.connections")

IN_A_ROW = 32
"""Calls after which other tasks have their turn."""


class Clock:
    """Calls functions when they are due."""

    def __init__(self) -> None:
        self._calls: dict[int, Callable[[], float]] = {}
        self._due: list[tuple[float, int]] = []  # a heap; those that were taken out are passed over
        self._numbers = itertools.count()
        self._scope = trio.CancelScope()
        self._runs = False

    def add(self, due: float, call: Callable[[], float]) -> int:
        """Call a function at a time of trio's clock, and again whenever it says.

        Args:
            due: when; infinite for never.
            call: returns when to call it again.

        Returns:
            What `remove` takes.
        """
        number = next(self._numbers)
        self._calls[number] = call
        self._push(due, number)
        if not self._runs:
            self._runs = True
            trio.lowlevel.spawn_system_task(self._run, name="clock of the connections")
        elif due < self._scope.deadline:
            self._scope.deadline = due
        return number

    def remove(self, number: int) -> None:
        """Call a function no more; it may have been removed."""
        self._calls.pop(number, None)

    def _push(self, due: float, number: int) -> None:
        if due < math.inf:
            heapq.heappush(self._due, (due, number))

    async def _run(self) -> None:
        try:
            while self._calls:
                with trio.CancelScope(deadline=self._due[0][0] if self._due else math.inf) as self._scope:
                    await trio.sleep_forever()
                await self._call_due()
        finally:
            self._runs = False
            self._due.clear()

    async def _call_due(self) -> None:
        now = trio.current_time()
        called = 0
        while self._due and self._due[0][0] <= now:
            _, number = heapq.heappop(self._due)
            call = self._calls.get(number)
            if call is None:
                continue
            try:
                self._push(call(), number)
            except Exception:  # one connection's; the others' clock goes on
                logger.exception("the clock of a connection failed")
            called += 1
            if called % IN_A_ROW == 0:
                await trio.lowlevel.checkpoint()


_clock: trio.lowlevel.RunVar[Clock] = trio.lowlevel.RunVar("connections' clock")


def current_clock() -> Clock:
    """The clock of the running loop."""
    try:
        return _clock.get()
    except LookupError:
        clock = Clock()
        _clock.set(clock)
        return clock
