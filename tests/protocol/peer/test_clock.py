from __future__ import annotations

import itertools
import math
from functools import partial

import pytest
import trio
import trio.testing

from protocol.peer.clock import IN_A_ROW, Clock, current_clock
from protocol.settings import Settings, TimeoutSettings
from protocol.wire.connection import Connection
from tests.conftest import ErrorLog
from tests.protocol.peer.rig import open_rig


def noting(calls: list[int], number: int, every: float = math.inf) -> float:
    """Take note of being called."""
    calls.append(number)
    return trio.current_time() + every


async def test_each_is_called_when_it_is_due_and_again_when_it_says(
    autojump_clock: trio.testing.MockClock,
) -> None:
    clock, calls, begin = Clock(), list[tuple[str, float]](), trio.current_time()

    def call(name: str, every: float) -> float:
        calls.append((name, trio.current_time() - begin))
        return trio.current_time() + every

    clock.add(begin + 3, lambda: call("slow", 3))
    await trio.lowlevel.checkpoint()
    clock.add(begin + 1, lambda: call("quick", 1.5))  # earlier than what the clock sleeps for
    clock.add(math.inf, lambda: call("never", 1))
    await trio.sleep(4.25)
    assert calls == [("quick", 1), ("quick", 2.5), ("slow", 3), ("quick", 4)]


async def test_what_was_removed_is_not_called(autojump_clock: trio.testing.MockClock) -> None:
    clock, calls = Clock(), list[int]()
    numbers = [clock.add(trio.current_time() + 1, partial(noting, calls, number)) for number in range(3)]
    clock.remove(numbers[1])
    clock.remove(numbers[1])
    await trio.sleep(2)
    assert calls == [0, 2]


async def test_the_clock_ends_after_the_last_and_begins_again(
    autojump_clock: trio.testing.MockClock,
) -> None:
    clock, calls = Clock(), list[int]()

    def tasks() -> int:
        return trio.lowlevel.current_statistics().tasks_living

    none = tasks()
    for _ in range(2):
        number = clock.add(trio.current_time() + 1, partial(noting, calls, 1, every=1))
        await trio.sleep(1.5)
        assert tasks() == none + 1
        clock.remove(number)
        await trio.sleep(1)
        assert tasks() == none
    assert len(calls) == 2


async def test_the_failure_of_one_leaves_the_others_alone(
    autojump_clock: trio.testing.MockClock, error_log: ErrorLog
) -> None:
    clock, calls = Clock(), list[int]()
    clock.add(trio.current_time() + 1, lambda: 1 / 0)
    clock.add(trio.current_time() + 1, partial(noting, calls, 1))
    await trio.sleep(3)
    assert calls == [1]
    assert len(error_log.take("the clock of a connection failed")) == 1


async def test_many_that_are_due_together_let_others_run(autojump_clock: trio.testing.MockClock) -> None:
    clock, called, seen = Clock(), 0, list[int]()

    def call() -> float:
        nonlocal called
        called += 1
        return math.inf

    for _ in range(4 * IN_A_ROW):
        clock.add(trio.current_time() + 1, call)
    await trio.sleep(1)
    while called < 4 * IN_A_ROW:
        seen.append(called)
        await trio.lowlevel.checkpoint()
    assert len(seen) >= 3


async def test_all_connections_of_a_loop_have_one_clock(autojump_clock: trio.testing.MockClock) -> None:
    root = trio.lowlevel.current_root_task()
    assert root is not None
    async with open_rig(), open_rig():
        await trio.sleep(60)
        names = [task.name for nursery in root.child_nurseries for task in nursery.child_tasks]
        assert names.count("clock of the connections") == 1
        assert current_clock() is current_clock()


async def test_one_side_alone_asks_whether_the_other_is_alive(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, float]] = []
    ping = Connection.ping

    def noted(connection: Connection) -> int:
        asked.append((connection.role.name, trio.current_time()))
        return ping(connection)

    monkeypatch.setattr(Connection, "ping", noted)
    async with open_rig(settings=Settings(timeouts=TimeoutSettings(ping=30.0)), seconds=1000) as rig:
        asked.clear()  # a client asks once before it is welcome
        await trio.sleep(600)
        assert await rig.desk.echo(1) == 1
    assert {role for role, _ in asked} == {"SERVER"}
    times = [at for _, at in asked]
    assert all(28 < later - sooner < 30 for sooner, later in itertools.pairwise(times))
    assert 20 <= len(times) <= 21


async def test_a_mistake_while_the_clock_is_looked_at_ends_the_connection(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch, error_log: ErrorLog
) -> None:
    def fail(connection: Connection) -> int:
        raise ZeroDivisionError

    async with open_rig(seconds=1000) as rig:
        with monkeypatch.context() as patch:
            patch.setattr(Connection, "ping", fail)
            (session,) = rig.server.server.sessions
            await trio.sleep(31)
        assert session.peer.reason == "ZeroDivisionError while its clock was looked at"
        assert session.gone.is_set()
    assert error_log.take("the clock of a connection failed")
