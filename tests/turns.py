"""Lets a test that measures run while no other worker of pytest-xdist runs one.

Workers are processes of one machine. Each test enters a room, through a door; one that wants to be alone waits in
the door until the room is empty, and keeps the others from entering meanwhile.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

if sys.platform == "win32":

    @contextlib.contextmanager
    def take_turn(folder: Path, *, alone: bool) -> Iterator[None]:
        """Without locks that several can share, every test runs when it comes."""
        yield

else:
    import fcntl

    @contextlib.contextmanager
    def take_turn(folder: Path, *, alone: bool) -> Iterator[None]:
        """Be in the room.

        Args:
            folder: of all workers of this run.
            alone: whether nobody else may be there.
        """
        with (folder / "door").open("w") as door, (folder / "room").open("w") as room:
            fcntl.flock(door, fcntl.LOCK_EX)
            fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
            fcntl.flock(door, fcntl.LOCK_UN)
            try:
                yield
            finally:
                # By name: a process that a test forked holds the open file, too, and may live on.
                fcntl.flock(room, fcntl.LOCK_UN)
