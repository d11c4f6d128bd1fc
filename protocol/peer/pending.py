"""Calls of this side that wait for one result: the `owner`s that the connection's core reports it with."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import trio

from protocol.wire import codes
from protocol.wire.errors import ErrorInfo

Extra = dict[str, object]
"""The optional map of a CALL."""

SAME_DEADLINE = 1.0
"""Seconds by which two sides may notice one deadline apart; a handler may also have set a nearer one itself."""


class PendingCall:
    """One call that waits for RESULT or ERROR.

    Attributes:
        method: qualified name, for errors.
        outcome: the packed result, or what failed.
        done: whether the outcome is there.
        in_thread: whether a thread outside of the loop waits for it.
    """

    __slots__ = ("_task", "done", "method", "outcome")
    in_thread = False

    def __init__(self, method: str) -> None:
        self.method = method
        self.outcome: bytes | ErrorInfo = b""
        self.done = False
        self._task: trio.lowlevel.Task | None = None

    def settle(self, outcome: bytes | ErrorInfo) -> None:
        """Take the outcome and wake who waits."""
        self.outcome = outcome
        self.done = True
        if self._task is not None:
            trio.lowlevel.reschedule(self._task)
            self._task = None

    def settled(self) -> Coroutine[Any, Any, object]:
        """Wait until the outcome is there."""
        if self.done:
            return trio.lowlevel.checkpoint()  # noqa: ASYNC105 - whoever asked awaits it
        self._task = trio.lowlevel.current_task()
        return trio.lowlevel.wait_task_rescheduled(self._abandon)  # noqa: ASYNC105 - likewise

    async def wait(self) -> bytes | ErrorInfo:
        """Wait for the outcome."""
        await self.settled()
        if type(self.outcome) is not bytes:
            await own_deadline_first(self.outcome)
        return self.outcome

    def _abandon(self, _: object) -> trio.lowlevel.Abort:
        self._task = None
        return trio.lowlevel.Abort.SUCCEEDED


async def own_deadline_first(outcome: object) -> None:
    """Let the caller's own cancel scope speak where the other side noticed the same deadline earlier.

    A deadline that travels with a call is that of the scope around it, so `move_on_after` and
    `fail_after` behave as they do without a connection.
    """
    if isinstance(outcome, ErrorInfo) and outcome.code == codes.DEADLINE_EXCEEDED:
        deadline = trio.current_effective_deadline()
        if deadline - trio.current_time() < SAME_DEADLINE:
            await trio.sleep_until(deadline)
