"""Events: the three policies, gaps, and subscriptions that outlive a connection."""

from __future__ import annotations

import threading
import time
from decimal import Decimal
from typing import Any, Protocol

import attrs
import pytest
import trio
import trio.testing

from appclient import ConnectionState
from appserver import Application
from appserver.testing import loopback_server
from protocol.interface import Event, EventsLost, Gap, Interface, InvalidValue, event
from protocol.peer import SlowSubscriber, TooManyCalls, topics
from protocol.settings import LimitSettings, Settings
from protocol.wire.errors import LocalProtocolError
from tests.conftest import ErrorLog
from tests.protocol.peer.desk import Bell, Desk, Line, new_desk
from tests.protocol.peer.rig import Rig, open_rig

Clock = trio.testing.MockClock
LITTLE = Settings(limits=LimitSettings(stream_credit=50))


async def take(subscription: Any, most: int) -> list[Any]:
    """The next items, as many as come within a second and at most that many."""
    got: list[Any] = []
    with trio.move_on_after(1):
        while len(got) < most:
            got.append(await anext(subscription))
    return got


async def take_all(subscription: Any, into: list[int]) -> None:
    """Take items until the subscription ends."""
    async for item in subscription:
        into.append(item)


def publish_all(event: Event[int], count: int) -> None:
    """Publish numbers one after another."""
    for number in range(count):
        event.publish(number)


def publish_numbers(rig: Rig, count: int) -> None:
    """Publish numbers of a rig's event."""
    publish_all(rig.counter.queued, count)


async def test_every_subscriber_gets_every_event_in_order(autojump_clock: Clock) -> None:
    async with open_rig() as rig, rig.server.connect() as other:
        theirs = other.use(Desk)
        async with (
            rig.desk.queued.subscribe() as mine,
            rig.desk.queued.subscribe() as again,
            theirs.queued.subscribe() as others,
        ):
            for number in range(100):
                rig.counter.queued.publish(number)
                await trio.lowlevel.checkpoint()
            for subscription in (mine, again, others):
                assert await take(subscription, 100) == list(range(100))
        await trio.testing.wait_all_tasks_blocked()
        rig.counter.queued.publish(1)
        topic = rig.server.server.application.service.topics.get("Desk.queued")
        assert topic is not None
        assert topic.subscribers == 0
        assert [info.connection.subscriptions for info in rig.server.server.session_list()] == [0, 0]


async def test_an_event_published_from_a_thread_arrives(patient_clock: Clock) -> None:
    async with open_rig() as rig, rig.desk.queued.subscribe() as numbers:
        await trio.to_thread.run_sync(rig.counter.queued.publish, 5)
        assert await take(numbers, 1) == [5]


async def test_events_that_a_thread_publishes_without_waiting_arrive_as_they_were(
    patient_clock: Clock,
) -> None:
    count = 3 * topics.MOST_POSTED
    async with open_rig() as rig, rig.desk.queued.subscribe() as numbers:
        await trio.to_thread.run_sync(publish_numbers, rig, count)
        assert await take(numbers, count) == list(range(count))


async def test_a_thread_that_publishes_faster_than_the_loop_sends_is_slowed_down(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(topics, "MOST_POSTED", 10)
    monkeypatch.setattr(topics, "SLOWEST", 20)
    async with open_rig() as rig:
        thread = threading.Thread(target=publish_numbers, args=(rig, 13))
        began = time.monotonic()
        thread.start()
        thread.join()  # the loop sends nothing meanwhile
        assert time.monotonic() - began >= 3 * 20 * 0.001
        table = rig.server.server.application.service.topics
        assert len(table._posted) == 13
        while table._posted:  # noqa: ASYNC110
            await trio.sleep(0.001)


def test_publishing_after_the_end_of_the_loop_reaches_nobody() -> None:
    async def main() -> Rig:
        async with open_rig() as rig:
            rig.counter.queued.publish(1)
            return rig

    rig = trio.run(main)
    rig.counter.queued.publish(2)
    with pytest.raises(InvalidValue):
        rig.counter.queued.publish("three")  # type: ignore[arg-type]


async def test_an_application_is_served_by_one_loop_at_a_time() -> None:
    application, _ = new_desk()

    async def serve() -> None:
        async with loopback_server(application):
            pass

    await serve()
    async with loopback_server(application):
        await serve()  # twice in one loop, and in another one afterwards
        with pytest.raises(LocalProtocolError, match="another thread"):
            await trio.to_thread.run_sync(trio.run, serve)
    await trio.to_thread.run_sync(trio.run, serve)


async def test_events_of_a_thread_and_of_the_loop_keep_their_order(patient_clock: Clock) -> None:
    async def both() -> int:
        await trio.to_thread.run_sync(publish_numbers, rig, topics.MOST_POSTED)
        rig.counter.queued.publish(-1)
        return 1

    async with open_rig() as rig, rig.desk.queued.subscribe() as numbers:
        rig.counter.plans["both"] = both
        await rig.desk.run("both")
        assert await take(numbers, topics.MOST_POSTED + 1) == [*range(topics.MOST_POSTED), -1]


@pytest.mark.parametrize("from_thread", [True, False])
async def test_what_is_published_while_events_are_sent_comes_after_them(
    from_thread: bool, patient_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a finalizer does, whenever the garbage collector calls it."""
    async with open_rig() as rig, rig.server.connect() as other:
        send = topics.Topic.send

        def nested(self: topics.Topic, prepared: topics.Prepared) -> None:
            if self.sequence < 20:
                rig.counter.queued.publish(100 + self.sequence)
            send(self, prepared)

        async with rig.desk.queued.subscribe() as mine, other.use(Desk).queued.subscribe() as theirs:
            monkeypatch.setattr(topics.Topic, "send", nested)
            if from_thread:
                await trio.to_thread.run_sync(publish_numbers, rig, 5)
            else:
                publish_numbers(rig, 5)
            got = await take(mine, 25)
            assert await take(theirs, 25) == got
    assert [number for number in got if number < 100] == list(range(5))
    assert [number for number in got if number >= 100] == list(range(100, 120))


async def test_a_finalizer_that_publishes_in_the_midst_of_posting_does_not_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(topics, "MOST_POSTED", 0)
    async with open_rig() as rig:
        run_sync_soon = trio.lowlevel.TrioToken.run_sync_soon
        waited: list[int] = []

        def interrupted(self: trio.lowlevel.TrioToken, *args: Any, **options: Any) -> None:
            run_sync_soon(self, *args, **options)
            if threading.current_thread() is thread and not waited:
                waited.append(0)
                publish_numbers(rig, 3)
                waited.append(len(slowed))

        slowed: list[int] = []
        table = rig.server.server.application.service.topics
        monkeypatch.setattr(table, "_slow_down", lambda: slowed.append(1))
        thread = threading.Thread(target=publish_numbers, args=(rig, 1))
        monkeypatch.setattr(trio.lowlevel.TrioToken, "run_sync_soon", interrupted)
        thread.start()
        thread.join()
        assert waited == [0, 0]
        assert slowed == [1]


async def test_events_that_a_loop_did_not_send_any_more_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(topics, "SLOWEST", 0)
    application, counter = new_desk()
    table = application.service.topics
    topic = table.get("Desk.queued")
    assert topic is not None

    async def publish() -> None:
        with table.served():
            thread = threading.Thread(target=lambda: publish_all(counter.queued, 10))
            thread.start()
            thread.join()

    await trio.to_thread.run_sync(trio.run, publish)
    with table.served():
        assert topic.sequence == 10


async def test_an_event_that_is_posted_while_a_server_begins_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    application, _ = new_desk()
    table = application.service.topics
    topic = table.get("Desk.queued")
    assert topic is not None
    bind_loop = table._delivery.bind_loop

    def posted_meanwhile(token: trio.lowlevel.TrioToken) -> None:
        bind_loop(token)
        table._posted.append((topic, topic.prepare(1)))

    monkeypatch.setattr(table._delivery, "bind_loop", posted_meanwhile)
    with table.served():
        await trio.testing.wait_all_tasks_blocked()
        assert topic.sequence == 1
        assert not table._posted


async def test_an_event_that_cannot_be_sent_is_logged_and_the_next_one_comes(
    patient_clock: Clock, monkeypatch: pytest.MonkeyPatch, error_log: ErrorLog
) -> None:
    async with open_rig() as rig, rig.desk.queued.subscribe() as numbers:
        send = topics.Topic.send

        def fail_once(self: topics.Topic, prepared: topics.Prepared) -> None:
            monkeypatch.setattr(topics.Topic, "send", send)
            raise ZeroDivisionError

        monkeypatch.setattr(topics.Topic, "send", fail_once)
        await trio.to_thread.run_sync(publish_numbers, rig, 2)
        assert await take(numbers, 1) == [1]
    assert error_log.take("could not be sent")


@attrs.frozen
class Reading:
    place: Decimal
    value: int


class Readings(Interface, Protocol, version=(1, 0)):
    changed: Event[Reading] = event(policy="latest", key="place")


async def test_a_key_that_cannot_be_hashed_is_the_publishers_error() -> None:
    readings = type("Implementation", (Readings,), {})()
    application = Application("readings")
    application.register(readings)
    async with loopback_server(application):
        with pytest.raises(InvalidValue, match=r"event\.place: expected a key that can be hashed"):
            readings.changed.publish(Reading(Decimal("sNaN"), 1))
        with pytest.raises(InvalidValue, match=r"event: expected Reading"):
            readings.changed.publish("wrong")
        readings.changed.publish(Reading(Decimal("NaN"), 1))


async def test_a_wrong_event_is_the_publishers_error_and_reaches_nobody(autojump_clock: Clock) -> None:
    async with open_rig() as rig, rig.desk.queued.subscribe() as numbers:
        with pytest.raises(InvalidValue, match="event: expected int, got str"):
            rig.counter.queued.publish("five")  # type: ignore[arg-type]
        rig.counter.queued.publish(6)
        assert await take(numbers, 1) == [6]


async def test_a_queue_drops_its_oldest_and_says_how_many(autojump_clock: Clock) -> None:
    async with open_rig(settings=LITTLE) as rig, rig.desk.queued.subscribe(gaps=True) as numbers:
        for number in range(1000):
            rig.counter.queued.publish(number)
        await trio.sleep(1)
        got = await take(numbers, 1000)
        values = [item for item in got if not isinstance(item, Gap)]
        gaps = [item for item in got if isinstance(item, Gap)]
        assert values[-1] == 999
        assert values == sorted(values)
        assert len(gaps) == 1
        assert len(values) + gaps[0].lost == 1000
        position = got.index(gaps[0])
        assert got[position + 1] == gaps[0].sequence - 1  # events are numbered from 1


async def test_without_gaps_a_loss_is_raised_and_the_iteration_goes_on(autojump_clock: Clock) -> None:
    async with open_rig(settings=LITTLE) as rig, rig.desk.queued.subscribe() as numbers:
        for number in range(1000):
            rig.counter.queued.publish(number)
        got: list[int] = []
        lost = 0
        while not got or got[-1] != 999:
            try:
                got.append(await anext(aiter(numbers)))
            except EventsLost as exc:
                lost += exc.lost
        assert len(got) + lost == 1000


async def test_latest_keeps_the_newest_of_each_key(autojump_clock: Clock) -> None:
    async with open_rig(settings=LITTLE) as rig, rig.desk.changed.subscribe(gaps=True) as lines:
        for step in range(500):
            rig.counter.changed.publish(Line(step % 3, str(step)))
        got = await take(lines, 500)
        assert len(got) < 100
        assert {line.number: line.text for line in got} == {2: "497", 0: "498", 1: "499"}


async def test_disconnect_ends_the_subscription_by_name(autojump_clock: Clock) -> None:
    async with open_rig(settings=LITTLE) as rig, rig.desk.strict.subscribe() as numbers:
        for number in range(1000):
            rig.counter.strict.publish(number)
        await trio.sleep(1)
        got: list[int] = []
        with pytest.raises(SlowSubscriber):
            await take_all(numbers, got)
        assert got == list(range(len(got)))
        assert len(got) >= 5
        assert await rig.desk.echo(1) == 1
    async with open_rig() as rig, rig.desk.strict.subscribe() as numbers:
        rig.counter.strict.publish(1)
        assert await take(numbers, 1) == [1]


async def test_a_subscriber_that_does_not_read_slows_neither_publisher_nor_calls(
    autojump_clock: Clock,
) -> None:
    async with open_rig() as rig, rig.desk.queued.subscribe(gaps=True):
        rig.network.link.to_client.hold()
        for number in range(20_000):
            rig.counter.queued.publish(number)
        (session,) = rig.server.server.session_list()
        assert session.connection.pending_output < 200_000


async def lose_connection(rig: Rig) -> None:
    """Cut, and wait until the client is back."""
    rig.network.link.cut()
    await rig.client.wait_state(ConnectionState.RECONNECTING)
    await rig.client.wait_state(ConnectionState.CONNECTED)
    await trio.sleep(0.1)


async def test_a_subscription_goes_on_after_a_lost_connection_and_names_the_gap(
    autojump_clock: Clock,
) -> None:
    settings = Settings(limits=LimitSettings(event_replay=0))
    async with open_rig(settings=settings) as rig, rig.desk.queued.subscribe(gaps=True) as numbers:
        rig.counter.queued.publish(0)
        await trio.sleep(0.1)
        rig.network.link.cut()
        await trio.sleep(0.1)
        for number in range(1, 8):
            rig.counter.queued.publish(number)
        await trio.sleep(5)
        rig.counter.queued.publish(8)
        assert await take(numbers, 3) == [0, Gap(7, 9), 8]
        await lose_connection(rig)
        rig.counter.queued.publish(9)
        assert await take(numbers, 2) == [9]  # nothing was lost, nothing is said


async def test_the_numbers_of_another_run_of_the_publisher_mean_nothing(autojump_clock: Clock) -> None:
    async with open_rig() as rig, rig.desk.queued.subscribe(gaps=True) as numbers:
        for number in range(3):
            rig.counter.queued.publish(number)
        assert await take(numbers, 3) == [0, 1, 2]
        topic = rig.server.server.application.service.topics.get("Desk.queued")
        assert topic is not None
        rig.network.link.cut()
        topic.sequence, topic.epoch = 2, "another"  # as after a restart
        await trio.sleep(5)
        rig.counter.queued.publish(7)
        (gap, value) = await take(numbers, 2)
        assert isinstance(gap, Gap)
        assert gap.sequence == 3
        assert value == 7


async def test_one_subscription_too_many_fails_and_leaves_the_client_alive(autojump_clock: Clock) -> None:
    settings = Settings(limits=LimitSettings(subscriptions=1))
    async with open_rig(settings=settings) as rig, rig.desk.queued.subscribe() as numbers:
        with pytest.raises(LocalProtocolError, match="1 subscriptions"):
            await rig.desk.strict.subscribe().__aenter__()
        await lose_connection(rig)
        rig.counter.queued.publish(1)
        assert await take(numbers, 1) == [1]


async def test_what_the_server_takes_no_more_after_a_lost_connection_fails_alone(
    autojump_clock: Clock,
) -> None:
    async with (
        open_rig() as rig,
        rig.desk.queued.subscribe() as numbers,
        rig.desk.strict.subscribe() as others,
    ):
        task = rig.server.server._task
        fewer = attrs.evolve(task.rules, limits=attrs.evolve(task.rules.limits, subscriptions=1))
        task.rules = fewer
        await lose_connection(rig)
        with pytest.raises(TooManyCalls, match="1 subscriptions"):
            await anext(aiter(others))
        rig.counter.queued.publish(1)
        assert await take(numbers, 1) == [1]
        assert len(rig.client._subscriptions) == 1


async def test_a_subscription_that_failed_is_not_taken_up_again(autojump_clock: Clock) -> None:
    async with open_rig(settings=LITTLE) as rig, rig.desk.strict.subscribe() as numbers:
        for number in range(1000):
            rig.counter.strict.publish(number)
        with pytest.raises(SlowSubscriber):
            await take_all(numbers, [])
        assert rig.client._subscriptions == []
        await lose_connection(rig)
        topic = rig.server.server.application.service.topics.get("Desk.strict")
        assert topic is not None
        assert topic.subscribers == 0


async def test_the_server_may_subscribe_to_a_client_and_learns_of_its_end(autojump_clock: Clock) -> None:
    async with open_rig() as rig:
        (session,) = rig.server.server.sessions
        bell = session.use(Bell)
        got: list[int] = []
        ended: list[BaseException] = []

        async def listen() -> None:
            try:
                async with bell.rung.subscribe() as rings:
                    async for number in rings:
                        got.append(number)
            except Exception as exc:
                ended.append(exc)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            await trio.testing.wait_all_tasks_blocked()
            rig.ringer.rung.publish(3)
            await trio.sleep(1)
            assert got == [3]
            rig.network.link.cut()
            await trio.sleep(5)
            assert len(ended) == 1
            nursery.cancel_scope.cancel()


async def test_taking_an_event_that_is_there_already_can_be_cancelled(autojump_clock: Clock) -> None:
    async with open_rig() as rig, rig.desk.queued.subscribe() as numbers:
        rig.counter.queued.publish(1)
        await trio.sleep(1)
        with trio.CancelScope() as scope:
            scope.cancel()
            await anext(aiter(numbers))
        assert scope.cancelled_caught
        assert await anext(aiter(numbers)) == 1
