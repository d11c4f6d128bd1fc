"""Pseudo-terminals for tests; Windows has none."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import pytest


@contextlib.contextmanager
def open_terminal() -> Iterator[tuple[int, int]]:
    """Open one; gives the descriptor of who types and reads, and that of the program."""
    import pty

    ours, theirs = pty.openpty()
    try:
        yield ours, theirs
    finally:
        os.close(ours)
        os.close(theirs)


@contextlib.contextmanager
def silent_terminal() -> Iterator[int]:
    """Open one for a program that must show nothing on it; gives the program's descriptor."""
    with open_terminal() as (ours, theirs):
        yield theirs
        os.set_blocking(ours, False)
        with pytest.raises(BlockingIOError):
            os.read(ours, 1000)
