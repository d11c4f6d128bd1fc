"""Plain calls: what arrives, what fails with which name, and how many may be open."""

from __future__ import annotations

import contextvars
from collections.abc import AsyncIterator

import attrs
import pytest
import trio
import trio.testing

from appclient import Client
from appserver.testing import loopback, loopback_server
from protocol.interface import InvalidValue
from protocol.peer import CallTooLarge, InvalidResult
from protocol.settings import LimitSettings, Settings
from protocol.wire.errors import Executed
from tests.conftest import ErrorLog
from tests.protocol.peer.desk import Counter, Desk, Line, new_desk

variable: contextvars.ContextVar[int] = contextvars.ContextVar("variable", default=0)


@pytest.fixture
def counter() -> Counter:
    return Counter()


@pytest.fixture
async def client(counter: Counter, autojump_clock: trio.testing.MockClock) -> AsyncIterator[Client]:
    application, _ = new_desk(counter)
    with trio.fail_after(100):
        async with loopback(application, encrypted=False) as client:
            yield client


@pytest.mark.parametrize(
    ("encrypted", "version"), [(False, None), (True, "1.2"), (True, "1.3")], ids=["plain", "1.2", "1.3"]
)
async def test_a_call_returns_its_result_over_every_transport(
    encrypted: bool, version: object, autojump_clock: trio.testing.MockClock
) -> None:
    application, counter = new_desk()
    with trio.fail_after(10):
        async with loopback(application, encrypted=encrypted, tls_version=version) as client:  # type: ignore[arg-type]
            desk = client.use(Desk)
            assert await desk.echo(7) == 7
            assert await desk.swap(Line(3, "a"), loud=True) == Line(-3, "A")
            assert client.security is not None
            assert client.security.encrypted is encrypted
            if version is not None:
                assert client.security.version == f"TLSv{version}"
    assert counter.ran == [7]


async def test_an_argument_of_the_wrong_type_is_named_and_nothing_runs(
    client: Client, autojump_clock: trio.testing.MockClock
) -> None:
    desk = client.use(Desk)
    with pytest.raises(InvalidValue, match=r"args\.line\.number: expected int, got str"):
        await desk.swap(Line("three"))  # type: ignore[arg-type]
    assert await desk.echo(1) == 1


@pytest.mark.parametrize(
    ("what", "text"),
    [("none", "result: expected Line, got None"), ("field", r"result\.number: expected int, got str")],
)
async def test_a_result_of_the_wrong_type_is_named_on_both_sides(
    what: str, text: str, client: Client, error_log: ErrorLog, autojump_clock: trio.testing.MockClock
) -> None:
    desk = client.use(Desk)
    with pytest.raises(InvalidResult, match=text) as caught:
        await desk.wrong_result(what)
    assert caught.value.executed is Executed.YES
    assert len(error_log.take("handler returned what its interface does not say")) == 1
    assert await desk.echo(1) == 1


async def test_a_message_over_the_limit_fails_its_call_and_names_limit_and_size(
    autojump_clock: trio.testing.MockClock,
) -> None:
    settings = Settings(limits=LimitSettings(message=10_000))
    application, _ = new_desk()
    with trio.fail_after(10):
        async with loopback(application, encrypted=False, settings=settings) as client:
            desk = client.use(Desk)
            with pytest.raises(CallTooLarge, match=r"20\d\d\d.*10000|10000.*20\d\d\d") as caught:
                await desk.say("x" * 20_000)
            assert caught.value.executed is Executed.NO
            assert await desk.say("y" * 9_000) == "y" * 9_000


async def test_a_result_over_the_limit_fails_its_call_and_names_limit_and_size(
    autojump_clock: trio.testing.MockClock,
) -> None:
    application, _ = new_desk()
    with trio.fail_after(10):
        async with loopback_server(application, encrypted=False) as server:
            server._settings = attrs.evolve(server._settings, limits=LimitSettings(message=5_000))
            async with server.connect() as client:
                desk = client.use(Desk)
                with pytest.raises(CallTooLarge, match=r"60\d\d.*5000|5000.*60\d\d") as caught:
                    await desk.say("x" * 6_000)
                assert caught.value.executed is Executed.YES
                assert await desk.echo(1) == 1


async def test_no_task_is_spawned_for_a_handler_that_does_not_suspend(
    client: Client, counter: Counter, autojump_clock: trio.testing.MockClock
) -> None:
    desk = client.use(Desk)
    tasks: list[trio.lowlevel.Task] = []

    async def note() -> int:
        tasks.append(trio.lowlevel.current_task())
        return 1

    counter.plans["note"] = note
    for _ in range(50):
        await desk.run("note")
    assert len(set(tasks)) == 1


async def test_a_handler_that_suspends_stops_nobody_and_its_task_is_used_again(
    client: Client, counter: Counter, autojump_clock: trio.testing.MockClock
) -> None:
    desk = client.use(Desk)
    tasks: set[trio.lowlevel.Task] = set()

    async def wait() -> int:
        tasks.add(trio.lowlevel.current_task())
        await trio.sleep(1)
        return 1

    counter.plans["wait"] = wait
    async with trio.open_nursery() as nursery:
        nursery.start_soon(desk.run, "wait")
        await trio.sleep(0.5)
        assert await desk.echo(5) == 5
    for _ in range(20):
        assert await desk.run("wait") == 1
    assert len(tasks) <= 3


@pytest.mark.parametrize("calls", [1, 100, 350])
async def test_any_number_of_calls_is_answered_and_never_more_than_the_limit_are_open(
    calls: int, client: Client, counter: Counter, autojump_clock: trio.testing.MockClock
) -> None:
    desk = client.use(Desk)
    results: list[int] = []
    open_now = most = 0

    async def wait() -> int:
        nonlocal open_now, most
        open_now += 1
        most = max(most, open_now)
        await trio.sleep(1)
        open_now -= 1
        return 1

    async def call() -> None:
        results.append(await desk.run("wait"))

    counter.plans["wait"] = wait
    started = trio.current_time()
    async with trio.open_nursery() as nursery:
        for _ in range(calls):
            nursery.start_soon(call)
    assert results == [1] * calls
    assert most == min(calls, 100)
    assert trio.current_time() - started == pytest.approx(-(-calls // 100), abs=0.01)


async def test_mixed_handlers_under_load_each_get_their_own_answer(
    client: Client, counter: Counter, autojump_clock: trio.testing.MockClock
) -> None:
    desk = client.use(Desk)
    wrong: list[object] = []

    async def nap() -> int:
        await trio.sleep(0.001)
        return 9

    async def user(number: int) -> None:
        for step in range(20):
            if (number + step) % 3:
                if await desk.echo(number * 100 + step) != number * 100 + step:
                    wrong.append(number)
            elif await desk.run("nap") != 9:
                wrong.append(number)

    counter.plans["nap"] = nap
    async with trio.open_nursery() as nursery:
        for number in range(60):
            nursery.start_soon(user, number)
    assert not wrong


async def test_what_a_handler_sets_in_its_context_is_not_seen_by_the_next_call(
    client: Client, counter: Counter, autojump_clock: trio.testing.MockClock
) -> None:
    desk = client.use(Desk)
    seen: list[int] = []

    async def set_it() -> int:
        seen.append(variable.get())
        variable.set(len(seen))
        await trio.lowlevel.checkpoint()
        seen.append(variable.get())
        return 0

    async def set_at_once() -> int:
        seen.append(variable.get())
        variable.set(99)
        return 0

    counter.plans.update(set=set_it, once=set_at_once)
    await desk.run("set")
    await desk.run("once")
    await desk.run("once")
    await desk.run("set")
    assert seen == [0, 1, 0, 0, 0, 5]


async def test_statistics_count_what_is_open(autojump_clock: trio.testing.MockClock) -> None:
    application, counter = new_desk()
    counter.plans["wait"] = trio.sleep_forever
    with trio.fail_after(10):
        async with loopback_server(application, encrypted=False) as server, server.connect() as client:
            desk = client.use(Desk)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(desk.run, "wait")
                nursery.start_soon(desk.run, "wait")
                await trio.testing.wait_all_tasks_blocked()
                assert client.statistics().calls == 2
                (info,) = server.server.session_list()
                assert info.connection.calls_in == 2
                assert server.server.statistics().sessions == 1
                nursery.cancel_scope.cancel()
            await trio.testing.wait_all_tasks_blocked()
            assert client.statistics().calls == 0
            assert server.server.session_list()[0].connection.calls_in == 0
