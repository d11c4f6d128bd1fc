"""One subscriber of a topic: what waits for it, and what happens when it is slow.

Events never slow the publisher. What the subscriber has credit for leaves, at once where nothing waits before it; the
rest waits here, bounded by the topic's policy. Nothing is dropped silently: `queue` drops its oldest and says
how many with a GAP, `latest` replaces what the contract calls outdated, `disconnect` ends the subscription.
An event that was announced with BLOCKED is neither dropped nor replaced: it is the next to leave. What a subscriber
gets again waits beside what the policy lets wait, and is dropped first.
"""

from __future__ import annotations

import enum
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence

from protocol.wire.credit import SendCredit
from protocol.wire.framing import HEADER_SIZE
from protocol.wire.replay import Published


class Policy(enum.Enum):
    """What to do with a subscriber that does not keep up."""

    QUEUE = "queue"
    """Keep the newest events up to a limit, and say how many were dropped."""
    LATEST = "latest"
    """Keep the newest event of each key."""
    DISCONNECT = "disconnect"
    """End the subscription at the limit."""


class Subscriber:
    """The outgoing side of one subscription.

    Attributes:
        stream: the subscription's stream.
        credit: what the subscriber has room for.
        announced: the event that BLOCKED has announced, or None.
        limit: events that may wait.
        overflowed: the policy is `DISCONNECT` and the limit was reached.
        lost: events dropped since the last GAP.
        owed: bytes of frames of what it gets again and that waits.
    """

    __slots__ = (
        "_extra",
        "_keyed",
        "_policy",
        "_queue",
        "announced",
        "credit",
        "limit",
        "lost",
        "overflowed",
        "owed",
        "stream",
    )

    def __init__(self, stream: int, policy: Policy, limit: int, credit: int) -> None:
        self.stream = stream
        self.credit = SendCredit(credit)
        self.announced: Published | None = None
        self.overflowed = False
        self.lost = 0
        self._policy = policy
        self.limit = limit
        self._queue: deque[Published] = deque()
        self._keyed: OrderedDict[object, Published] = OrderedDict()
        self.owed = 0
        self._extra = 0  # how many may wait beyond the limit: those of the first that it gets again

    def replay(self, events: Sequence[Published]) -> None:
        """Take what it gets again, before anything else."""
        self._extra = len(events)
        self.owed = sum(len(event[1]) + HEADER_SIZE for event in events)
        if self._policy is Policy.LATEST:
            self._keyed.update((event[2], event) for event in events)
        else:
            self._queue.extend(events)

    def offer(self, event: Published) -> bool:
        """Take an event that was just published, the same object for all subscribers.

        Returns:
            Whether it may leave at once, without waiting here.
        """
        if self.credit.left >= len(event[1]) and not self.waiting and not self.lost:
            return True
        match self._policy:
            case Policy.LATEST:
                self._keyed.pop(event[2], None)  # to the end, so that the order stays that of publishing
                self._keyed[event[2]] = event
                while len(self._keyed) > self.limit + self._extra:
                    self._drop(lambda: self._keyed.popitem(last=False))
            case Policy.QUEUE:
                self._queue.append(event)
                while len(self._queue) > self.limit + self._extra:
                    self._drop(self._queue.popleft)
            case Policy.DISCONNECT:
                if self.is_full:
                    self.overflowed = True
                else:
                    self._queue.append(event)
        return False

    def _drop(self, pop: Callable[[], object]) -> None:
        """Lose the oldest, or all that it gets again."""
        for _ in range(max(1, self._extra)):
            pop()
            self.lost += 1
        self._extra = self.owed = 0

    @property
    def is_full(self) -> bool:
        """Whether another event that has to wait is one too many."""
        return len(self._queue) + len(self._keyed) >= self.limit + self._extra

    @property
    def head(self) -> Published | None:
        """The event whose turn it is."""
        if self.announced is not None:
            return self.announced
        if self._queue:
            return self._queue[0]
        return next(iter(self._keyed.values()), None)

    def pop(self) -> None:
        """The head has left."""
        if self.announced is not None:
            self.announced = None
        elif self._queue:
            self._left(self._queue.popleft())
        else:
            self._left(self._keyed.popitem(last=False)[1])

    def _left(self, event: Published) -> None:
        if self._extra:  # they are the first
            self._extra -= 1
            self.owed = max(0, self.owed - len(event[1]) - HEADER_SIZE) if self._extra else 0

    def hold(self) -> None:
        """The head was announced: nothing replaces it any more, and nothing goes before it."""
        head = self.head
        self.pop()
        self.announced = head

    @property
    def waiting(self) -> int:
        """Events that wait."""
        return len(self._queue) + len(self._keyed) + (self.announced is not None)
