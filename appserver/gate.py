"""How many connections may be in their handshake: strangers cost memory, and one source must not take all places."""

from __future__ import annotations

from collections import Counter


class Gate:
    """Bounds the connections that have not proved to be clients yet, in all and from one source.

    Args:
        most: of all; it may be changed.
        per_source: of one source address; likewise.

    Attributes:
        inside: those that are inside now.
        turned_away: those that were not let in so far.
    """

    def __init__(self, most: int, per_source: int) -> None:
        self.most = most
        self.per_source = per_source
        self._sources: Counter[str] = Counter()
        self.inside = 0
        self.turned_away = 0

    def enter(self, source: str) -> bool:
        """Let a connection in; whether there was room for it."""
        if self.inside >= self.most or self._sources[source] >= self.per_source:
            self.turned_away += 1
            if not self._sources[source]:
                del self._sources[source]
            return False
        self.inside += 1
        self._sources[source] += 1
        return True

    def leave(self, source: str) -> None:
        """Let a connection out: it is a client's now, or gone."""
        self.inside -= 1
        self._sources[source] -= 1
        if not self._sources[source]:
            del self._sources[source]
