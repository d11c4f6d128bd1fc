"""Messages on their way out: cut into frames as the other side accepts them, and queued.

It knows the form of frames and the other side's limits, and nothing of what may be sent when.
"""

from __future__ import annotations

from protocol.wire.errors import ErrorInfo, MessageTooLarge
from protocol.wire.framing import HEADER, FrameType, encode_frame, encode_message
from protocol.wire.limits import Limits
from protocol.wire.scheduler import Scheduler
from protocol.wire.shortening import encode_short_error

_pack_header = HEADER.pack
_REPEATED = frozenset({FrameType.DATA, FrameType.EVENT})  # many of one stream may wait: streams take turns


class Outbox:
    """The outgoing half of one connection.

    Attributes:
        scheduler: the frames that wait.
        largest_frame: bytes of payload that both sides take in one frame.
        largest_message: bytes that the other side takes in one message.
    """

    __slots__ = ("largest_frame", "largest_message", "scheduler")

    def __init__(self, own: Limits) -> None:
        self.scheduler = Scheduler()
        self.set_limits(own, Limits())

    def set_limits(self, own: Limits, peer: Limits) -> None:
        """Take note of what the other side stated."""
        self.largest_frame = min(own.frame, peer.frame)
        self.largest_message = peer.message

    def clear(self) -> None:
        """Forget all that waits: the connection is over."""
        self.scheduler = Scheduler()

    def control(self, kind: FrameType, payload: bytes) -> None:
        """Queue a frame without a position, ahead of all that have one; in pieces if need be."""
        for frame in encode_message(kind, 0, 0, payload, self.largest_frame):
            self.scheduler.push_control(frame)

    def urgent(self, kind: FrameType, stream: int, payload: bytes) -> None:
        """Queue a small frame of a stream ahead of all messages."""
        self.scheduler.push_urgent(encode_frame(kind, 0, stream, payload))

    def error(self, error: ErrorInfo) -> bytes:
        """The payload of ERROR, short enough for the other side."""
        return encode_short_error(error, self.largest_message)

    def check_size(self, size: int) -> None:
        """Raise MessageTooLarge for a message that the other side does not accept."""
        if size > self.largest_message:
            raise MessageTooLarge(size, self.largest_message)

    def send(
        self, kind: FrameType, stream: int, payload: bytes | memoryview, *, bulk: bool = False, flags: int = 0
    ) -> None:
        """Queue a message of a stream; the payload is copied.

        Raises:
            MessageTooLarge: the other side does not accept it; nothing was queued.
        """
        size = len(payload)
        if size > self.largest_message:
            raise MessageTooLarge(size, self.largest_message)
        if size <= self.largest_frame and (
            kind not in _REPEATED or (kind == FrameType.EVENT and self.scheduler.is_empty)
        ):
            self.scheduler.push_small(stream, _pack_header(size, kind, flags, stream) + payload)
        else:
            frames = encode_message(kind, flags, stream, payload, self.largest_frame)
            self.scheduler.push(stream, frames, bulk=bulk)
