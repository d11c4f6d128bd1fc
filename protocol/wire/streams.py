"""The streams of one connection: their ids and who opened them.

It keeps the books and knows nothing of frames. The client's ids are odd, the server's even; ids rise
and wrap round, skipping those still live. Their credit is `protocol.wire.flow`'s, which is told when one ends.
"""

from __future__ import annotations

from typing import Any

from protocol.wire.errors import RemoteProtocolError
from protocol.wire.flow import Flow
from protocol.wire.framing import MAX_STREAM


class StreamTable:
    """Which streams are live.

    Attributes:
        opened: calls that this side opened, with the owner each was given.
        taken: calls that the other side opened.
        ended: calls in `taken` on which the other side has said END.
        unwanted: calls that are open, whose further items are dropped as they come.
        subscriptions: subscriptions that this side opened, with their owners.
        last_taken: the highest id of the other side's that was taken, for GOAWAY.
    """

    __slots__ = (
        "_flow",
        "_next",
        "_parity",
        "ended",
        "last_taken",
        "opened",
        "subscriptions",
        "taken",
        "unwanted",
    )

    def __init__(self, *, first: int, flow: Flow) -> None:
        self._parity = first & 1
        self._next = first
        self._flow = flow
        self.opened: dict[int, Any] = {}
        self.taken: set[int] = set()
        self.ended: dict[int, None] = {}  # no set, which takes three times as much while it is empty
        self.unwanted: dict[int, None] = {}
        self.subscriptions: dict[int, Any] = {}
        self.last_taken = 0

    def new_id(self) -> int:
        """An id for a stream that this side opens."""
        while True:
            stream = self._next
            self._next = stream + 2 if stream + 2 <= MAX_STREAM else 2 - self._parity
            if stream not in self.opened and stream not in self.subscriptions:
                return stream

    def check_new(self, stream: int, live: bool) -> None:
        """Check the id of a stream that the other side opens."""
        if stream == 0 or (stream & 1) == self._parity:
            raise RemoteProtocolError(f"stream {stream} is not the other side's to open")
        if live:
            raise RemoteProtocolError(f"stream {stream} is open already")

    def take(self, stream: int) -> None:
        """Take a call that the other side opened."""
        self.taken.add(stream)
        # A long CALL may be complete after one with a higher id: GOAWAY names the highest all the same.
        if not self.last_taken or self.is_later(stream, self.last_taken):
            self.last_taken = stream

    def is_live(self, stream: int) -> bool:
        """Whether a call is open, by whichever side."""
        return stream in self.opened or stream in self.taken

    def close(self, stream: int) -> Any:
        """End a call or subscription that this side opened; returns its owner, or None."""
        owner = self.opened.pop(stream, None)
        if owner is None:
            owner = self.subscriptions.pop(stream, None)
        self.forget(stream)
        return owner

    def drop_items(self, stream: int) -> None:
        """Nobody wants what still comes on a call's stream: let others have the room that it has."""
        self.unwanted[stream] = None
        self._flow.stop_receiving(stream)

    def forget(self, stream: int) -> None:
        """A stream that is in no book any more: close its accounts."""
        if self.ended:
            self.ended.pop(stream, None)
        if self.unwanted:
            self.unwanted.pop(stream, None)
        self._flow.forget(stream)

    def is_later(self, stream: int, last: int) -> bool:
        """Whether an id was given out after `last`, with ids wrapping round."""
        return 0 < (stream - last) % (MAX_STREAM + 1) <= MAX_STREAM // 2
