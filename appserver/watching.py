"""Being told of changed files: the one door to watchfiles, which belongs to the server's extra.

What it says is a hint to look, and nothing more: some file systems tell nothing (networks, containers), and a
link may lead to a folder that is not watched. So whoever watches looks now and then by himself, too, and where the
library is not installed that is all there is.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import trio

logger = logging.getLogger("appserver.reload")

_GATHER_MS = 50
"""What is told within so many milliseconds is told at once."""

_STEP_MS = 25
"""Milliseconds between two looks of the library's thread at whether it is to end."""


async def watch_files(paths: Sequence[Path], changed: Callable[[], object]) -> None:
    """Call a function whenever something may have changed, until cancelled.

    Args:
        paths: files, and folders whose own entries count. What does not exist now is left out; a file that
            is replaced is another one, and what happens to it is not told.
        changed: called in the loop of the caller.
    """
    present = [path for path in paths if path.exists()]
    try:
        from watchfiles import awatch
    except ImportError:
        return
    if not present:
        return
    logging.getLogger("watchfiles").setLevel(logging.WARNING)  # else it counts every temporary file
    stop = threading.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_set_at_end, stop)
        try:
            async for _ in awatch(
                *present,
                watch_filter=None,
                debounce=_GATHER_MS,
                step=_STEP_MS,
                stop_event=stop,  # type: ignore[arg-type]
                recursive=False,
            ):
                changed()
        except (OSError, RuntimeError) as exc:  # no more watches in the kernel, or a file that has just gone
            logger.debug("files cannot be watched", extra={"finding": str(exc)})
            nursery.cancel_scope.cancel()


async def _set_at_end(stop: threading.Event) -> None:
    # Its thread cannot be cancelled, and would hold up the server's end until it looks at the clock.
    try:
        await trio.sleep_forever()
    finally:
        stop.set()
