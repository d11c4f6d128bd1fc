"""Progress bars: rich's where it is installed, a line of text otherwise.

rich is an optional dependency, so it is imported here, when a bar is wanted, and nowhere else.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TypeAlias

Update: TypeAlias = Callable[[int, int | None], None]
"""Called with how much is done and how much there is, None where that is not known."""


@contextmanager
def progress_bar(title: str, *, of_bytes: bool = False) -> Iterator[Update]:
    """Show progress while the body runs.

    Args:
        title: what is being done.
        of_bytes: whether bytes are counted, rather than things.

    Yields:
        What to call with the progress: it fits the `progress` of a blob.
    """
    bar = _rich_bar if find_spec("rich") is not None else _plain_bar
    with bar(title, of_bytes=of_bytes) as update:
        yield update


@contextmanager
def _rich_bar(title: str, *, of_bytes: bool) -> Iterator[Update]:
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TransferSpeedColumn,
    )

    counts: list[ProgressColumn] = (
        [DownloadColumn(binary_units=True), TransferSpeedColumn()] if of_bytes else [MofNCompleteColumn()]
    )
    with Progress(TextColumn("  {task.description}"), BarColumn(), *counts, TimeElapsedColumn()) as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@contextmanager
def _plain_bar(title: str, *, of_bytes: bool) -> Iterator[Update]:
    terminal = sys.stderr.isatty()
    shown = ""

    def update(done: int, total: int | None) -> None:
        nonlocal shown
        scale, unit = (1024 * 1024, " MiB") if of_bytes else (1, "")
        whole = f" of {total // scale}" if total is not None else ""
        text = f"  {title}: {done // scale}{whole}{unit}"
        if text != shown and terminal:
            print(f"\r{text}", end="", file=sys.stderr, flush=True)
        shown = text

    try:
        yield update
    finally:
        print("" if terminal else shown, file=sys.stderr)
