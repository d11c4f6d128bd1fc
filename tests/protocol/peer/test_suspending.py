"""Handlers that suspend: many begin at once, in order, and none touches what becomes of the scope of another."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing

from appserver import current_call
from protocol.peer.appetite import AWHILE, SELDOM, Appetite
from protocol.peer.context import Call
from protocol.peer.dispatch import RESERVE
from tests.protocol.peer.rig import TRANSPORT_IDS, TRANSPORTS, Rig, open_rig

Clock = trio.testing.MockClock


async def call_together(rig: Rig, names: list[str]) -> None:
    """Call `run` so that all calls leave in one write, in this order."""

    async def call(name: str, before: trio.Event, after: trio.Event) -> None:
        await before.wait()
        calling = rig.desk.run(name)
        after.set()
        await calling

    async with trio.open_nursery() as nursery:
        first = before = trio.Event()
        for name in names:
            after = trio.Event()
            nursery.start_soon(call, name, before, after)
            before = after
        first.set()


def plan(rig: Rig, names: list[str], run: Callable[[str], Awaitable[int]]) -> None:
    for name in names:
        rig.counter.plans[name] = lambda name=name: run(name)  # type: ignore[misc]


@pytest.mark.parametrize(("encrypted", "version"), TRANSPORTS, ids=TRANSPORT_IDS)
async def test_all_of_many_calls_are_handled_at_the_same_time(
    encrypted: bool, version: object, autojump_clock: Clock
) -> None:
    names = [str(number) for number in range(4 * RESERVE)]
    begun: list[str] = []
    everyone = trio.Event()

    async def meet(name: str) -> int:
        begun.append(name)
        if len(begun) == len(names):
            everyone.set()
        await everyone.wait()
        return 1

    async with open_rig(encrypted=encrypted, tls_version=version) as rig:  # type: ignore[arg-type]
        plan(rig, names, meet)
        for _ in range(3):
            begun.clear()
            everyone = trio.Event()
            await call_together(rig, names)
            assert sorted(begun) == sorted(names)
        assert await rig.desk.echo(1) == 1


async def test_calls_that_suspend_begin_in_the_order_they_came(autojump_clock: Clock) -> None:
    begun: list[int] = []

    async def note(name: str) -> int:
        begun.append(int(name))
        await trio.lowlevel.checkpoint()
        return 1

    async with open_rig() as rig:
        names = [str(number) for number in range(3 * RESERVE)]
        plan(rig, names, note)
        rig.network.link.to_server.hold()
        async with trio.open_nursery() as nursery:
            for name in names:
                nursery.start_soon(rig.desk.run, name)
                await trio.testing.wait_all_tasks_blocked()
            rig.network.link.to_server.release()
        assert begun == sorted(begun)
        assert len(begun) == len(names)


async def test_what_a_handler_leaves_behind_cancels_no_other_call(autojump_clock: Clock) -> None:
    left: list[Call] = []

    async def suspend() -> int:
        left.append(current_call())  # type: ignore[arg-type]
        await trio.lowlevel.checkpoint()
        return 1

    async def pass_through() -> int:
        left.append(current_call())  # type: ignore[arg-type]
        return 1

    async def wait() -> int:
        await trio.sleep(1)
        return 7

    async with open_rig() as rig:
        rig.counter.plans.update({"suspend": suspend, "pass": pass_through, "wait": wait})
        for _ in range(5):
            await rig.desk.run("suspend")
            await rig.desk.run("pass")
        answers: list[int] = []

        async def call() -> None:
            answers.append(await rig.desk.run("wait"))

        async with trio.open_nursery() as nursery:
            for _ in range(10):
                nursery.start_soon(call)
            await trio.sleep(0.5)
            for told in left:
                told.cancel_scope.cancel()
        assert answers == [7] * 10
        assert await rig.desk.echo(1) == 1


async def test_cancelling_one_call_of_many_leaves_the_workers_to_the_others(autojump_clock: Clock) -> None:
    async def wait() -> int:
        await trio.sleep(1)
        return 7

    async with open_rig() as rig:
        rig.counter.plans["wait"] = wait
        for _ in range(5):
            answers: list[int] = []

            async def call(seconds: float, answers: list[int] = answers) -> None:
                with trio.move_on_after(seconds):
                    answers.append(await rig.desk.run("wait"))

            async with trio.open_nursery() as nursery:
                for number in range(40):
                    nursery.start_soon(call, 0.5 if number % 2 else 10)
            assert answers == [7] * 20


def test_it_is_tried_seldom_where_it_was_in_vain_and_always_where_it_was_of_use() -> None:
    appetite = Appetite()
    assert sum(appetite.is_due() for _ in range(10 * SELDOM)) == 10
    appetite.tried(True)
    assert all(appetite.is_due() for _ in range(10 * SELDOM))
    for _ in range(AWHILE):
        assert appetite.is_due()
        appetite.tried(False)
    assert sum(appetite.is_due() for _ in range(10 * SELDOM)) == 10
