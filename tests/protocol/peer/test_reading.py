"""Reading that the leader lends to callers: who reads when, and that nothing is late, lost or left waiting."""

from __future__ import annotations

import contextlib
from typing import NoReturn

import pytest
import trio
import trio.testing

from appclient import ConnectionState
from appserver import current_call
from appserver.testing import Cut
from protocol.interface import Stream
from protocol.peer import CallError, ConnectionLost, Peer
from protocol.peer.appetite import Appetite
from protocol.peer.reading import DISTURBED, STREAK, TICK
from protocol.settings import Settings, TimeoutSettings
from protocol.transport import TransportClosed
from protocol.wire.errors import Executed
from protocol.wire.events import Event, PongReceived, ResultReceived
from tests.protocol.peer.desk import Bell, OutOfStock, content
from tests.protocol.peer.rig import TRANSPORT_IDS, TRANSPORTS, Rig, open_rig

Clock = trio.testing.MockClock
SOON = 3 * TICK


def peer_of(rig: Rig) -> Peer:
    """The client's side of the connection."""
    peer = rig.client.peer_nowait()
    assert peer is not None
    return peer


async def lend(rig: Rig) -> Peer:
    """Call until callers read for themselves."""
    peer = peer_of(rig)
    for number in range(3 * STREAK):
        assert await rig.desk.echo(number) == number
    assert peer.reading.lent
    return peer


@pytest.mark.parametrize(("encrypted", "version"), TRANSPORTS, ids=TRANSPORT_IDS)
async def test_calls_one_after_another_read_for_themselves(
    encrypted: bool, version: object, autojump_clock: Clock
) -> None:
    async with open_rig(encrypted=encrypted, tls_version=version) as rig:  # type: ignore[arg-type]
        peer = await lend(rig)
        for number in range(1000):
            assert await rig.desk.echo(number) == number
            assert peer.reading.lent
        text = "long" * 100_000
        assert await rig.desk.say(text) == text
        await trio.sleep(SOON)
        assert not peer.reading.lent
        assert await rig.desk.echo(1) == 1


async def test_calls_far_apart_leave_reading_to_the_leader(autojump_clock: Clock) -> None:
    async with open_rig() as rig:
        for number in range(3 * STREAK):
            assert await rig.desk.echo(number) == number
            await trio.sleep(1)
        assert not peer_of(rig).reading.lent


async def test_what_comes_while_nobody_calls_waits_for_two_ticks_at_most(autojump_clock: Clock) -> None:
    async with open_rig() as rig, rig.desk.queued.subscribe() as numbers:
        await lend(rig)
        rig.counter.queued.publish(7)
        with trio.fail_after(SOON):
            assert await anext(aiter(numbers)) == 7


async def test_what_comes_while_a_caller_reads_comes_at_once(autojump_clock: Clock) -> None:
    async with open_rig() as rig, rig.desk.queued.subscribe() as numbers, trio.open_nursery() as nursery:
        rig.counter.plans["wait"] = trio.sleep_forever
        peer = await lend(rig)
        nursery.start_soon(rig.desk.run, "wait")
        await trio.testing.wait_all_tasks_blocked()
        assert peer.reading.reader is not None
        began = trio.current_time()
        rig.counter.queued.publish(7)
        assert await anext(aiter(numbers)) == 7
        assert trio.current_time() == began
        assert not peer.reading.lent
        for number in range(DISTURBED // 2):
            assert await rig.desk.echo(number) == number
        assert not peer.reading.lent
        nursery.cancel_scope.cancel()


async def test_who_asks_for_anything_else_has_the_leader_read_at_once(autojump_clock: Clock) -> None:
    async with open_rig() as rig:
        peer = await lend(rig)
        began = trio.current_time()
        await rig.client.ping()
        assert trio.current_time() == began
        assert not peer.reading.lent
        peer = await lend(rig)
        async with rig.desk.queued.subscribe() as numbers:
            assert not peer.reading.lent
            await trio.testing.wait_all_tasks_blocked()
            rig.counter.queued.publish(7)
            assert await anext(aiter(numbers)) == 7
        assert trio.current_time() == began


async def test_a_cancelled_caller_that_reads_cancels_its_handler(autojump_clock: Clock) -> None:
    async with open_rig() as rig:
        rig.counter.plans["wait"] = trio.sleep_forever
        peer = await lend(rig)
        with trio.move_on_after(1) as scope:
            await rig.desk.run("wait")
        assert scope.cancelled_caught
        assert not peer.reading.lent
        await trio.testing.wait_all_tasks_blocked()
        assert rig.counter.ended == ["wait"]
        assert await rig.desk.echo(1) == 1


async def test_other_callers_are_answered_while_one_reads(autojump_clock: Clock) -> None:
    release = trio.Event()

    async def wait() -> int:
        await release.wait()
        return 5

    async with open_rig() as rig:
        rig.counter.plans["wait"] = wait
        peer = await lend(rig)
        answers: list[int] = []

        async def call() -> None:
            answers.append(await rig.desk.run("wait"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(call)
            await trio.testing.wait_all_tasks_blocked()
            assert peer.reading.reader is not None
            for number in range(3):
                assert await rig.desk.echo(number) == number
            assert await rig.desk.total(Stream(range(100))) == sum(range(100))
            assert [number async for number in rig.desk.count(0, 2000)] == list(range(2000))
            assert await rig.desk.give(100_000).read() == content(100_000)
            release.set()
        assert answers == [5]


async def test_a_stream_that_follows_calls_does_not_wait_for_a_tick(autojump_clock: Clock) -> None:
    async with open_rig() as rig:
        await lend(rig)
        began = trio.current_time()
        assert [number async for number in rig.desk.count(0, 2000)] == list(range(2000))
        assert trio.current_time() == began


async def test_a_failure_arrives_as_itself_where_the_caller_reads(autojump_clock: Clock) -> None:
    async def fail() -> int:
        raise OutOfStock(3)

    async with open_rig() as rig:
        rig.counter.plans["fail"] = fail
        await lend(rig)
        with pytest.raises(OutOfStock) as caught:
            await rig.desk.run("fail")
        assert caught.value.number == 3
        assert await rig.desk.echo(1) == 1


async def test_a_handler_may_call_back_to_a_caller_that_reads(autojump_clock: Clock) -> None:
    async with open_rig() as rig:
        rig.counter.plans["back"] = lambda: current_call().use(Bell).ring(3)
        await lend(rig)
        assert await rig.desk.run("back") == 3


async def test_a_handler_lends_reading_to_its_calls_back(autojump_clock: Clock) -> None:
    lent: list[bool] = []

    async def back() -> int:
        for number in range(10 * STREAK):
            assert await current_call().use(Bell).ring(number) == number
        (session,) = rig.server.server.sessions
        lent.append(session.peer.reading.lent)
        return 1

    async with open_rig() as rig:
        rig.counter.plans["back"] = back
        assert await rig.desk.run("back") == 1
        assert lent == [True]


@pytest.mark.parametrize("how", [Cut.RST, Cut.FIN])
async def test_a_lost_connection_fails_the_call_that_reads(how: Cut, autojump_clock: Clock) -> None:
    async with open_rig() as rig:
        rig.counter.plans["wait"] = trio.sleep_forever
        await lend(rig)
        async with trio.open_nursery() as nursery:

            async def call() -> None:
                with pytest.raises(ConnectionLost) as caught:
                    await rig.desk.run("wait")
                assert caught.value.executed is Executed.MAYBE

            nursery.start_soon(call)
            await trio.testing.wait_all_tasks_blocked()
            rig.network.link.cut(how)
        await rig.client.wait_state(ConnectionState.CONNECTED)
        assert await rig.desk.echo(1) == 1


async def test_a_silent_server_is_noticed_while_a_caller_reads(autojump_clock: Clock) -> None:
    async with open_rig(settings=Settings(timeouts=TimeoutSettings(ping=1.0))) as rig:
        rig.counter.plans["wait"] = trio.sleep_forever
        await lend(rig)
        rig.network.link.to_client.hold()
        with trio.fail_after(5), pytest.raises(ConnectionLost):
            await rig.desk.run("wait")


async def test_the_servers_pings_are_answered_while_a_caller_reads(autojump_clock: Clock) -> None:
    async def wait() -> int:
        await trio.sleep(20)
        return 5

    patient = Settings(timeouts=TimeoutSettings(ping=1000.0))
    hasty = Settings(timeouts=TimeoutSettings(ping=1.0))
    async with open_rig(settings=hasty, client_settings=patient) as rig:
        rig.counter.plans["wait"] = wait
        peer = await lend(rig)
        assert await rig.desk.run("wait") == 5
        assert not peer.ended


async def test_closing_the_client_fails_the_call_that_reads_at_once(autojump_clock: Clock) -> None:
    failures: list[CallError] = []
    async with open_rig() as rig:
        rig.counter.plans["wait"] = trio.sleep_forever
        peer = await lend(rig)

        async def call() -> None:
            try:
                await rig.desk.run("wait")
            except CallError as exc:
                failures.append(exc)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(call)
            await trio.testing.wait_all_tasks_blocked()
            began = trio.current_time()
            rig.client.close()
        assert trio.current_time() == began
        assert peer.reading.reader is None
    assert len(failures) == 1


async def test_a_call_refused_by_a_leaving_server_goes_to_the_next_connection(autojump_clock: Clock) -> None:
    async with open_rig() as rig:
        peer = await lend(rig)
        (session,) = rig.server.server.sessions
        session.peer.connection.ping()  # something else than an answer, while nobody calls
        session.peer.wake()
        await trio.testing.wait_all_tasks_blocked()
        assert await rig.desk.echo(1) == 1
        peer.transport.abort()
        with pytest.raises(ConnectionLost):
            await rig.desk.echo(2)
        await rig.client.wait_state(ConnectionState.CONNECTED)
        assert await rig.desk.echo(3) == 3


async def test_a_call_that_reads_fails_at_once_though_a_handler_is_stuck(patient_clock: Clock) -> None:
    async with open_rig() as rig:
        rig.counter.plans["wait"] = trio.sleep_forever
        (session,) = rig.server.server.sessions
        failed = trio.Event()

        async def ring_slowly() -> None:
            with contextlib.suppress(ConnectionLost):
                await session.use(Bell).ring_slowly()

        async def call() -> None:
            with pytest.raises(ConnectionLost):
                await rig.desk.run("wait")
            failed.set()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ring_slowly)
            await trio.sleep(0.1)
            for number in range(DISTURBED):
                await rig.desk.echo(number)
            peer = await lend(rig)
            nursery.start_soon(call)
            await trio.sleep(0.1)
            assert peer.reading.reader is not None
            peer.end("for this test")
            with trio.fail_after(0.1):
                await failed.wait()
            rig.ringer.release.set()


@pytest.mark.parametrize("lent", [True, False])
async def test_an_answer_that_came_before_the_connection_was_lost_counts(
    lent: bool, monkeypatch: pytest.MonkeyPatch, autojump_clock: Clock
) -> None:
    async with open_rig() as rig:
        peer = await lend(rig) if lent else peer_of(rig)
        receive = peer.connection.receive

        def break_down(*_: object) -> NoReturn:
            raise TransportClosed("the other side")

        def receive_and_break(data: bytes, now: float) -> list[Event]:
            events = receive(data, now)
            if any(isinstance(event, ResultReceived) for event in events):
                if lent:
                    monkeypatch.setattr(peer, "flush", break_down)
                else:  # the leader reads on before it acts on what has come
                    peer.transport.abort()
            return [*events, PongReceived(0)]

        monkeypatch.setattr(peer.connection, "receive", receive_and_break)
        monkeypatch.setattr(Appetite, "is_due", lambda _: True)
        with trio.fail_after(60):
            assert await rig.desk.echo(7) == 7
        assert peer.ended
