"""What leaves next: the order of outgoing frames.

Three classes, control before interactive before bulk, strictly; within a class the streams take
turns, a frame at a time. So a download of any size delays a call's answer by one frame at most, and
a slow-reading peer's ping is answered at once.

A call or result of one frame, which nearly all are, goes into its class's queue as the bytes it is: it is
the only one of its stream. Streams with items, events or longer messages get a `_Lane` of their own
while something of them waits. The order within a stream is always kept: what follows joins its lane,
and the CALL before it is interactive, which leaves before anything bulk anyway.

It counts positions (docs/protocol.md, "Sessions") as frames leave, and knows nothing of their meaning.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from protocol.wire.framing import HEADER, MORE, FrameType
from protocol.wire.limits import OPEN_MESSAGES


class _Lane:
    """The waiting frames of one stream."""

    __slots__ = ("frames", "midway", "stream")

    def __init__(self, stream: int) -> None:
        self.stream = stream
        self.frames: deque[bytes] = deque()
        self.midway = False  # the first frames of a message have left, its last one has not


_Ring = deque[Any] | list[Any]
"""The lanes of a class that take turns."""


class Scheduler:
    """Outgoing frames of one connection.

    Attributes:
        size: bytes waiting.
        position: frames with a position that have left.
    """

    __slots__ = (
        "_bulk",
        "_control",
        "_interactive",
        "_lanes",
        "_messages",
        "_parked",
        "_urgent",
        "position",
        "size",
    )

    def __init__(self) -> None:
        # Lists where few wait: a deque takes 0.7 KiB, which counts on thousands of idle connections.
        self._control: list[bytes] = []  # without a position: PING PONG ACK GOAWAY and the handshake
        self._urgent: list[bytes] = []  # with one: CREDIT
        self._interactive: deque[bytes | _Lane] = deque()
        self._bulk: list[_Lane] = []
        self._lanes: dict[int, _Lane] = {}
        self._parked: list[tuple[_Ring, _Lane]] = []
        self._messages = 0  # messages of several frames under way, at most OPEN_MESSAGES
        self.size = 0
        self.position = 0

    def push_control(self, frame: bytes) -> None:
        """Queue a frame without a position; it leaves first."""
        self._control.append(frame)
        self.size += len(frame)

    def push_urgent(self, frame: bytes) -> None:
        """Queue a frame with a position that is small and must not wait behind messages."""
        self._urgent.append(frame)
        self.size += len(frame)

    def push(self, stream: int, frames: list[bytes], *, bulk: bool = False) -> None:
        """Queue the frames of one message of a stream."""
        lane = self._lanes.get(stream)
        if lane is None:
            lane = self._lanes[stream] = _Lane(stream)
            (self._bulk if bulk else self._interactive).append(lane)
        lane.frames.extend(frames)
        self.size += sum(map(len, frames))

    def push_small(self, stream: int, frame: bytes) -> None:
        """Queue an interactive message of one frame, one of few of its stream: calls and results."""
        if stream in self._lanes:
            self._lanes[stream].frames.append(frame)
        else:
            self._interactive.append(frame)
        self.size += len(frame)

    @property
    def is_empty(self) -> bool:
        """Whether no message waits: the next one is alone, and takes no turns with others."""
        return not self._interactive and not self._bulk

    @property
    def holds_bulk(self) -> bool:
        """Whether something bulk waits for its turn."""
        return bool(self._bulk)

    def pull(self, most: int) -> bytes:
        """Take what leaves next.

        Args:
            most: bytes at which to stop; exceeded by one frame at most.

        Returns:
            Whole frames. Bulk frames come one at a time, and only when nothing else waits, so that
            what becomes urgent while they are written is next.
        """
        interactive = self._interactive
        unpositioned = len(self._control)
        taken = self._control + self._urgent
        size = 0
        if taken:
            self._control.clear()
            self._urgent.clear()
            size = sum(map(len, taken))
        elif len(interactive) == 1 and most and type(interactive[0]) is bytes:  # as mostly
            frame: bytes = interactive.popleft()  # type: ignore[assignment]
            self.size -= len(frame)
            self.position += 1
            return frame
        while interactive and size < most:
            item = interactive.popleft()
            if type(item) is not bytes:
                next_frame = self._next_of(item, interactive)  # type: ignore[arg-type]
                if next_frame is None:
                    continue
                item = next_frame
            taken.append(item)
            size += len(item)
        while not taken and self._bulk:
            bulk_frame = self._next_of(self._bulk.pop(0), self._bulk)
            if bulk_frame is not None:
                taken.append(bulk_frame)
                size = len(bulk_frame)
        self.size -= size
        self.position += len(taken) - unpositioned
        return taken[0] if len(taken) == 1 else b"".join(taken)

    def _next_of(self, lane: _Lane, ring: _Ring) -> bytes | None:
        """A lane's next frame, or None where its message has to wait for one of those under way."""
        frame = lane.frames[0]
        more = frame[5] & MORE
        if more and not lane.midway:
            if self._messages >= OPEN_MESSAGES:
                self._parked.append((ring, lane))
                return None
            self._messages += 1
            lane.midway = True
        elif lane.midway and not more:
            lane.midway = False
            self._messages -= 1
            if self._parked:
                waiting_ring, waiting = self._parked.pop(0)
                waiting_ring.append(waiting)
        lane.frames.popleft()
        if lane.frames:
            ring.append(lane)
        else:
            del self._lanes[lane.stream]
        return frame

    def unsent_calls(self) -> set[int]:
        """The streams whose CALL, or its last frame, has not left: their handlers cannot have started."""
        lanes = [item for item in (*self._interactive, *self._bulk) if isinstance(item, _Lane)]
        lanes.extend(lane for _, lane in self._parked)
        frames = [item for item in self._interactive if isinstance(item, bytes)]
        frames.extend(frame for lane in lanes for frame in lane.frames)
        return {
            stream
            for _, kind, flags, stream in (HEADER.unpack_from(frame) for frame in frames)
            if kind == FrameType.CALL and not flags & MORE
        }

    def __bool__(self) -> bool:
        return self.size > 0
