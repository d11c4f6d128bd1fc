"""Events that are published while nobody serves: kept in order and numbered once, whichever threads publish them."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import trio
import trio.testing

from appserver.testing import loopback_server
from protocol.peer import topics
from protocol.wire.replay import ReplayOfAll
from tests.conftest import ErrorLog
from tests.protocol.peer.desk import new_desk
from tests.protocol.peer.test_events import publish_all
from tests.protocol.peer.test_replay_asked import resubscribe, topic_of

Clock = trio.testing.MockClock


async def test_what_was_published_while_nobody_served_is_given_to_who_comes_back(
    autojump_clock: Clock,
) -> None:
    application, counter = new_desk()
    counter.queued.publish(1)
    async with loopback_server(application, encrypted=False) as server:
        counter.queued.publish(2)
        epoch = topic_of(server).epoch
    for number in (3, 4):
        counter.queued.publish(number)
    async with loopback_server(application, encrypted=False) as server:
        counter.queued.publish(5)
        confirmed, numbers = await resubscribe(server, {"after": 2, "epoch": epoch})
    assert (confirmed.sequence, confirmed.lost) == (2, 0)
    assert numbers == [3, 4, 5]


async def test_what_a_loop_did_not_send_any_more_is_given_to_who_comes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(topics, "SLOWEST", 0)
    application, counter = new_desk()
    table = application.service.topics

    async def publish_in_vain() -> None:
        with table.served():
            thread = threading.Thread(target=publish_all, args=(counter.queued, 9))
            thread.start()
            thread.join()

    await trio.to_thread.run_sync(trio.run, publish_in_vain)
    async with loopback_server(application, encrypted=False) as server:
        confirmed, numbers = await resubscribe(server, {"after": 3, "epoch": topic_of(server).epoch})
    assert (confirmed.sequence, confirmed.lost) == (3, 0)
    assert numbers == [4, 5, 6, 7, 8, 9]


def test_threads_that_publish_while_nobody_serves_share_no_number() -> None:
    application, counter = new_desk()
    topic = application.service.topics.get("Desk.queued")
    assert topic is not None
    begin = threading.Barrier(4)

    def publish_many() -> None:
        begin.wait()
        for number in range(500):
            counter.queued.publish(number)

    threads = [threading.Thread(target=publish_many) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert topic.sequence == 2000
    _, events = topic.replay.since(0, limit=2000, credit=0, room=0)
    assert [number for number, _, _ in events] == list(range(1, 2001))


def test_an_event_that_is_published_while_another_is_kept_comes_behind_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As a signal handler does, or a finalizer: waiting would be for ever."""
    application, counter = new_desk()
    topic = application.service.topics.get("Desk.queued")
    assert topic is not None
    add = ReplayOfAll.add

    def nested(self: ReplayOfAll, event: Any) -> None:
        if event[0] < 5:
            counter.queued.publish(100 + event[0])
        add(self, event)

    monkeypatch.setattr(ReplayOfAll, "add", nested)
    counter.queued.publish(1)
    _, events = topic.replay.since(0, limit=99, credit=0, room=0)
    assert [number for number, _, _ in events] == [1, 2, 3, 4, 5]
    assert [payload[-1] for _, payload, _ in events] == [1, 101, 102, 103, 104]


async def test_an_event_that_a_thread_was_keeping_when_a_loop_began_is_not_numbered_twice(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: Clock
) -> None:
    application, counter = new_desk()
    table = application.service.topics
    topic = table.get("Desk.queued")
    assert topic is not None
    keeping, serving = threading.Event(), threading.Event()
    add, bind_loop = ReplayOfAll.add, table._delivery.bind_loop

    def slowly(self: ReplayOfAll, event: Any) -> None:
        if event[0] == 1:
            keeping.set()
            assert serving.wait(10)
            counter.queued.publish(2)
        add(self, event)

    def begin(token: trio.lowlevel.TrioToken) -> None:
        bind_loop(token)
        serving.set()

    monkeypatch.setattr(ReplayOfAll, "add", slowly)
    monkeypatch.setattr(table._delivery, "bind_loop", begin)
    thread = threading.Thread(target=counter.queued.publish, args=(1,))
    thread.start()
    assert keeping.wait(10)
    with table.served():
        counter.queued.publish(3)
        thread.join()
        await trio.testing.wait_all_tasks_blocked()
        _, events = topic.replay.since(0, limit=99, credit=0, room=0)
        assert [number for number, _, _ in events] == [1, 2, 3]
        assert {payload[-1] for _, payload, _ in events} == {1, 2, 3}


async def test_a_key_that_cannot_be_compared_costs_the_replay_alone(error_log: ErrorLog) -> None:
    application, _ = new_desk()
    topic = application.service.topics.get("Desk.changed")
    assert topic is not None

    class Odd:
        def __hash__(self) -> int:
            return 1

        def __eq__(self, other: object) -> bool:
            raise RuntimeError("compared")

    for number in (1, 2):
        assert topic.keep((b"body", Odd()))[0] == number
    assert error_log.take("an event could not be kept")
    assert topic.keep((b"body", 7))[0] == 3
    assert topic.replay.since(0, limit=9, credit=99, room=99)[0] == 2


async def test_what_is_published_in_the_midst_of_another_bound_comes_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    application, counter = new_desk()
    topics = application.service.topics
    resize = ReplayOfAll.resize
    order: list[object] = []

    def interrupted(self: ReplayOfAll, most: int) -> None:
        counter.queued.publish(2)
        order.append(self.size)
        resize(self, most)

    with topics.served():
        counter.queued.publish(1)
        topic = topics.get("Desk.queued")
        assert topic is not None
        size = topic.replay.size
        with monkeypatch.context() as patch:
            patch.setattr(ReplayOfAll, "resize", interrupted)
            topics.resize(1 << 10)
        assert set(order) <= {0, size}
        assert topic.sequence > 1
        assert topic.replay.since(0, limit=9, credit=99, room=99)[1][0][0] == 1
