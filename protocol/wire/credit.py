"""Byte credit of streams: how much one side may send before the other has consumed.

`SendCredit` is the sender's account, `ReceiveWindow` the receiver's; `WindowPool` bounds the sum of
what one receiver has granted on a connection. A message may leave while its stream's credit is
above zero and may take it below, so a message of any permitted size always gets through.

A new stream's credit is small, for it counts for every open call. It grows to the full window with
the first bytes that are consumed, as far as the pool allows; so many streams at once stay slow and
bounded rather than fast and unbounded, and none ever gets less than it began with.
"""

from __future__ import annotations

from protocol.wire.errors import GoawayCode, RemoteProtocolError


class WindowPool:
    """What all windows of a connection may add up to beyond what each began with."""

    __slots__ = ("free",)

    def __init__(self, size: int) -> None:
        self.free = size

    def take(self, wanted: int) -> int:
        """Take up to `wanted` bytes; returns how many it got."""
        taken = min(wanted, self.free)
        self.free -= taken
        return taken


class ReceiveWindow:
    """The receiver's account of one stream."""

    __slots__ = ("_consumed", "_grown", "_left", "_most", "_pool", "_size")

    def __init__(self, initial: int, most: int, pool: WindowPool) -> None:
        self._left = initial  # what the sender may still send
        self._size = initial
        self._most = max(initial, most)
        self._pool = pool
        self._grown = 0
        self._consumed = 0  # consumed but not yet granted again

    def receive(self, size: int) -> None:
        """Take note of a received message; raises RemoteProtocolError where there was no credit for it."""
        if self._left <= 0:
            raise RemoteProtocolError(
                "more was sent on a stream than there was credit for", GoawayCode.FLOW_CONTROL
            )
        self._left -= size

    def consume(self, size: int) -> int:
        """Take note that the application consumed `size` bytes.

        Returns:
            The bytes to grant now, or 0 where a grant is not worth a frame yet.
        """
        self._consumed += size
        growth = 0
        if self._size < self._most:
            growth = self._pool.take(self._most - self._size)
            self._size += growth
            self._grown += growth
        if not growth and self._consumed * 2 < self._size:
            return 0
        grant = self._consumed + growth
        self._consumed = 0
        self._left += grant
        return grant

    def close(self) -> None:
        """Give what the window had grown by back to the pool."""
        self._pool.free += self._grown
        self._grown = 0


class SendCredit:
    """The sender's account of one stream.

    Attributes:
        left: bytes; a message may leave while this is above zero.
    """

    __slots__ = ("left",)

    MOST = 1 << 40
    """More credit than any receiver can mean: a peer that adds up to it is out of its mind."""

    def __init__(self, initial: int) -> None:
        self.left = initial

    def spend(self, size: int) -> None:
        """Take note of a message that leaves."""
        self.left -= size

    def grant(self, size: int) -> None:
        """Take note of a received CREDIT."""
        if size <= 0 or self.left + size > self.MOST:
            raise RemoteProtocolError(f"a CREDIT of {size} bytes", GoawayCode.FLOW_CONTROL)
        self.left += size
