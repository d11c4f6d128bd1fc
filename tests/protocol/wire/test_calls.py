from __future__ import annotations

import math

import pytest

from protocol.wire import codes
from protocol.wire.codec import pack, unpack
from protocol.wire.connection import MAX_DEADLINE_MS
from protocol.wire.errors import ErrorInfo, Executed, LocalProtocolError, MessageTooLarge
from protocol.wire.events import (
    CallReceived,
    CancelReceived,
    ErrorReceived,
    ResultReceived,
    UnimplementedReceived,
)
from protocol.wire.framing import MAX_STREAM, Flag, FrameType
from protocol.wire.limits import Limits
from tests.protocol.wire.talk import Talk, failure_of, frame, frames_of, octets, only


def test_a_call_and_its_result_octet_by_octet() -> None:
    talk = Talk()
    owner = object()
    stream = talk.client.open_call(owner, "Orders.find", b"body", deadline=1.5, extra={"offset": 7})
    call = only(talk.to_server(octets), CallReceived)
    assert call == CallReceived(stream, "Orders.find", 1.5, b"body", {"offset": 7})
    talk.server.send_result(stream, b"answer")
    assert only(talk.to_client(octets), ResultReceived) == ResultReceived(owner, b"answer")


def test_many_calls_are_answered_in_any_order() -> None:
    talk = Talk()
    streams = [talk.client.open_call(number, "a.b", b"") for number in range(10)]
    assert [event.stream for event in talk.to_server() if isinstance(event, CallReceived)] == streams
    for stream in reversed(streams):
        talk.server.send_result(stream, str(stream).encode())
    results = [event for event in talk.to_client() if isinstance(event, ResultReceived)]
    assert [(event.owner, event.body) for event in results] == [
        (number, str(stream).encode()) for number, stream in reversed(list(enumerate(streams)))
    ]
    assert talk.client.streams.opened == {}
    assert talk.server.streams.taken == set()


def test_either_side_calls() -> None:
    talk = Talk()
    outer = talk.call()
    inner = talk.server.open_call("server's", "Desk.ask", b"")
    assert (outer & 1, inner & 1) == (1, 0)
    assert only(talk.to_client(), CallReceived).stream == inner
    talk.client.send_result(inner, b"yes")
    assert only(talk.to_server(), ResultReceived) == ResultReceived("server's", b"yes")
    talk.server.send_result(outer, b"done")
    assert only(talk.to_client(), ResultReceived).body == b"done"


@pytest.mark.parametrize("owner", [0, "", (), []])
def test_an_owner_that_counts_as_false_is_an_owner(owner: object) -> None:
    talk = Talk()
    stream = talk.call(owner)
    talk.server.send_error(stream, ErrorInfo("a.b", "no", Executed.NO))
    assert only(talk.to_client(), ErrorReceived).owner == owner


def test_an_error_arrives_with_all_it_says() -> None:
    talk = Talk()
    error = ErrorInfo("orders.out", "none left", Executed.YES, pack({"left": 0}), 2.5, "t-1")
    talk.server.send_error(talk.call(), error)
    assert only(talk.to_client(), ErrorReceived).error == error
    assert talk.client.streams.opened == {}


@pytest.mark.parametrize(
    ("deadline", "arrives"),
    [(None, None), (0.0, 0.0), (-1.0, 0.0), (1.2345, 1.234), (math.inf, MAX_DEADLINE_MS / 1000)],
)
def test_a_deadline_travels_as_whole_milliseconds(deadline: float | None, arrives: float | None) -> None:
    talk = Talk()
    talk.client.open_call("o", "a.b", b"", deadline=deadline)
    assert only(talk.to_server(), CallReceived).deadline == arrives


def test_a_cancel_is_reported_once_and_the_callee_still_ends_the_stream() -> None:
    talk = Talk()
    stream = talk.call()
    talk.client.cancel(stream)
    assert only(talk.to_server(), CancelReceived) == CancelReceived(stream)
    assert stream in talk.client.streams.opened
    assert stream in talk.server.streams.taken, "the slot is held until the handler has ended"
    talk.server.send_error(stream, ErrorInfo(codes.CANCELLED, "", Executed.MAYBE))
    assert only(talk.to_client(), ErrorReceived).error.code == codes.CANCELLED
    talk.client.cancel(stream)
    assert talk.client.pending == 0, "there is nothing to cancel any more"


def test_a_cancel_that_crosses_the_result_is_ignored() -> None:
    talk = Talk()
    stream = talk.call()
    talk.server.send_result(stream, b"")
    talk.client.cancel(stream)
    assert talk.to_server() == []
    only(talk.to_client(), ResultReceived)


def test_a_stream_has_one_terminal_frame() -> None:
    talk = Talk()
    stream = talk.call()
    talk.server.send_result(stream, b"")
    with pytest.raises(LocalProtocolError):
        talk.server.send_result(stream, b"")
    with pytest.raises(LocalProtocolError):
        talk.server.send_error(stream, ErrorInfo("a.b", "", Executed.YES))
    talk.server.refuse_call(stream, "a.b", "")
    talk.server.send_end(stream)
    assert [sent.type for sent in frames_of(talk.server.data_to_send())] == [FrameType.RESULT]


class TestTheOpenCallLimit:
    def test_this_side_keeps_to_it(self) -> None:
        talk = Talk(server_limits=Limits(open_calls=2))
        could_open = []
        first = talk.call()
        could_open.append(talk.client.can_open)
        talk.call()
        could_open.append(talk.client.can_open)
        assert could_open == [True, False]
        with pytest.raises(LocalProtocolError, match="2 open calls"):
            talk.client.open_call("o", "a.b", b"")
        talk.server.send_result(first, b"")
        talk.to_client()
        assert talk.client.can_open

    def test_a_call_beyond_it_fails_alone_and_was_not_executed(self) -> None:
        talk = Talk(server_limits=Limits(open_calls=1))
        first = talk.call()
        talk.client.peer_limits = Limits()
        talk.client.open_call("second", "a.b", b"")
        assert talk.to_server() == []
        error = only(talk.to_client(), ErrorReceived)
        assert (error.owner, error.error.code, error.error.executed) == (
            "second",
            codes.TOO_MANY_CALLS,
            Executed.NO,
        )
        talk.server.send_result(first, b"")
        only(talk.to_client(), ResultReceived)

    def test_call_and_cancel_again_and_again_gains_no_slots(self) -> None:
        talk = Talk(server_limits=Limits(open_calls=3))
        taken = []
        for stream in range(1, 2001, 2):
            call = frame(FrameType.CALL, stream, ["a.b", None, b""])
            events = talk.server.receive(call + frame(FrameType.CANCEL, stream, []), 0.0)
            taken += [event for event in events if isinstance(event, CallReceived)]
        assert len(taken) == 3
        assert len(talk.server.streams.taken) == 3


class TestWhatACallMustLookLike:
    @pytest.mark.parametrize(
        "payload",
        [
            [],
            ["a.b", None],
            [b"a.b", None, b""],
            ["a.b", "1", b""],
            ["a.b", -1, b""],
            ["a.b", 1 << 64, b""],
            ["a.b", 1 << 4000, b""],
            ["a.b", 1.5, b""],
            ["a.b", None, "body"],
            ["a.b", None, b"", 1],
            ["a.b", None, b"", {}, 1],
            {"a": 1},
            b"\xc1",
        ],
        ids=repr,
    )
    def test_anything_else_ends_the_connection(self, payload: object) -> None:
        failure_of(Talk().server, frame(FrameType.CALL, 1, payload))

    @pytest.mark.parametrize("payload", [[], ["text"], [b"", 1], [b"", {}, {}], b"\xc1"], ids=repr)
    def test_a_result_too(self, payload: object) -> None:
        talk = Talk()
        stream = talk.call()
        failure_of(talk.client, frame(FrameType.RESULT, stream, payload))

    def test_a_body_that_does_not_decode_is_not_the_connections_matter(self) -> None:
        talk = Talk()
        talk.client.open_call("o", "a.b", b"\xc1 no msgpack")
        assert only(talk.to_server(), CallReceived).body == b"\xc1 no msgpack"

    @pytest.mark.parametrize("stream", [0, 2, MAX_STREAM - 1])
    def test_a_client_opens_odd_streams(self, stream: int) -> None:
        for kind, payload in ((FrameType.CALL, ["a.b", None, b""]), (FrameType.SUB, ["a.b"])):
            failure_of(Talk().server, frame(kind, stream, payload))

    def test_a_server_opens_even_streams(self) -> None:
        failure_of(Talk().client, frame(FrameType.CALL, 1, ["a.b", None, b""]))

    def test_a_live_stream_cannot_be_opened_again(self) -> None:
        talk = Talk()
        stream = talk.call()
        assert "open already" in failure_of(talk.server, frame(FrameType.CALL, stream, ["a.b", None, b""]))

    def test_frames_of_streams_that_are_not_open_are_ignored(self) -> None:
        talk = Talk()
        for kind, payload in (
            (FrameType.RESULT, [b""]),
            (FrameType.ERROR, ["a", "b", "no"]),
            (FrameType.END, []),
            (FrameType.DATA, b"x"),
            (FrameType.CANCEL, []),
            (FrameType.CREDIT, [1]),
            (FrameType.UNSUB, []),
            (FrameType.EVENT, [1, b""]),
            (FrameType.GAP, [1, 0]),
        ):
            for stream in (0, 1, 2, 99):
                assert talk.server.receive(frame(kind, stream, payload), 0.0) == []
                assert talk.client.receive(frame(kind, stream, payload), 0.0) == []


class TestUnknownFrames:
    def test_an_unknown_type_is_answered_with_its_type_and_stream(self) -> None:
        talk = Talk()
        assert talk.server.receive(frame(0x2F, 9, b"anything"), 0.0) == []
        assert only(talk.to_client(), UnimplementedReceived) == UnimplementedReceived(0x2F, 9)

    def test_an_unknown_type_that_is_critical_ends_the_connection(self) -> None:
        talk = Talk()
        failure_of(talk.server, frame(0x2F, 9, b"", Flag.CRITICAL))

    def test_unknown_flags_are_ignored(self) -> None:
        talk = Talk()
        call = frame(FrameType.CALL, 1, ["a.b", None, b""], 0xF8 | Flag.CRITICAL)
        only(talk.server.receive(call, 0.0), CallReceived)


def test_an_error_too_large_for_the_caller_is_cut_to_what_matters() -> None:
    talk = Talk(client_limits=Limits(message=1024))
    error = ErrorInfo("orders.out", "m" * 5000, Executed.YES, bytes(5000), None, "t-1")
    talk.server.send_error(talk.call(), error)
    arrived = only(talk.to_client(), ErrorReceived).error
    assert (arrived.code, arrived.executed, arrived.trace) == ("orders.out", Executed.YES, "t-1")
    assert arrived.message.startswith("m" * 200)
    assert arrived.data is None


def test_a_result_too_large_leaves_the_call_open_for_an_error() -> None:
    talk = Talk(client_limits=Limits(message=1024))
    stream = talk.call()
    with pytest.raises(MessageTooLarge) as caught:
        talk.server.send_result(stream, bytes(2000))
    assert caught.value.limit == 1024
    talk.server.send_error(stream, ErrorInfo(codes.MESSAGE_TOO_LARGE, str(caught.value), Executed.YES))
    assert only(talk.to_client(), ErrorReceived).error.code == codes.MESSAGE_TOO_LARGE


def test_the_bodies_of_the_envelope_are_what_the_caller_packed() -> None:
    talk = Talk()
    talk.client.open_call("o", "a.b", pack([1, {"urgent": True}]))
    assert unpack(only(talk.to_server(), CallReceived).body) == [1, {"urgent": True}]
