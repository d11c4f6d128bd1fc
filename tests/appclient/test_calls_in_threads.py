"""Calls that the blocking client makes in the calling thread alone, without its loop: every way they may go."""

from __future__ import annotations

import math
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import trio

from appclient import Closed, ConnectionState
from appclient.bridge.blocking import BlockingClient
from appclient.bridge.portal import Portal
from appserver import current_call
from protocol.interface import InvalidValue
from protocol.peer import CallError, CallTooLarge, ConnectionLost, Draining, outside, reading
from protocol.transport import poller
from protocol.wire import codes
from protocol.wire.errors import ErrorInfo, Executed
from tests.appclient.blocking_rig import (
    SECONDS,
    Rig,
    in_thread,
    is_handling,
    lend,
    make_folder,
    peer_of,
    publish,
    serving,
    wait_for,
    within,
)
from tests.protocol.peer.desk import Bell, Desk, Line, OutOfStock, Ringer

pytestmark = pytest.mark.usefixtures("patient_leader")


def forbid_loop(client: BlockingClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail where the loop is asked for anything."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the loop was asked")

    monkeypatch.setattr(client._portal, "start", refuse)
    monkeypatch.setattr(client._portal, "_token", None)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("threads"))


def only(version: ssl.TLSVersion, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have all connections agree on one version."""
    wrap = ssl.SSLContext.wrap_socket

    def wrap_socket(self: ssl.SSLContext, *args: Any, **options: Any) -> ssl.SSLSocket:
        self.minimum_version = self.maximum_version = version
        return wrap(self, *args, **options)

    monkeypatch.setattr(ssl.SSLContext, "wrap_socket", wrap_socket)


@pytest.mark.parametrize("version", [None, "TLSv1_2", "TLSv1_3"])
def test_a_call_after_calls_needs_no_loop(
    version: str | None, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if version is not None:
        only(ssl.TLSVersion[version], monkeypatch)
    with serving(folder if version is not None else None) as rig, rig.connect() as client:
        desk = lend(client)
        if version is not None:
            assert client.security is not None
            assert client.security.version == version.replace("_", ".")
        with monkeypatch.context() as patch:
            forbid_loop(client, patch)
            for number in range(300):
                assert desk.echo(number) == number
            assert desk.swap(Line(1, "a"), loud=True) == Line(-1, "A")
            text = "long" * 20_000
            assert desk.say(text) == text
        assert desk.say(50 * text) == 50 * text
        assert desk.echo(1) == 1
        assert client.statistics().calls == 0


def test_what_is_wrong_with_a_call_is_said_in_the_same_words(rig: Rig) -> None:
    async def fail() -> int:
        raise OutOfStock(3)

    rig.counter.plans["fail"] = fail
    with rig.connect() as client:
        desk = lend(client)
        with pytest.raises(TypeError, match=r"Desk\.echo"):
            desk.echo(1, 2)
        with pytest.raises(InvalidValue, match=r"args\.number"):
            desk.echo("one")
        with pytest.raises(CallTooLarge) as caught:
            desk.say("x" * (64 << 20))
        assert caught.value.executed is Executed.NO
        with pytest.raises(OutOfStock):
            desk.run("fail")
        assert desk.echo(2) == 2


def test_a_call_that_takes_longer_than_allowed_is_cancelled(rig: Rig) -> None:
    rig.counter.plans["wait"] = trio.sleep_forever
    for seconds in (0.001, 0.1):  # shorter and longer than a thread reads
        with rig.connect() as client:
            desk = lend(client)
            with client.fail_after(seconds), pytest.raises(TimeoutError, match=f"{seconds:g} s"):
                desk.run("wait")
            assert desk.echo(1) == 1
            wait_for(lambda: client.statistics().calls == 0)
    wait_for(lambda: len(rig.counter.ended) == sum(name == "wait" for name in rig.counter.ended))


async def slowly() -> int:
    """Take longer than a thread reads."""
    await trio.sleep(5 * outside.PATIENCE)
    return 5


def test_a_thread_leaves_reading_to_the_loop_after_a_while(rig: Rig) -> None:
    rig.counter.plans["slowly"] = slowly
    with rig.connect() as client:
        desk = lend(client)
        assert desk.run("slowly") == 5
        wait_for(lambda: not peer_of(client).reading.lent)
        assert desk.echo(1) == 1


@pytest.mark.parametrize("seconds", [math.inf, 1e300])
def test_a_call_may_take_for_ever(seconds: float, rig: Rig) -> None:
    rig.counter.plans["slowly"] = slowly
    with rig.connect() as client:
        desk = lend(client)
        with client.fail_after(seconds):
            assert desk.run("slowly") == 5


@pytest.mark.parametrize("seconds", [0, -1, -math.inf])
def test_a_call_that_has_no_time_is_not_made(seconds: float, rig: Rig) -> None:
    with rig.connect() as client:
        desk = lend(client)
        with client.fail_after(seconds), pytest.raises(TimeoutError):
            desk.echo(-7)
        assert desk.echo(1) == 1
        assert -7 not in rig.counter.ran


def test_a_short_time_is_not_rounded_up_to_a_threads_patience(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outside, "PATIENCE", 1000.0)
    rig.counter.plans["wait"] = trio.sleep_forever
    with rig.connect() as client:
        desk = lend(client)

        def hurry() -> None:
            with client.fail_after(0.01), pytest.raises(TimeoutError):
                desk.run("wait")

        within(hurry)


def test_a_connection_that_the_loop_has_closed_when_a_thread_would_read(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.counter.plans["wait"] = trio.sleep_forever
    with rig.connect() as client:
        desk = lend(client)
        peer = peer_of(client)

        def closed(seconds: float) -> bool:
            client._portal.post(peer.end, "test")
            wait_for(lambda: peer.transport.fileno() < 0)
            return poller(peer.transport.fileno())(seconds)

        with monkeypatch.context() as patch:
            patch.setattr(outside, "poller", lambda _: closed)
            with pytest.raises(ConnectionLost) as caught:
                desk.run("wait")
        assert caught.value.executed is Executed.MAYBE
        assert desk.echo(1) == 1


def test_only_the_first_outcome_of_a_call_counts() -> None:
    call = outside.ThreadCall("Desk.echo")
    call.settle(b"first")
    call.settle(b"second")
    assert call.outcome == b"first"
    call.wait_in_thread(None)


def test_a_server_that_says_it_leaves_and_does_not_is_not_asked_again(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = ErrorInfo(codes.DRAINING, "so it says", Executed.NO)
    with rig.connect() as client:
        desk = lend(client)
        monkeypatch.setattr(client._portal.outside, "call", lambda *_: said)
        with pytest.raises(Draining, match="so it says"):
            desk.echo(-7)
        assert -7 not in rig.counter.ran


def test_an_event_that_comes_to_a_thread_is_the_loops(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outside, "PATIENCE", 1000.0)
    got: list[int] = []
    release = threading.Event()

    async def wait() -> int:
        while not release.is_set():  # noqa: ASYNC110
            await trio.sleep(0.001)
        return 5

    rig.counter.plans["wait"] = wait
    with rig.connect() as client:
        desk: Any = client.use(Desk)
        client.listen(desk.queued, got.append)
        lend(client)
        thread, outcome = in_thread(lambda: desk.run("wait"))
        wait_for(lambda: peer_of(client).reading.reader is not None)
        rig.portal.call(publish, rig, 7)
        wait_for(lambda: got == [7])
        assert not outcome
        assert desk.echo(1) == 1
        release.set()
        thread.join(SECONDS)
        assert outcome == [5]


def test_another_threads_call_is_answered_while_one_reads(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outside, "PATIENCE", 1000.0)
    rig.counter.plans["wait"] = trio.sleep_forever
    with rig.connect() as client:
        desk = lend(client)
        thread, outcome = in_thread(lambda: desk.run("wait"))
        wait_for(lambda: peer_of(client).reading.reader is not None)
        assert within(lambda: desk.echo(1)) == 1
        assert within(lambda: list(desk.count(0, 100))) == list(range(100))
        assert not outcome
    thread.join(SECONDS)
    assert isinstance(outcome[0], CallError | Closed)


def test_a_lost_connection_fails_the_call_of_a_thread(rig: Rig) -> None:
    rig.counter.plans["wait"] = trio.sleep_forever
    with rig.connect() as client:
        desk = lend(client)
        thread, outcome = in_thread(lambda: desk.run("wait"))
        wait_for(lambda: is_handling(rig))
        rig.kick()
        thread.join(SECONDS)
        assert isinstance(outcome[0], ConnectionLost)
        assert outcome[0].executed is Executed.MAYBE
        assert desk.echo(1) == 1
        assert client.state is ConnectionState.CONNECTED


def test_closing_the_client_ends_a_thread_that_reads(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.counter.plans["wait"] = trio.sleep_forever
    client = rig.connect()
    desk = lend(client)
    thread, outcome = in_thread(lambda: desk.run("wait"))
    wait_for(lambda: is_handling(rig))
    within(client.close)
    thread.join(SECONDS)
    assert isinstance(outcome[0], CallError | Closed)
    with pytest.raises(Closed):
        desk.echo(1)


def test_the_server_calls_back_a_thread_that_reads(rig: Rig) -> None:
    async def back() -> int:
        return await current_call().use(Bell).ring(4)

    rig.counter.plans["back"] = back
    with rig.connect(serve=[Ringer()]) as client:
        desk = lend(client)
        assert within(lambda: desk.run("back")) == 4


def test_many_threads_share_a_connection_that_is_lent(rig: Rig) -> None:
    with rig.connect() as client, ThreadPoolExecutor(8) as threads:
        desk = lend(client)
        assert list(threads.map(desk.echo, range(500))) == list(range(500))
        for number in range(3 * reading.DISTURBED):
            assert desk.echo(number) == number


def test_the_loop_gives_its_lock_back_when_it_ends() -> None:
    with Portal("test") as portal:
        portal.call(trio.sleep, 0)
        wait_for(lambda: not portal._running.lock.locked())
        portal.call(_assert_locked, portal)
    assert not portal._running.lock.locked()


async def _assert_locked(portal: Portal) -> None:
    assert portal._running.lock.locked()
