"""Calls of this side that wait for their outcome.

These are the `owner`s that the connection's core reports results with. `PendingCall` waits for one
result; `Incoming` (also the receiving half of a call that the other side opened) for many items.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import trio

from protocol.wire import codes
from protocol.wire.errors import ErrorInfo, Executed

SAME_DEADLINE = 1.0
"""Seconds by which two sides may notice one deadline apart; a handler may also have set a nearer one itself."""


class PendingCall:
    """One call that waits for RESULT or ERROR.

    Attributes:
        method: qualified name, for errors.
        outcome: the packed result, or what failed.
        done: whether the outcome is there.
    """

    __slots__ = ("_task", "done", "method", "outcome")

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

    async def wait(self) -> bytes | ErrorInfo:
        """Wait for the outcome."""
        if self.done:
            await trio.lowlevel.checkpoint()
        else:
            self._task = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._abandon)
        if type(self.outcome) is not bytes:
            await _own_deadline_first(self.outcome)
        return self.outcome

    def _abandon(self, _: object) -> trio.lowlevel.Abort:
        self._task = None
        return trio.lowlevel.Abort.SUCCEEDED


class Incoming:
    """What arrives on one stream: packed items, or the pieces of a blob.

    Args:
        method: qualified name, for errors.
        consumed: called with the bytes of each item that was taken, to grant new credit.

    Attributes:
        head: a blob's description, once it came.
        trailer: the map of the END frame, once it came.
        error: why no more will come, where that is not the regular end.
        ended: nothing more will come.
    """

    __slots__ = ("_admit", "_consumed", "_items", "_waiting", "ended", "error", "head", "method", "trailer")

    def __init__(self, method: str, consumed: Callable[[int], None]) -> None:
        self.method = method
        self._consumed = consumed
        self._items: deque[bytes] = deque()
        self._waiting: trio.Event | None = None
        self._admit: Callable[[], object] | None = None
        self.head: dict[str, Any] | None = None
        self.trailer: dict[str, Any] = {}
        self.error: ErrorInfo | None = None
        self.ended = False

    def put(self, item: bytes) -> None:
        """Take an item from the connection."""
        self._items.append(item)
        self._wake()

    def announce(self, admit: Callable[[], object]) -> None:
        """Take note that the next item is a large one: `admit`, called when it is waited for, lets it come."""
        if self._waiting is not None:
            admit()
        else:
            self._admit = admit

    def put_head(self, head: dict[str, Any]) -> None:
        """Take a blob's description from the connection."""
        if self.head is None:
            self.head = head
            self._wake()

    def end(self, trailer: dict[str, Any]) -> None:
        """Take note that all items have come."""
        self.trailer = trailer
        self.ended = True
        self._wake()

    def settle(self, outcome: bytes | ErrorInfo) -> None:
        """Take note of the failure of the call (a RESULT here is a failure too: items were due)."""
        if not isinstance(outcome, ErrorInfo):
            outcome = ErrorInfo(codes.INVALID_RESULT, "a value came instead of items", Executed.YES)
        self.error = outcome
        self.ended = True
        self._wake()

    async def wait_head(self) -> dict[str, Any]:
        """Wait for a blob's description; an empty one where the stream ended without."""
        while self.head is None and not self.ended:
            await self._wait()
        return self.head or {}

    async def get(self) -> bytes | None:
        """Take the next item; None where no more will come (see `error`)."""
        if not self._items:
            while not self._items and not self.ended:
                await self._wait()
            if not self._items:
                await _own_deadline_first(self.error)
                return None
        else:
            await trio.lowlevel.checkpoint_if_cancelled()
        item = self._items.popleft()
        self._consumed(len(item))
        return item

    async def _wait(self) -> None:
        if self._waiting is None:
            self._waiting = trio.Event()
            if self._admit is not None:
                self._admit()
                self._admit = None
        await self._waiting.wait()

    def _wake(self) -> None:
        if self._waiting is not None:
            self._waiting.set()
            self._waiting = None


async def _own_deadline_first(outcome: object) -> None:
    """Let the caller's own cancel scope speak where the other side noticed the same deadline earlier.

    A deadline that travels with a call is that of the scope around it, so `move_on_after` and
    `fail_after` behave as they do without a connection.
    """
    if isinstance(outcome, ErrorInfo) and outcome.code == codes.DEADLINE_EXCEEDED:
        deadline = trio.current_effective_deadline()
        if deadline - trio.current_time() < SAME_DEADLINE:
            await trio.sleep_until(deadline)
