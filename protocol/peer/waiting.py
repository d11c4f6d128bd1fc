"""Tasks that wait for what comes on a stream; a large message comes only while there is one (`protocol.wire.flow`)."""

from __future__ import annotations

from collections.abc import Callable

import trio

Await = Callable[[bool], object]
"""Tells a connection that the application waits for an announced message (True), or does not any more (False)."""


class Waiters:
    """The tasks that wait for the same thing; it is true while there are any."""

    __slots__ = ("_event",)

    def __init__(self) -> None:
        self._event: trio.Event | None = None

    async def wait(self, tell: Await | None = None) -> None:
        """Wait for the next `wake`.

        Args:
            tell: called with True where this task is the first, with False when all have given up.
        """
        event = self._event
        if event is None:
            event = self._event = trio.Event()
            if tell is not None:
                tell(True)
        try:
            await event.wait()
        finally:
            if self._event is event and not event.statistics().tasks_waiting:
                self._event = None
                if tell is not None:
                    tell(False)

    def wake(self) -> None:
        """Wake all; who waits from now on waits for the next time."""
        if self._event is not None:
            self._event.set()
            self._event = None

    def __bool__(self) -> bool:
        return self._event is not None
