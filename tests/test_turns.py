"""Whoever wants to be alone is, and gets his turn however many come after him."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import pytest

from tests.turns import take_turn

SECONDS = 30.0

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no locks that several can share")


class Visitor(threading.Thread):
    """Comes at once, and leaves when told to."""

    def __init__(self, folder: Path, order: list[str], name: str, *, alone: bool) -> None:
        super().__init__(name=name, daemon=True)
        self.inside = threading.Event()
        self.leave = threading.Event()
        self._folder = folder
        self._order = order
        self._alone = alone
        self.start()

    def run(self) -> None:
        with take_turn(self._folder, alone=self._alone):
            self._order.append(f"{self.name} in")
            self.inside.set()
            self.leave.wait(SECONDS)
            self._order.append(f"{self.name} out")


def waits_at_the_door(folder: Path) -> bool:
    """Whether somebody stands in the door, and keeps it shut."""
    import fcntl  # not on Windows

    with (folder / "door").open("w") as door:
        try:
            fcntl.flock(door, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_two_are_in_at_once_and_one_who_wants_to_be_alone_comes_between_them_and_the_next(
    tmp_path: Path,
) -> None:
    order: list[str] = []
    first, second = (Visitor(tmp_path, order, name, alone=False) for name in ("first", "second"))
    assert first.inside.wait(SECONDS)
    assert second.inside.wait(SECONDS)
    single = Visitor(tmp_path, order, "single", alone=True)
    while not waits_at_the_door(tmp_path):
        assert single.is_alive()
    late = Visitor(tmp_path, order, "late", alone=False)
    first.leave.set()
    first.join(SECONDS)
    assert not single.inside.is_set()
    second.leave.set()
    assert single.inside.wait(SECONDS)
    assert not late.inside.is_set()
    single.leave.set()
    assert late.inside.wait(SECONDS)
    late.leave.set()
    late.join(SECONDS)
    assert order[2:] == ["first out", "second out", "single in", "single out", "late in", "late out"]
