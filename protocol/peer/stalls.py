"""Handlers that hold the loop, and with it every other connection: the log names them."""

from __future__ import annotations

import logging
import time

logger = logging.getLogger("appserver.calls")

STALL = 0.1
"""Seconds that a handler may hold the loop before the log names it."""


def check_stall(started: float, method: str) -> None:
    """Say which handler held the loop, if it did.

    Args:
        started: when it got the loop, as `time.monotonic` has it.
        method: qualified name.
    """
    held = time.monotonic() - started
    if held > STALL:
        logger.warning(
            "handler held the event loop; make it a plain `def`, which runs in a thread",
            extra={"method": method, "seconds": round(held, 3)},
        )
