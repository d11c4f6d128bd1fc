"""Tasks that wait until another one has something for them: for what comes on a stream, for work, for their turn."""

from __future__ import annotations

from collections.abc import Callable

import trio

Await = Callable[[bool], object]
"""Tells a connection that the application waits for an announced message (True), or does not any more (False)."""


class Waiters:
    """The tasks that wait for the same thing; it is true while there are any.

    It reschedules them itself: a `trio.Event` for each wait costs twice the time, and is garbage afterwards.
    """

    __slots__ = ("_tasks",)

    def __init__(self) -> None:
        self._tasks: list[trio.lowlevel.Task] | None = (
            None  # an idle connection has some of these, without a list
        )

    async def wait(self, tell: Await | None = None) -> None:
        """Wait for the next `wake`.

        Args:
            tell: called with True where this task is the first, with False when all have given up: a large message
                comes only while somebody waits for it (`protocol.wire.flow`).
        """
        task = trio.lowlevel.current_task()
        if tell is not None and not self._tasks:
            tell(True)
        if self._tasks is None:
            self._tasks = []
        tasks = self._tasks
        tasks.append(task)

        def abort(_: object) -> trio.lowlevel.Abort:
            tasks.remove(task)
            return trio.lowlevel.Abort.SUCCEEDED

        try:
            await trio.lowlevel.wait_task_rescheduled(abort)
        except BaseException:
            if tell is not None and not self._tasks:
                tell(False)
            raise

    def wake(self) -> None:
        """Wake all; who waits from now on waits for the next time."""
        if self._tasks:
            tasks, self._tasks = self._tasks, None
            for task in tasks:
                trio.lowlevel.reschedule(task)

    def __bool__(self) -> bool:
        return bool(self._tasks)
