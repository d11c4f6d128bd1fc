"""How long to wait before the next try: exponential with jitter, so that clients do not return all at once."""

from __future__ import annotations

from random import Random

from protocol.settings import TimeoutSettings

JITTER = 0.2
"""Share of each delay by which it is made shorter or longer."""


class Backoff:
    """The delays of one client.

    Args:
        timeouts: first delay, factor and longest delay.
        random: where the jitter comes from.
    """

    def __init__(self, timeouts: TimeoutSettings, random: Random) -> None:
        self._timeouts = timeouts
        self._random = random
        self._delay = timeouts.reconnect_first

    def next(self) -> float:
        """The seconds to wait now; the next time longer."""
        delay = self._delay
        self._delay = min(delay * self._timeouts.reconnect_factor, self._timeouts.reconnect_most)
        return delay * self._random.uniform(1 - JITTER, 1 + JITTER)

    def spread(self, seconds: float) -> float:
        """What a server asked to wait, and a little more, for it asks all of its clients."""
        return seconds * self._random.uniform(1, 1 + 2 * JITTER)

    def reset(self) -> None:
        """Begin anew: a server has welcomed the client."""
        self._delay = self._timeouts.reconnect_first
