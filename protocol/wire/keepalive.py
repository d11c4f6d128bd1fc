"""When to ask whether the other side is alive, and when to give it up.

Any received byte counts as life. After `interval` seconds without one a PING leaves; after a second
interval without one the other side is dead. Of the two sides one asks: the server leaves that to the client for half
an interval. The time for the answer begins when the PING leaves, not when it was due: a machine that slept for an hour
asks first. Time comes as an argument, in seconds of any steady clock.
"""

from __future__ import annotations

import enum
import math


class Pulse(enum.Enum):
    """What `Keepalive.tick` found."""

    QUIET = "quiet"
    """Nothing to do."""
    PING = "ping"
    """Send a PING now."""
    DEAD = "dead"
    """Two intervals without a byte."""


class Keepalive:
    """The life signs of one connection.

    Args:
        interval: seconds; 0 for no pings.
        now: the time.
        waits: ask half an interval later, and give up as soon all the same: the other side, which does not wait, has
            asked by then, and its question is a sign of life as good as an answer.

    Attributes:
        last: when the last byte came, seconds.
    """

    __slots__ = ("_due", "_patience", "_pinged", "_silence", "last")

    def __init__(self, interval: float, now: float, *, waits: bool = False) -> None:
        self._silence = (interval or math.inf) * (1.5 if waits else 1)
        self._patience = (interval or math.inf) * (0.5 if waits else 1)
        self._pinged = False
        self._due = now + self._silence
        self.last = now

    def heard(self, now: float) -> None:
        """Take note of received bytes."""
        self.last = now
        self._pinged = False
        self._due = now + self._silence

    @property
    def due(self) -> float:
        """When to call `tick` next, seconds; never, where pings are off (interval 0)."""
        return self._due

    def tick(self, now: float) -> Pulse:
        """Look at the clock."""
        if now < self._due:
            return Pulse.QUIET
        if self._pinged:
            return Pulse.DEAD
        self._pinged = True
        self._due = now + self._patience
        return Pulse.PING
