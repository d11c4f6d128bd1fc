"""Busy polling: to look for what comes at once, instead of going to sleep before it.

Theory of operation. Where one call follows another on a fast way, each side goes to sleep for some fifty microseconds
at a time. To be woken takes the operating system about as long, and both sides wait for it: a process that sleeps
twice in a call spends most of it on that. So a side that had its last waits over soon looks again and again for a
while, and sleeps only then. For calls that takes no more processor time than going to sleep does. A peer that sends
something small every 0.1 ms all the time keeps a processor busy so, alone; with two of them it is not done.

It ends where it does not pay. One look for nothing, on a slow network, behind a slow handler or where the processors
have other work, and it asks for twice as many short waits before the next. It is not done while other connections
of the loop are busy, and never where the process has a single processor, which the other side may need.
In a loop it is done pass by pass: other tasks go on, and a wait is cancelled as ever.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from typing import Final

import trio

from protocol.transport import Transport, poller

PATIENCE: Final = 150e-6
"""Seconds for which is looked."""
SHORT: Final = 400e-6
"""Seconds of a wait that counts as short: a while, and what being woken takes."""
FEWEST: Final = 4
"""Short waits, one after another, that are asked for at least."""
MOST: Final = 4096
"""And at most, after many looks for nothing."""
MISSED: Final = 2.0
"""So many times as many are asked for after a look for nothing."""
FOUND: Final = 0.9
"""And after one that found something: it goes on where seven looks of eight do."""
LOOKS: Final = 8
"""Looks between two passes of the loop."""


class BusyPolling:
    """Busy polling of one connection.

    Args:
        transport: the connection.
    """

    __slots__ = ("_asked", "_short", "_transport")

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._short = 0  # waits, one after another
        self._asked: float = FEWEST if transport.fileno() >= 0 and processors() > 1 else math.inf

    @property
    def is_due(self) -> bool:
        """Whether to poll before the next wait."""
        return self._short >= self._asked

    def note(self, seconds: float) -> None:
        """A wait for the connection took so long."""
        self._short = self._short + 1 if seconds < SHORT else 0

    def reset(self) -> None:
        """Something else is going on: count from the beginning."""
        self._short = 0

    async def poll(self) -> bool:
        """Look for what is expected while other tasks go on; returns whether something has come."""
        look = poller(self._transport.fileno())
        until = time.perf_counter() + PATIENCE
        while True:
            await trio.lowlevel.checkpoint()
            for _ in range(LOOKS):
                if look(0):
                    return self._found()
            if time.perf_counter() > until:
                return self._missed()

    def poll_in_thread(self, look: Callable[[float], bool], seconds: float) -> bool:
        """Look for what is expected, in a thread outside of the loop.

        Args:
            look: tells whether it is there, as `protocol.transport.poller` makes it.
            seconds: for which to wait at most.

        Returns:
            Whether something has come.
        """
        until = time.perf_counter() + min(PATIENCE, seconds)
        while not look(0):
            if time.perf_counter() > until:
                return self._missed()
        return self._found()

    def _found(self) -> bool:
        self._asked = max(FEWEST, self._asked * FOUND)
        return True

    def _missed(self) -> bool:
        self._short = 0
        self._asked = min(self._asked * MISSED, MOST)
        return False


def processors() -> int:
    """How many processors this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1
