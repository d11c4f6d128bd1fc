"""When to ask whether the other side is alive, and when to give it up.

Any received byte counts as life. After `interval` seconds without one a PING leaves; after a second
interval without one the other side is dead. That second interval begins when the PING leaves, not when
it was due: a machine that slept for an hour asks first. Time comes as an argument, in seconds of any steady clock.
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

    Attributes:
        last: when the last byte came, seconds.
    """

    __slots__ = ("_due", "_interval", "_pinged", "last")

    def __init__(self, interval: float, now: float) -> None:
        self._interval = interval or math.inf
        self._pinged = False
        self._due = now + self._interval
        self.last = now

    def heard(self, now: float) -> None:
        """Take note of received bytes."""
        self.last = now
        self._pinged = False
        self._due = now + self._interval

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
        self._due = now + self._interval
        return Pulse.PING
