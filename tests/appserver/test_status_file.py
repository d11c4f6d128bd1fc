"""The status file: what a look at it says of the one who wrote it, in this process and in one that was killed."""

from __future__ import annotations

import logging
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from appserver.status_file import LOCK_FILE, STATUS_FILE, Life, Seen, StatusFile, UnreadableStatus, look
from tests.system.processes import ROOT, SECONDS, environment

OLD = 10**9
"""A time of a file, long ago."""


@attrs.frozen
class Told:
    """What is written."""

    number: int
    names: tuple[str, ...] = ()


def seen(folder: Path, patience: float = 0.2) -> Seen[Told]:
    return look(folder, Told, patience=patience)


def age(folder: Path) -> None:
    os.utime(folder / STATUS_FILE, (OLD, OLD))


def test_where_nobody_has_written_there_is_nobody(tmp_path: Path) -> None:
    assert seen(tmp_path) == Seen(Life.NONE)
    assert seen(tmp_path / "missing") == Seen(Life.NONE)
    assert list(tmp_path.iterdir()) == [], "a look leaves nothing behind"


def test_what_was_written_is_seen_until_it_is_taken_away(tmp_path: Path) -> None:
    file = StatusFile(tmp_path, Told)
    for number in range(3):
        file.write(Told(number, ("a", "b")))
        assert seen(tmp_path) == Seen(Life.RUNNING, Told(number, ("a", "b")))
    file.close()
    assert seen(tmp_path) == Seen(Life.NONE)
    file.close()
    assert [path.name for path in tmp_path.iterdir()] == [LOCK_FILE]


@pytest.mark.skipif(sys.platform == "win32", reason="there a file has the permissions of its folder")
def test_others_cannot_read_it(tmp_path: Path) -> None:
    StatusFile(tmp_path, Told).write(Told(1))
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}


@pytest.mark.skipif(sys.platform == "win32", reason="makes pipes and links")
@pytest.mark.parametrize(
    ("make", "finding"),
    [
        (os.mkfifo, "no regular file"),
        (Path.mkdir, "no regular file"),
        (lambda path: path.symlink_to("/etc/hostname"), "a link"),
    ],
    ids=["pipe", "folder", "link"],
)
def test_what_is_no_file_is_said_and_not_waited_for(
    tmp_path: Path, make: Callable[[Path], object], finding: str
) -> None:
    make(tmp_path / STATUS_FILE)
    with pytest.raises(UnreadableStatus, match=finding):
        seen(tmp_path)


def test_an_old_writing_whose_lock_is_held_is_waited_for_and_then_called_silent(tmp_path: Path) -> None:
    file = StatusFile(tmp_path, Told)
    file.write(Told(1))
    age(tmp_path)
    assert seen(tmp_path) == Seen(Life.SILENT, Told(1))
    later = threading.Timer(0.2, file.write, [Told(2)])
    later.start()
    assert seen(tmp_path, patience=20) == Seen(Life.RUNNING, Told(2)), "a machine that slept"
    later.join()
    os.utime(tmp_path / STATUS_FILE, (2 * OLD + 10**9, 2 * OLD + 10**9))
    assert seen(tmp_path) == Seen(Life.SILENT, Told(2)), "a time that is still to come is no sign of life"
    file.close()


def test_one_that_ends_while_it_is_waited_for_is_not_silent(tmp_path: Path) -> None:
    file = StatusFile(tmp_path, Told)
    file.write(Told(1))
    age(tmp_path)
    later = threading.Timer(0.2, file.close)
    later.start()
    assert seen(tmp_path, patience=20) == Seen(Life.NONE)
    later.join()


HOLD = """
import sys, time
from pathlib import Path
from appserver.status_file import StatusFile
from tests.appserver.test_status_file import Told
StatusFile(Path(sys.argv[1]), Told).write(Told(7))
print("written", flush=True)
time.sleep(600)
"""


def test_a_killed_process_leaves_its_last_word_and_no_lock(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        cwd=ROOT,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    watchdog = threading.Timer(SECONDS, process.kill)
    watchdog.start()
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "written\n"
        assert seen(tmp_path) == Seen(Life.RUNNING, Told(7))
        process.kill()
        process.wait(SECONDS)
        assert seen(tmp_path) == Seen(Life.KILLED, Told(7))
    finally:
        process.kill()
        process.communicate()
        watchdog.cancel()
    StatusFile(tmp_path, Told).write(Told(8))
    assert seen(tmp_path) == Seen(Life.RUNNING, Told(8)), "the next one takes the place over"


def test_a_second_one_in_the_folder_waits_for_its_turn(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = StatusFile(tmp_path, Told), StatusFile(tmp_path, Told)
    first.write(Told(1))
    for _ in range(3):
        second.write(Told(2))
    assert seen(tmp_path).status == Told(1)
    (record,) = caplog.records
    assert "another server" in record.finding  # type: ignore[attr-defined]
    second.close()
    assert seen(tmp_path).status == Told(1), "it takes away nothing of the other's"
    second.write(Told(2))
    first.close()
    second.write(Told(2))
    assert seen(tmp_path) == Seen(Life.RUNNING, Told(2))


def test_a_folder_that_cannot_be_written_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = StatusFile(tmp_path / "missing", Told)
    for _ in range(5):
        file.write(Told(1))
    file.close()
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.file == str(tmp_path / "missing" / STATUS_FILE)  # type: ignore[attr-defined]


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_a_planted_link_is_not_followed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / LOCK_FILE).symlink_to(tmp_path / "target")
    file = StatusFile(tmp_path, Told)
    file.write(Told(1))
    file.write(Told(1))
    assert not (tmp_path / "target").exists()
    assert len(caplog.records) == 1


@pytest.mark.parametrize("content", [b"", b"\x81", b"not msgpack at all", b"\x80", b"\x81\xa6number\xa17"])
def test_what_cannot_be_understood_is_an_error_with_its_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / STATUS_FILE).write_bytes(content)
    with pytest.raises(UnreadableStatus) as caught:
        seen(tmp_path)
    assert caught.value.file == tmp_path / STATUS_FILE
