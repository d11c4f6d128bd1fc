"""What the loop settles and other threads wait for: each waits by itself, and none keeps another from going on."""

from __future__ import annotations

import threading
from typing import NoReturn

import pytest

from appclient.bridge.outcome import Outcome
from protocol.peer.outside import Late
from tests.appclient.blocking_rig import SECONDS, in_thread, wait_for


def test_all_who_wait_have_the_value() -> None:
    outcome: Outcome[int] = Outcome()
    waiting = [in_thread(outcome.wait) for _ in range(5)]
    wait_for(lambda: len(outcome._callbacks) == 5)
    outcome.set_result(7)
    for thread, got in waiting:
        thread.join(SECONDS)
        assert got == [7]
    assert outcome.wait() == 7
    assert outcome.done


def test_only_the_first_counts() -> None:
    outcome: Outcome[int] = Outcome()
    outcome.set_exception(ValueError("first"))
    outcome.set_result(7)
    with pytest.raises(ValueError, match="first"):
        outcome.wait()


def test_who_gives_up_leaves_the_others_waiting() -> None:
    outcome: Outcome[int] = Outcome()
    for seconds in (0, -1, 0.01):
        with pytest.raises(Late):
            outcome.wait(seconds)
    thread, got = in_thread(lambda: outcome.wait(1e300))
    wait_for(lambda: len(outcome._callbacks) == 4)
    outcome.set_result(7)
    thread.join(SECONDS)
    assert got == [7]


def test_a_waiter_that_is_interrupted_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome: Outcome[int] = Outcome()
    thread, got = in_thread(outcome.wait)
    wait_for(lambda: len(outcome._callbacks) == 1)

    class Interrupted:
        def acquire(self, timeout: float = -1) -> NoReturn:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(threading, "Lock", Interrupted)
        with pytest.raises(KeyboardInterrupt):
            outcome.wait()
    outcome.set_result(7)
    thread.join(SECONDS)
    assert got == [7]


def test_a_function_is_called_once_it_is_there() -> None:
    outcome: Outcome[int] = Outcome()
    called: list[str] = []
    outcome.on_done(lambda: called.append("before"))
    assert not called
    outcome.set_result(7)
    outcome.on_done(lambda: called.append("after"))
    assert called == ["before", "after"]
