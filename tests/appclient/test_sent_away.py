"""A client that the server sends away with a GOAWAY: the next connection is there before the last one ends."""

from __future__ import annotations

import random
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Literal

import pytest
import trio
import trio.testing

from appclient import ConnectionState, Draining
from appclient.backoff import Backoff
from protocol.interface import Gap
from protocol.settings import LimitSettings, Settings, TimeoutSettings
from protocol.wire.errors import GoawayCode
from tests.protocol.peer.desk import Bell, Line
from tests.protocol.peer.rig import TRANSPORT_IDS, TRANSPORTS, Rig, open_rig, send_away

Clock = trio.testing.MockClock
State = ConnectionState


async def ticks(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number
        await trio.sleep(1)


async def test_an_invitation_after_a_connection_that_lasted_is_followed_as_it_says() -> None:
    backoff = Backoff(TimeoutSettings(), random.Random(1))
    backoff.lasted(5)
    assert backoff.invited() == 0
    assert backoff.invited(-1.0) == 0
    assert 1.6 <= backoff.invited(2.0) <= 2.4
    assert backoff.invited(1e9) <= 120
    backoff.lasted(0.5)
    assert backoff.invited() >= 0.8


@pytest.mark.parametrize(("encrypted", "version"), TRANSPORTS, ids=TRANSPORT_IDS)
async def test_new_calls_go_to_the_next_connection_while_a_long_stream_goes_on(
    encrypted: bool, version: Literal["1.2", "1.3"] | None, autojump_clock: Clock
) -> None:
    async with open_rig(encrypted=encrypted, tls_version=version) as rig:
        rig.counter.sources["ticks"] = lambda: ticks(100)
        await trio.sleep(2)
        got: list[int] = []

        async def follow() -> None:
            async with rig.desk.follow("ticks") as numbers:
                got.extend([number async for number in numbers])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(follow)
            await trio.sleep(3.5)
            old = send_away(rig, after=2.0)
            started = trio.current_time()
            assert await rig.desk.echo(1) == 1
            assert trio.current_time() - started == pytest.approx(2, abs=0.5)
            assert rig.client.state is State.CONNECTED
            assert len(rig.network.links) == 2
            assert not old.ended
            assert rig.client.statistics().calls == 1
        assert got == list(range(100))
        await trio.sleep(1)
        assert old.ended, "the client ends it when its last call has ended"


async def test_a_call_from_the_server_may_end_on_the_connection_that_is_left(autojump_clock: Clock) -> None:
    async with open_rig() as rig:
        await trio.sleep(2)
        (session,) = rig.server.server.sessions
        numbers = session.use(Bell).chimes(3)
        async with numbers as stream:
            assert await anext(aiter(stream)) == 0
            send_away(rig)
            await trio.sleep(1)
            assert await rig.desk.echo(1) == 1
            assert [number async for number in stream] == [1, 2]


async def test_calls_that_cross_the_announcement_run_once_on_the_next_connection(
    autojump_clock: Clock,
) -> None:
    settings = Settings(limits=LimitSettings(open_calls=4))
    async with open_rig(settings=settings) as rig:
        await trio.sleep(2)
        rig.network.link.to_client.delay(0.5)
        rig.network.link.to_server.delay(0.5)
        async with trio.open_nursery() as nursery:
            send_away(rig)
            for number in range(20):  # four leave and cross it, the others wait for their turn
                nursery.start_soon(rig.desk.echo, number)
        assert sorted(rig.counter.ran) == list(range(20))
        assert len(rig.network.links) == 2


async def test_a_call_is_not_sent_again_where_something_is_wrong_with_the_connection(
    autojump_clock: Clock,
) -> None:
    async with open_rig() as rig:
        await trio.sleep(2)
        rig.network.link.to_client.delay(0.5)
        send_away(rig, code=GoawayCode.PROTOCOL_ERROR)
        with pytest.raises(Draining):
            await rig.desk.echo(1)
        assert rig.counter.ran == []


async def following(subscription: Any) -> Any:
    """The next event or gap."""
    return await anext(subscription)


async def publish(rig: Rig, count: int, *, pause: float = 0.1) -> None:
    for number in range(count):
        rig.counter.queued.publish(number)
        await trio.sleep(pause)


@pytest.mark.parametrize("delay", [0.0, 0.35])
@pytest.mark.parametrize("old_delay", [0.0, 0.75])
async def test_a_subscription_moves_without_a_gap_and_without_a_double(
    delay: float, old_delay: float, autojump_clock: Clock
) -> None:
    """Whichever of the two connections is the slower one."""
    async with open_rig() as rig, rig.desk.queued.subscribe(gaps=True) as numbers:
        await trio.sleep(2)
        rig.network.link.to_client.delay(old_delay)
        rig.network.on_connect = lambda link: link.to_client.delay(delay)
        got: list[Any] = []
        async with trio.open_nursery() as nursery:
            nursery.start_soon(publish, rig, 60)
            for at in (10, 25, 40):
                while len(got) < at:
                    got.append(await following(numbers))
                send_away(rig)
            while len(got) < 60:
                got.append(await following(numbers))
        assert got == list(range(60))
        await trio.sleep(3)
        assert len(rig.network.links) >= 3
        assert len(rig.server.server.sessions) == 1
        topic = rig.server.server.application.service.topics.get("Desk.queued")
        assert topic is not None
        assert topic.subscribers == 1


async def test_a_subscription_names_what_was_lost_where_the_old_connection_broke(
    autojump_clock: Clock,
) -> None:
    settings = Settings(limits=LimitSettings(event_replay=0))
    async with open_rig(settings=settings) as rig, rig.desk.queued.subscribe(gaps=True) as numbers:
        await trio.sleep(2)
        rig.counter.queued.publish(0)
        assert await following(numbers) == 0
        old = rig.network.link
        send_away(rig, after=1.0)
        await trio.sleep(0.1)
        old.to_client.hold()
        for number in (1, 2, 3):
            rig.counter.queued.publish(number)
        await trio.sleep(2)
        assert len(rig.network.links) == 2
        for number in (4, 5):
            rig.counter.queued.publish(number)
        await trio.sleep(1)
        assert rig.client._subscriptions[0]._items == deque()  # 4 and 5 wait for those before them
        (left,) = rig.client._peers - {rig.client._peer}
        left.end("nothing has come for too long")
        assert [await following(numbers) for _ in range(3)] == [Gap(3, 5), 4, 5]


async def test_a_large_event_comes_on_whichever_connection_has_the_turn(autojump_clock: Clock) -> None:
    settings = Settings(limits=LimitSettings(stream_credit=100))
    async with open_rig(settings=settings) as rig, rig.desk.changed.subscribe() as lines:
        await trio.sleep(2)
        for number in range(3):
            send_away(rig)
            rig.counter.changed.publish(Line(number, "x" * 5000))
            line = await following(lines)
            assert (line.number, len(line.text)) == (number, 5000)
            rig.counter.changed.publish(Line(number, "small"))
            assert (await following(lines)).text == "small"
            await trio.sleep(3)
        assert len(rig.network.links) == 4


async def test_an_end_of_the_subscription_leaves_nothing_on_either_connection(autojump_clock: Clock) -> None:
    async with open_rig() as rig:
        await trio.sleep(2)
        async with rig.desk.queued.subscribe():
            rig.network.on_connect = lambda link: link.to_client.delay(1)
            send_away(rig)
            await trio.sleep(1.5)
        await trio.sleep(3)
        topic = rig.server.server.application.service.topics.get("Desk.queued")
        assert topic is not None
        assert topic.subscribers == 0
        assert len(rig.server.server.sessions) == 1


async def test_closing_the_client_ends_the_connections_that_it_has_left_too(autojump_clock: Clock) -> None:
    async with open_rig() as rig:
        await trio.sleep(2)
        rig.counter.plans["wait"] = trio.sleep_forever
        async with trio.open_nursery() as nursery:

            async def wait() -> None:
                with pytest.raises(Exception, match="closed"):
                    await rig.desk.run("wait")

            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            send_away(rig)
            await trio.sleep(1)
            assert len(rig.server.server.sessions) == 2
            rig.client.close()
        await trio.sleep(1)
        assert len(rig.server.server.sessions) == 0
