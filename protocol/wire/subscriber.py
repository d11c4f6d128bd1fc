"""One subscriber of a topic: what waits for it, and what happens when it is slow.

Events never slow the publisher. What the subscriber has credit for leaves at once; the rest waits
here, bounded by the topic's policy. Nothing is dropped silently: `queue` drops its oldest and says
how many with a GAP, `latest` replaces what the contract calls outdated, `disconnect` ends the subscription.
An event that was announced with BLOCKED is neither dropped nor replaced: it is the next to leave.
"""

from __future__ import annotations

import enum
from collections import OrderedDict, deque
from collections.abc import Sequence

from protocol.wire.credit import SendCredit
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
    """

    __slots__ = (
        "_keyed",
        "_policy",
        "_queue",
        "_replayed",
        "announced",
        "credit",
        "limit",
        "lost",
        "overflowed",
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
        self._replayed = 0  # how many of the queue's first `DISCONNECT` does not hold against it

    def replay(self, events: Sequence[Published]) -> None:
        """Take what it gets again, before anything else; who gives it keeps to the limit."""
        if self._policy is Policy.LATEST:
            self._keyed.update((event[2], event) for event in events)
        else:
            self._queue.extend(events)
            self._replayed = len(events) if self._policy is Policy.DISCONNECT else 0

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
                if len(self._keyed) > self.limit:
                    self._keyed.popitem(last=False)
                    self.lost += 1
            case Policy.QUEUE:
                self._queue.append(event)
                if len(self._queue) > self.limit:
                    self._queue.popleft()
                    self.lost += 1
            case Policy.DISCONNECT:
                if len(self._queue) - self._replayed >= self.limit:
                    self.overflowed = True
                else:
                    self._queue.append(event)
        return False

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
            self._queue.popleft()
            if self._replayed:  # they are the first in it
                self._replayed -= 1
        else:
            self._keyed.popitem(last=False)

    def hold(self) -> None:
        """The head was announced: nothing replaces it any more, and nothing goes before it."""
        head = self.head
        self.pop()
        self.announced = head

    @property
    def waiting(self) -> int:
        """Events that wait for credit."""
        return len(self._queue) + len(self._keyed) + (self.announced is not None)
