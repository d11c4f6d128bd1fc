"""Positions and ACK: how far each side has received the other's frames."""

from __future__ import annotations

import pytest

from protocol.wire.framing import FrameType
from protocol.wire.limits import Limits
from protocol.wire.session import ACK_BYTES, ACK_FRAMES
from tests.protocol.wire.talk import Talk, failure_of, frame, frames_of


def test_frames_are_counted_alike_on_both_sides() -> None:
    talk = Talk(Limits(frame=1024), Limits(frame=1024))
    stream = talk.call(body=bytes(3000))  # three frames
    talk.client.send_data(stream, b"x")
    talk.client.ping()  # none
    talk.client.cancel(stream)
    talk.settle()
    assert talk.client.sent_position == talk.server.session.received == 5
    talk.server.send_result(stream, b"")
    talk.settle()
    assert talk.server.sent_position == talk.client.session.received == 1


def test_frames_of_unknown_types_count_by_their_number() -> None:
    talk = Talk()
    talk.server.receive(frame(0x2F, 0, b"") + frame(0x30 + 15, 0, b"") + frame(0x18, 0, b""), 0.0)
    assert talk.server.session.received == 2


def test_an_ack_leaves_after_many_frames() -> None:
    talk = Talk()
    for _ in range(ACK_FRAMES - 1):
        talk.server.receive(frame(FrameType.CANCEL, 1, []), 0.0)
    assert talk.server.pending == 0
    talk.server.receive(frame(FrameType.CANCEL, 1, []), 0.0)
    (ack,) = frames_of(talk.server.data_to_send())
    assert (ack.type, ack.payload) == (FrameType.ACK, b"\x91\xcd\x01\x00")


def test_an_ack_leaves_after_many_octets() -> None:
    talk = Talk()
    stream = talk.call()
    for _ in range(ACK_BYTES // 50_000 + 1):
        talk.client.flow.credit(stream).left = 1 << 20
        talk.client.send_data(stream, bytes(50_000))
        talk.server.flow.window(stream)._left = 1 << 20
        talk.to_server()
    talk.to_client()
    assert talk.client.session.acknowledged == talk.client.sent_position


def test_octets_of_a_frame_count_in_whatever_pieces_they_come() -> None:
    talk = Talk()
    stream = talk.call()
    talk.to_server()
    talk.client.flow.credit(stream).left = talk.server.flow.window(stream)._left = 2 * ACK_BYTES
    for number in range(1, ACK_BYTES // 50_000 + 2):
        talk.client.send_data(stream, bytes(50_000))
        data = talk.client.data_to_send()
        for start in range(0, len(data), 16_000):
            talk.server.receive(data[start : start + 16_000], 0.0)
        assert bool(talk.server.pending) == (number * 50_000 > ACK_BYTES)
    talk.to_client()
    assert talk.client.session.acknowledged == talk.client.sent_position


def test_an_ack_leaves_with_credit() -> None:
    talk = Talk()
    stream = talk.call()
    talk.client.send_data(stream, bytes(50_000))
    talk.to_server()
    assert not talk.server.pending
    assert talk.server.flow.consume(stream, 50_000)
    credit, ack = sorted(frames_of(talk.server.data_to_send()))
    assert (credit.type, ack.type, ack.payload) == (FrameType.CREDIT, FrameType.ACK, b"\x91\x02")


def test_acks_follow_a_long_talk() -> None:
    talk = Talk()
    for _ in range(1000):
        talk.server.send_result(talk.call(), b"")
        talk.settle()
    assert talk.client.sent_position == 1000
    assert talk.client.session.acknowledged == talk.server.session.acknowledged == 768


@pytest.mark.parametrize("position", [2, 1 << 63, 1 << 4000, -1, "1"])
def test_an_ack_of_what_was_never_sent_ends_the_connection(position: object) -> None:
    talk = Talk()
    talk.call()
    failure_of(talk.client, frame(FrameType.ACK, 0, [position]))


def test_an_ack_does_not_go_back() -> None:
    talk = Talk()
    talk.call()
    assert talk.client.receive(frame(FrameType.ACK, 0, [1]), 0.0) == []
    assert talk.client.session.acknowledged == 1
    failure_of(talk.client, frame(FrameType.ACK, 0, [0]))
