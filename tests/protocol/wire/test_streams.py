"""Items and blobs on the stream of a call: order, credit, ends, and messages of several frames."""

from __future__ import annotations

import tracemalloc

import pytest

from protocol.wire import codes
from protocol.wire.codec import pack
from protocol.wire.errors import Executed, GoawayCode, LocalProtocolError, MessageTooLarge
from protocol.wire.events import (
    CreditReceived,
    DataReceived,
    DataTooLarge,
    EndReceived,
    ErrorReceived,
    Failed,
    HeadReceived,
    ResultReceived,
)
from protocol.wire.framing import Flag, FrameType
from protocol.wire.limits import OPEN_MESSAGES, Limits
from tests.protocol.wire.talk import Talk, failure_of, frame, frames_of, octets, only

SMALL = Limits(frame=1024, message=10_000, stream_credit=10_000)


def test_items_go_down_in_order_and_end() -> None:
    talk = Talk()
    stream = talk.call("caller")
    for number in range(20):
        talk.server.send_data(stream, b"item %d" % number)
    talk.server.send_end(stream, {"count": 20})
    *items, end = talk.to_client(octets)
    assert items == [DataReceived(stream, "caller", b"item %d" % number) for number in range(20)]
    assert end == EndReceived(stream, "caller", {"count": 20})
    assert talk.client.streams.opened == {}
    assert talk.server.streams.taken == set()


def test_items_go_up_and_the_result_comes_down() -> None:
    talk = Talk()
    stream = talk.call("caller")
    talk.client.send_data(stream, b"row")
    talk.client.send_end(stream)
    assert talk.to_server() == [DataReceived(stream, None, b"row"), EndReceived(stream, None, {})]
    assert stream in talk.server.streams.taken, "the caller's END does not end the call"
    talk.server.send_result(stream, b"report")
    assert only(talk.to_client(), ResultReceived).body == b"report"


def test_a_blob_is_a_head_its_content_and_its_hash() -> None:
    talk = Talk()
    stream = talk.call("caller")
    talk.server.send_head(stream, {"size": 4, "offset": 0})
    talk.server.send_data(stream, b"abcd", bulk=True)
    talk.server.send_end(stream, {"sha256": bytes(32), "size": 4}, bulk=True)
    assert talk.to_client(octets) == [
        HeadReceived(stream, "caller", {"size": 4, "offset": 0}),
        DataReceived(stream, "caller", b"abcd"),
        EndReceived(stream, "caller", {"sha256": bytes(32), "size": 4}),
    ]


def test_a_small_end_does_not_overtake_bulk_content() -> None:
    talk = Talk()
    stream = talk.call()
    talk.server.send_data(stream, b"content", bulk=True)
    talk.server.send_end(stream)
    assert [type(event) for event in talk.to_client()] == [DataReceived, EndReceived]


class TestCredit:
    def test_nothing_leaves_without_it_and_consuming_grants_more(self) -> None:
        talk = Talk(client_limits=Limits(stream_credit=100, stream_window=100))
        stream = talk.call("caller")
        talk.server.send_data(stream, bytes(98))
        with pytest.raises(LocalProtocolError, match="no credit"):
            talk.server.send_data(stream, bytes(3))
        assert talk.server.credit_of(stream) == 2
        talk.server.send_data(stream, bytes(2))
        assert len(talk.to_client()) == 2
        talk.client.flow.consume(stream, 98)
        talk.client.flow.consume(stream, 2)
        assert talk.to_server() == [CreditReceived(stream, None)]
        assert talk.server.credit_of(stream) == 98, "the rest is not worth a frame yet"

    def test_a_window_grows_with_use(self) -> None:
        talk = Talk(client_limits=Limits(stream_credit=1000, stream_window=8000))
        stream = talk.call()
        talk.server.send_data(stream, bytes(10))
        talk.to_client()
        talk.client.flow.consume(stream, 10)
        talk.to_server()
        assert talk.server.credit_of(stream) == 8000

    def test_sending_beyond_it_ends_the_connection(self) -> None:
        talk = Talk(server_limits=Limits(stream_credit=100, stream_window=100))
        stream = talk.call()
        data = frame(FrameType.DATA, stream, bytes(100))
        only(talk.server.receive(data, 0.0), DataReceived)
        failed = only(talk.server.receive(data, 0.0), Failed)
        assert failed.error.code is GoawayCode.FLOW_CONTROL

    @pytest.mark.parametrize("size", [0, 1 << 41, 1 << 63, -1, 1 << 4000])
    def test_a_senseless_grant_ends_the_connection(self, size: int) -> None:
        talk = Talk()
        failure_of(talk.server, frame(FrameType.CREDIT, talk.call(), [size]))

    def test_data_without_content_costs_no_credit_and_is_refused(self) -> None:
        talk = Talk()
        stream = talk.call()
        talk.client.send_data(stream, b"")
        assert talk.client.pending == 0, "this side sends none"
        failure_of(talk.server, frame(FrameType.DATA, stream, b""))

    def test_a_credit_may_come_between_the_frames_of_a_message_on_its_stream(self) -> None:
        """Both sides send items larger than a frame on one stream, and each grants while it sends."""
        talk = Talk(SMALL, SMALL)
        stream = talk.call("caller")
        talk.server.send_data(stream, bytes(4000))
        talk.to_client()
        talk.client.send_data(stream, bytes(4000))
        first = talk.client.data_to_send(1)
        talk.client.flow.consume(stream, 4000)
        rest = talk.client.data_to_send()
        assert [sent.type for sent in frames_of(first + rest)] == [
            FrameType.DATA,
            FrameType.ACK,
            FrameType.CREDIT,
            *[FrameType.DATA] * 3,
        ]
        events = talk.server.receive(first + rest, 0.0)
        assert events == [CreditReceived(stream, None), DataReceived(stream, None, bytes(4000))]

    def test_the_accounts_of_an_ended_stream_are_closed(self) -> None:
        talk = Talk()
        for _ in range(3):
            stream = talk.call()
            talk.client.send_data(stream, bytes(10))
            talk.to_server()
            talk.server.flow.consume(stream, 10)
            talk.server.send_data(stream, bytes(10))
            talk.settle()
            talk.client.flow.consume(stream, 10)
            talk.server.send_result(stream, b"")
            talk.settle()
            talk.client.send_data(stream, b"too late")
            talk.client.send_head(stream, {})
            talk.client.send_end(stream)
            talk.client.flow.consume(stream, 10)
            assert talk.client.pending == 0
            assert talk.client.credit_of(stream) == 0
        for side in (talk.client, talk.server):
            assert side.flow._windows == {}
            assert side.flow._credits == {}
            assert side.flow._pool.free == side.limits.connection_credit


class TestEnds:
    def test_nothing_comes_after_the_callers_end(self) -> None:
        for after in (frame(FrameType.DATA, 1, b"x"), frame(FrameType.END, 1, [])):
            talk = Talk()
            assert talk.call() == 1
            only(talk.server.receive(frame(FrameType.END, 1, []), 0.0), EndReceived)
            assert "END" in failure_of(talk.server, after)

    def test_a_stream_with_a_former_ones_id_begins_anew(self) -> None:
        talk = Talk()
        stream = talk.call()
        talk.client.send_end(stream)
        talk.server.send_result(stream, b"") if talk.to_server() else None
        talk.to_client()
        talk.client.streams._next = stream
        assert talk.call() == stream
        talk.client.send_data(stream, b"x")
        only(talk.to_server(), DataReceived)

    def test_what_was_on_its_way_when_the_stream_ended_is_ignored(self) -> None:
        talk = Talk()
        stream = talk.call()
        talk.client.send_data(stream, b"late")
        talk.server.send_result(stream, b"")
        assert talk.to_server() == []

    def test_a_head_comes_first_and_once(self) -> None:
        head, data = frame(FrameType.DATA, 1, [{}], Flag.HEAD), frame(FrameType.DATA, 1, b"x")
        for wrong in (head + head, data + head):
            talk = Talk()
            talk.call()
            assert "head" in failure_of(talk.server, wrong)


class TestMessagesOfSeveralFrames:
    @pytest.mark.parametrize("size", [1023, 1024, 1025, 9_000])
    def test_all_that_can_be_long_arrives_whole(self, size: int) -> None:
        talk = Talk(SMALL, SMALL)
        body = bytes(range(256)) * 36
        body = body[:size]
        stream = talk.call("caller", body)
        talk.client.send_data(stream, body)
        assert only(talk.to_server(octets), DataReceived).data == body
        talk.server.send_result(stream, body)
        assert only(talk.to_client(octets), ResultReceived).body == body

    def test_frames_of_several_streams_are_mixed(self) -> None:
        talk = Talk(SMALL, SMALL)
        first, second = talk.call("first"), talk.call("second")
        talk.server.send_result(first, bytes(3000))
        talk.server.send_result(second, bytes(3000))
        data = talk.server.data_to_send()
        assert [sent.stream for sent in frames_of(data)] == [first, second] * 3
        events = talk.client.receive(data, 0.0)
        assert events == [ResultReceived("first", bytes(3000)), ResultReceived("second", bytes(3000))]

    def test_no_more_are_under_way_than_a_receiver_takes(self) -> None:
        talk = Talk(SMALL, SMALL)
        streams = [talk.call(number) for number in range(OPEN_MESSAGES + 3)]
        for stream in streams:
            talk.server.send_result(stream, bytes(5000))
        under_way: set[int] = set()
        most = 0
        results = []
        while data := talk.server.data_to_send(1):
            for sent in frames_of(data):
                (under_way.add if sent.flags & Flag.MORE else under_way.discard)(sent.stream)
                most = max(most, len(under_way))
            results += talk.client.receive(data, 0.0)
        assert most == OPEN_MESSAGES
        assert len(results) == OPEN_MESSAGES + 3

    def test_more_under_way_end_the_connection(self) -> None:
        talk = Talk()
        begun = [frame(FrameType.CALL, 2 * n + 1, b"\x93", Flag.MORE) for n in range(OPEN_MESSAGES)]
        assert talk.server.receive(b"".join(begun), 0.0) == []
        assert len(talk.server.reassembly.incomplete) == OPEN_MESSAGES
        failed = only(talk.server.receive(frame(FrameType.CALL, 99, b"\x93", Flag.MORE), 0.0), Failed)
        assert failed.error.code is GoawayCode.FLOW_CONTROL

    def test_another_message_inside_one_ends_the_connection(self) -> None:
        begun = frame(FrameType.DATA, 1, b"x", Flag.MORE)
        for inside in (FrameType.END, FrameType.CANCEL, FrameType.RESULT, FrameType.CALL):
            talk = Talk()
            assert talk.call() == 1
            text = failure_of(talk.server, begun + frame(inside, 1, []))
            assert "cannot be continued" in text or "another frame inside" in text

    @pytest.mark.parametrize("before", [b"", b"x"])
    def test_an_empty_frame_that_is_to_be_continued_ends_the_connection(self, before: bytes) -> None:
        """No limit counts it: a million of them would cost memory and be a message of no size."""
        talk = Talk()
        begun = frame(FrameType.DATA, talk.call(), before, Flag.MORE) if before else b""
        assert "empty" in failure_of(talk.server, begun + frame(FrameType.DATA, 1, b"", Flag.MORE))

    def test_the_last_frame_of_a_message_may_be_empty(self) -> None:
        talk = Talk()
        stream = talk.call()
        data = frame(FrameType.DATA, stream, b"x", Flag.MORE) + frame(FrameType.DATA, stream, b"")
        assert only(talk.server.receive(data, 0.0), DataReceived).data == b"x"

    def test_what_is_held_costs_the_same_in_however_small_pieces_it_comes(self) -> None:
        talk = Talk()
        pieces = frame(FrameType.DATA, talk.call(), b"ab", Flag.MORE) * 1000
        tracemalloc.start()
        try:
            for _ in range(100):
                talk.server.receive(pieces, 0.0)
            held, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert talk.server.reassembly.held == 200_000
        assert held < 400_000

    @pytest.mark.parametrize(
        "kind",
        [FrameType.END, FrameType.CANCEL, FrameType.CREDIT, FrameType.GAP, FrameType.PING, FrameType.ACK],
    )
    def test_small_frames_cannot_be_continued(self, kind: FrameType) -> None:
        talk = Talk()
        assert "cannot be continued" in failure_of(talk.server, frame(kind, 1, [1], Flag.MORE))


class TestTooLarge:
    def test_this_side_sends_nothing_of_it(self) -> None:
        talk = Talk(SMALL, SMALL)
        stream = talk.call()
        credit = talk.client.credit_of(stream)
        for send in (
            lambda: talk.client.open_call("o", "a.b", bytes(10_001)),
            lambda: talk.client.send_data(stream, bytes(10_001)),
        ):
            with pytest.raises(MessageTooLarge) as caught:
                send()
            assert caught.value.limit == 10_000
            assert "10000" in str(caught.value)
            assert str(caught.value.size) in str(caught.value)
        assert talk.client.pending == 0
        assert talk.client.credit_of(stream) == credit
        assert list(talk.client.streams.opened) == [stream]

    def test_an_error_is_shortened_for_a_side_that_accepts_little(self) -> None:
        """The texts quote names of the other side's choosing: its own must not end its connection."""
        talk = Talk(client_limits=Limits(message=1024))
        name = "é" * 3000
        call = talk.client.open_call("caller", name, b"\x91\x80")
        sub = talk.client.subscribe("subscriber", name)
        talk.to_server()
        talk.server.refuse_call(call, codes.UNKNOWN_METHOD, f"no method {name}")
        talk.server.refuse_call(sub, codes.UNKNOWN_TOPIC, f"no event {name}")
        errors = [event for event in talk.to_client() if isinstance(event, ErrorReceived)]
        assert [event.owner for event in errors] == ["caller", "subscriber"]
        assert all(event.error.executed is Executed.NO for event in errors)
        assert (len(talk.server.streams.taken), len(talk.server.publications)) == (0, 0)

    def over(self, kind: int, stream: int, size: int = 10_050) -> bytes:
        pieces = [min(1024, size - at) for at in range(0, size, 1024)]
        return b"".join(
            frame(kind, stream, bytes(piece), Flag.MORE if number < len(pieces) - 1 else 0)
            for number, piece in enumerate(pieces)
        )

    def test_a_call_fails_alone_naming_both_numbers(self) -> None:
        talk = Talk(SMALL, SMALL)
        talk.client.streams.opened[3] = "long"
        assert talk.server.receive(self.over(FrameType.CALL, 3), 0.0) == []
        error = only(talk.to_client(), ErrorReceived).error
        assert (error.code, error.executed) == (codes.MESSAGE_TOO_LARGE, Executed.NO)
        assert "10050" in error.message
        assert "10000" in error.message
        assert "limits.message" in error.message
        talk.call()

    @pytest.mark.parametrize(
        ("kind", "executed"), [(FrameType.RESULT, Executed.YES), (FrameType.ERROR, Executed.MAYBE)]
    )
    def test_an_answer_fails_its_call(self, kind: FrameType, executed: Executed) -> None:
        talk = Talk(SMALL, SMALL)
        error = only(talk.client.receive(self.over(kind, talk.call("o")), 0.0), ErrorReceived)
        assert (error.owner, error.error.code, error.error.executed) == (
            "o",
            codes.MESSAGE_TOO_LARGE,
            executed,
        )
        talk.call()

    def test_an_item_fails_its_stream(self) -> None:
        talk = Talk(SMALL, SMALL)
        stream = talk.call()
        events = talk.server.receive(self.over(FrameType.DATA, stream), 0.0)
        assert events == [DataTooLarge(stream, None, 10_050, 10_000)]
        talk.call()

    def test_nothing_of_it_is_held(self) -> None:
        talk = Talk(SMALL, SMALL)
        stream = talk.call()
        for _ in range(200):
            talk.server.receive(frame(FrameType.DATA, stream, bytes(1000), Flag.MORE), 0.0)
            assert talk.server.reassembly.held <= 10_000
        events = talk.server.receive(frame(FrameType.DATA, stream, b"x"), 0.0)
        assert events == [DataTooLarge(stream, None, 200_001, 10_000)]


def test_the_frame_limits_of_both_sides_hold() -> None:
    for client, server in ((1024, 4096), (4096, 1024)):
        talk = Talk(Limits(frame=client), Limits(frame=server))
        stream = talk.call()
        assert talk.client.outbox.largest_frame == talk.server.outbox.largest_frame == 1024
        talk.server.send_result(stream, bytes(5000))
        assert max(len(sent.payload) for sent in frames_of(talk.server.data_to_send())) == 1024


def test_a_head_is_a_map() -> None:
    talk = Talk()
    failure_of(talk.server, frame(FrameType.DATA, talk.call(), pack([1]), Flag.HEAD))
