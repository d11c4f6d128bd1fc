"""A lock between the processes of one machine that change the same files."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from protocol.settings.atomic import PRIVATE, hand_over

_WAIT = 5.0
"""Seconds to wait for another process that writes: each takes milliseconds."""


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes of this machine from changing a file between this one's reading and writing.

    The lock is on a file beside it, for the file itself is replaced. It stays there: removing it would let
    two hold a lock of the same name. The system takes the lock away with the process that held it.

    Args:
        path: the file; it need not exist, its folder must.

    Raises:
        TimeoutError: another process holds it.
        OSError: the folder cannot be written.
    """
    target = path.resolve()
    lock = target.with_name(f".{target.name}.lock")
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)
    descriptor = os.open(lock, flags, PRIVATE)
    try:
        hand_over(descriptor, target.parent)
        deadline = time.monotonic() + _WAIT
        while not _try_lock(descriptor):
            if time.monotonic() >= deadline:
                raise TimeoutError(f"{path}: another process has kept it locked for {_WAIT:g} s")
            time.sleep(0.01)
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        # Some network file systems have no locks: there it is as it would be without.
        return error.errno not in (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
    return True
