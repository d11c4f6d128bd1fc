"""Cancelling and deadlines: both reach the handler, nest through calls back, and never run what need not run."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager

import attrs
import pytest
import trio
import trio.lowlevel
import trio.testing

from appserver import current_call
from protocol.interface import Blob, Stream
from protocol.peer import CallCancelled, DeadlineExceeded
from protocol.wire import codes
from protocol.wire.codec import pack
from protocol.wire.errors import Executed
from protocol.wire.events import ErrorReceived, ResultReceived, WelcomeReceived
from tests.conftest import ErrorLog
from tests.protocol.peer.desk import Bell, Counter
from tests.protocol.peer.rig import open_raw, open_rig

Clock = trio.testing.MockClock


async def test_a_cancelled_call_cancels_its_handler(autojump_clock: Clock) -> None:
    async with open_rig() as rig:
        rig.counter.plans["wait"] = trio.sleep_forever
        with trio.move_on_after(1) as scope:
            await rig.desk.run("wait")
        assert scope.cancelled_caught
        await trio.testing.wait_all_tasks_blocked()
        assert rig.counter.ended == ["wait"]
        assert rig.client.statistics().calls == 0
        assert await rig.desk.echo(1) == 1


async def test_a_call_in_a_scope_that_is_cancelled_already_never_runs(autojump_clock: Clock) -> None:
    async with open_rig() as rig:
        with trio.CancelScope() as scope:
            scope.cancel()
            await rig.desk.echo(1)
        assert scope.cancelled_caught
        assert await rig.desk.echo(3) == 3
        assert rig.counter.ran == [3]


@pytest.mark.parametrize("kind", ["stream", "iterated", "blob", "sending", "sending blob", "both", "event"])
async def test_nothing_is_asked_in_a_scope_that_is_cancelled_already(
    kind: str, autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with open_rig() as rig:
        desk = rig.desk
        peer = rig.client.peer_nowait()
        assert peer is not None

        async def enter(manager: AbstractAsyncContextManager[object]) -> None:
            async with manager:
                pass

        async def iterate() -> None:
            async for _ in desk.count(0, 3):
                pass

        ask: Callable[[], Awaitable[object]] = {
            "stream": lambda: enter(desk.count(0, 3)),
            "iterated": iterate,
            "blob": lambda: desk.give(10).read(),
            "sending": lambda: desk.total(Stream([1, 2])),
            "sending blob": lambda: desk.keep(Blob(b"content")),
            "both": lambda: enter(desk.doubled(Stream([1, 2]))),
            "event": lambda: enter(desk.queued.subscribe()),
        }[kind]
        await ask()
        asked: list[str] = []
        for name in ("open_call", "subscribe"):
            monkeypatch.setattr(peer.connection, name, lambda *_, name=name, **__: asked.append(name))
        with trio.CancelScope() as scope:
            scope.cancel()
            await ask()
        assert scope.cancelled_caught
        assert not asked


async def test_a_deadline_travels_as_what_is_left_of_it(autojump_clock: Clock) -> None:
    seen: list[float] = []

    async def look() -> int:
        seen.append(current_call().deadline - trio.current_time())
        await trio.lowlevel.checkpoint()
        seen.append(trio.current_effective_deadline() - trio.current_time())
        return 0

    async with open_rig() as rig:
        rig.counter.plans["look"] = look
        with trio.fail_after(5):
            await rig.desk.run("look")
        assert seen == [pytest.approx(5, abs=0.01)] * 2


async def test_a_handler_without_a_callers_deadline_has_none(autojump_clock: Clock) -> None:
    seen: list[float] = []

    async def look() -> int:
        seen.append(current_call().deadline)
        return 0

    async with open_rig(seconds=math.inf) as rig:
        rig.counter.plans["look"] = look
        with trio.fail_after(5):
            await rig.desk.run("look")
        await rig.desk.run("look")
        assert seen == [pytest.approx(trio.current_time() + 5, abs=0.01), math.inf]


async def test_fail_after_behaves_as_without_a_connection(autojump_clock: Clock) -> None:
    async with open_rig() as rig:
        rig.counter.plans["wait"] = trio.sleep_forever
        started = trio.current_time()
        with pytest.raises(trio.TooSlowError), trio.fail_after(2):
            await rig.desk.run("wait")
        assert trio.current_time() - started == pytest.approx(2, abs=0.01)
        await trio.testing.wait_all_tasks_blocked()
        assert rig.counter.ended == ["wait"]


async def test_a_deadline_nests_through_a_call_back(autojump_clock: Clock) -> None:
    seen: list[float] = []

    async with open_rig() as rig:

        async def ring(times: int) -> int:
            seen.append(trio.current_effective_deadline() - trio.current_time())
            return await never()

        rig.client._service._handlers["Bell.ring"] = attrs.evolve(
            rig.client._service._handlers["Bell.ring"], function=ring
        )

        async def call_back() -> int:
            await trio.sleep(1)
            return await current_call().use(Bell).ring(1)

        rig.counter.plans["back"] = call_back
        with trio.move_on_after(3) as scope:
            await rig.desk.run("back")
        assert scope.cancelled_caught
        assert seen == [pytest.approx(2, abs=0.01)]
        await trio.testing.wait_all_tasks_blocked()
        assert rig.counter.ended == ["back"]


async def test_the_callers_cancel_reaches_through_a_call_back(autojump_clock: Clock) -> None:
    ended: list[str] = []
    async with open_rig() as rig:

        async def ring(times: int) -> int:
            try:
                return await never()
            finally:
                ended.append("ring")

        rig.client._service._handlers["Bell.ring"] = attrs.evolve(
            rig.client._service._handlers["Bell.ring"], function=ring
        )
        rig.counter.plans["back"] = lambda: current_call().use(Bell).ring(1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(rig.desk.run, "back")
            await trio.testing.wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert ended == ["ring"]
        assert rig.counter.ended == ["back"]


async def test_a_handler_that_shields_ends_in_its_own_time_and_keeps_its_slot(autojump_clock: Clock) -> None:
    async def stubborn() -> int:
        with trio.CancelScope(shield=True):
            await trio.sleep(10)
        return 1

    async with open_rig() as rig:
        rig.counter.plans["stubborn"] = stubborn
        started = trio.current_time()
        with trio.move_on_after(1):
            await rig.desk.run("stubborn")
        assert trio.current_time() - started == pytest.approx(1, abs=0.01)
        (session,) = rig.server.server.session_list()
        assert session.connection.calls_in == 1
        assert rig.client.statistics().calls == 1
        await trio.sleep(10)
        assert rig.counter.ended == ["stubborn"]
        assert rig.server.server.session_list()[0].connection.calls_in == 0
        assert await rig.desk.echo(1) == 1


async def test_a_cancelled_handler_that_fails_while_it_cleans_up_takes_nobody_with_it(
    autojump_clock: Clock, error_log: ErrorLog
) -> None:
    async def clumsy() -> int:
        async def child() -> None:
            try:
                await trio.sleep_forever()
            finally:
                raise ValueError("while cleaning up")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(child)
            nursery.start_soon(trio.sleep_forever)
        return 1

    async with open_rig() as rig:
        rig.counter.plans["clumsy"] = clumsy
        session = rig.client.session
        with trio.move_on_after(1):
            await rig.desk.run("clumsy")
        await trio.testing.wait_all_tasks_blocked()
        assert await rig.desk.echo(1) == 1
        assert rig.client.session == session
        assert error_log.take("handler failed")


async def test_a_handler_may_cancel_itself_through_the_call(autojump_clock: Clock) -> None:
    async def give_up() -> int:
        current_call().cancel_scope.cancel()
        return await never()

    async with open_rig() as rig:
        rig.counter.plans["give up"] = give_up
        with pytest.raises((CallCancelled, DeadlineExceeded)) as caught:
            await rig.desk.run("give up")
        assert caught.value.executed is Executed.MAYBE
        assert await rig.desk.echo(1) == 1


async def test_a_scope_that_a_handler_has_cancelled_serves_no_other_call(autojump_clock: Clock) -> None:
    scopes: list[trio.CancelScope] = []

    async def cancel_and_return() -> int:
        scopes.append(current_call().cancel_scope)
        scopes[-1].cancel()
        return 1

    async def keep_and_return() -> int:
        scopes.append(current_call().cancel_scope)
        return 2

    async with open_rig() as rig:
        session = rig.client.session
        rig.counter.plans.update(cancel=cancel_and_return, keep=keep_and_return, wait=short_nap)
        async with trio.open_nursery() as nursery:
            for _ in range(3):  # in one batch
                nursery.start_soon(rig.desk.run, "cancel")
                nursery.start_soon(rig.desk.run, "keep")
                nursery.start_soon(rig.desk.run, "wait")
        for scope in scopes:
            scope.cancel()
        await trio.testing.wait_all_tasks_blocked()
        assert await rig.desk.run("wait") == 3
        assert rig.client.session == session
        assert len(set(scopes)) == 6


async def never() -> int:
    await trio.sleep_forever()


async def short_nap() -> int:
    await trio.sleep(0.1)
    return 3


async def test_call_and_cancel_in_one_segment_give_one_answer(autojump_clock: Clock) -> None:
    async with open_rig() as rig, open_raw(rig.server) as raw:
        await raw.receive_of(WelcomeReceived)
        rig.counter.plans["wait"] = trio.sleep_forever
        waits = raw.connection.open_call("wait", "Desk.run", pack(["wait", {}]))
        echo = raw.connection.open_call("echo", "Desk.echo", pack([5, {}]))
        raw.connection.cancel(waits)
        raw.connection.cancel(echo)
        await raw.send()
        answered = await raw.receive(lambda event: isinstance(event, ResultReceived))
        assert isinstance(answered, ResultReceived)
        assert answered.owner == "echo"
        error = await raw.receive_of(ErrorReceived)
        assert isinstance(error, ErrorReceived)
        assert (error.owner, error.error.code) == ("wait", codes.CANCELLED)
        assert rig.counter.ended == ["wait"]
        await trio.testing.wait_all_tasks_blocked()
        assert raw.events == []


async def test_a_flood_of_calls_and_cancels_never_runs_more_than_the_limit(autojump_clock: Clock) -> None:
    running = most = 0

    async def slow_to_end() -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            return await never()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.01)
            running -= 1

    async with open_rig() as rig, open_raw(rig.server) as raw:
        await raw.receive_of(WelcomeReceived)
        rig.counter.plans["slow"] = slow_to_end
        connection = raw.connection
        connection.peer_limits = attrs.evolve(connection.peer_limits, open_calls=10_000)
        refused = cancelled = 0
        for _ in range(20):
            for _ in range(100):
                connection.cancel(connection.open_call("x", "Desk.run", pack(["slow", {}])))
            await raw.send()
            assert await rig.desk.echo(1) == 1  # another client is served meanwhile
            assert rig.server.server.session_list()[1].connection.calls_in <= 100
        for _ in range(2000):
            error = await raw.receive_of(ErrorReceived)
            assert isinstance(error, ErrorReceived)
            refused += error.error.code == codes.TOO_MANY_CALLS
            cancelled += error.error.code == codes.CANCELLED
        assert refused + cancelled == 2000
        assert most <= 100
        assert running == 0


async def test_a_handler_that_was_shielded_when_its_caller_cancelled_is_cancelled_at_its_next_item(
    autojump_clock: Clock,
) -> None:
    """And does not see the failure of its call instead, which it might handle; the log says nothing either."""
    seen: list[BaseException] = []

    class Shielded(Counter):
        async def total(self, numbers: Stream[int]) -> int:
            try:
                async for _ in numbers:
                    with trio.CancelScope(shield=True):
                        await trio.sleep(1)
            except BaseException as exc:
                seen.append(exc)
                raise
            return 0

    async def one() -> AsyncIterator[int]:
        yield 1
        await trio.sleep_forever()

    async with open_rig(counter=Shielded()) as rig:
        with trio.move_on_after(0.5):
            await rig.desk.total(Stream(one()))
        await trio.sleep(2)
    assert [type(exc) for exc in seen] == [trio.Cancelled]
