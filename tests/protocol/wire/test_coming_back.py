"""Subscribers that come back: what they get again obeys their credit, their policy, and the room of the connection."""

from __future__ import annotations

import pytest

from protocol.wire import codes
from protocol.wire.codec import pack
from protocol.wire.events import (
    BlockedReceived,
    ErrorReceived,
    Event,
    EventReceived,
    GapReceived,
    SubReceived,
)
from protocol.wire.framing import FrameType
from protocol.wire.limits import Limits
from protocol.wire.publications import TURN, encode_event
from protocol.wire.replay import Published
from protocol.wire.subscriber import Policy
from tests.protocol.wire.talk import Talk, frame, octets, only
from tests.protocol.wire.test_subscriptions import Subscription, numbers

BODY = bytes(40)  # an event of 44 octets


def events(first: int, last: int, body: bytes = BODY) -> list[Published]:
    """Published events, each with a key of its own."""
    return [(number, encode_event(number, body), number) for number in range(first, last + 1)]


class Back(Subscription):
    """One that is given events again."""

    def __init__(
        self,
        policy: Policy,
        replay: list[Published],
        *,
        limit: int = 3,
        credit: int = 140,
        limits: Limits | None = None,
    ) -> None:
        super().__init__(limits or Limits(stream_credit=credit))
        self.goes_on = self.publications.accept(
            self.stream, policy, limit, credit=credit, sequence=6, lost=0, extra={"epoch": "e"}, replay=replay
        )

    def publish(self, event: Published) -> bool:
        return self.publications.publish(self.stream, event)


@pytest.mark.parametrize("policy", Policy)
def test_it_gets_all_in_order_as_it_makes_room_and_what_is_newer_behind_them(policy: Policy) -> None:
    back = Back(policy, events(7, 12))
    assert back.publish(events(13, 13)[0])
    got = back.seen()
    assert got[0] == GapReceived("owner", 6, 0, {"epoch": "e"})
    assert numbers(got[1:]) == [7, 8, 9]
    back.use(got)
    got += back.seen()
    while len(got) < 8:
        back.use(got[-3:])
        more = back.seen()
        assert more
        got += more
    assert numbers(got[4:]) == [10, 11, 12, 13]


@pytest.mark.parametrize("policy", [Policy.QUEUE, Policy.LATEST])
def test_what_it_gets_again_is_lost_first_where_more_comes_than_may_wait(policy: Policy) -> None:
    back = Back(policy, events(7, 12))
    first = back.seen()
    assert numbers(first[1:]) == [7, 8, 9]
    for event in events(13, 16):  # three of these may wait
        assert back.publish(event)
    got: list[Event] = []
    for _ in range(5):
        back.use(first)
        first = back.seen()
        got += first
    assert numbers(got) == ["4 lost, then after 13", 14, 15, 16]


def test_what_it_gets_again_does_not_count_where_it_would_be_ended() -> None:
    back = Back(Policy.DISCONNECT, events(7, 12))
    first = back.seen()
    assert numbers(first[1:]) == [7, 8, 9]
    *allowed, too_many = events(13, 16)
    for event in allowed:
        assert back.publish(event), "three of these may wait beside the three from before"
    back.use(first)
    second = back.seen()
    assert numbers(second) == [10, 11], "and what it makes room for is sent"
    assert not back.publish(too_many)
    assert only(back.seen(), ErrorReceived).error.code == codes.SLOW_SUBSCRIBER


def test_a_large_event_among_them_is_announced_and_the_others_wait_behind_it() -> None:
    replay = [*events(7, 8), *events(9, 9, bytes(1000)), *events(10, 10)]
    back = Back(Policy.QUEUE, replay)
    got = back.seen()
    assert numbers(got[1:-1]) == [7, 8]
    assert got[-1] == BlockedReceived(back.stream, "owner")
    back.use(got)
    back.talk.client.flow.admit(back.stream)
    assert back.talk.to_server() == []
    got = back.seen()
    assert numbers(got) == [9]
    back.use(got)
    assert numbers(back.seen()) == [10]


def test_one_that_is_larger_than_it_takes_ends_the_subscription_as_it_would_have_then() -> None:
    replay = [*events(7, 8), *events(9, 9, bytes(2000)), *events(10, 10)]
    back = Back(Policy.QUEUE, replay, limits=Limits(message=1024), credit=1 << 20)
    assert not back.goes_on
    *got, error = back.seen()
    assert numbers(got[1:]) == [7, 8]
    assert isinstance(error, ErrorReceived)
    assert error.error.code == codes.MESSAGE_TOO_LARGE
    assert not back.publish(events(11, 11)[0])


class TestTheRoomOfTheConnection:
    """Credit is what a peer says it is: the bytes that are queued for it are bounded all the same."""

    MOST = 64 * 1024 // 2
    SERVER = Limits(pending_output=64 * 1024)
    CREDIT = 1 << 30
    PIECE = bytes(1000)

    def talk(self, subscriptions: int, each: int) -> tuple[Talk, list[int]]:
        """Subscribers that come back at once, and are owed events that all have credit."""
        talk = Talk(Limits(stream_credit=self.CREDIT), self.SERVER)
        streams = []
        for _ in range(subscriptions):
            streams.append(talk.client.subscribe("owner", "t"))
            only(talk.to_server(), SubReceived)
        for stream in streams:
            replay = events(1, each, self.PIECE)
            assert talk.server.publications.accept(
                stream, Policy.QUEUE, each, credit=self.CREDIT, sequence=0, replay=replay
            )
        return talk, streams

    def test_what_has_none_waits_and_leaves_in_turns(self) -> None:
        talk, streams = self.talk(subscriptions=50, each=20)
        publications = talk.server.publications
        assert talk.server.pending < self.MOST + 5000
        assert publications.room == 0
        got: dict[int, list[int]] = {stream: [] for stream in streams}
        owners = talk.client.streams.subscriptions
        for stream in streams:
            owners[stream] = stream
        rounds = 0
        while talk.server.pending:
            assert talk.server.pending < self.MOST + 5000
            for event in talk.client.receive(talk.server.data_to_send(), 0.0):
                if isinstance(event, EventReceived):
                    got[event.owner].append(event.sequence)
            publications.resume()
            rounds += 1
        assert not publications.held
        assert rounds > 10
        assert list(got.values()) == [list(range(1, 21))] * 50

    def test_credit_lets_out_no_more_either(self) -> None:
        talk = Talk(Limits(stream_credit=1), self.SERVER)
        for _ in range(50):
            stream = talk.client.subscribe("owner", "t")
            talk.to_server()
            replay = events(1, 20, self.PIECE)
            talk.server.publications.accept(stream, Policy.QUEUE, 20, credit=1, sequence=0, replay=replay)
            talk.server.receive(frame(FrameType.CREDIT, stream, pack([self.CREDIT])), 0.0)
        assert talk.server.pending < self.MOST + 50 * 100

    def test_it_leaves_where_other_output_never_lets_any_room_be(self) -> None:
        talk, _ = self.talk(subscriptions=3, each=20)
        publications = talk.server.publications
        waiting = {stream: subscriber.waiting for stream, subscriber in publications.held.items()}
        assert len(waiting) == 2
        for _ in range(6):
            assert publications.resume()
        left = [waiting[stream] - subscriber.waiting for stream, subscriber in publications.held.items()]
        assert left == [3, 3], "each has its turn"

    @pytest.mark.parametrize("policy", list(Policy))
    def test_who_has_credit_loses_nothing_for_want_of_room(self, policy: Policy) -> None:
        talk = Talk(Limits(stream_credit=self.CREDIT), self.SERVER)
        talk.call()
        talk.to_server()
        talk.server.send_result(1, bytes(self.MOST))
        stream = talk.client.subscribe("owner", "t")
        talk.to_server()
        accept = talk.server.publications.accept
        accept(stream, policy, 3, credit=self.CREDIT, sequence=0, replay=events(1, 5, self.PIECE))
        assert talk.server.publications.held
        for event in events(6, 20, self.PIECE):
            assert talk.server.publications.publish(stream, event)
        got: list[Event] = []
        while talk.server.pending:
            got += [
                event for event in talk.to_client(octets) if isinstance(event, EventReceived | GapReceived)
            ]
            talk.server.publications.resume()
        assert numbers(got[1:]) == list(range(1, 21))

    def test_what_waits_leaves_some_at_a_time(self) -> None:
        talk = Talk(Limits(stream_credit=1 << 20))
        stream = talk.client.subscribe("owner", "t")
        talk.to_server()
        replay = events(1, 10 * TURN, b"")
        talk.server.publications.accept(stream, Policy.QUEUE, 5, credit=1 << 20, sequence=0, replay=replay)
        assert talk.server.publications.room < talk.server.limits.pending_output // 2 - 10 * TURN * 10
        turns = [numbers(talk.to_client(octets))[1:]]
        while talk.server.publications.resume():
            turns.append(numbers(talk.to_client(octets)))
        assert [len(turn) for turn in turns if turn] == [TURN] * 10
        assert [number for turn in turns for number in turn] == list(range(1, 10 * TURN + 1))

    def test_who_unsubscribes_is_owed_nothing_any_more(self) -> None:
        talk, streams = self.talk(subscriptions=3, each=20)
        publications = talk.server.publications
        assert publications.held
        for stream in streams:
            publications.end(stream)
        assert not publications.held
        assert not publications.resume()
