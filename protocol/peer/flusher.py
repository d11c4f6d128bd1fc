"""What several tasks have queued leaves in the loop's next pass, from one task for all connections of a loop.

A writing task a connection would have to be woken for each batch of calls, which costs more than the writing where many
connections are busy.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from protocol.peer.waiting import Waiters

WRITES_IN_A_ROW = 128
"""Connections that are written to before other tasks have their turn."""


class Flusher:
    """Calls functions that write, in the loop's next pass; to be made in that loop."""

    def __init__(self) -> None:
        self._calls: list[Callable[[], object]] = []
        self._waiters = Waiters()  # its task
        trio.lowlevel.spawn_system_task(self._run, name="flusher of the connections")

    def add(self, call: Callable[[], object]) -> None:
        """Call a function soon, once.

        Args:
            call: must not raise.
        """
        self._calls.append(call)
        self._waiters.wake()

    async def _run(self) -> None:
        while True:
            if not self._calls:
                await self._waiters.wait()
            calls = self._calls[:WRITES_IN_A_ROW]
            del self._calls[:WRITES_IN_A_ROW]
            for call in calls:
                call()
            if self._calls:  # what was added meanwhile is written in the next pass
                await trio.lowlevel.checkpoint()


_flusher: trio.lowlevel.RunVar[Flusher] = trio.lowlevel.RunVar("connections' flusher")


def current_flusher() -> Flusher:
    """That of the running loop."""
    try:
        return _flusher.get()
    except LookupError:
        flusher = Flusher()
        _flusher.set(flusher)
        return flusher
