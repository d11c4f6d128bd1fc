"""Writing small files so that a kill at any moment leaves the old file or the new one, whole.

The content goes into a temporary file in the same folder, is flushed to the disk, and then takes its
name in one step. The temporary file is private (0600) from the moment it exists and refuses to
follow a symbolic link that somebody planted; it carries a mark in its name by which leftovers of a
killed process are found.

Source: open(2) O_CREAT, O_EXCL, O_NOFOLLOW; rename(2); fsync(2) on the folder.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
import sys
import time
from pathlib import Path

PRIVATE = 0o600
PUBLIC = 0o644

_MARK = ".appserver-tmp"
_STALE = 60.0
"""Seconds after which a temporary file belongs to no living process: each lives for milliseconds."""


def replace_file(
    path: Path, content: bytes, *, mode: int = PUBLIC, keep_mode: bool = True, flush: bool = True
) -> None:
    """Write a file in place of the one that is there, if any.

    Where `path` is a symbolic link, the file that it names is replaced and the link stays.

    Args:
        path: the file.
        content: all of its new content.
        mode: permissions of a file that did not exist; one that did keeps its own. Not on Windows,
            where a file has those of its folder.
        keep_mode: False gives `mode` to a file that did exist, too: a new secret must not become
            readable because the old one was.
        flush: False for what need not outlive the machine's power, and is written often.

    Raises:
        OSError: the folder is missing or cannot be written, or the disk is full; nothing changed.
    """
    target = path.resolve()
    if keep_mode:
        with contextlib.suppress(FileNotFoundError):
            mode = stat.S_IMODE(target.stat().st_mode)
    temporary = _write_temporary(target, content, mode, flush=flush)
    try:
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if flush:
        _flush_folder(target.parent)


def create_file(path: Path, content: bytes, *, mode: int) -> bool:
    """Write a file that does not exist yet; never touch one that does, be it only a dangling link.

    Args:
        path: the file.
        content: all of its content.
        mode: its permissions.

    Returns:
        Whether it was written; False where somebody else was first.

    Raises:
        OSError: as `replace_file`.
    """
    temporary = _write_temporary(path, content, mode)
    try:
        _name_exclusively(temporary, path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink(missing_ok=True)
    _flush_folder(path.parent)
    return True


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files that a killed process left; one that is in use stays.

    Args:
        folder: where to look; it may be missing, and what cannot be removed stays.
    """
    with contextlib.suppress(OSError):
        for leftover in folder.glob(f".*{_MARK}"):
            if time.time() - leftover.lstat().st_mtime > _STALE:
                leftover.unlink()


def hand_over(descriptor: int, like: Path) -> None:
    """Give a file that root has just made to the owner of another one; for all others this does nothing.

    A key that an administrator made as root could not be read by the user who runs the server.

    Args:
        descriptor: of the new file.
        like: the file that it replaces, or the folder that it is in.
    """
    if sys.platform == "win32" or os.geteuid() != 0:
        return
    owner = like.stat()
    if (owner.st_uid, owner.st_gid) != (os.geteuid(), os.getegid()):
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


def _write_temporary(path: Path, content: bytes, mode: int, *, flush: bool = True) -> Path:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}{_MARK}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(temporary, flags, PRIVATE)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            if hasattr(os, "fchmod"):
                hand_over(descriptor, path if path.exists() else path.parent)
                os.fchmod(descriptor, mode)
            if flush:
                os.fsync(descriptor)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def _name_exclusively(temporary: Path, path: Path) -> None:
    try:
        # A hard link is refused where the name is taken; a rename would replace what has it.
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:
        # FAT and some network file systems have no hard links. Here two processes at once could
        # replace each other's file, which is whole in either case.
        if os.path.lexists(path):
            raise FileExistsError(path) from None
        temporary.rename(path)


def _flush_folder(folder: Path) -> None:
    # Without this the new name may be lost with the power; Windows cannot open a folder.
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
