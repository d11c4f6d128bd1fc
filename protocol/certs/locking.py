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

_ASKED = 5
"""How often a lock is asked for before it counts as held."""

_SAFE = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


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
    descriptor = _open(target.with_name(f".{target.name}.lock"))
    try:
        deadline = time.monotonic() + _WAIT
        while not _try_lock(descriptor):
            if time.monotonic() >= deadline:
                raise TimeoutError(f"{path}: another process has kept it locked for {_WAIT:g} s")
            time.sleep(0.01)
        yield
    finally:
        os.close(descriptor)


def hold_lock(path: Path) -> int | None:
    """Take a lock for as long as this process lives, so that others can see whether it does.

    Args:
        path: the lock's own file, made where there is none; it stays.

    Returns:
        A descriptor that gives the lock back when it is closed; None where another process has the lock.

    Raises:
        OSError: the folder cannot be written.
    """
    descriptor = _open(path)
    if _try_lock(descriptor):
        return descriptor
    os.close(descriptor)
    return None


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock that `hold_lock` takes; nothing is made for the question.

    Another process that asks in the same moment looks like one that holds it, so it is asked again.

    Args:
        path: the lock's own file.

    Raises:
        OSError: it is there and cannot be opened.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | _SAFE)
    except FileNotFoundError:
        return False
    try:
        for _ in range(_ASKED):
            if _try_lock(descriptor):
                return False
            time.sleep(0.01)
        return True
    finally:
        os.close(descriptor)


def _open(lock: Path) -> int:
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | _SAFE, PRIVATE)
    try:
        hand_over(descriptor, lock.parent)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


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
