"""What arrives on the streams of calls, either way: items, or the pieces of a blob.

A large item comes only while the application waits for it (`protocol.wire.flow`), so `Incoming` tells the
connection when somebody begins to wait for an announced one, and when nobody does any more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

import trio

from protocol.peer.pending import own_deadline_first
from protocol.peer.waiting import Await, Waiters
from protocol.wire import codes
from protocol.wire.errors import ErrorInfo, Executed


class Incoming:
    """What arrives on one stream: packed items, or the pieces of a blob.

    It is the `owner` of a call that this side opened, and the receiving half of one that the other side did.

    Args:
        method: qualified name, for errors.
        consumed: called with the bytes of each item that was taken, to grant new credit.

    Attributes:
        head: a blob's description, once it came.
        trailer: the map of the END frame, once it came.
        error: why no more will come, where that is not the regular end.
        ended: nothing more will come.
    """

    __slots__ = (
        "_announced",
        "_consumed",
        "_head_waiters",
        "_items",
        "_waiters",
        "ended",
        "error",
        "head",
        "method",
        "trailer",
    )

    def __init__(self, method: str, consumed: Callable[[int], None]) -> None:
        self.method = method
        self._consumed = consumed
        self._items: deque[bytes] = deque()
        self._waiters = Waiters()  # for an item
        self._head_waiters = Waiters()
        self._announced: Await | None = None
        self.head: dict[str, Any] | None = None
        self.trailer: dict[str, Any] = {}
        self.error: ErrorInfo | None = None
        self.ended = False

    def put(self, item: bytes) -> None:
        """Take an item from the connection."""
        self._items.append(item)
        self._announced = None
        self._wake()

    def announce(self, announced: Await) -> None:
        """Take note that the next item is a large one, which comes when `announced` is told to wait for it."""
        self._announced = announced
        if self._waiters:
            announced(True)

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
        """Wait for a blob's description; an empty one where the stream ended without, or content came first.

        Nothing is let in meanwhile that was announced: it is the content that the application waits for then.
        """
        while self.head is None and not self.ended:
            if self._items:
                self._items.clear()
                text = "content of a blob came before its head"
                self.settle(ErrorInfo(codes.BLOB_DAMAGED, text, Executed.MAYBE))
                break
            await self._head_waiters.wait()
        await (
            trio.lowlevel.checkpoint_if_cancelled()
        )  # a cancelled call ends what comes, and the handler, too
        return self.head or {}

    async def get(self) -> bytes | None:
        """Take the next item; None where no more will come (see `error`)."""
        if not self._items:
            while not self._items and not self.ended:
                await self._waiters.wait(self._await_announced)
            if not self._items:
                await trio.lowlevel.checkpoint_if_cancelled()  # as above
                await own_deadline_first(self.error)
                return None
        else:
            await trio.lowlevel.checkpoint_if_cancelled()
        item = self._items.popleft()
        self._consumed(len(item))
        return item

    def _await_announced(self, waiting: bool) -> None:
        """Let a large item come that was announced, or not any more."""
        if self._announced is not None:
            self._announced(waiting)

    def _wake(self) -> None:
        self._waiters.wake()
        self._head_waiters.wake()


class IncomingTable(dict[int, Incoming]):
    """What callers send beside their arguments, by stream.

    Args:
        consume: called with a stream and the bytes of each item that was taken from it.
    """

    def __init__(self, consume: Callable[[int, int], None]) -> None:
        super().__init__()
        self._consume = consume

    def open(self, stream: int, method: str) -> Incoming:
        """Receive what comes on a stream; what came already is there."""
        incoming = self.get(stream)
        if incoming is None:
            consume = self._consume
            incoming = self[stream] = Incoming(method, lambda size: consume(stream, size))
        return incoming

    def fail(self, stream: int, error: ErrorInfo) -> None:
        """End what comes on a stream; nothing where it has ended, or there is none."""
        incoming = self.get(stream)
        if incoming is not None and not incoming.ended:
            incoming.settle(error)

    def fail_all(self, error: ErrorInfo) -> None:
        """End all: a handler that shields itself would wait for ever."""
        for stream in self:
            self.fail(stream, error)
