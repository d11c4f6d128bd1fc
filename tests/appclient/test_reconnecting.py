"""A client whose connection comes and goes: states, pauses, calls that wait, and the end."""

from __future__ import annotations

import random

import pytest
import trio
import trio.testing

from appclient import Closed, ConnectionState, NotConnected, Refused, StateChange
from appclient.backoff import JITTER, Backoff
from appserver.testing import loopback_server
from protocol.peer import ConnectionLost
from protocol.peer.clock import current_clock
from protocol.settings import Settings, TimeoutSettings
from protocol.transport import ConnectionRefused
from tests.conftest import ErrorLog
from tests.protocol.peer.desk import Desk, new_desk
from tests.protocol.peer.rig import open_rig

Clock = trio.testing.MockClock
State = ConnectionState


def test_pauses_grow_to_their_most_and_stay_within_the_jitter() -> None:
    timeouts = TimeoutSettings(reconnect_first=1.0, reconnect_factor=2.0, reconnect_most=10.0)
    backoff = Backoff(timeouts, random.Random(1))
    for expected in (1, 2, 4, 8, 10, 10, 10):
        assert expected * (1 - JITTER) <= backoff.next() <= expected * (1 + JITTER)
    backoff.lasted(0.9)
    assert backoff.next() >= 10 * (1 - JITTER)
    backoff.lasted(1.1)
    assert backoff.next() <= 1 + JITTER
    firsts = {Backoff(timeouts, random.Random(seed)).next() for seed in range(50)}
    assert len(firsts) == 50


@pytest.mark.parametrize(("hint", "expected"), [(0.0, 1.0), (-5.0, 1.0), (60.0, 60.0), (1e9, 120.0)])
def test_a_servers_hint_only_makes_a_pause_longer_and_is_spread_and_bounded(
    hint: float, expected: float
) -> None:
    pauses = {Backoff(TimeoutSettings(), random.Random(seed)).next(hint) for seed in range(50)}
    assert len(pauses) == 50
    assert all(expected * (1 - JITTER) <= pause <= min(expected * (1 + JITTER), 120) for pause in pauses)


async def test_states_are_told_in_order_and_pauses_start_anew_after_a_welcome(autojump_clock: Clock) -> None:
    async with open_rig() as rig:
        told: list[StateChange] = []
        rig.client.on_state(told.append)
        for _ in range(2):
            told.clear()
            rig.network.down = True
            rig.network.link.cut()
            await trio.sleep(30)
            rig.network.down = False
            await rig.client.wait_state(State.CONNECTED)
            assert [change.state for change in told] == [State.RECONNECTING] * (len(told) - 1) + [
                State.CONNECTED
            ]
            pauses = [change.retry_in for change in told[:-1]]
            for number, pause in enumerate(pauses):
                assert pause is not None
                assert 0.8 * 1.6**number <= pause <= 1.2 * 1.6**number
            assert len(pauses) >= 5
            assert "down" in told[-2].reason
            assert await rig.desk.echo(1) == 1
            await trio.sleep(2)
        rig.client.close()
        assert told[-1].state is State.CLOSED


async def test_a_connection_that_is_not_welcomed_does_not_reset_the_pauses(autojump_clock: Clock) -> None:
    async with open_rig() as rig:
        told: list[StateChange] = []
        rig.client.on_state(told.append)
        told.clear()
        rig.network.on_connect = lambda link: link.to_client.cut_after(5)
        rig.network.link.cut()
        await trio.sleep(40)
        rig.network.on_connect = None
        await rig.client.wait_state(State.CONNECTED)
        pauses = [change.retry_in or 0.0 for change in told[:-1]]
        assert len(pauses) >= 4
        assert pauses[-1] >= 0.8 * 1.6 ** (len(pauses) - 1)


async def test_a_listener_that_fails_is_logged_and_hurts_nobody(
    autojump_clock: Clock, error_log: ErrorLog
) -> None:
    async with open_rig() as rig:

        def fail(change: StateChange) -> None:
            raise ValueError("mine")

        told: list[StateChange] = []
        rig.client.on_state(fail)
        rig.client.on_state(told.append)
        rig.network.link.cut()
        await trio.sleep(5)
        assert await rig.desk.echo(1) == 1
        assert told[-1].state is State.CONNECTED
    assert error_log.take("listener")


async def test_whoever_iterates_slowly_over_states_ends_with_the_present_one(autojump_clock: Clock) -> None:
    async with open_rig() as rig:
        states = rig.client.states()
        assert (await anext(states)).state is State.CONNECTED
        rig.network.down = True
        rig.network.link.cut()
        await trio.sleep(3)  # changes that nobody waits for at the moment
        with trio.fail_after(0.01):
            assert (await anext(states)).state is State.RECONNECTING
        await states.aclose()  # type: ignore[attr-defined]


async def test_a_call_without_a_connection_waits_for_the_next_one(autojump_clock: Clock) -> None:
    async with open_rig() as rig:
        rig.network.down = True
        rig.network.link.cut()
        await rig.client.wait_state(State.RECONNECTING)
        async with trio.open_nursery() as nursery:
            for number in range(20):
                nursery.start_soon(rig.desk.echo, number)
            await trio.sleep(5)
            assert rig.counter.ran == []
            rig.network.down = False
        assert sorted(rig.counter.ran) == list(range(20))


async def test_a_call_waits_no_longer_than_reconnect_wait_and_did_not_run(autojump_clock: Clock) -> None:
    settings = Settings(timeouts=TimeoutSettings(reconnect_wait=5))
    async with open_rig(settings=settings) as rig:
        rig.network.down = True
        rig.network.link.cut()
        await rig.client.wait_state(State.RECONNECTING)
        started = trio.current_time()
        with pytest.raises(NotConnected, match=r"Desk\.echo waited 5 s.*the network is down"):
            await rig.desk.echo(1)
        assert trio.current_time() - started == pytest.approx(5, abs=0.1)
        with pytest.raises(trio.TooSlowError), trio.fail_after(1):
            await rig.desk.echo(2)
        rig.network.down = False
        await rig.client.wait_state(State.CONNECTED)
        assert rig.counter.ran == []


async def test_a_server_that_does_not_answer_for_a_while_is_busy(autojump_clock: Clock) -> None:
    async with open_rig() as rig:
        told: list[State] = []
        rig.client.on_state(lambda change: told.append(change.state))
        told.clear()
        rig.counter.plans["wait"] = lambda: sleep(20)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(rig.desk.run, "wait")
            await trio.sleep(10)
            assert told == []  # the handler is slow, the server is not
            rig.network.link.to_client.hold()
            await trio.sleep(6)
            assert told == [State.BUSY]
            rig.network.link.to_client.release()
        assert told == [State.BUSY, State.CONNECTED]


async def test_nobody_looks_after_a_connection_that_has_ended(autojump_clock: Clock) -> None:
    async with open_rig() as rig:
        await rig.client.ping()
        before = len(current_clock()._calls)
        for _ in range(3):
            async with rig.server.connect() as client:
                await client.ping()
        await trio.sleep(10)
        assert len(current_clock()._calls) == before


async def sleep(seconds: float) -> int:
    await trio.sleep(seconds)
    return 0


async def test_a_kicked_client_is_told_why_and_does_not_come_back(autojump_clock: Clock) -> None:
    async with open_rig() as rig:
        (session,) = rig.server.server.sessions
        async with rig.desk.queued.subscribe() as numbers:
            session.kick("you are on holiday")
            change = await rig.client.wait_state(State.REFUSED)
            assert "you are on holiday" in change.reason
            with pytest.raises(Exception, match="you are on holiday"):
                await rig.desk.echo(1)
            with pytest.raises(Exception, match="you are on holiday"):
                await anext(aiter(numbers))
        await trio.sleep(200)
        assert len(rig.network.links) == 1


async def test_closing_twice_and_using_a_closed_client(autojump_clock: Clock) -> None:
    async with open_rig() as rig:
        rig.counter.plans["wait"] = trio.sleep_forever
        outcomes: list[Exception] = []

        async def wait() -> None:
            try:
                await rig.desk.run("wait")
            except Exception as exc:
                outcomes.append(exc)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            rig.client.close()
            rig.client.close()
        assert isinstance(outcomes[0], ConnectionLost)
        with pytest.raises(Closed):
            await rig.desk.echo(1)
        with pytest.raises(Closed):
            await rig.desk.queued.subscribe().__aenter__()
        assert rig.client.state is State.CLOSED


async def test_closing_while_calls_wait_for_a_connection(autojump_clock: Clock) -> None:
    async with open_rig() as rig:
        rig.network.down = True
        rig.network.link.cut()
        await rig.client.wait_state(State.RECONNECTING)

        async def call() -> None:
            with pytest.raises(Closed):
                await rig.desk.echo(1)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(call)
            await trio.sleep(0.1)
            rig.client.close()


async def test_a_server_that_restarts_gets_its_clients_back_not_all_at_once(autojump_clock: Clock) -> None:
    application, counter = new_desk()
    counter.plans["work"] = lambda: sleep(2)
    times: list[float] = []
    results: list[int] = []
    with trio.fail_after(100):
        async with loopback_server(application, encrypted=False) as server, trio.open_nursery() as nursery:

            async def client() -> None:
                async with server.connect() as client:
                    desk = client.use(Desk)
                    results.append(await desk.run("work"))
                    await client.wait_state(State.RECONNECTING)
                    await client.wait_state(State.CONNECTED)
                    times.append(trio.current_time())

            for _ in range(20):
                nursery.start_soon(client)
            await trio.sleep(1)
            await server.server.drain()
            server.server._draining = False  # as another process that listens again
    assert results == [0] * 20
    assert len(set(times)) == 20
    assert max(times) - min(times) > 0.1


async def test_a_refusal_with_a_time_is_obeyed_and_one_without_is_final(autojump_clock: Clock) -> None:
    async with open_rig() as rig:
        told: list[StateChange] = []
        rig.client.on_state(told.append)
        rig.server.server._draining = True
        rig.network.link.cut()
        await trio.sleep(10)
        assert told[-1].state is State.RECONNECTING
        rig.server.server._draining = False
        await rig.client.wait_state(State.CONNECTED)
        rig.server.server.application.service._contracts.pop("Desk")
        rig.network.link.cut()
        change = await rig.client.wait_state(State.REFUSED)
        assert "Desk" in change.reason
        with pytest.raises(Refused, match="Desk"):
            await rig.desk.echo(1)


async def test_a_harness_that_has_ended_refuses_its_clients(autojump_clock: Clock) -> None:
    application, _ = new_desk()
    async with loopback_server(application) as server:
        pass
    with pytest.raises(ConnectionRefused, match="no program listens"):
        await server.open_transport()
