"""How many strangers may be at the door for joining: at once, and one after another from one source."""

from __future__ import annotations

import ipaddress
from collections import Counter, OrderedDict

import trio


class DoorRate:
    """Bounds the connections for joining, each of which costs a signature.

    Each source has so many at once that an office behind one address is not held up, and gets one back every
    so often. Sources that were not seen for the longest time are forgotten when there are too many.

    Joining is a matter of a few round trips. So who comes when all places are taken gets one of the source that has the
    most of them, if that has more than his own would have; and else that of the one who has had his for the longest
    time, if that is longer than a join takes: nobody can keep the door shut by being many, or by being slow.

    Args:
        most: at once, of all sources.
        burst: from one source without a pause; a join takes two, a look and the question.
        pause: seconds until a source may come once more.
        patience: seconds for which a place is one's own.
        sources: that are remembered.
    """

    def __init__(
        self,
        *,
        most: int = 32,
        burst: int = 60,
        pause: float = 1.0,
        patience: float = 3.0,
        sources: int = 1024,
    ) -> None:
        self._most = most
        self._burst = burst
        self._pause = pause
        self._patience = patience
        self._sources = sources
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._visits: dict[trio.CancelScope, tuple[str, float]] = {}

    @property
    def inside(self) -> int:
        """Those that have a place now."""
        return len(self._visits)

    def enter(self, source: str, now: float) -> trio.CancelScope | None:
        """Let a connection in.

        Args:
            source: its address.
            now: seconds, of a clock that never goes back.

        Returns:
            The scope that it must run in, and be given back with `leave`; None where it may not come.
        """
        source = _origin(source)
        left, since = self._left.pop(source, (float(self._burst), now))
        left = min(self._burst, left + (now - since) / self._pause)
        allowed = left >= 1 and self._make_room(source, now)
        self._left[source] = (left - allowed, now)
        while len(self._left) > self._sources:
            self._left.popitem(last=False)
        if not allowed:
            return None
        visit = trio.CancelScope()
        self._visits[visit] = source, now
        return visit

    def leave(self, visit: trio.CancelScope) -> None:
        """Let a connection out."""
        self._visits.pop(visit, None)

    def _make_room(self, source: str, now: float) -> bool:
        if len(self._visits) < self._most:
            return True
        places = Counter(each for each, _ in self._visits.values())
        greediest, most = places.most_common(1)[0]
        if most > places[source] + 1:
            self._send_away(greediest)
            return True
        slowest, since = next(iter(self._visits.values()))  # in the order of coming
        if now - since < self._patience:
            return False
        self._send_away(slowest)
        return True

    def _send_away(self, source: str) -> None:
        """Take the place of the one of a source who has had his for the longest time."""
        visit = next(visit for visit, (each, _) in self._visits.items() if each == source)
        visit.cancel()
        self.leave(visit)


def _origin(source: str) -> str:
    """Whose an address is: in version 6 one network of 64 bits has one owner, and more addresses than he can use up."""
    try:
        address = ipaddress.IPv6Address(source.partition("%")[0])
    except ValueError:
        return source
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return address.packed[:8].hex()
