"""Ctrl+C, signal handlers and finalizers in the midst of a call that a thread makes without the loop."""

from __future__ import annotations

import contextlib
import errno
import threading
from functools import partial
from types import TracebackType
from typing import Any

import pytest
import trio

from appclient import Closed
from appclient.bridge.outcome import Outcome
from protocol.peer import CallError, outside, reading
from protocol.transport import poller
from tests.appclient.blocking_rig import SECONDS, Rig, is_handling, lend, peer_of, wait_for, within
from tests.protocol.peer.desk import Desk, Ringer

pytestmark = pytest.mark.usefixtures("patient_leader")


@pytest.mark.parametrize("raised", [KeyboardInterrupt, TimeoutError, OSError, ValueError])
def test_what_a_signal_handler_raises_while_a_thread_waits_cancels_the_call(
    raised: type[BaseException], rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.counter.plans["wait"] = trio.sleep_forever

    def interrupted(descriptor: int, seconds: float) -> None:
        wait_for(lambda: is_handling(rig))
        raise raised("alarm")

    with rig.connect() as client:
        desk = lend(client)
        peer = peer_of(client)
        with monkeypatch.context() as patch:
            patch.setattr(outside, "poller", lambda descriptor: partial(interrupted, descriptor))
            with pytest.raises(raised, match="alarm"):
                desk.run("wait")
        wait_for(lambda: rig.counter.ended == ["wait"])
        assert desk.echo(1) == 1
        assert peer_of(client) is peer


@pytest.mark.parametrize("raised", [KeyboardInterrupt, TimeoutError, RuntimeError])
@pytest.mark.parametrize("step", ["begin_turn", "take", "end_turn"])
def test_what_a_signal_handler_raises_in_the_midst_of_a_step_ends_the_connection(
    step: str, raised: type[BaseException], rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = getattr(reading.Reading, step)

    def interrupted(*args: object) -> object:
        if threading.current_thread() is threading.main_thread():
            raise raised("alarm")
        return original(*args)

    with rig.connect() as client:
        desk = lend(client)
        peer = peer_of(client)
        with monkeypatch.context() as patch:
            patch.setattr(reading.Reading, step, interrupted)
            with pytest.raises(raised, match="alarm"):
                desk.echo(1)
        assert desk.echo(2) == 2
        assert peer.ended
        assert peer.reason == outside.INTERRUPTED


@pytest.mark.parametrize(
    "raised",
    [
        TimeoutError("alarm"),
        InterruptedError(errno.EINTR, "alarm"),
        BlockingIOError(errno.EAGAIN, "alarm"),
        FileNotFoundError(errno.ENOENT, "alarm"),
    ],
    ids=lambda raised: type(raised).__name__,
)
@pytest.mark.parametrize("call", ["_read", "_write"])
def test_what_a_signal_handler_raises_in_the_operating_system_is_no_fault_of_the_connection(
    call: str, raised: OSError, rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    with rig.connect() as client:
        desk = lend(client)
        peer = peer_of(client)
        original = getattr(peer.transport, call)

        def interrupted(*args: object) -> object:
            try:
                result = original(*args)
            except BlockingIOError:
                return None if call == "_read" else 0
            if threading.current_thread() is threading.main_thread():
                raise raised
            return result

        with monkeypatch.context() as patch:
            patch.setattr(peer.transport, call, interrupted)
            with pytest.raises(type(raised), match="alarm"):
                desk.echo(-7)
        assert desk.echo(2) == 2
        assert peer.reason == outside.INTERRUPTED
        assert rig.counter.ran.count(-7) <= 1


@pytest.mark.parametrize("step", ["begin_turn", "take", "end_turn"])
def test_a_signal_handler_that_calls_in_the_midst_of_a_call_is_told_not_to(
    step: str, rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    with rig.connect() as client:
        desk = lend(client)
        original = getattr(reading.Reading, step)
        said: list[BaseException] = []

        def interrupted(*args: object) -> object:
            for call in (lambda: desk.echo(1), lambda: list(desk.count(0, 3)), client.ping):
                try:
                    call()
                except RuntimeError as exc:
                    said.append(exc)
            return original(*args)

        with monkeypatch.context() as patch:
            patch.setattr(reading.Reading, step, interrupted)
            assert within(lambda: desk.echo(2)) == 2
        assert len(said) == 3
        assert desk.echo(3) == 3


@pytest.mark.parametrize("step", ["begin_turn", "take", "end_turn"])
def test_a_signal_handler_may_close_the_client_in_the_midst_of_a_call(
    step: str, rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = rig.connect()
    desk = lend(client)
    original = getattr(reading.Reading, step)

    def interrupted(*args: object) -> object:
        client.close()
        return original(*args)

    monkeypatch.setattr(reading.Reading, step, interrupted)
    with contextlib.suppress(CallError, Closed):
        assert within(lambda: desk.echo(2)) == 2
    wait_for(lambda: not client._portal._thread.is_alive())
    with pytest.raises(Closed):
        desk.echo(3)
    within(client.close)


def test_a_finalizer_may_end_a_subscription_in_the_midst_of_a_call(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    got: list[int] = []
    with rig.connect() as client:
        desk: Any = client.use(Desk)
        stop = client.listen(desk.queued, got.append)
        lend(client)
        original = reading.Reading.take

        def interrupted(*args: Any) -> bool:
            stop()
            return original(*args)

        with monkeypatch.context() as patch:
            patch.setattr(reading.Reading, "take", interrupted)
            assert within(lambda: desk.echo(2)) == 2
        wait_for(lambda: not any(peer_of(client).connection.streams.subscriptions.values()))


def test_a_signal_handler_may_call_while_its_thread_waits_for_an_answer(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The leader does not wait for ever for a thread that cannot go on: that one waits for the leader."""
    monkeypatch.setattr(reading, "TICK", 0.5)
    with rig.connect() as client:
        desk = lend(client)
        answers: list[object] = []

        def interrupted(descriptor: int, seconds: float) -> bool:
            if not answers:
                answers.append(None)
                answers[:] = [desk.echo(7), list(desk.count(0, 3)), client.ping() < SECONDS]
            return poller(descriptor)(seconds)

        with monkeypatch.context() as patch:
            patch.setattr(outside, "poller", lambda descriptor: partial(interrupted, descriptor))
            assert within(lambda: desk.echo(2)) == 2
        assert answers == [7, [0, 1, 2], True]
        assert desk.echo(3) == 3


def test_the_loop_waits_for_a_thread_that_posts(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """It has a lock of trio's then: a signal handler must not wait for the loop, and may close the client."""
    client = rig.connect()
    desk: Any = client.use(Desk)
    run_sync_soon = trio.lowlevel.TrioToken.run_sync_soon
    said: list[str] = []

    def interrupted(*args: Any, **options: Any) -> None:
        if not said and threading.current_thread() is threading.main_thread():
            said.append("interrupted")
            with pytest.raises(RuntimeError, match="later"):
                desk.echo(1)
            client.close()
            said.append("closed")
            assert client._portal.outside.is_inside  # the outer one is still at it
        run_sync_soon(*args, **options)

    monkeypatch.setattr(trio.lowlevel.TrioToken, "run_sync_soon", interrupted)
    with contextlib.suppress(CallError, Closed):
        desk.echo(2)
    assert said == ["interrupted", "closed"]
    assert not client._portal.outside.is_inside
    wait_for(lambda: not client._portal._thread.is_alive())


def test_a_signal_handler_may_publish_in_the_midst_of_a_call(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    ringer = Ringer()
    with rig.connect(serve=[ringer]) as client:
        original = reading.Reading.take

        def interrupted(*args: Any) -> bool:
            ringer.rung.publish(1)
            return original(*args)

        def call() -> object:
            desk = lend(client)
            monkeypatch.setattr(reading.Reading, "take", interrupted)
            return desk.echo(2)

        assert within(call) == 2


class _Interrupted:
    """A lock, at whose n-th release Ctrl+C comes."""

    def __init__(self, lock: threading.Lock, left: int) -> None:
        self._lock = lock
        self._left = left
        self.locked = lock.locked

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._lock.release()
        self._left -= 1
        if self._left == 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("release", [1, 2], ids=["sent", "taken"])
def test_ctrl_c_between_two_steps_of_a_call_cancels_it(release: int, rig: Rig) -> None:
    rig.counter.plans["wait"] = trio.sleep_forever
    with rig.connect() as client:
        desk = lend(client)
        peer = peer_of(client)
        caller: Any = client._portal.outside
        lock, caller._lock = caller._lock, _Interrupted(caller._lock, release)
        with pytest.raises(KeyboardInterrupt):
            desk.run("wait")
        caller._lock = lock
        wait_for(lambda: rig.counter.ended == ["wait"])
        assert within(lambda: desk.echo(2)) == 2
        assert peer_of(client) is peer


def test_what_a_signal_handler_raises_while_a_subscription_is_opened_is_no_timeout_of_it(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Alarm(TimeoutError):
        pass

    def interrupted(*_: object) -> None:
        raise Alarm

    with rig.connect() as client:
        desk: Any = client.use(Desk)
        with monkeypatch.context() as patch:
            patch.setattr(Outcome, "wait", interrupted)
            with pytest.raises(Alarm), desk.queued.subscribe():
                pass
        assert desk.echo(1) == 1
