"""The file in which a running server says how it is, and whether the one who wrote it still lives.

Beside it lies a lock that the server holds as long as it runs. The operating system takes it away with the process,
however that ended, so a file without the lock is a dead server's, and one with it that does not change any more is
of a server whose event loop hangs. The number of a process would tell neither: numbers come again.

The content is what the wire would carry: a typed structure, checked when it is read. It knows not what is in it.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import logging
import os
import stat
import time
from pathlib import Path
from typing import Generic, TypeVar

import attrs

from protocol.certs.locking import hold_lock, is_locked
from protocol.interface import InvalidValue
from protocol.interface.annotations import Compiler
from protocol.settings.atomic import PRIVATE, remove_leftovers, replace_file
from protocol.wire.codec import pack, unpack
from protocol.wire.errors import CodecError

logger = logging.getLogger("appserver.status")

STATUS_FILE = ".appserver-status"
LOCK_FILE = ".appserver-status.lock"

_SAFE = sum(getattr(os, name, 0) for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"))
"""Flags for opening a file that may be anything; those that a system does not know are left out."""

_MOST = 256 * 1024
"""Bytes of a file that is read: a full one has two thousand."""

_LOOK = 0.05
"""Seconds between two looks at a file that should change."""

_TOLD_AT = 2
"""Failures in a row after which they are logged: on Windows a file that is being read cannot be replaced."""

StatusT = TypeVar("StatusT")


class Life(enum.Enum):
    """What is known of a server."""

    RUNNING = "running"
    """It writes."""
    SILENT = "silent"
    """Its process is there, and has stopped to write: something holds its event loop."""
    KILLED = "killed"
    """It ended, and not in order."""
    NONE = "none"
    """There is none."""


class UnreadableStatus(Exception):
    """The status file is there, and holds something else, or what another version wrote.

    Attributes:
        file: the file.
        finding: what is wrong.
    """

    def __init__(self, file: Path, finding: str) -> None:
        super().__init__(
            f"{file}: the status cannot be understood ({finding}). Look at it with the version that runs"
        )
        self.file = file
        self.finding = finding


class StatusFile(Generic[StatusT]):
    """The writer's side. A server is not held up or ended by it: what cannot be written is logged once.

    Args:
        folder: where it lies.
        cls: attrs class of what is written.
    """

    def __init__(self, folder: Path, cls: type[StatusT]) -> None:
        self._file, self._lock_file = folder / STATUS_FILE, folder / LOCK_FILE
        self._encode = Compiler().converter(cls, STATUS_FILE).encode
        self._lock: int | None = None
        self._failed = 0

    def write(self, status: StatusT) -> None:
        """Write the status; while another server of this folder writes there, this one waits for its turn.

        Args:
            status: all of it.
        """
        try:
            if self._lock is None:
                remove_leftovers(self._file.parent)
                self._lock = hold_lock(self._lock_file)
            if self._lock is None:
                self._tell("another server that runs in this folder has its own there")
            else:
                replace_file(self._file, pack(self._encode(status)), mode=PRIVATE, flush=False)
                self._failed = 0
        except OSError as error:
            self._tell(error.strerror or str(error))

    def close(self) -> None:
        """Take the status away and give the lock back: the server ends in order."""
        if self._lock is None:
            return
        with contextlib.suppress(OSError):
            self._file.unlink()
        os.close(self._lock)
        self._lock = None

    def _tell(self, finding: str) -> None:
        self._failed += 1
        if self._failed == _TOLD_AT:
            logger.warning(
                "`appserver status` cannot tell of this server",
                extra={"file": str(self._file), "finding": finding},
            )


@attrs.frozen
class Seen(Generic[StatusT]):
    """What there is to see of a server from outside.

    Attributes:
        life: whether it runs.
        status: what it last wrote, None where there is nothing.
    """

    life: Life
    status: StatusT | None = None


def look(folder: Path, cls: type[StatusT], *, patience: float) -> Seen[StatusT]:
    """See how the server of a folder is.

    Args:
        folder: the application folder.
        cls: attrs class of what is written.
        patience: seconds after which a writing is old, and for which a further one is then waited for: a machine
            that has slept, or whose clock was set, is no reason to call a server dead.

    Raises:
        UnreadableStatus: what is there cannot be understood.
        OSError: it cannot be read by this user.
    """
    file, lock = folder / STATUS_FILE, folder / LOCK_FILE
    if not is_locked(lock):
        content = _read(file)
        return Seen(Life.NONE) if content is None else Seen(Life.KILLED, _decode(file, content, cls))
    if not _is_fresh(file, patience) and not _wait_writing(file, patience):
        if not is_locked(lock):  # it has ended meanwhile
            return look(folder, cls, patience=patience)
        content = _read(file)
        return Seen(Life.SILENT, None if content is None else _decode(file, content, cls))
    content = _read(file)
    return Seen(Life.NONE) if content is None else Seen(Life.RUNNING, _decode(file, content, cls))


def _is_fresh(file: Path, patience: float) -> bool:
    with contextlib.suppress(FileNotFoundError):
        return 0 <= time.time() - file.stat().st_mtime < patience
    return False


def _wait_writing(file: Path, patience: float) -> bool:
    before = _read(file)
    deadline = time.monotonic() + patience
    while _read(file) == before:
        if time.monotonic() >= deadline:
            return False
        time.sleep(_LOOK)
    return True


def _read(file: Path) -> bytes | None:
    # O_NONBLOCK: a pipe would wait for a writer for ever. A link may lead to what only who looks may read.
    try:
        descriptor = os.open(file, os.O_RDONLY | _SAFE)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise UnreadableStatus(file, "it is a link") from None
        raise
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise UnreadableStatus(file, "it is no regular file")
        return os.read(descriptor, _MOST)
    finally:
        os.close(descriptor)


def _decode(file: Path, content: bytes, cls: type[StatusT]) -> StatusT:
    try:
        status: StatusT = Compiler().converter(cls, STATUS_FILE).decode(unpack(content))
    except (CodecError, InvalidValue) as error:
        raise UnreadableStatus(file, str(error)) from error
    return status
