"""How many strangers may be at the door for joining: at once, and one after another from one source."""

from __future__ import annotations

from collections import OrderedDict


class DoorRate:
    """Bounds the connections for joining, each of which costs a signature.

    Each source has so many at once that an office behind one address is not held up, and gets one back every
    so often. Sources that were not seen for the longest time are forgotten when there are too many.

    Args:
        most: at once, of all sources.
        burst: from one source without a pause.
        pause: seconds until a source may come once more.
        sources: that are remembered.

    Attributes:
        inside: those that are inside now.
    """

    def __init__(self, *, most: int = 8, burst: int = 20, pause: float = 1.0, sources: int = 1024) -> None:
        self.inside = 0
        self._most = most
        self._burst = burst
        self._pause = pause
        self._sources = sources
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def enter(self, source: str, now: float) -> bool:
        """Let a connection in; whether it may come.

        Args:
            source: its address.
            now: seconds, of a clock that never goes back.
        """
        left, since = self._left.pop(source, (float(self._burst), now))
        left = min(self._burst, left + (now - since) / self._pause)
        allowed = left >= 1 and self.inside < self._most
        self._left[source] = (left - allowed, now)
        while len(self._left) > self._sources:
            self._left.popitem(last=False)
        self.inside += allowed
        return allowed

    def leave(self) -> None:
        """Let a connection out."""
        self.inside -= 1
