"""Frames: ten octets of header, then the payload.

`u32 length | u8 type | u8 flags | u32 stream`, big-endian; `length` counts the payload alone.
It knows what a frame looks like and how large one may be, and nothing of what frames mean.
"""

from __future__ import annotations

import enum
import struct
from typing import Final, NamedTuple

from protocol.wire.errors import GoawayCode, LocalProtocolError, RemoteProtocolError


class FrameType(enum.IntEnum):
    """What a frame is. The types 0x10 to 0x2f have a position in the session, the others have none."""

    HELLO = 0x01
    WELCOME = 0x02
    REFUSE = 0x03
    CALL = 0x10
    DATA = 0x11
    END = 0x12
    RESULT = 0x13
    ERROR = 0x14
    CANCEL = 0x15
    CREDIT = 0x16
    BLOCKED = 0x17
    SUB = 0x20
    UNSUB = 0x21
    EVENT = 0x22
    GAP = 0x23
    PING = 0x30
    PONG = 0x31
    ACK = 0x32
    GOAWAY = 0x33
    UNIMPLEMENTED = 0x34


class Flag(enum.IntFlag):
    """What a frame's flags say. Bits without a name are sent as zero and ignored when received."""

    NONE = 0
    MORE = 0x01
    """The message goes on in the next frame of this stream."""
    CRITICAL = 0x02
    """Whoever does not know this frame's type must end the connection."""
    HEAD = 0x04
    """This DATA frame describes the content that follows it (a blob's size and offset)."""


MORE: Final = int(Flag.MORE)
HEAD: Final = int(Flag.HEAD)
"""The same as plain ints, for what looks at every frame: `&` with an enum's member makes a member."""

HEADER = struct.Struct(">IBBI")
HEADER_SIZE = HEADER.size
MAX_STREAM = 0xFFFFFFFF

_pack_header = HEADER.pack
_unpack_header = HEADER.unpack_from


class Frame(NamedTuple):
    """One received frame. `type` and `flags` are plain ints: they may be unknown ones."""

    type: int
    flags: int
    stream: int
    payload: bytes


def encode_frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """Encode one frame.

    Args:
        kind: a `FrameType`.
        flags: `Flag` bits.
        stream: 0 for frames of the connection, otherwise the stream's id.
        payload: at most the receiver's frame limit; the caller has checked that.
    """
    return _pack_header(len(payload), kind, flags, stream) + payload


def encode_message(
    kind: int, flags: int, stream: int, payload: bytes | memoryview, frame_limit: int
) -> list[bytes]:
    """Encode a message as one or more frames, each with at most `frame_limit` bytes of payload."""
    size = len(payload)
    if size <= frame_limit:
        return [_pack_header(size, kind, flags, stream) + payload]
    if frame_limit < 1:
        raise LocalProtocolError("a frame limit is at least one byte")
    frames = []
    for start in range(0, size, frame_limit):
        piece = payload[start : start + frame_limit]
        more = Flag.MORE if start + frame_limit < size else Flag.NONE
        frames.append(_pack_header(len(piece), kind, flags | more, stream) + piece)
    return frames


SMALL = 1024
"""Bytes under which pieces of a frame are gathered in one buffer: an object for each would be larger than they are."""


class FrameReader:
    """Bytes in, frames out, in whatever pieces the bytes come.

    It holds at most one incomplete frame, whose length was checked against the limit when its header
    came. Pieces of it are gathered without copying what is there already, and joined once: a sender of
    single octets costs no more than one of whole frames, and a large frame is copied once.
    """

    __slots__ = ("_begun", "_missing", "_pieces", "_start", "limit")

    def __init__(self, limit: int) -> None:
        self._start = b""  # of a header that is not complete
        self._begun = (0, 0, 0)  # type, flags and stream of the frame whose header has come
        self._missing = 0  # bytes of its payload, 0 where there is no such frame
        self._pieces: list[bytes | bytearray] = []  # the rest of its payload, at least one
        self.limit = limit

    def feed(self, data: bytes) -> list[Frame]:
        """Take received bytes and return the frames that are complete now.

        Args:
            data: any number of bytes; untrusted.

        Raises:
            FrameTooLarge: a header announces more than the limit. The frames before it are
                in the exception's `frames`; nothing may be fed after it.
        """
        frames: list[Frame] = []
        at = 0
        if self._missing:
            if len(data) < self._missing:
                self._gather(data)
                return frames
            at = self._complete(data, frames)
        elif self._start:
            data = self._start + data
            self._start = b""
        size = len(data)
        if at == 0 and size >= HEADER_SIZE:  # one whole frame, as mostly
            length, kind, flags, stream = _unpack_header(data, 0)
            if length + HEADER_SIZE == size and length <= self.limit:
                return [Frame(kind, flags, stream, data[HEADER_SIZE:])]
        while size - at >= HEADER_SIZE:
            length, kind, flags, stream = _unpack_header(data, at)
            if length > self.limit:
                raise FrameTooLarge(length, self.limit, frames)
            at += HEADER_SIZE
            end = at + length
            if end > size:
                self._begun = kind, flags, stream
                self._missing = end - size
                self._pieces.append(data[at:])
                return frames
            frames.append(Frame(kind, flags, stream, data[at:end]))
            at = end
        if at < size:
            self._start = data[at:]
        return frames

    def _gather(self, data: bytes) -> None:
        """Keep more of a payload that goes on."""
        self._missing -= len(data)
        if len(data) >= SMALL:
            self._pieces.append(data)
        elif type(last := self._pieces[-1]) is bytearray:
            last += data
        else:
            self._pieces.append(bytearray(data))

    def _complete(self, data: bytes, frames: list[Frame]) -> int:
        """End the frame that is under way; returns where in `data` the next one begins."""
        end, self._missing = self._missing, 0
        self._pieces.append(data if end == len(data) else data[:end])
        frames.append(Frame(*self._begun, b"".join(self._pieces)))
        self._pieces.clear()
        return end

    @property
    def held(self) -> int:
        """Bytes of an incomplete frame."""
        return len(self._start) + (HEADER_SIZE if self._missing else 0) + sum(map(len, self._pieces))


class FrameTooLarge(RemoteProtocolError):
    """A header announces a larger payload than this side accepts.

    Attributes:
        frames: the complete frames that came before it.
    """

    def __init__(self, length: int, limit: int, frames: list[Frame]) -> None:
        super().__init__(
            f"a frame of {length} bytes was announced, at most {limit} are accepted",
            GoawayCode.FRAME_TOO_LARGE,
        )
        self.frames = frames
