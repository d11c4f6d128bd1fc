"""Positions: how far each side has received the other's frames.

Every frame of the types 0x10 to 0x2f has a position, counted from 1 in the order of leaving, without
being written anywhere; ACK names the last one received. So a later version can replay what a lost
connection swallowed without any change to what travels now. Nothing is kept for replay yet.
"""

from __future__ import annotations

from protocol.wire.errors import RemoteProtocolError

ACK_FRAMES = 256
ACK_BYTES = 512 * 1024
"""An ACK leaves after this many frames or bytes: often enough that a 1 MiB replay buffer never stalls."""


class Session:
    """The positions of one connection.

    Attributes:
        received: position of the last frame received.
        acknowledged: position of the last frame that the other side has confirmed.
    """

    __slots__ = ("_bytes", "_confirmed", "acknowledged", "received")

    def __init__(self) -> None:
        self.received = 0
        self.acknowledged = 0
        self._confirmed = 0
        self._bytes = 0

    def count(self, frames: int, size: int) -> int | None:
        """Take note of received frames that have positions.

        Args:
            frames: that are complete now.
            size: bytes that have come, of these and of others.

        Returns:
            The position to acknowledge now, or None where it is too early.
        """
        self.received += frames
        self._bytes += size
        if self.received - self._confirmed < ACK_FRAMES and (self._bytes < ACK_BYTES or not frames):
            return None
        return self.confirm()

    def confirm(self) -> int:
        """The position to acknowledge, where one leaves now: also before it must, together with something else."""
        self._confirmed = self.received
        self._bytes = 0
        return self.received

    def acknowledge(self, position: int, sent: int) -> None:
        """Take note of a received ACK; `sent` is the position of the last frame that left."""
        if not self.acknowledged <= position <= sent:
            raise RemoteProtocolError(f"ACK {position}, but the last frame sent was {sent}")
        self.acknowledged = position
