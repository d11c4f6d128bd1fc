"""Events that a subscriber gets again when it comes back: what was kept is not lost, and the rest is counted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import attrs
import pytest
import trio
import trio.testing

from appclient import ConnectionState
from protocol.interface import Gap
from protocol.peer import CallError
from protocol.peer.topics import Topic
from protocol.settings import LimitSettings, Settings
from protocol.wire import codes
from protocol.wire.replay import Replay, ReplayOfAll
from tests.protocol.peer.desk import Line
from tests.protocol.peer.rig import TRANSPORT_IDS, TRANSPORTS, Rig, open_rig, send_away

Clock = trio.testing.MockClock
State = ConnectionState
EACH = ReplayOfAll.OVERHEAD + 5
"""Bytes that a small number takes as an event with a small number."""


def limits(**limits: int) -> Settings:
    """Settings of both sides."""
    return Settings(limits=LimitSettings(**limits))


def topic_of(rig: Rig, name: str = "queued") -> Topic:
    """A topic of the server's."""
    topic = rig.server.server.application.service.topics.get(f"Desk.{name}")
    assert topic is not None
    return topic


async def be_away(rig: Rig, meanwhile: Callable[[], object]) -> None:
    """Lose the connection, and come back."""
    rig.network.link.cut()
    await rig.client.wait_state(State.RECONNECTING)
    meanwhile()
    await rig.client.wait_state(State.CONNECTED)


def publish(rig: Rig, numbers: Sequence[int], name: str = "queued") -> None:
    """Publish numbers one after another."""
    for number in numbers:
        getattr(rig.counter, name).publish(number)


def publish_lines(rig: Rig, lines: Sequence[Line]) -> None:
    """Publish lines one after another."""
    for line in lines:
        rig.counter.changed.publish(line)


async def take(subscription: Any, most: int = 100_000) -> list[Any]:
    """The next items, as many as come within a second and at most that many."""
    got: list[Any] = []
    with trio.move_on_after(1):
        while len(got) < most:
            got.append(await anext(subscription))
    return got


@pytest.mark.parametrize(("encrypted", "version"), TRANSPORTS, ids=TRANSPORT_IDS)
async def test_nothing_is_lost_over_a_lost_connection(
    encrypted: bool, version: Literal["1.2", "1.3"] | None, autojump_clock: Clock
) -> None:
    async with (
        open_rig(encrypted=encrypted, tls_version=version) as rig,
        rig.desk.queued.subscribe(gaps=True) as numbers,
    ):
        publish(rig, range(100))
        for begin in range(100, 6100, 2000):
            rig.network.link.to_client.hold()  # what it has sent is as lost as what it has not
            publish(rig, range(begin, begin + 1000))
            await trio.sleep(0.1)
            await be_away(rig, lambda begin=begin: publish(rig, range(begin + 1000, begin + 1900)))  # type: ignore[misc]
            publish(rig, range(begin + 1900, begin + 2000))
        assert await take(numbers) == list(range(6100))
        assert topic_of(rig).subscribers == 1


async def test_what_is_not_kept_any_more_is_counted_exactly(autojump_clock: Clock) -> None:
    async with (
        open_rig(settings=limits(event_replay=4 * EACH)) as rig,
        rig.desk.queued.subscribe(gaps=True) as numbers,
    ):
        publish(rig, [1])
        await trio.sleep(0.1)
        await be_away(rig, lambda: publish(rig, range(2, 12)))
        assert await take(numbers) == [1, Gap(6, 8), 8, 9, 10, 11]
        await be_away(rig, lambda: publish(rig, range(12, 16)))
        assert await take(numbers) == [12, 13, 14, 15]
        assert topic_of(rig).replay.size == 4 * EACH


async def test_nothing_is_kept_where_that_is_switched_off(autojump_clock: Clock) -> None:
    async with (
        open_rig(settings=limits(event_replay=0)) as rig,
        rig.desk.queued.subscribe(gaps=True) as numbers,
    ):
        publish(rig, [1])
        await trio.sleep(0.1)
        await be_away(rig, lambda: publish(rig, range(2, 12)))
        await trio.sleep(0.1)
        publish(rig, [12])
        assert await take(numbers) == [1, Gap(10, 12), 12]


@pytest.mark.parametrize("name", ["queued", "strict"])
async def test_without_credit_as_many_wait_as_the_contract_says_and_the_rest_is_lost(
    name: str, autojump_clock: Clock
) -> None:
    """Fifty bytes of credit are ten events, and five may wait; none of these counts against the contract's limit."""
    async with (
        open_rig(settings=limits(stream_credit=50)) as rig,
        getattr(rig.desk, name).subscribe(gaps=True) as numbers,
    ):
        publish(rig, [1], name)
        await trio.sleep(0.1)
        await be_away(rig, lambda: publish(rig, range(2, 42), name))
        await trio.sleep(1)
        publish(rig, range(42, 45), name)
        assert await take(numbers) == [1, Gap(25, 27), *range(27, 45)]


async def test_of_each_key_the_newest_comes_and_nothing_else_was_missed(autojump_clock: Clock) -> None:
    async with open_rig() as rig, rig.desk.changed.subscribe(gaps=True) as lines:
        rig.counter.changed.publish(Line(0, "first"))
        await trio.sleep(0.1)

        def change() -> None:
            for step in range(5000):
                rig.counter.changed.publish(Line(step % 3, str(step)))

        await be_away(rig, change)
        rig.counter.changed.publish(Line(7, "last"))
        newest = [Line(2, "4997"), Line(0, "4998"), Line(1, "4999")]
        assert await take(lines) == [Line(0, "first"), *newest, Line(7, "last")]


async def test_a_large_event_comes_again_too(autojump_clock: Clock) -> None:
    async with (
        open_rig(settings=limits(stream_credit=100)) as rig,
        rig.desk.changed.subscribe(gaps=True) as lines,
    ):
        rig.counter.changed.publish(Line(0))
        await trio.sleep(0.1)
        large = [Line(number, "x" * 5000) for number in (1, 2, 3)]
        await be_away(rig, lambda: publish_lines(rig, large))
        assert await take(lines) == [Line(0), *large]


async def test_one_that_is_too_large_for_the_subscriber_ends_it_as_it_would_have_then(
    autojump_clock: Clock,
) -> None:
    async with open_rig(client_settings=limits(message=4000)) as rig, rig.desk.changed.subscribe() as lines:
        rig.counter.changed.publish(Line(0))
        await trio.sleep(0.1)
        await be_away(rig, lambda: rig.counter.changed.publish(Line(1, "x" * 5000)))
        assert await anext(aiter(lines)) == Line(0)
        with pytest.raises(CallError) as caught:
            await anext(aiter(lines))
        assert caught.value.code == codes.MESSAGE_TOO_LARGE
        assert topic_of(rig, "changed").subscribers == 0


async def test_another_run_of_the_publisher_gives_nothing_of_the_one_before(autojump_clock: Clock) -> None:
    async with open_rig() as rig, rig.desk.queued.subscribe(gaps=True) as numbers:
        publish(rig, [1, 2, 3])
        assert await take(numbers) == [1, 2, 3]

        def restart() -> None:
            publish(rig, [4, 5])
            table = rig.server.server.application.service.topics
            table._topics["Desk.queued"] = Topic(topic_of(rig).spec, table._delivery.add, 1 << 20)
            publish(rig, [10, 11, 12, 13, 14])

        await be_away(rig, restart)
        await trio.sleep(0.1)
        publish(rig, [15])
        assert await take(numbers) == [Gap(5, 6), 15]
        await be_away(rig, lambda: publish(rig, [16]))
        assert await take(numbers) == [16]


# The next connection is there before the last one has ended


async def publish_between_two(rig: Rig) -> None:
    """Publish events 1 to 5 to a client that is sent away: the old connection owes them when the next one is there."""
    await trio.sleep(2)
    old = rig.network.link
    send_away(rig, after=1.0)
    await trio.sleep(0.1)
    old.to_client.delay(10)
    publish(rig, range(1, 6))
    await trio.sleep(3)


async def test_the_next_connection_gives_what_the_last_one_still_owes(autojump_clock: Clock) -> None:
    async with open_rig() as rig, rig.desk.queued.subscribe(gaps=True) as numbers:
        await publish_between_two(rig)
        publish(rig, range(6, 9))
        assert await take(numbers) == list(range(1, 9))
        await trio.sleep(20)
        assert await take(numbers) == []


@pytest.mark.parametrize("breaks", [False, True])
async def test_what_the_next_connection_cannot_give_is_waited_for_on_the_last_one(
    breaks: bool, autojump_clock: Clock
) -> None:
    async with (
        open_rig(settings=limits(event_replay=2 * EACH)) as rig,
        rig.desk.queued.subscribe(gaps=True) as numbers,
    ):
        await publish_between_two(rig)
        publish(rig, [6])
        assert await take(numbers) == []
        if breaks:
            (left,) = rig.client._peers - {rig.client._peer}
            left.end("it broke")
            assert await take(numbers) == [Gap(3, 4), 4, 5, 6]
        else:
            await trio.sleep(10)
            assert await take(numbers) == [1, 2, 3, 4, 5, 6]


async def test_what_a_finalizer_publishes_in_the_midst_of_a_replay_comes_behind_it(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    since = Replay.since

    def nested(self: Replay, after: int, **bounds: int) -> Any:
        found = since(self, after, **bounds)
        publish(rig, [4])
        return found

    async with open_rig() as rig, rig.desk.queued.subscribe(gaps=True) as numbers:
        publish(rig, [1])
        await trio.sleep(0.1)
        monkeypatch.setattr(Replay, "since", nested)
        await be_away(rig, lambda: publish(rig, [2, 3]))
        assert await take(numbers) == [1, 2, 3, 4]


# Where the setting comes from


async def test_another_setting_holds_at_once(autojump_clock: Clock) -> None:
    async with open_rig() as rig, rig.desk.queued.subscribe(gaps=True) as numbers:
        publish(rig, range(1, 11))
        await trio.sleep(0.1)
        server = rig.server.server
        fewer = attrs.evolve(server.settings, limits=LimitSettings(event_replay=3 * EACH))
        server.take_over(fewer, server.encryption)
        assert topic_of(rig).replay.size == 3 * EACH
        await be_away(rig, lambda: publish(rig, range(11, 15)))
        assert await take(numbers) == [*range(1, 11), Gap(1, 12), 12, 13, 14]


@pytest.mark.parametrize("event_replay", [0, 1 << 20])
async def test_a_client_keeps_what_it_publishes_by_its_own_settings(
    event_replay: int, autojump_clock: Clock
) -> None:
    async with open_rig(client_settings=limits(event_replay=event_replay)) as rig:
        (session,) = rig.server.server.sessions
        topic = rig.client._service.topics.get("Bell.rung")
        assert topic is not None
        rig.ringer.rung.publish(1)
        assert bool(topic.replay.size) == bool(event_replay)
        assert session.peer.service.topics.get("Bell.rung") is None
