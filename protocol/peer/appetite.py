"""Whether to try to read once more after a read that has most likely taken all there was.

OpenSSL gives one record at a time, and a sender of many small messages makes a record of each. Whoever reads only one
of them a pass of the loop falls behind, and answers them one by one. But where one call comes after the other there
is never a second one, and a try in vain costs as much as a read. So it is tried now and then, and where that was of
use, for a while each time.
"""

from __future__ import annotations

SELDOM = 8
"""One try in so many reads where the last ones were in vain."""
AWHILE = 16
"""Tries in vain, less those of use, after which it is only tried seldom again."""


class Appetite:
    """What the last tries of one connection were worth."""

    __slots__ = ("_left", "_reads")

    def __init__(self) -> None:
        self._left = 0
        self._reads = 0

    def is_due(self) -> bool:
        """Whether to try; asked once for each read."""
        if self._left:
            return True
        self._reads += 1
        return self._reads % SELDOM == 0

    def tried(self, found: bool) -> None:
        """Take note of what a try gave."""
        if found:
            self._left = AWHILE
        elif self._left:
            self._left -= 1
