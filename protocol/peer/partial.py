"""The file that a blob is written to until it is whole. It knows no connection; everything here blocks.

Two transfers to one name must never write the same file: each would hash its own bytes and find them right,
while the file holds a mixture of both. So a transfer that starts anew has a file with a name of its own,
and one that goes on has `<name>.part` with an exclusive lock on it. As the one with the lock may rename the
file away between another's `open` and lock, whoever has locked looks whether the name still means that file.

No link is followed, or somebody who may write in the folder chooses which file of ours is overwritten.

Source: open(2) O_EXCL, O_NOFOLLOW; flock(2) (a lock belongs to the open file, so it also holds between two
transfers of one process); rename(2); Windows `_locking`.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import stat
import sys
from pathlib import Path
from typing import BinaryIO

CHUNK = 256 * 1024
PARTIAL = ".part"
"""What is appended to the name of a file that is not complete yet."""

_NAME = 48  # characters of the target's name in that of its temporary: with 22 more, below 255 bytes of UTF-8
_ATTEMPTS = 10  # each is lost only to a transfer that ended in that very moment


class PartialFile:
    """One transfer's file, opened and this transfer's alone; ends with `keep`, `leave` or `discard`.

    Args:
        target: the name that the whole file is to have.
        resume: go on with what lies under `<name>.part`.

    Attributes:
        held: bytes that were there already.

    Raises:
        OSError: it cannot be opened, or another transfer has it (EBUSY).
    """

    def __init__(self, target: Path, *, resume: bool) -> None:
        self._target = target
        self._partial = target.with_name(target.name + PARTIAL)
        self._digest = hashlib.sha256()
        self._ended = False
        if resume:
            self._path = self._partial
            self._file = _claim(self._path)
        else:
            self._path = target.with_name(f"{target.name[:_NAME]}.{secrets.token_hex(8)}{PARTIAL}")
            self._file = open(self._path, "xb", opener=_open_unlinked)  # noqa: SIM115 - held open
        self.held = os.fstat(self._file.fileno()).st_size

    def begin(self, offset: int) -> None:
        """Drop what lies behind `offset`, and hash what lies before it."""
        left = offset
        while left and (chunk := self._file.read(min(CHUNK, left))):
            self._digest.update(chunk)
            left -= len(chunk)
        self._file.truncate(offset)
        self._file.seek(offset)

    def append(self, data: bytes) -> None:
        """Write and hash."""
        self._file.write(data)
        self._digest.update(data)

    def digest(self) -> bytes:
        """SHA-256 of the whole content."""
        return self._digest.digest()

    def synchronise(self) -> None:
        """Have it on the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def keep(self) -> None:
        """Give the whole file its name.

        Raises:
            OSError: it cannot have it; or its own was taken away, by somebody who knows no locks.
        """
        if not _has_name(self._file, self._path):
            raise OSError(errno.EBUSY, "the file was replaced while it was written", str(self._path))
        _replace(self._file, self._path, self._target)
        self._ended = True

    def leave(self) -> None:
        """Let a later transfer go on from here; where none could, leave nothing. Nothing after `keep`."""
        if self._ended:
            return
        with contextlib.suppress(OSError, ValueError):  # ValueError: `keep` has closed it, and then failed
            self._file.flush()
        with contextlib.suppress(OSError):  # what broke the transfer is the error to tell
            if self._path.lstat().st_size == 0:
                self.discard()
            elif self._path != self._partial:
                self._hand_over()
        self._close()

    def discard(self) -> None:
        """Delete it."""
        self._ended = True
        try:
            if self._path != self._partial or (not self._file.closed and _has_name(self._file, self._path)):
                if sys.platform == "win32":  # which deletes no open file
                    self._close()
                self._path.unlink(missing_ok=True)
        finally:
            self._close()

    def _hand_over(self) -> None:
        """Rename this transfer's own file to `<name>.part`, unless another transfer has that."""
        self._close()
        try:
            claimed = _claim(self._partial)
            _replace(claimed, self._path, self._partial)
        except OSError:
            self.discard()

    def _close(self) -> None:
        with contextlib.suppress(OSError):
            _release(self._file)


def _open_unlinked(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)


def _claim(path: Path) -> BinaryIO:
    """Open or create a file and lock it."""
    for _ in range(_ATTEMPTS):
        file = open(path, "r+b", opener=_open_unlinked)  # noqa: SIM115 - the caller closes it
        try:
            try:
                _lock(file)
            except (BlockingIOError, PermissionError) as exc:
                raise _under_way(path) from exc
            if _has_name(file, path):
                return file
        except BaseException:
            file.close()
            raise
        _release(file)
    raise _under_way(path)


def _under_way(path: Path) -> OSError:
    return OSError(errno.EBUSY, "another transfer to this file is under way", str(path))


def _has_name(file: BinaryIO, path: Path) -> bool:
    """Whether a name means an open file itself, and not a link to it."""
    try:
        named = path.lstat()
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(named.st_mode):  # a link, where `open` cannot be told to follow none
        raise OSError(errno.ELOOP, "not a regular file", str(path))
    return os.path.samestat(named, os.fstat(file.fileno()))


def _replace(held: BinaryIO, source: Path, target: Path) -> None:
    """Rename while a file is held, and then let go of it."""
    try:
        if sys.platform == "win32":  # renames no open file; who opens it in between makes this fail
            _release(held)
        os.replace(source, target)
    finally:
        _release(held)


if sys.platform == "win32":
    import msvcrt

    def _lock(file: BinaryIO) -> None:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)

    def _release(file: BinaryIO) -> None:
        """Close, and unlock before: otherwise Windows does so when it finds the time."""
        if file.closed:
            return
        try:
            with contextlib.suppress(OSError):  # a file with a name of its own has no lock
                file.seek(0)
                msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)
        finally:
            file.close()
else:
    import fcntl

    def _lock(file: BinaryIO) -> None:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _release(file: BinaryIO) -> None:
        file.close()
