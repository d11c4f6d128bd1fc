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
        self._lasted = False

    def next(self, hint: float | None = None) -> float:
        """The seconds to wait now; the next time longer.

        Args:
            hint: seconds that the server asks to wait, not trusted: it can make the pause longer, up to
                `timeouts.reconnect_most`, and never shorter.
        """
        most = self._timeouts.reconnect_most
        delay = min(max(self._delay, hint or 0.0), most)
        self._delay = min(self._delay * self._timeouts.reconnect_factor, most)
        # Cut off at the most before drawing, not after: else many clients would come back at that very moment.
        return self._random.uniform(delay * (1 - JITTER), min(delay * (1 + JITTER), most))

    def invited(self, hint: float | None = None) -> float:
        """The seconds to wait where the server is there and wants this client to connect anew.

        Args:
            hint: seconds that it asks to wait, not trusted: at most `timeouts.reconnect_most`; none where it
                names none. After a connection that did not last, the pause is the usual one.
        """
        if not self._lasted:
            return self.next(hint)
        most = self._timeouts.reconnect_most
        wait = min(max(hint or 0.0, 0.0), most)
        return self._random.uniform(wait * (1 - JITTER), min(wait * (1 + JITTER), most))

    def lasted(self, seconds: float) -> None:
        """Begin anew, if a connection has lasted longer than the first pause.

        A WELCOME alone does not count: a server that ends each connection at once would be tried without pause.
        """
        self._lasted = seconds > self._timeouts.reconnect_first
        if self._lasted:
            self._delay = self._timeouts.reconnect_first
