from __future__ import annotations

import pytest

from protocol.wire.errors import RemoteProtocolError
from protocol.wire.flow import Flow
from protocol.wire.framing import MAX_STREAM
from protocol.wire.limits import Limits
from protocol.wire.outbox import Outbox
from protocol.wire.session import Session
from protocol.wire.streams import StreamTable
from tests.protocol.wire.talk import Talk


def table(first: int, at: int | None = None) -> StreamTable:
    streams = StreamTable(first=first, flow=Flow(Limits(), Outbox(Limits()), Session()))
    if at is not None:
        streams._next = at
    return streams


def test_the_clients_ids_are_odd_and_the_servers_even() -> None:
    assert [table(1).new_id(), table(2).new_id()] == [1, 2]
    client, server = table(1), table(2)
    assert [client.new_id() for _ in range(3)] == [1, 3, 5]
    assert [server.new_id() for _ in range(3)] == [2, 4, 6]


@pytest.mark.parametrize(("first", "last"), [(1, MAX_STREAM), (2, MAX_STREAM - 1)])
def test_ids_wrap_round_and_skip_live_ones(first: int, last: int) -> None:
    streams = table(first, at=last)
    streams.opened[first] = "a call"
    streams.subscriptions[first + 2] = None  # its END is on the way
    assert [streams.new_id(), streams.new_id()] == [last, first + 4]


def test_calls_go_on_over_the_wrap() -> None:
    talk = Talk()
    for side, other in ((talk.client, talk.server), (talk.server, talk.client)):
        side.streams._next = MAX_STREAM - 4 - (MAX_STREAM - side.streams._next) % 2
        for _ in range(6):
            stream = side.open_call("o", "a.b", b"")
            talk.settle()
            assert stream in other.streams.taken
            other.send_result(stream, b"")
            talk.settle()
        assert side.streams._next < 20


def test_what_was_opened_later_is_known_over_the_wrap() -> None:
    streams = table(1)
    assert streams.is_later(5, 3)
    assert not streams.is_later(3, 3)
    assert not streams.is_later(1, 3)
    assert streams.is_later(1, MAX_STREAM)
    assert not streams.is_later(MAX_STREAM, 1)


def test_the_last_taken_is_the_highest_not_the_latest() -> None:
    streams = table(2)
    for stream in (3, 1, 7, 5):
        streams.take(stream)
    assert streams.last_taken == 7
    streams.last_taken = MAX_STREAM
    streams.take(1)
    assert streams.last_taken == 1


@pytest.mark.parametrize("stream", [0, 1, 3, MAX_STREAM])
def test_a_side_cannot_open_the_others_streams(stream: int) -> None:
    with pytest.raises(RemoteProtocolError):
        table(1).check_new(stream, live=False)
