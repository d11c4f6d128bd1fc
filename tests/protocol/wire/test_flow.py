"""Items that are larger than their stream's window: announced, waited for, and let in one after another."""

from __future__ import annotations

import pytest

from protocol.wire.codec import unpack
from protocol.wire.errors import ErrorInfo, Executed, MessageTooLarge
from protocol.wire.events import (
    BlockedReceived,
    CancelReceived,
    CreditReceived,
    DataReceived,
    EndReceived,
)
from protocol.wire.framing import FrameType
from protocol.wire.limits import Limits
from tests.protocol.wire.talk import Talk, failure_of, frame, frames_of, only

LIMITS = Limits(message=10_000, stream_credit=100, stream_window=100)


def granted(data: bytes) -> dict[int, int]:
    """The CREDITs in what is sent: bytes by stream."""
    return {sent.stream: unpack(sent.payload)[0] for sent in frames_of(data) if sent.type == FrameType.CREDIT}


class Upload:
    """Calls whose caller has a large item for each, announced."""

    def __init__(self, count: int = 1, size: int = 5000, limits: Limits = LIMITS) -> None:
        self.talk = Talk(server_limits=limits)
        self.size = size
        self.streams = [self.talk.call() for _ in range(count)]
        for stream in self.streams:
            assert self.talk.client.announce_data(stream, size)
        assert self.talk.to_server() == [BlockedReceived(stream, None) for stream in self.streams]

    def granted(self) -> list[int]:
        """The streams whose item may be sent now."""
        self.talk.to_client()
        return [stream for stream in self.streams if self.talk.client.credit_of(stream) >= self.size]

    def send_when_granted(self, stream: int) -> None:
        assert stream in self.granted()
        self.send(stream)

    def send(self, stream: int) -> None:
        self.talk.client.send_data(stream, bytes(self.size))
        only(self.talk.to_server(), DataReceived)


def test_a_large_item_comes_when_it_is_waited_for_and_costs_the_window_nothing() -> None:
    upload = Upload()
    (stream,) = upload.streams
    assert upload.granted() == []
    upload.talk.server.flow.admit(stream)
    upload.talk.server.flow.admit(stream)
    assert upload.granted() == [stream]
    assert upload.talk.client.credit_of(stream) == upload.size, "and no more than it needs"
    upload.send(stream)
    upload.talk.server.flow.consume(stream, upload.size)
    assert only(upload.talk.to_client(), CreditReceived).stream == stream
    assert upload.talk.client.credit_of(stream) == 100


def test_an_item_that_the_window_will_have_room_for_is_not_announced() -> None:
    talk = Talk(server_limits=LIMITS)
    stream = talk.call()
    talk.client.send_data(stream, bytes(90))
    assert talk.client.announce_data(stream, 50)
    only(talk.to_server(), DataReceived)
    talk.server.flow.consume(stream, 90)
    assert only(talk.to_client(), CreditReceived).stream == stream
    talk.client.send_data(stream, bytes(50))


def test_an_announcement_does_not_overtake_the_items_before_it() -> None:
    talk = Talk(server_limits=LIMITS)
    stream = talk.call()
    talk.client.send_data(stream, bytes(10))
    talk.client.announce_data(stream, 500)
    assert [type(event) for event in talk.to_server()] == [DataReceived, BlockedReceived]


def test_what_is_granted_for_all_streams_together_has_a_bound() -> None:
    """A hundred consumers wait for items of four megabytes each: one of them is let in at a time."""
    upload = Upload(count=100, size=10_000)
    for stream in upload.streams:
        upload.talk.server.flow.admit(stream)
    first, second, *_ = upload.streams
    assert upload.granted() == [first]
    upload.send(first)
    assert upload.granted() == [second], "in the order of waiting"


def test_smaller_ones_are_let_in_together_and_none_overtakes() -> None:
    upload = Upload(count=5, size=3_400)
    for stream in reversed(upload.streams):
        upload.talk.server.flow.admit(stream)
    assert upload.granted() == upload.streams[-3:]


def test_a_consumer_that_does_not_wait_holds_no_other_stream_up() -> None:
    upload = Upload(count=2, size=10_000)
    idle, other = upload.streams
    upload.talk.server.flow.admit(idle)
    assert upload.granted() == [idle]
    upload.send(idle)  # and its consumer has left meanwhile
    upload.talk.server.flow.admit(other)
    assert upload.granted() == [other]
    upload.send(other)


@pytest.mark.parametrize("how", ["answered here", "cancelled there"])
def test_a_stream_that_ends_makes_room_for_the_next(how: str) -> None:
    upload = Upload(count=2, size=10_000)
    talk = upload.talk
    first, second = upload.streams
    for stream in upload.streams:
        talk.server.flow.admit(stream)
    assert upload.granted() == [first]
    if how == "cancelled there":
        talk.client.cancel(first)
        talk.to_server()
    talk.server.send_result(first, b"")
    assert second in upload.granted()
    assert talk.server.flow._free == LIMITS.stream_credit, "the rest is the second one's"
    talk.server.send_result(second, b"")
    assert talk.server.flow._free == LIMITS.message
    assert talk.server.flow.awaited == {}


def test_a_cancelled_call_makes_room_at_once_and_what_still_comes_of_it_is_dropped() -> None:
    upload = Upload(count=2, size=10_000)
    talk = upload.talk
    first, second = upload.streams
    for stream in upload.streams:
        talk.server.flow.admit(stream)
    assert upload.granted() == [first]
    talk.client.cancel(first)
    talk.client.send_data(first, bytes(upload.size))  # both cross the answer
    talk.client.send_end(first)
    assert talk.to_server() == [CancelReceived(first)]
    assert second in upload.granted()
    for crossing in (frame(FrameType.BLOCKED, first, [5000]), frame(FrameType.DATA, first, bytes(5000))):
        assert talk.server.receive(crossing, 0.0) == []
    assert not talk.server.flow.has_received(first)
    talk.server.send_error(first, ErrorInfo("rpc.cancelled", "", Executed.MAYBE))
    assert talk.server.streams.unwanted == {}


def test_an_end_instead_of_the_announced_item_makes_room_at_once() -> None:
    upload = Upload(count=2, size=10_000)
    for stream in upload.streams:
        upload.talk.server.flow.admit(stream)
    first, second = upload.streams
    assert upload.granted() == [first]
    upload.talk.client.send_end(first)
    only(upload.talk.to_server(), EndReceived)
    assert second in upload.granted()


def test_a_call_that_is_cancelled_here_makes_room_at_once_too() -> None:
    talk = Talk(client_limits=LIMITS)
    streams = [talk.call("owner") for _ in range(2)]
    for stream in streams:
        talk.server.announce_data(stream, 9000)
    talk.to_client()
    for stream in streams:
        talk.client.flow.admit(stream)
    talk.to_server()
    talk.server.send_data(streams[0], bytes(9000))
    talk.client.cancel(streams[0])
    assert talk.to_client() == [], "it crossed the CANCEL"
    assert only(talk.to_server()[:1], CreditReceived).stream == streams[1]
    talk.server.send_end(streams[0])
    assert [type(event) for event in talk.to_client()] == [EndReceived]
    assert talk.client.streams.unwanted == {}


def test_what_is_not_waited_for_any_more_lets_the_next_one_come() -> None:
    upload = Upload(count=3, size=6_000)
    flow = upload.talk.server.flow
    first, second, third = upload.streams
    for stream in upload.streams:
        flow.admit(stream)
    flow.withdraw(second)
    flow.withdraw(first)  # which is let in already
    upload.send_when_granted(first)
    assert upload.granted() == [third]
    upload.send(third)
    flow.admit(second)
    assert upload.granted() == [second]


def test_items_from_the_callee_are_let_in_likewise() -> None:
    talk = Talk(client_limits=LIMITS)
    streams = [talk.call("owner") for _ in range(2)]
    for stream in streams:
        talk.server.announce_data(stream, 9000)
    assert talk.to_client() == [BlockedReceived(stream, "owner") for stream in streams]
    for stream in streams:
        talk.client.flow.admit(stream)
    assert [type(event) for event in talk.to_server()] == [CreditReceived]
    talk.server.send_data(streams[0], bytes(9000))
    talk.server.send_end(streams[0])
    talk.to_client()
    assert [type(event) for event in talk.to_server()] == [CreditReceived]
    assert talk.server.credit_of(streams[1]) == 9000


def test_what_the_other_side_takes_in_no_case_is_not_announced() -> None:
    talk = Talk(server_limits=LIMITS)
    stream = talk.call()
    with pytest.raises(MessageTooLarge, match="10001"):
        talk.client.announce_data(stream, 10_001)
    assert talk.client.pending == 0
    assert not talk.client.announce_data(99, 5000), "nor anything for a stream that has ended"
    assert talk.client.flow._credits.keys() <= {stream}


@pytest.mark.parametrize("size", [0, 10_001, 1 << 60])
def test_a_senseless_announcement_ends_the_connection(size: int) -> None:
    talk = Talk(server_limits=LIMITS)
    assert "BLOCKED" in failure_of(talk.server, frame(FrameType.BLOCKED, talk.call(), [size]))


def test_nothing_is_announced_after_the_end() -> None:
    talk = Talk(server_limits=LIMITS)
    stream = talk.call()
    talk.client.send_end(stream)
    talk.to_server()
    assert "after END" in failure_of(talk.server, frame(FrameType.BLOCKED, stream, [500]))


def test_an_announcement_for_a_stream_that_has_ended_is_ignored() -> None:
    talk = Talk(server_limits=LIMITS)
    assert talk.server.receive(frame(FrameType.BLOCKED, 7, [500]), 0.0) == []
    assert talk.server.pending == 0
    assert not talk.server.flow.has_received(7)


def test_a_hostile_sender_gets_no_more_than_the_bound_by_announcing_and_not_sending() -> None:
    limits = Limits(
        message=10_000, stream_credit=100, stream_window=1000, connection_credit=2000, open_calls=50
    )
    talk = Talk(server_limits=limits)
    streams = [talk.call() for _ in range(50)]
    total = 0
    for stream in streams:
        talk.server.receive(frame(FrameType.BLOCKED, stream, [10_000]), 0.0)
        talk.server.flow.admit(stream)
        total += sum(granted(talk.server.data_to_send()).values())
    assert total <= limits.connection_credit + limits.message
