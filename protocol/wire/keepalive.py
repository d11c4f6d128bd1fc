"""When to ask whether the other side is alive, and when to give it up.

Any received byte counts as life. After `interval` seconds without one a PING leaves; after a second
interval without one the other side is dead. That second interval begins when the PING leaves, not when
it was due: a machine that slept for an hour asks first. Time comes as an argument, in seconds of any steady clock.

Both sides hear each other's last frame at nearly the same time, and would ask at nearly the same time: two PINGs
would cross, and cost two answers. So one of them, the server, is made to ask a little sooner (`ask_first`).
"""

from __future__ import annotations

import enum
import math

FIRST = 0.95
"""Of an interval, after which the side asks that is to be the first."""


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
        now: the time, seconds.

    Attributes:
        last: when the last byte came, seconds.
        due: when to call `tick`, seconds; never, where pings are off (interval 0).
    """

    __slots__ = ("_first", "_interval", "_limit", "_pinged", "_quiet", "due", "last")

    def __init__(self, interval: float, now: float) -> None:
        self._interval = self._quiet = interval or math.inf
        self._first = False
        self._pinged: float | None = None
        self._limit = math.inf
        self.due = now + self._quiet
        self.last = now

    def ask_first(self) -> None:
        """Make this the side whose PINGs leave before the other side's are due."""
        self._first = True
        self._quiet = self._interval * FIRST
        self.due = self.last + self._quiet

    def heard(self, now: float) -> None:
        """Take note of received bytes."""
        self.last = now
        self.due = now + self._quiet
        if self._pinged is not None:
            if (
                self._first
            ):  # the answer counts from its question, so that the clock is looked at once for both
                self.due = self._pinged + self._quiet
            self._pinged = None

    def tick(self, now: float) -> Pulse:
        """Look at the clock."""
        if now < self.due:
            return Pulse.QUIET
        if self._pinged is None:
            self._pinged = now
            self._limit = now + self._interval
            self.due = now + self._quiet
            return Pulse.PING
        if now < self._limit:
            self.due = self._limit
            return Pulse.QUIET
        return Pulse.DEAD
