"""Signals that stop the server: the first one in order, the second one at once.

Theory of operation. The first SIGTERM or SIGINT (on Windows Ctrl+C or Ctrl+Break) asks for an orderly
end and gives both signals back to the operating system, so that the next one ends the process even
where a handler of the application blocks the event loop. Nothing is lost by that: what must survive a
crash survives this, too.

Where a program may not set signals (not in the main thread), the server stops when it is cancelled.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import trio

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGBREAK") if hasattr(signal, name))


@contextlib.contextmanager
def stop_signals(stop: Callable[[], object]) -> Iterator[None]:
    """Have a function called in the event loop at the first signal.

    Args:
        stop: called once at most, in the loop that entered this context.
    """
    token = trio.lowlevel.current_trio_token()
    before: dict[int, Any] = {}

    def take(number: int, frame: FrameType | None) -> None:
        for known in before:
            signal.signal(known, signal.SIG_DFL)
        with contextlib.suppress(trio.RunFinishedError):
            token.run_sync_soon(stop)

    try:
        for number in SIGNALS:
            with contextlib.suppress(ValueError):  # not in the main thread
                before[number] = signal.signal(number, take)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
