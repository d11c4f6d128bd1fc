"""Byte credit of one stream: how much one side may send before the other has consumed.

`SendCredit` is the sender's account, `ReceiveWindow` the receiver's; `WindowPool` bounds what the windows
of one connection grow by. A message leaves when its stream's credit covers it, so no account is ever
overdrawn, and what a receiver can be made to hold is what it has granted.

A new stream's credit is small, for it counts for every open call. It grows to the full window with
the first bytes that are consumed, as far as the pool allows; so many streams at once stay slow and
bounded rather than fast and unbounded, and none ever gets less than it began with.

A message larger than a window would wait for ever. Its sender says BLOCKED, and the receiver advances what
is missing once its application waits for that message: `protocol.wire.flow` says when.
"""

from __future__ import annotations

from protocol.wire.errors import GoawayCode, LocalProtocolError, RemoteProtocolError


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
    """The receiver's account of one stream.

    Attributes:
        blocked: bytes of the message that the sender has announced with BLOCKED, 0 for none.
        advanced: bytes granted beyond the window for that message, until it has come.
    """

    __slots__ = ("_grown", "_left", "_most", "_owed", "_pool", "_size", "advanced", "blocked")

    def __init__(self, initial: int, most: int, pool: WindowPool) -> None:
        self._left = initial  # what the sender may still send
        self._size = initial
        self._most = max(initial, most)
        self._pool = pool
        self._grown = 0
        self._owed = 0  # what may be granted and was not yet; below zero while an advance is paid off
        self.blocked = 0
        self.advanced = 0

    def receive(self, size: int) -> int:
        """Take note of a received message.

        Returns:
            The bytes of an advance that it has used up.

        Raises:
            RemoteProtocolError: there was no credit for it, or another message was announced.
        """
        if self.blocked and size != self.blocked:
            raise RemoteProtocolError(f"{self.blocked} bytes were announced by BLOCKED, and {size} came")
        if size > self._left:
            raise RemoteProtocolError(
                "more was sent on a stream than there was credit for", GoawayCode.FLOW_CONTROL
            )
        self._left -= size
        if not self.blocked:
            return 0
        advanced, self.advanced, self.blocked = self.advanced, 0, 0
        self._owed -= advanced
        return advanced

    def consume(self, size: int) -> int:
        """Take note that the application consumed `size` bytes.

        Returns:
            The bytes to grant now, or 0 where a grant is not worth a frame yet.
        """
        self._owed += size
        if (self._size < self._most and self._grow()) or self._owed * 2 >= self._size:
            return self._grant()
        return 0

    def block(self, size: int) -> int:
        """Take note that the sender waits with a message of `size` bytes.

        Returns:
            The bytes to grant now: all that the window has, worth a frame or not.
        """
        if self.blocked:
            raise RemoteProtocolError("BLOCKED twice for one message")
        self.blocked = size
        self._grow()
        return self._grant()

    @property
    def missing(self) -> int:
        """Bytes that the announced message needs beyond what may be sent; 0 or less where it may come."""
        return self.blocked - self._left

    def advance(self) -> int:
        """Grant what is missing for the announced message; returns the bytes, which the window gets back."""
        self.advanced = self.missing
        self._left = self.blocked
        return self.advanced

    def close(self) -> None:
        """Give what the window had grown by back to the pool."""
        self._pool.free += self._grown
        self._grown = 0

    def _grow(self) -> int:
        growth = self._pool.take(self._most - self._size)
        self._size += growth
        self._grown += growth
        self._owed += growth
        return growth

    def _grant(self) -> int:
        grant = max(0, self._owed)
        self._owed -= grant
        self._left += grant
        return grant


class SendCredit:
    """The sender's account of one stream.

    Attributes:
        left: bytes that may be sent.
        announced: bytes of the message that BLOCKED has announced, 0 for none: it is the next to be sent.
    """

    __slots__ = ("_initial", "announced", "left")

    MOST = 1 << 40
    """More credit than any receiver can mean: a peer that adds up to it is out of its mind."""

    def __init__(self, initial: int) -> None:
        self._initial = initial
        self.left = initial
        self.announced = 0

    def spend(self, size: int) -> None:
        """Take note of a message that leaves; raises LocalProtocolError where it may not."""
        if size > self.left:
            raise LocalProtocolError(f"no credit for a message of {size} bytes, but for {self.left}")
        if self.announced not in (0, size):
            raise LocalProtocolError(f"a message of {self.announced} bytes was announced, not of {size}")
        self.left -= size
        self.announced = 0

    def grant(self, size: int) -> None:
        """Take note of a received CREDIT."""
        if size <= 0 or self.left + size > self.MOST:
            raise RemoteProtocolError(f"a CREDIT of {size} bytes", GoawayCode.FLOW_CONTROL)
        self.left += size

    def announce(self, size: int) -> bool:
        """Take note that a message has to wait; returns whether BLOCKED has to announce it.

        What is no larger than half of what the stream began with needs none: when the receiver has consumed
        everything, it has granted that much.
        """
        if self.announced or size * 2 <= self._initial:
            return False
        self.announced = size
        return True
