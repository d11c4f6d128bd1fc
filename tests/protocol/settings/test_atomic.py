"""Writing files whole: permissions, links, and what a kill leaves."""

from __future__ import annotations

import os
import stat
import sys
import time
from pathlib import Path

import pytest

from protocol.settings import atomic

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no permission bits")


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@posix
def test_a_new_file_is_private_whatever_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        assert atomic.create_file(tmp_path / "key", b"secret", mode=atomic.PRIVATE)
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "key") == 0o600
    assert os.listdir(tmp_path) == ["key"]


@posix
def test_a_file_is_never_open_to_others_even_while_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    real = os.fsync

    def watch(descriptor: int) -> None:
        seen.extend(mode_of(path) for path in tmp_path.iterdir())
        real(descriptor)

    monkeypatch.setattr(os, "fsync", watch)
    atomic.create_file(tmp_path / "key", b"secret", mode=atomic.PRIVATE)
    assert set(seen) == {0o600}


def test_what_exists_is_never_created_over(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"old")
    assert not atomic.create_file(tmp_path / "key", b"new", mode=atomic.PRIVATE)
    assert (tmp_path / "key").read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["key"]


@posix
def test_a_dangling_link_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "key").symlink_to(tmp_path / "elsewhere")
    assert not atomic.create_file(tmp_path / "key", b"new", mode=atomic.PRIVATE)
    assert not (tmp_path / "elsewhere").exists()


@posix
def test_replacing_keeps_the_permissions_and_the_link(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"old")
    target.chmod(0o640)
    link = tmp_path / "link"
    link.symlink_to(target)
    atomic.replace_file(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert mode_of(target) == 0o640


def test_without_hard_links_the_file_is_still_created_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_arguments: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    assert atomic.create_file(tmp_path / "key", b"first", mode=atomic.PRIVATE)
    assert not atomic.create_file(tmp_path / "key", b"second", mode=atomic.PRIVATE)
    assert (tmp_path / "key").read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["key"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        atomic.replace_file(path, b"new")
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["file"]


def test_only_old_leftovers_are_removed(tmp_path: Path) -> None:
    old = tmp_path / ".key.pem.0123.appserver-tmp"
    young = tmp_path / ".key.pem.4567.appserver-tmp"
    foreign = tmp_path / ".key.pem.tmp"
    for path in (old, young, foreign):
        path.write_bytes(b"")
    for path in (old, foreign):
        os.utime(path, (time.time() - 3600,) * 2)
    atomic.remove_leftovers(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([young, foreign])
    atomic.remove_leftovers(tmp_path / "missing")


@posix
def test_a_secret_does_not_take_over_the_open_mode_of_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"old")
    path.chmod(0o644)
    atomic.replace_file(path, b"new", mode=atomic.PRIVATE, keep_mode=False)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only root gives files away")
def test_what_root_writes_belongs_to_whom_the_folder_or_the_old_file_does(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, 12346)
    atomic.create_file(tmp_path / "new", b"x", mode=atomic.PRIVATE)
    atomic.replace_file(tmp_path / "other", b"x")
    for name in ("new", "other"):
        assert ((tmp_path / name).stat().st_uid, (tmp_path / name).stat().st_gid) == (12345, 12346)
    os.chown(tmp_path / "other", 12347, 12348)
    atomic.replace_file(tmp_path / "other", b"y")
    assert ((tmp_path / "other").stat().st_uid, (tmp_path / "other").stat().st_gid) == (12347, 12348)
