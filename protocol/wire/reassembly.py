"""Messages out of frames: the pieces of those that came in more than one.

It holds at most `OPEN_MESSAGES` messages of at most the message limit each; what is longer is counted to its
end but not kept, so that the error can name both numbers. The pieces of a message are gathered in one
buffer and none may be empty, so that what is held costs about the bytes that were sent, however they were cut.
"""

from __future__ import annotations

from protocol.wire.errors import GoawayCode, RemoteProtocolError
from protocol.wire.framing import MORE, Frame
from protocol.wire.limits import OPEN_MESSAGES


class Oversize:
    """A whole message that was longer than the limit and was not kept.

    Attributes:
        size: its bytes.
    """

    __slots__ = ("size",)

    def __init__(self, size: int) -> None:
        self.size = size


class _Partial:
    __slots__ = ("content", "kind", "size")

    def __init__(self, kind: int) -> None:
        self.kind = kind
        self.content = bytearray()
        self.size = 0


class Reassembly:
    """The incomplete messages of one connection.

    Attributes:
        incomplete: these, by stream.
    """

    __slots__ = ("_limit", "incomplete")

    def __init__(self, message_limit: int) -> None:
        self._limit = message_limit
        self.incomplete: dict[int, _Partial] = {}

    def __contains__(self, stream: int) -> bool:
        return stream in self.incomplete

    @property
    def held(self) -> int:
        """Bytes of incomplete messages."""
        return sum(len(partial.content) for partial in self.incomplete.values())

    def add(self, frame: Frame) -> bytes | Oversize | None:
        """Take a frame that has the MORE flag or belongs to a message that had.

        Returns:
            The whole message with its last frame, `Oversize` where it was too long, None before that.

        Raises:
            RemoteProtocolError: frames of two messages are mixed on one stream, too many messages
                are under way, or a frame adds nothing to a message that goes on.
        """
        kind, flags, stream, payload = frame
        if not payload and flags & MORE:  # no limit would count these
            raise RemoteProtocolError(f"stream {stream}: an empty frame that is to be continued")
        partial = self.incomplete.get(stream)
        if partial is None:
            if len(self.incomplete) >= OPEN_MESSAGES:
                raise RemoteProtocolError(
                    f"more than {OPEN_MESSAGES} messages of several frames at once", GoawayCode.FLOW_CONTROL
                )
            partial = self.incomplete[stream] = _Partial(kind)
        elif partial.kind != kind:
            raise RemoteProtocolError(
                f"stream {stream}: another frame inside a message that was not complete"
            )
        partial.size += len(payload)
        if partial.size <= self._limit:
            partial.content += payload
        else:
            partial.content = bytearray()
        if flags & MORE:
            return None
        del self.incomplete[stream]
        return bytes(partial.content) if partial.size <= self._limit else Oversize(partial.size)
