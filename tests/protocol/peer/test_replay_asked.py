"""What a stranger may ask to be given again, and what that costs."""

from __future__ import annotations

from itertools import pairwise

import pytest
import trio
import trio.testing

from appserver.testing import LoopbackServer, Network, loopback_server
from protocol.peer.topics import Topic
from protocol.peer.writer import Writer
from protocol.settings import LimitSettings, Settings
from protocol.transport.memory import Link
from protocol.wire.events import EventReceived, GapReceived, WelcomeReceived
from protocol.wire.limits import Limits
from protocol.wire.publications import encode_event
from protocol.wire.subscriber import Policy
from tests.protocol.peer.desk import Line, new_desk
from tests.protocol.peer.rig import RawClient, open_raw
from tests.protocol.wire.talk import Talk

Clock = trio.testing.MockClock


def limits(**limits: int) -> Settings:
    """Settings of both sides."""
    return Settings(limits=LimitSettings(**limits))


def topic_of(server: LoopbackServer, name: str = "queued") -> Topic:
    """A topic of a server's."""
    topic = server.server.application.service.topics.get(f"Desk.{name}")
    assert topic is not None
    return topic


async def resubscribe(server: LoopbackServer, extra: dict[str, object]) -> tuple[GapReceived, list[int]]:
    """Subscribe with whatever a client may say; the confirmation and the numbers of the events that come."""
    async with open_raw(server) as raw:
        await raw.receive_of(WelcomeReceived)
        confirmed, events = await subscribe_raw(raw, extra)
        return confirmed, [event.sequence for event in events]


async def subscribe_raw(raw: RawClient, extra: dict[str, object]) -> tuple[GapReceived, list[EventReceived]]:
    """The same on a connection that is there."""
    raw.connection.subscribe("owner", "Desk.queued", extra)
    await raw.send()
    confirmed = await raw.receive_of(GapReceived)
    assert isinstance(confirmed, GapReceived)
    events: list[EventReceived] = []
    with trio.move_on_after(1):
        while True:
            event = await raw.receive_of(EventReceived)
            assert isinstance(event, EventReceived)
            events.append(event)
    return confirmed, events


@pytest.mark.parametrize("after", [-1, 11, 1 << 63, True, False, None, 2.0, "2"])
async def test_a_number_that_cannot_be_is_no_number(after: object, autojump_clock: Clock) -> None:
    application, counter = new_desk()
    async with loopback_server(application, encrypted=False) as server:
        for number in range(10):
            counter.queued.publish(number)
        epoch = topic_of(server).epoch
        confirmed, numbers = await resubscribe(server, {"after": after, "epoch": epoch})
        assert (confirmed.sequence, confirmed.lost, numbers) == (10, 0, [])


async def test_a_number_of_another_epoch_is_no_number(autojump_clock: Clock) -> None:
    application, counter = new_desk()
    async with loopback_server(application, encrypted=False) as server:
        for number in range(10):
            counter.queued.publish(number)
        confirmed, numbers = await resubscribe(server, {"after": 2, "epoch": "another"})
        assert (confirmed.sequence, confirmed.lost, numbers) == (10, 0, [])


async def test_a_thousand_replays_at_once_wait_for_room_and_hold_nobody_up(autojump_clock: Clock) -> None:
    """A client that states any credit: what is queued for it stays within half of `limits.pending_output`."""
    application, counter = new_desk()
    pending = 1 << 20
    settings = limits(pending_output=pending)
    async with loopback_server(application, encrypted=False, settings=settings) as server:
        while not topic_of(server).replay.floor:
            counter.queued.publish(1 << 60)
        epoch, kept = topic_of(server).epoch, topic_of(server).sequence - topic_of(server).replay.floor
        async with open_raw(server, limits=Limits(stream_credit=1 << 30)) as raw:
            await raw.receive_of(WelcomeReceived)
            after = topic_of(server).replay.floor
            for number in range(1000):
                raw.connection.subscribe(number, "Desk.queued", {"after": after, "epoch": epoch})
            with trio.fail_after(5):
                await raw.send()
            await trio.testing.wait_all_tasks_blocked()
            (session,) = server.server.session_list()
            assert session.connection.pending_output < pending // 2 + 1000 * 50
            got = dict.fromkeys(range(1000), 0)
            lost = dict.fromkeys(range(1000), 0)
            with trio.move_on_after(5):
                while True:
                    event = await raw.receive(lambda event: isinstance(event, EventReceived | GapReceived))
                    if isinstance(event, EventReceived):
                        got[event.owner] += 1
                    elif isinstance(event, GapReceived):
                        lost[event.owner] = event.lost
            assert {got[number] + lost[number] for number in got} == {kept}
            assert min(got.values()) == 5, "who came when there was no room has what may wait"
            assert max(got.values()) == kept


async def test_replays_leave_in_parts_where_nothing_stops_them_and_others_have_their_turn(
    autojump_clock: Clock,
) -> None:
    application, counter = new_desk()
    pending = 64 * 1024
    network = Network(lambda link: setattr(link.to_client, "capacity", 1 << 30))
    settings = limits(pending_output=pending)
    async with loopback_server(application, encrypted=False, settings=settings, network=network) as server:
        for _ in range(100):
            counter.changed.publish(Line(1, "x" * 10_000))
            counter.queued.publish(1)
        epochs = {name: topic_of(server, name).epoch for name in ("changed", "queued")}
        async with open_raw(server, limits=Limits(stream_credit=1 << 30)) as raw:
            await raw.receive_of(WelcomeReceived)
            for _ in range(50):
                for name, epoch in epochs.items():
                    raw.connection.subscribe(name, f"Desk.{name}", {"after": 95, "epoch": epoch})
            await raw.send()
            sent = [network.link.to_client.statistics().sent]
            got: list[EventReceived] = []

            async def take_turns() -> None:
                for _ in range(10_000):  # the clock stands still meanwhile
                    sent.append(network.link.to_client.statistics().sent)
                    await trio.lowlevel.checkpoint()
                raise AssertionError("they do not come")

            async with trio.open_nursery() as nursery:
                nursery.start_soon(take_turns)
                while len(got) < 50 + 5 * 50:
                    event = await raw.receive_of(EventReceived)
                    assert isinstance(event, EventReceived)
                    got.append(event)
                nursery.cancel_scope.cancel()
            sent.append(network.link.to_client.statistics().sent)
            assert sent[-1] > 500_000
            assert max(after - before for before, after in pairwise(sent)) < 2 * pending


async def test_what_a_thread_writes_by_itself_is_not_all_where_events_wait_for_room() -> None:
    """As a thread of a blocking client does, whose application publishes to the server."""
    talk = Talk(Limits(stream_credit=1 << 30), Limits(pending_output=64 * 1024))
    link = Link(capacity=1 << 20)
    writer = Writer(link.server, talk.server, timeout=1.0, most_pending=64 * 1024, on_room=lambda: None)
    stream = talk.client.subscribe("owner", "t")
    talk.to_server()
    payload = encode_event(1, bytes(20_000))
    replay = [(number, payload, None) for number in range(5)]
    accept = talk.server.publications.accept
    accept(stream, Policy.QUEUE, 5, credit=1 << 30, sequence=0, replay=replay)
    assert not writer.flush_outside()
    talk.server.publications.resume()
    talk.server.publications.resume()
    assert writer.flush_outside()
