from __future__ import annotations

import math

import pytest

from protocol.wire.codec import pack
from protocol.wire.connection import Connection, Role
from protocol.wire.events import PongReceived
from protocol.wire.framing import FrameType
from protocol.wire.keepalive import Keepalive, Pulse
from tests.protocol.wire.talk import Talk, failure_of, frame, frames_of, only


def test_a_silent_side_is_asked_and_then_given_up() -> None:
    life = Keepalive(30.0, now=100.0)
    assert (life.due, life.tick(129.9)) == (130.0, Pulse.QUIET)
    assert life.tick(130.0) is Pulse.PING
    assert (life.due, life.tick(159.9)) == (160.0, Pulse.QUIET)
    assert life.tick(160.0) is Pulse.DEAD


def test_any_octet_is_a_sign_of_life() -> None:
    life = Keepalive(30.0, now=0.0)
    assert life.tick(30.0) is Pulse.PING
    life.heard(59.0)
    assert (life.last, life.due) == (59.0, 89.0)
    assert life.tick(60.0) is Pulse.QUIET
    assert life.tick(89.0) is Pulse.PING


def test_after_a_long_sleep_the_other_side_is_asked_first_and_has_time_to_answer() -> None:
    life = Keepalive(30.0, now=0.0)
    assert life.tick(5000.0) is Pulse.PING
    assert life.tick(5000.1) is Pulse.QUIET
    assert life.due == 5030.0


def test_no_pings_where_they_are_off() -> None:
    life = Keepalive(0.0, now=0.0)
    assert life.due == math.inf
    assert life.tick(1e12) is Pulse.QUIET


def test_a_connection_pings_and_the_answer_counts_as_life() -> None:
    talk = Talk(ping_interval=10.0)
    assert talk.client.next_tick == 10.0
    assert talk.client.tick(10.0) is Pulse.PING
    assert [sent.type for sent in frames_of(talk.client.data_to_send())] == [FrameType.PING]
    assert talk.client.tick(20.0) is Pulse.DEAD
    assert talk.client.receive(b"\x00", 20.0) == []
    assert (talk.client.last_received, talk.client.next_tick) == (20.0, 30.0)


def test_a_pong_carries_the_token_of_its_ping() -> None:
    talk = Talk()
    tokens = [talk.client.ping(), talk.client.ping()]
    assert talk.to_server() == []
    assert talk.to_client() == [PongReceived(tokens[0]), PongReceived(tokens[1])]
    assert tokens[0] != tokens[1]


def test_a_ping_is_echoed_whatever_it_holds_up_to_64_octets() -> None:
    talk = Talk()
    for payload in (b"", b"\xc1", bytes(64)):
        talk.server.receive(frame(FrameType.PING, 0, payload), 0.0)
        assert frames_of(talk.server.data_to_send())[0].payload == payload
    failure_of(talk.server, frame(FrameType.PING, 0, bytes(65)))


def test_a_client_may_be_pinged_before_its_welcome() -> None:
    client = Connection(Role.CLIENT)
    client.receive(frame(FrameType.PING, 0, pack([1])), 0.0)
    assert frames_of(client.data_to_send())[0].type == FrameType.PONG


@pytest.mark.parametrize("payload", [[], [-1], ["1"], [1 << 4000], [True]], ids=str)
def test_a_pong_that_is_none_ends_the_connection(payload: object) -> None:
    failure_of(Talk().client, frame(FrameType.PONG, 0, payload))


def test_a_pong_nobody_asked_for_is_reported_and_harmless() -> None:
    assert only(Talk().client.receive(frame(FrameType.PONG, 0, [77]), 0.0), PongReceived).token == 77


def test_one_side_asks_first_and_gives_the_other_a_whole_interval_to_answer() -> None:
    life = Keepalive(30.0, now=0.0)
    life.ask_first()
    assert (life.due, life.tick(28.4)) == (28.5, Pulse.QUIET)
    assert life.tick(28.5) is Pulse.PING
    assert (life.due, life.tick(57.0), life.due) == (57.0, Pulse.QUIET, 58.5)
    assert life.tick(58.5) is Pulse.DEAD
    assert life.tick(58.5) is Pulse.DEAD


def test_an_answer_counts_from_its_question_for_the_side_that_asks_first() -> None:
    life = Keepalive(30.0, now=0.0)
    life.ask_first()
    life.tick(28.5)
    life.heard(40.0)
    assert (life.last, life.due) == (40.0, 57.0)
    life.heard(41.0)
    assert life.due == 69.5
