from __future__ import annotations

import pytest

from protocol.wire import codes
from protocol.wire.connection import State
from protocol.wire.envelope import Goaway
from protocol.wire.errors import Executed, GoawayCode, RemoteProtocolError
from protocol.wire.events import CallReceived, ErrorReceived, Failed, GoawayReceived, ResultReceived
from protocol.wire.framing import MAX_STREAM, FrameType
from protocol.wire.limits import DEFAULT_LIMITS, Limits
from tests.protocol.wire.talk import Talk, failure_of, frame, frames_of, only


def test_calls_that_were_taken_finish_and_later_ones_were_not_executed() -> None:
    talk = Talk()
    taken = talk.call("taken")
    talk.client.open_call("crossing", "a.b", b"")
    talk.server.goaway(GoawayCode.SHUTDOWN, "restart", reconnect_after=2.0, address="other:1")
    event = only(talk.to_client(), GoawayReceived)
    assert event.goaway == Goaway(taken, GoawayCode.SHUTDOWN, "restart", 2.0, "other:1")
    assert event.untaken == ["crossing"]
    assert talk.to_server() == [], "the crossing call is not reported"
    talk.server.send_result(taken, b"done")
    assert only(talk.to_client(), ResultReceived).owner == "taken"


def test_a_draining_side_answers_calls_and_subscriptions_with_not_executed() -> None:
    talk = Talk()
    talk.server.goaway(GoawayCode.SHUTDOWN, "")
    talk.to_client()
    talk.client.open_call("late", "a.b", b"")
    talk.client.subscribe("late", "t")
    assert talk.to_server() == []
    for event in talk.to_client():
        assert isinstance(event, ErrorReceived)
        assert (event.error.code, event.error.executed) == (codes.DRAINING, Executed.NO)


def test_a_long_call_that_was_complete_after_a_later_short_one_hides_it_not() -> None:
    """Otherwise the short one, which runs, would be reported as not executed, and run twice."""
    talk = Talk(Limits(frame=1024), Limits(frame=1024))
    talk.client.open_call("long", "a.b", bytes(5000))
    short = talk.client.open_call("short", "a.b", b"")
    assert [event.stream for event in talk.to_server() if isinstance(event, CallReceived)] == [
        short,
        short - 2,
    ]
    talk.server.goaway(GoawayCode.SHUTDOWN, "")
    event = only(talk.to_client(), GoawayReceived)
    assert (event.goaway.last, event.untaken) == (short, [])


def test_the_last_taken_wraps_round_with_the_ids() -> None:
    talk = Talk()
    talk.client.streams._next = MAX_STREAM - 2
    streams = [talk.call(number) for number in range(3)]
    assert streams == [MAX_STREAM - 2, MAX_STREAM, 1]
    talk.client.open_call("untaken", "a.b", b"")
    talk.server.goaway(GoawayCode.SHUTDOWN, "")
    event = only(talk.to_client(), GoawayReceived)
    assert (event.goaway.last, event.untaken) == (1, ["untaken"])


def test_the_other_side_is_told_what_it_did_wrong_in_a_frame_it_can_take() -> None:
    talk = Talk(Limits(frame=1024), Limits(frame=1024))
    talk.server.fail(RemoteProtocolError("😀" * 5000))
    assert talk.server.state is State.CLOSED
    data = talk.server.data_to_send()
    assert [len(sent.payload) <= 1024 for sent in frames_of(data)] == [True]
    text = only(talk.client.receive(data, 0.0), GoawayReceived).goaway.text
    assert text.rstrip("…").strip("😀") == ""
    assert len(text) > 200


def test_a_failure_is_the_last_that_is_received() -> None:
    talk = Talk()
    call = frame(FrameType.CALL, 1, ["a.b", None, b""])
    events = talk.server.receive(call + frame(FrameType.CALL, 1, b"\xc1") + call, 0.0)
    assert [type(event) for event in events] == [CallReceived, Failed]
    assert talk.server.receive(call, 0.0) == []
    (goaway,) = frames_of(talk.server.data_to_send())
    assert Goaway.decode(goaway.payload, DEFAULT_LIMITS).last == 1, "what was taken before it counts"


def test_frames_before_one_that_is_too_long_still_count() -> None:
    talk = Talk()
    call = frame(FrameType.CALL, 1, ["a.b", None, b""])
    events = talk.server.receive(call + b"\xff" * 10, 0.0)
    assert [type(event) for event in events] == [CallReceived, Failed]
    assert isinstance(events[1], Failed)
    assert events[1].error.code is GoawayCode.FRAME_TOO_LARGE


@pytest.mark.parametrize("last", [0, 1, 2, MAX_STREAM, 1 << 60])
def test_any_last_stream_is_survived(last: int) -> None:
    talk = Talk()
    talk.call()
    only(talk.client.receive(frame(FrameType.GOAWAY, 0, [last, "shutdown", ""]), 0.0), GoawayReceived)


def test_after_closing_nothing_more_is_announced() -> None:
    talk = Talk()
    talk.server.close()
    talk.server.goaway(GoawayCode.SHUTDOWN, "")
    talk.server.fail(RemoteProtocolError("x"))
    assert talk.server.pending == 0


def test_calls_that_did_not_leave_are_known() -> None:
    talk = Talk(Limits(frame=1024), Limits(frame=1024))
    left = talk.client.open_call("left", "a.b", b"")
    talk.to_server()
    half = talk.client.open_call("half", "a.b", bytes(5000))
    talk.client.data_to_send(1)
    waiting = talk.client.open_call("waiting", "a.b", b"")
    long = talk.client.open_call("long", "a.b", bytes(5000))
    talk.client.cancel(left)
    assert talk.client.unsent_calls() == {half, waiting, long}
    talk.to_server()
    assert talk.client.unsent_calls() == set()


def test_garbage_as_a_goaway_ends_the_connection() -> None:
    failure_of(Talk().client, frame(FrameType.GOAWAY, 0, [True, "shutdown", ""]))
