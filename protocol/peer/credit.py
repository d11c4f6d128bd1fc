"""Credit both ways: senders of this side that wait for the other side's, and what this side uses and grants anew."""

from __future__ import annotations

from collections.abc import Callable

import trio

from protocol.peer.waiting import Waiters
from protocol.wire.connection import Connection


class CreditWaits:
    """The credit of one connection: who waits for it, at most one sender a stream, and what is granted anew.

    Args:
        connection: its core.
        wake: called when something was queued to be sent.
        lost: makes the exception for who still waits when the connection is over.
    """

    def __init__(
        self, connection: Connection, wake: Callable[[], object], lost: Callable[[], Exception]
    ) -> None:
        self._connection = connection
        self._wake = wake
        self._lost = lost
        self._waiting: dict[int, trio.Event] = {}
        self._turns = Waiters()  # of blobs
        self._over = False

    async def wait(self, stream: int, size: int | None = None) -> int:
        """Wait until a message of `size` bytes may be sent on a stream; without it, until one of any size may.

        Returns:
            The bytes that may be sent.

        Raises:
            MessageTooLarge: the other side accepts no message of this size.
            ConnectionLost: the connection is over.
        """
        connection = self._connection
        if size is not None and connection.announce_data(stream, size):
            self._wake()
        while (credit := connection.credit_of(stream)) < (size or 1) and not self._over:
            waiting = self._waiting[stream] = trio.Event()
            try:
                await waiting.wait()
            finally:
                self._waiting.pop(stream, None)
        if self._over:
            raise self._lost()
        await trio.lowlevel.checkpoint_if_cancelled()
        return credit

    def granted(self, stream: int) -> None:
        """Take note that there is more credit on a stream."""
        waiting = self._waiting.pop(stream, None)
        if waiting is not None:
            waiting.set()

    def consume(self, stream: int, size: int) -> None:
        """The application has used so many received bytes, or nobody needs them: let as many come."""
        if self._connection.flow.consume(stream, size):
            self._wake()

    async def wait_turn(self) -> None:
        """Wait until all that is bulk has left: content is taken no faster, and lies in its file until then."""
        while self._connection.outbox.scheduler.holds_bulk and not self._over:
            await self._turns.wait()

    def written(self) -> None:
        """Take note that the transport has taken something."""
        if self._turns and not self._connection.outbox.scheduler.holds_bulk:
            self._turns.wake()

    def give_up(self) -> None:
        """The connection is over: wake all who wait."""
        self._over = True
        self._turns.wake()
        for waiting in self._waiting.values():
            waiting.set()
        self._waiting.clear()
