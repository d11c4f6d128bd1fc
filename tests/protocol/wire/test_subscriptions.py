from __future__ import annotations

import pytest

from protocol.wire import codes
from protocol.wire.codec import pack
from protocol.wire.errors import ErrorInfo, Executed, LocalProtocolError
from protocol.wire.events import (
    BlockedReceived,
    CallReceived,
    ErrorReceived,
    Event,
    EventReceived,
    GapReceived,
    SubReceived,
    UnsubReceived,
)
from protocol.wire.framing import Flag, FrameType
from protocol.wire.limits import Limits
from protocol.wire.publications import encode_event
from protocol.wire.subscriber import Policy
from tests.protocol.wire.talk import Talk, failure_of, frame, frames_of, octets, only

CREDIT = 140
BODY = bytes(40)  # an event of 44 octets: three of them use the credit up


class Subscription:
    """A server and a client that takes a subscription up again; the server has not confirmed it yet."""

    def __init__(self, client_limits: Limits) -> None:
        self.talk = Talk(client_limits=client_limits)
        self.publications = self.talk.server.publications
        self.stream = self.talk.client.subscribe("owner", "Orders.changed", {"after": 6})
        sub = only(self.talk.to_server(), SubReceived)
        assert sub == SubReceived(self.stream, "Orders.changed", {"after": 6})

    def seen(self) -> list[Event]:
        """What the subscriber is told."""
        return self.talk.to_client(octets)

    def use(self, events: list[Event]) -> None:
        """What the subscriber's application does with its events: it makes room for more."""
        for event in events:
            if isinstance(event, EventReceived):
                self.talk.client.flow.consume(self.stream, event.size)
        assert self.talk.to_server() == []


class Topic(Subscription):
    """A server's topic with one subscriber, and what the subscriber was told."""

    def __init__(self, policy: Policy, limit: int = 3) -> None:
        super().__init__(Limits(stream_credit=CREDIT))
        self.publications.accept(self.stream, policy, limit, credit=CREDIT, sequence=0, extra={"epoch": "e"})
        assert self.seen() == [GapReceived("owner", 0, 0, {"epoch": "e"})]
        self.sequence = 0

    def publish(self, count: int = 1, key: object = None, body: bytes = BODY) -> bool:
        for _ in range(count):
            self.sequence += 1
            payload = encode_event(self.sequence, body)
            on = self.publications.publish(self.stream, (self.sequence, payload, key))
        return on


def numbers(events: list[Event]) -> list[int | str]:
    """Sequence numbers of events, and gaps as text."""
    found: list[int | str] = []
    for event in events:
        if isinstance(event, EventReceived):
            found.append(event.sequence)
        elif isinstance(event, GapReceived):
            found.append(f"{event.lost} lost, then after {event.sequence}")
        else:
            found.append(type(event).__name__)
    return found


@pytest.mark.parametrize("policy", Policy)
def test_a_subscriber_that_keeps_up_gets_every_event_under_every_policy(policy: Policy) -> None:
    topic = Topic(policy, limit=1)
    for number in range(1, 50):
        assert topic.publish()
        events = topic.seen()
        assert numbers(events) == [number]
        assert only(events, EventReceived).body == BODY
        topic.use(events)


def test_queue_keeps_the_newest_and_says_how_many_it_dropped() -> None:
    topic = Topic(Policy.QUEUE, limit=3)
    assert topic.publish(10)
    events = topic.seen()
    assert numbers(events) == [1, 2, 3]
    topic.use(events)
    events = topic.seen()
    assert numbers(events) == ["4 lost, then after 7", 8, 9]
    topic.use(events)
    topic.publish()
    assert numbers(topic.seen()) == [10, 11], "the gap is told once"


def test_an_event_does_not_overtake_those_that_wait() -> None:
    """While events wait there can be credit again: a grant lets out only what it is enough for."""
    topic = Topic(Policy.QUEUE, limit=9)
    subscriber = topic.talk.server.publications._subscribers[topic.stream]
    topic.publish(5)
    subscriber.credit.left = 1
    topic.publish()
    topic.use(topic.seen())
    assert numbers(topic.seen())[0] == 4


def test_latest_keeps_the_newest_of_each_key_in_the_order_of_publishing() -> None:
    topic = Topic(Policy.LATEST, limit=3)
    topic.publish(3)
    for key in ("a", "b", "a", "a"):  # 4 to 7
        topic.publish(key=key)
    events = topic.seen()
    topic.use(events)
    assert numbers(topic.seen()) == [5, 7], "what was replaced is not lost"


def test_latest_with_more_keys_than_it_may_keep_says_what_it_dropped() -> None:
    topic = Topic(Policy.LATEST, limit=2)
    topic.publish(3)
    for key in ("a", "b", "c"):
        topic.publish(key=key)
    topic.use(topic.seen())
    assert numbers(topic.seen()) == ["1 lost, then after 4", 5, 6]


def test_disconnect_ends_the_subscription_at_the_limit() -> None:
    topic = Topic(Policy.DISCONNECT, limit=2)
    assert topic.publish(3 + 2)
    assert not topic.publish()
    assert not topic.publish(), "and nothing is published to it any more"
    *events, error = topic.seen()
    assert numbers(events) == [1, 2, 3]
    assert isinstance(error, ErrorReceived)
    assert (error.owner, error.error.code) == ("owner", codes.SLOW_SUBSCRIBER)
    assert "2 events" in error.error.message
    assert topic.talk.client.streams.subscriptions == {}
    assert len(topic.talk.server.publications) == 0


def test_unsubscribing_is_answered_and_then_nothing_comes() -> None:
    topic = Topic(Policy.QUEUE)
    topic.publish()
    topic.talk.client.unsubscribe(topic.stream)
    topic.talk.client.unsubscribe(topic.stream)
    assert topic.seen() == [], "the event that crossed it is not reported"
    assert only(topic.talk.to_server(), UnsubReceived).stream == topic.stream
    assert topic.seen() == []
    assert topic.talk.client.streams.subscriptions == {}, "END freed the id"
    assert not topic.publish()


def test_an_id_stays_taken_until_the_end_of_its_subscription() -> None:
    topic = Topic(Policy.QUEUE)
    topic.talk.client.unsubscribe(topic.stream)
    topic.talk.client.streams._next = topic.stream
    assert topic.talk.client.open_call("o", "a.b", b"") == topic.stream + 2


def test_the_publisher_ends_a_subscription() -> None:
    for end in (None, ErrorInfo("a.b", "gone", Executed.YES)):
        topic = Topic(Policy.QUEUE)
        assert topic.talk.server.publications.end(topic.stream, end)
        assert not topic.talk.server.publications.end(topic.stream)
        assert len(topic.seen()) == (end is not None)
        assert topic.talk.client.streams.subscriptions == {}


def test_a_topic_that_does_not_exist() -> None:
    talk = Talk()
    stream = talk.client.subscribe("owner", "No.such")
    talk.to_server()
    talk.server.refuse_call(stream, codes.UNKNOWN_TOPIC, "No.such")
    assert only(talk.to_client(), ErrorReceived).error.code == codes.UNKNOWN_TOPIC
    assert len(talk.server.publications) == 0


def test_an_event_larger_than_a_frame_arrives_whole() -> None:
    talk = Talk(Limits(frame=1024, stream_credit=9050), Limits(frame=1024))
    stream = talk.client.subscribe("owner", "t")
    talk.to_server()
    talk.server.publications.accept(stream, Policy.QUEUE, 3, credit=9050, sequence=0)
    talk.server.publications.publish(stream, (1, encode_event(1, bytes(9000)), None))
    assert only(talk.to_client()[1:], EventReceived).body == bytes(9000)


def test_an_event_larger_than_the_subscriber_takes_ends_only_that_subscription() -> None:
    talk = Talk(client_limits=Limits(message=1024))
    stream = talk.client.subscribe("owner", "t")
    talk.to_server()
    talk.server.publications.accept(stream, Policy.QUEUE, 3, credit=CREDIT, sequence=0)
    assert not talk.server.publications.publish(stream, (1, encode_event(1, bytes(2000)), None))
    error = only(talk.to_client()[1:], ErrorReceived).error
    assert error.code == codes.MESSAGE_TOO_LARGE
    assert "1024" in error.message
    talk.call()


def test_an_oversized_event_that_comes_all_the_same_is_a_gap_and_costs_no_credit_for_ever() -> None:
    talk = Talk(client_limits=Limits(message=1024, frame=1024))
    stream = talk.client.subscribe("owner", "t")
    long = frame(FrameType.EVENT, stream, bytes(1024), Flag.MORE) + frame(FrameType.EVENT, stream, bytes(9))
    talk.to_server()
    talk.server.publications.accept(stream, Policy.QUEUE, 3, credit=CREDIT, sequence=0)
    talk.to_client()
    for _ in range(100):
        assert talk.client.receive(long, 0.0) == [GapReceived("owner", 0, 1, {})]


class TestALargeEvent:
    """One that is larger than the subscriber's window."""

    LARGE = bytes(1000)

    def topic(self, policy: Policy, limit: int = 3) -> Topic:
        """A large event that waits to be let in; the application is not waiting for it yet."""
        topic = Topic(policy, limit)
        topic.publish(body=self.LARGE, key="large")
        assert topic.seen() == [BlockedReceived(topic.stream, "owner")]
        return topic

    @pytest.mark.parametrize("policy", Policy)
    def test_comes_when_it_is_waited_for(self, policy: Policy) -> None:
        topic = self.topic(policy)
        topic.talk.client.flow.admit(topic.stream)
        assert topic.talk.to_server() == []
        event = only(topic.seen(), EventReceived)
        assert event.body == self.LARGE
        topic.use([event])
        topic.publish(3)
        assert numbers(topic.seen()) == [2, 3, 4], "the window is what it was"

    def test_is_not_overtaken_and_what_was_dropped_behind_it_is_told_behind_it(self) -> None:
        topic = self.topic(Policy.QUEUE, limit=2)
        topic.publish(5)
        topic.talk.client.flow.admit(topic.stream)
        topic.talk.to_server()
        events = topic.seen()
        assert numbers(events) == [1]
        topic.use(events)
        assert numbers(topic.seen()) == ["3 lost, then after 4", 5, 6]

    def test_comes_behind_the_gap_before_it(self) -> None:
        topic = Topic(Policy.QUEUE, limit=2)
        topic.publish(4)
        topic.publish(body=self.LARGE)
        topic.publish()
        first = topic.seen()
        assert numbers(first) == [1, 2, 3, "1 lost, then after 4", "BlockedReceived"]
        topic.talk.client.flow.admit(topic.stream)
        topic.talk.to_server()
        events = topic.seen()
        assert numbers(events) == [5]
        topic.use([*first, *events])
        assert numbers(topic.seen()) == [6]

    def test_that_was_announced_is_not_replaced_by_a_newer_one(self) -> None:
        topic = self.topic(Policy.LATEST)
        for _ in range(3):
            topic.publish(key="large")
        topic.talk.client.flow.admit(topic.stream)
        topic.talk.to_server()
        events = topic.seen()
        assert numbers(events) == [1]
        topic.use(events)
        assert numbers(topic.seen()) == [4]

    def test_does_not_wait_for_the_end_of_a_subscription(self) -> None:
        topic = self.topic(Policy.QUEUE)
        topic.talk.client.unsubscribe(topic.stream)
        topic.talk.settle()
        assert topic.talk.client.streams.subscriptions == {}
        topic.talk.client.flow.admit(topic.stream)
        assert topic.talk.client.pending == 0


class TestTheSubscriptionLimit:
    def test_this_side_keeps_to_it(self) -> None:
        talk = Talk(server_limits=Limits(subscriptions=1))
        talk.client.subscribe("owner", "t")
        with pytest.raises(LocalProtocolError, match="1 subscriptions"):
            talk.client.subscribe("owner", "t")

    def test_it_holds_from_the_asking_on(self) -> None:
        talk = Talk(server_limits=Limits(subscriptions=2))
        flood = b"".join(frame(FrameType.SUB, stream, ["t"]) for stream in (1, 3, 5))
        events = talk.server.receive(flood, 0.0)
        assert [type(event) for event in events] == [SubReceived, SubReceived]
        assert [sent.stream for sent in frames_of(talk.server.data_to_send())] == [5]

    def test_an_asked_for_stream_is_live(self) -> None:
        talk = Talk()
        sub = frame(FrameType.SUB, 1, ["t"])
        only(talk.server.receive(sub, 0.0), SubReceived)
        assert "open already" in failure_of(talk.server, sub)

    @pytest.mark.parametrize("refused", [False, True], ids=["accepted", "refused"])
    def test_an_answer_that_comes_too_late_does_nothing(self, refused: bool) -> None:
        """SUB and UNSUB in one piece: both are reported before the topic's owner can answer."""
        talk = Talk()
        stream = talk.client.subscribe("owner", "t")
        talk.client.unsubscribe(stream)
        assert [type(event) for event in talk.to_server()] == [SubReceived, UnsubReceived]
        if refused:
            talk.server.refuse_call(stream, codes.UNKNOWN_TOPIC, "t")
        else:
            talk.server.publications.accept(stream, Policy.QUEUE, 1, credit=1, sequence=0)
        assert [sent.type for sent in frames_of(talk.server.data_to_send())] == [FrameType.END]
        assert len(talk.server.publications) == 0


def test_subscriptions_hold_no_call_slots() -> None:
    talk = Talk(server_limits=Limits(open_calls=1))
    for _ in range(5):
        talk.client.subscribe("owner", "t")
    talk.to_server()
    talk.client.open_call("o", "a.b", b"")
    only(talk.to_server(), CallReceived)


@pytest.mark.parametrize(
    ("kind", "payload"),
    [
        (FrameType.EVENT, [-1, b""]),
        (FrameType.EVENT, [1, "text"]),
        (FrameType.EVENT, [1]),
        (FrameType.GAP, [1]),
        (FrameType.GAP, [1 << 4000, 0]),
        (FrameType.SUB, [1]),
        (FrameType.SUB, ["t", []]),
    ],
    ids=repr,
)
def test_what_does_not_look_as_it_must_ends_the_connection(kind: FrameType, payload: object) -> None:
    topic = Topic(Policy.QUEUE)
    side = topic.talk.server if kind is FrameType.SUB else topic.talk.client
    failure_of(side, frame(kind, topic.stream, pack(payload)))


def test_the_error_that_ends_a_subscription_is_shortened_for_the_subscriber() -> None:
    talk = Talk(client_limits=Limits(message=1024))
    stream = talk.client.subscribe("owner", "Orders.changed")
    only(talk.to_server(), SubReceived)
    talk.server.publications.accept(stream, Policy.QUEUE, 3, credit=CREDIT, sequence=0)
    talk.to_client()
    assert talk.server.publications.end(stream, ErrorInfo("a.b", "x" * 3000, Executed.YES))
    error = only(talk.to_client(), ErrorReceived).error
    assert error.code == "a.b"
    assert error.message.startswith("xxx")
