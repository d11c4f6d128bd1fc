"""Senders of this side that wait until the other side has room for what they send."""

from __future__ import annotations

from collections.abc import Callable

import trio

from protocol.wire.connection import Connection


class CreditWaits:
    """Who waits for credit on one connection: at most one sender a stream.

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

    def give_up(self) -> None:
        """The connection is over: wake all who wait."""
        self._over = True
        for waiting in self._waiting.values():
            waiting.set()
        self._waiting.clear()
