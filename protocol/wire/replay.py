"""The newest events of a topic, kept for subscribers that come back.

Bounded in bytes, and the oldest go first: what can be given again is everything that counts behind some number, up to
the newest event, without a hole. An event that does not fit by itself is not kept, and none that is older either.

The events are those that subscribers get, the same objects: nothing is copied to be kept, nor to be given again. It
knows no subscribers.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections import OrderedDict, deque
from collections.abc import Iterator

from protocol.wire.framing import HEADER_SIZE

Published = tuple[int, bytes, object]
"""An event: its number, the payload of EVENT, and the key by which `latest` tells it from others."""


class Replay(ABC):
    """What is kept of one topic.

    Args:
        most: bytes of payload and overhead; 0 keeps nothing.

    Attributes:
        floor: number of the newest event that counts and is not kept any more.
    """

    __slots__ = ("_events", "_free", "_most", "floor")
    _events: deque[Published] | OrderedDict[object, Published]

    def __init__(self, most: int) -> None:
        self.floor = 0
        self._most = most
        self._free = most

    @abstractmethod
    def add(self, event: Published) -> None:
        """Keep the event that was just published."""

    @abstractmethod
    def _cost(self, event: Published) -> int:
        """Bytes that an event takes."""

    @abstractmethod
    def _pop_oldest(self) -> Published: ...

    @abstractmethod
    def _newest_first(self) -> Iterator[Published]: ...

    def _count(self, event: Published) -> None:
        """One event more is there: let the oldest go where it is one too many."""
        self._free -= self._cost(event)
        if self._free < 0:
            self._trim()

    def _trim(self) -> None:
        while self._free < 0:
            oldest = self._pop_oldest()
            self.floor = oldest[0]
            self._free += self._cost(oldest)

    @property
    def size(self) -> int:
        """Bytes that count against the bound."""
        return self._most - self._free

    def begin_anew(self, after: int) -> None:
        """Keep nothing of what was published up to a number."""
        self._events.clear()
        self._free = self._most
        self.floor = after

    def resize(self, most: int) -> None:
        """Have another bound."""
        self._free += most - self._most
        self._most = most
        self._trim()

    def since(self, after: int, *, limit: int, credit: int, room: int) -> tuple[int, list[Published]]:
        """What one subscriber gets again: as many of the newest events as it may have waiting, and has room for.

        Args:
            after: number of the last event that it has seen, at most that of the last one published.
            limit: events that may wait for it.
            credit: bytes of those before them, which leave soon.
            room: bytes of the frames of these.

        Returns:
            The number that the events follow, `after` where nothing is lost, and the events in order.
        """
        found: list[Published] = []
        begin = max(after, self.floor)
        for event in self._newest_first():
            if event[0] <= after:
                break
            if len(found) >= limit:
                size = len(event[1])
                credit -= size
                room -= size + HEADER_SIZE
                if credit < 0 or room < 0:
                    begin = event[0]
                    break
            found.append(event)
        found.reverse()
        return begin, found


class ReplayOfAll(Replay):
    """Where every event counts."""

    __slots__ = ()
    _events: deque[Published]

    OVERHEAD = 144
    """Bytes that an event takes besides its content: four objects, and its place in the queue (CPython, 64 bits)."""

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self._events = deque()

    def add(self, event: Published) -> None:  # noqa: D102 - as Replay's
        self._events.append(event)
        self._count(event)

    def _cost(self, event: Published) -> int:
        return len(event[1]) + self.OVERHEAD

    def _pop_oldest(self) -> Published:
        return self._events.popleft()

    def _newest_first(self) -> Iterator[Published]:
        return reversed(self._events)


class ReplayOfLatest(Replay):
    """Where an event makes those before it with the same key outdated: these are neither kept nor missed."""

    __slots__ = ()
    _events: OrderedDict[object, Published]

    OVERHEAD = 240
    """As above, without the key."""

    def __init__(self, most: int) -> None:
        super().__init__(most)
        self._events = OrderedDict()

    def add(self, event: Published) -> None:  # noqa: D102 - as Replay's
        outdated = self._events.pop(event[2], None)  # the new one goes to the end
        if outdated is not None:
            self._free += self._cost(outdated)
        self._events[event[2]] = event
        self._count(event)

    def _cost(self, event: Published) -> int:
        """Of a key that consists of others, these are not counted."""
        return len(event[1]) + sys.getsizeof(event[2]) + self.OVERHEAD

    def _pop_oldest(self) -> Published:
        return self._events.popitem(last=False)[1]

    def _newest_first(self) -> Iterator[Published]:
        return reversed(self._events.values())
