"""The blocking client against a server in another thread: every kind, several threads, and every way to end."""

from __future__ import annotations

import contextlib
import gc
import math
import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import trio

from appclient import Closed, ConnectionState
from appclient.bridge import blocking
from appclient.bridge.outcome import Outcome
from appclient.bridge.portal import Portal, PortalClosed
from protocol.interface import Blob, Stream
from protocol.peer import CallError, InternalError
from protocol.peer.outside import Late
from protocol.peer.topics import Prepared
from protocol.settings import ClientServerSettings, Settings
from protocol.transport import TransportError
from tests.appclient.blocking_rig import SECONDS, Rig, publish, wait_for, within
from tests.conftest import ErrorLog
from tests.protocol.peer.desk import Desk, Line, OutOfStock, Ringer, content


def test_every_kind_of_method_is_a_plain_function(rig: Rig, tmp_path: Path) -> None:
    with rig.connect() as client:
        desk: Any = client.use(Desk)
        assert desk.echo(3) == 3
        assert desk.swap(Line(1, "a"), loud=True) == Line(-1, "A")
        assert desk.blocking(3) == 3
        assert list(desk.count(1, 3000)) == list(range(1, 3001))
        assert desk.total(Stream(range(3000))) == sum(range(3000))
        assert desk.total(Stream(number for number in range(300))) == sum(range(300))
        with desk.doubled(Stream(range(100))) as doubled:
            assert list(doubled) == list(range(0, 200, 2))
        assert desk.keep(Blob(content(100_000))) == 100_000
        assert desk.give(100_000).read() == content(100_000)
        desk.give(100_000).save(tmp_path / "file")
        assert (tmp_path / "file").read_bytes() == content(100_000)
        with desk.give(100_000) as blob:
            assert (blob.size, blob.name) == (100_000, "numbers.bin")
            assert b"".join(blob) == content(100_000)
        with desk.queued.subscribe() as numbers:
            rig.portal.call(publish, rig, 5)
            assert next(numbers) == 5
        assert client.state is ConnectionState.CONNECTED
        assert client.ping() < SECONDS
        assert set(client.describe()) == {"Desk"}
        assert client.statistics().calls == 0


def test_errors_arrive_as_themselves(rig: Rig) -> None:
    async def fail() -> int:
        raise OutOfStock(3)

    rig.counter.plans["fail"] = fail
    with rig.connect() as client:
        desk: Any = client.use(Desk)
        with pytest.raises(OutOfStock) as caught:
            desk.run("fail")
        assert caught.value.number == 3


def test_a_refused_port_is_an_error_and_leaves_no_thread() -> None:
    before = threading.enumerate()  # some of which may end meanwhile
    settings = Settings(client_server=ClientServerSettings(encrypt=False))
    with pytest.raises(TransportError):
        blocking.connect("127.0.0.1:1", settings=settings)
    new = [thread.name for thread in threading.enumerate() if thread not in before]
    assert all(name.startswith("Trio thread") for name in new)  # trio keeps its idle ones for a while


def test_several_threads_share_one_client(rig: Rig) -> None:
    with rig.connect() as client, ThreadPoolExecutor(16) as threads:
        desk: Any = client.use(Desk)
        assert list(threads.map(desk.echo, range(500))) == list(range(500))
        assert all(
            got == list(range(200)) for got in threads.map(lambda _: list(desk.count(0, 200)), range(16))
        )


def test_leaving_a_stream_early_ends_it(rig: Rig) -> None:
    async def endless() -> Any:
        number = 0
        while True:
            yield number
            number += 1
            await trio.lowlevel.checkpoint()

    rig.counter.sources["endless"] = endless
    with rig.connect() as client:
        desk: Any = client.use(Desk)
        with desk.follow("endless") as numbers:
            for number in numbers:
                if number == 10:
                    break
        for number in desk.follow("endless"):
            if number == 10:
                break
        gc.collect()
        wait_for(lambda: client.statistics().calls == 0)


def test_fail_after_bounds_each_call_and_stops_the_server_too(rig: Rig) -> None:
    rig.counter.plans["wait"] = trio.sleep_forever
    with rig.connect() as client:
        desk: Any = client.use(Desk)
        with client.fail_after(0.1), pytest.raises(TimeoutError):
            desk.run("wait")
        wait_for(lambda: rig.counter.ended == ["wait"])
        assert desk.echo(1) == 1
        with desk.queued.subscribe() as numbers, client.fail_after(0.1), pytest.raises(TimeoutError):
            next(numbers)


@pytest.mark.parametrize("seconds", [1e10, 1e300, math.inf])
def test_a_time_may_be_very_long(seconds: float, rig: Rig) -> None:
    with rig.connect() as client, client.fail_after(seconds):
        desk: Any = client.use(Desk)
        assert desk.echo(1) == 1
        with desk.count(0, 3) as numbers:
            assert list(numbers) == [0, 1, 2]
        with desk.queued.subscribe() as events:
            rig.portal.call(publish, rig, 7)
            assert next(events) == 7


@pytest.mark.parametrize("seconds", [0, -1])
def test_a_call_that_has_no_time_is_not_made(
    seconds: float, rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    with rig.connect() as client:
        desk: Any = client.use(Desk)
        with client.fail_after(seconds), pytest.raises(TimeoutError):
            desk.echo(-7)
        with client.fail_after(math.inf):
            assert desk.echo(1) == 1
        monkeypatch.setattr(client._portal, "start", None)  # nothing begins
        for manager in (desk.count(0, 3), desk.queued.subscribe()):
            with client.fail_after(seconds), pytest.raises(TimeoutError), manager:
                pass
        monkeypatch.undo()
        assert -7 not in rig.counter.ran
        with pytest.raises(ValueError, match="NaN"), client.fail_after(math.nan):
            desk.echo(-7)
        assert desk.echo(2) == 2


def test_an_interrupted_call_is_cancelled(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.counter.plans["wait"] = trio.sleep_forever
    with rig.connect() as client:
        desk: Any = client.use(Desk)
        original = Outcome.wait

        def interrupted(self: Outcome[Any], timeout: float | None = None) -> Any:
            try:
                return original(self, 0.2)
            except Late:
                raise KeyboardInterrupt from None

        with monkeypatch.context() as patch:
            patch.setattr(Outcome, "wait", interrupted)
            with pytest.raises(KeyboardInterrupt):
                desk.run("wait")
        wait_for(lambda: rig.counter.ended == ["wait"])
        assert desk.echo(1) == 1


def test_closing_ends_what_waits_in_other_threads(rig: Rig) -> None:
    rig.counter.plans["wait"] = trio.sleep_forever
    client = rig.connect()
    desk: Any = client.use(Desk)
    outcomes: list[BaseException] = []

    def wait(call: Callable[[], object]) -> None:
        try:
            call()
        except BaseException as exc:
            outcomes.append(exc)

    def subscribe() -> None:
        with desk.queued.subscribe() as numbers:
            next(numbers)

    calls: list[Callable[[], object]] = [lambda: desk.run("wait")] * 5 + [
        subscribe,
        lambda: list(desk.follow("none")),
    ]
    rig.counter.sources["none"] = silent
    threads = [threading.Thread(target=wait, args=[call], daemon=True) for call in calls]
    for thread in threads:
        thread.start()
    wait_for(lambda: client.statistics().calls == 6)
    within(client.close)
    for thread in threads:
        thread.join(SECONDS)
        assert not thread.is_alive()
    assert len(outcomes) == 7
    assert all(isinstance(outcome, CallError | Closed) for outcome in outcomes), outcomes
    within(client.close)


async def silent() -> Any:
    """Give nothing."""
    await trio.sleep(1000)
    yield 1


def test_a_closed_client_says_so_whatever_is_asked(rig: Rig) -> None:
    client = rig.connect()
    desk: Any = client.use(Desk)
    client.close()
    with pytest.raises(Closed):
        within(lambda: desk.echo(1))
    with pytest.raises(Closed):
        within(lambda: list(desk.count(0, 3)))
    with pytest.raises(Closed):
        within(lambda: desk.queued.subscribe().__enter__())
    with pytest.raises(Closed):
        within(lambda: desk.give(3).read())
    with pytest.raises(Closed):
        within(lambda: client.listen(desk.queued, print))
    assert client.state is ConnectionState.CLOSED


def test_a_listener_is_called_and_may_stop_itself(rig: Rig, error_log: ErrorLog) -> None:
    got: list[int] = []
    with rig.connect() as client:
        desk: Any = client.use(Desk)
        stops: list[Callable[[], None]] = []

        def take(number: int) -> None:
            got.append(number)
            if number == 1:
                raise ValueError("mine")
            if number == 2:
                stops[0]()

        stops.append(client.listen(desk.queued, take))
        for number in range(5):
            rig.portal.call(publish, rig, number)
            wait_for(lambda n=number: len(got) > n or n > 2)  # type: ignore[misc]
        assert desk.echo(1) == 1
        assert got == [0, 1, 2]
        within(stops[0])
    assert error_log.take("callback")


def test_a_callback_in_another_loops_thread_may_publish(rig: Rig) -> None:
    threads: list[str] = []
    got: list[int] = []
    with rig.connect() as client:
        desk: Any = client.use(Desk)
        topic = rig.server.application.service.topics.get("Desk.strict")
        assert topic is not None
        original = topic.send

        def note(prepared: Prepared) -> None:
            threads.append(threading.current_thread().name)
            original(prepared)

        topic.send = note  # type: ignore[method-assign]
        client.listen(desk.strict, got.append)
        client.listen(desk.queued, rig.counter.strict.publish)
        rig.portal.call(publish, rig, 7)
        wait_for(lambda: got == [7])
    assert threads == ["server"]


def test_closing_from_a_callback_does_not_block(rig: Rig) -> None:
    client = rig.connect()
    desk: Any = client.use(Desk)
    closed = threading.Event()

    def close(number: int) -> None:
        client.close()
        closed.set()

    client.listen(desk.queued, close)
    rig.portal.call(publish, rig, 1)
    assert closed.wait(SECONDS)
    wait_for(lambda: client.state is ConnectionState.CLOSED)
    within(client.close)


def test_a_callback_that_calls_the_server_is_told_not_to(rig: Rig) -> None:
    said: list[BaseException] = []
    with rig.connect() as client:
        desk: Any = client.use(Desk)
        done = threading.Event()

        def call(number: int) -> None:
            for attempt in (
                lambda: desk.echo(1),
                lambda: list(desk.count(0, 1)),
                desk.queued.subscribe().__enter__,
            ):
                try:
                    attempt()
                except RuntimeError as exc:
                    said.append(exc)
            done.set()

        client.listen(desk.queued, call)
        rig.portal.call(publish, rig, 1)
        assert done.wait(SECONDS)
    assert len(said) == 3


def test_the_client_comes_back_and_tells_its_states(rig: Rig) -> None:
    with rig.connect() as client:
        desk: Any = client.use(Desk)
        states: list[ConnectionState] = []
        client.on_state(lambda change: states.append(change.state))
        assert desk.echo(1) == 1
        rig.kick()
        wait_for(lambda: ConnectionState.RECONNECTING in states)
        assert desk.echo(2) == 2
        assert states[-1] is ConnectionState.CONNECTED


def test_a_subscription_misses_nothing_while_the_client_is_away(rig: Rig) -> None:
    got: list[int] = []
    with rig.connect() as client:
        desk: Any = client.use(Desk)
        stop = client.listen(desk.queued, got.append)
        with desk.queued.subscribe(gaps=True) as numbers:
            rig.portal.call(publish, rig, 0)
            wait_for(lambda: got == [0])
            rig.kick()
            for number in range(1, 200):
                rig.portal.call(publish, rig, number)
            assert [next(numbers) for _ in range(200)] == list(range(200))
        wait_for(lambda: got == list(range(200)))
        stop()


def test_the_server_may_call_a_blocking_client(rig: Rig) -> None:
    from appserver import current_call
    from tests.protocol.peer.desk import Bell

    async def back() -> int:
        return await current_call().use(Bell).ring(4)

    rig.counter.plans["back"] = back
    with rig.connect(serve=[Ringer()]) as client:
        desk: Any = client.use(Desk)
        assert desk.run("back") == 4


def test_jobs_that_begin_while_the_portal_closes_all_end() -> None:
    async def wait() -> None:
        await trio.sleep_forever()

    for _ in range(20):
        portal = Portal("test")
        portal.__enter__()
        jobs = []
        closer = threading.Thread(target=portal.close)
        for number in range(50):
            if number == 25:
                closer.start()
            with contextlib.suppress(Exception):
                jobs.append(portal.start(wait))
        closer.join(SECONDS)
        assert not closer.is_alive()
        for job in jobs:
            with pytest.raises(PortalClosed):
                job.outcome.wait(SECONDS)


def test_an_internal_error_names_its_trace(rig: Rig, error_log: ErrorLog) -> None:
    async def fail() -> int:
        raise ValueError

    rig.counter.plans["fail"] = fail
    with rig.connect() as client:
        desk: Any = client.use(Desk)
        with pytest.raises(InternalError, match="trace"):
            desk.run("fail")
    assert error_log.take("handler failed")


def test_ctrl_c_while_connecting_leaves_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    before = set(threading.enumerate())
    enter = Portal.__enter__

    def interrupted(portal: Portal) -> Portal:
        enter(portal)
        raise KeyboardInterrupt

    monkeypatch.setattr(Portal, "__enter__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        blocking.connect("localhost:1")
    assert set(threading.enumerate()) <= before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_is_told_that_the_client_is_not_its_own(rig: Rig) -> None:
    with rig.connect() as client:
        desk: Any = client.use(Desk)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                signal.alarm(int(SECONDS))
                try:
                    desk.echo(1)
                except Closed:
                    client.close()
                    status = 0
            finally:
                os._exit(status)
        _, status = os.waitpid(child, 0)
        assert status == 0
        assert desk.echo(2) == 2
