"""The newest events of a topic, kept for subscribers that come back.

Bounded in bytes, and the oldest go first: what can be given again is everything that counts behind some number, up to
the newest event, without a hole. An event that does not fit by itself is not kept, and none that is older either.

The events are those that subscribers get, the same objects: nothing is copied to be kept, nor to be given again. It
knows no subscribers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict, deque
from collections.abc import Iterator

Published = tuple[int, bytes, object]
"""An event: its number, the payload of EVENT, and the key by which `latest` tells it from others."""


class Replay(ABC):
    """What is kept of one topic.

    Args:
        most: bytes of payload and overhead; 0 keeps nothing.

    Attributes:
        floor: number of the newest event that counts and is not kept any more.
    """

    __slots__ = ("_free", "_most", "floor")

    def __init__(self, most: int) -> None:
        self.floor = 0
        self._most = most
        self._free = most

    @abstractmethod
    def add(self, event: Published) -> None:
        """Keep the event that was just published."""

    @abstractmethod
    def _trim(self) -> None:
        """Let the oldest go until the rest fits."""

    @abstractmethod
    def _newest_first(self) -> Iterator[Published]: ...

    @property
    def size(self) -> int:
        """Bytes that count against the bound."""
        return self._most - self._free

    def resize(self, most: int) -> None:
        """Have another bound."""
        self._free += most - self._most
        self._most = most
        self._trim()

    def since(self, after: int, *, limit: int, room: int) -> tuple[int, list[Published]]:
        """What one subscriber gets again: as many of the newest events as it may have waiting, and has room for.

        Args:
            after: number of the last event that it has seen, at most that of the last one published.
            limit: events that may wait for it.
            room: bytes of those before them, which leave at once.

        Returns:
            The number that the events follow, `after` where nothing is lost, and the events in order.
        """
        found: list[Published] = []
        begin = max(after, self.floor)
        for event in self._newest_first():
            if event[0] <= after:
                break
            if len(found) >= limit:
                room -= len(event[1])
                if room < 0:
                    begin = event[0]
                    break
            found.append(event)
        found.reverse()
        return begin, found


class ReplayOfAll(Replay):
    """Where every event counts."""

    __slots__ = ("_events",)

    OVERHEAD = 144
    """Bytes that an event takes besides its content: four objects, and its place in the queue (CPython, 64 bits)."""

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self._events: deque[Published] = deque()

    def add(self, event: Published) -> None:
        """Keep the event that was just published."""
        self._events.append(event)
        self._free -= len(event[1]) + self.OVERHEAD
        if self._free < 0:
            self._trim()

    def _trim(self) -> None:
        events, free = self._events, self._free
        while free < 0:
            self.floor, payload, _ = events.popleft()
            free += len(payload) + self.OVERHEAD
        self._free = free

    def _newest_first(self) -> Iterator[Published]:
        return reversed(self._events)


class ReplayOfLatest(Replay):
    """Where an event makes those before it with the same key outdated: these are neither kept nor missed."""

    __slots__ = ("_events",)

    OVERHEAD = 288
    """As above; a number or a short text as the key is in it."""

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self._events: OrderedDict[object, Published] = OrderedDict()

    def add(self, event: Published) -> None:
        """Keep the event that was just published."""
        outdated = self._events.pop(event[2], None)  # the new one goes to the end
        if outdated is not None:
            self._free += len(outdated[1]) + self.OVERHEAD
        self._events[event[2]] = event
        self._free -= len(event[1]) + self.OVERHEAD
        if self._free < 0:
            self._trim()

    def _trim(self) -> None:
        while self._free < 0:
            _, (self.floor, payload, _) = self._events.popitem(last=False)
            self._free += len(payload) + self.OVERHEAD

    def _newest_first(self) -> Iterator[Published]:
        return reversed(self._events.values())
