"""A bound on errors in the log: a client that can cause one traceback can cause thousands.

What strangers cause before they are welcome is one line a connection, and those are bounded at the gate.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

LINES = 10
"""Errors a second of one kind: a logger and a text, without the facts beside it."""
KINDS = 1000
"""Kinds that are remembered at once."""


class RateLimit(logging.Filter):
    """Lets so many lines of one kind through a second; the next one that passes says how many did not.

    Args:
        clock: seconds of a steady clock.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._kinds: dict[tuple[str, str], list[float]] = {}  # begin of the second, lines in it, left out

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a line may be written."""
        if record.levelno < logging.ERROR:
            return True
        now = self._clock()
        if len(self._kinds) >= KINDS:
            self._kinds.clear()
        kind = self._kinds.setdefault((record.name, str(record.msg)), [now, 0, 0])
        if now - kind[0] >= 1:
            kind[0], kind[1] = now, 0
        kind[1] += 1
        if kind[1] > LINES:
            kind[2] += 1
            return False
        if kind[2]:
            record.left_out = int(kind[2])
            kind[2] = 0
        return True
