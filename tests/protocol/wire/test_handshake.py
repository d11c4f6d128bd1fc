"""What may come before WELCOME, and what not after it."""

from __future__ import annotations

import math

import pytest

from protocol.wire import codes
from protocol.wire.codec import pack
from protocol.wire.connection import Connection, Role, State
from protocol.wire.envelope import Goaway, Hello, InterfaceOffer, Refuse, Welcome
from protocol.wire.errors import GoawayCode, LocalProtocolError, MessageTooLarge
from protocol.wire.events import (
    Failed,
    GoawayReceived,
    HelloReceived,
    PongReceived,
    RefuseReceived,
    WelcomeReceived,
)
from protocol.wire.framing import FrameType
from protocol.wire.keepalive import Pulse
from protocol.wire.limits import HANDSHAKE_FRAME, Limits
from tests.protocol.wire.talk import Talk, carry, failure_of, frame, frames_of, octets, only

CALL = frame(FrameType.CALL, 1, ["a.b", None, b""])
HELLO = frame(FrameType.HELLO, 0, Hello().encode())
WELCOME = frame(FrameType.WELCOME, 0, Welcome("s", b"").encode())
REFUSE = frame(FrameType.REFUSE, 0, Refuse("a", "b").encode())
ALLOWED = {
    Role.SERVER: {FrameType.HELLO, FrameType.PING, FrameType.GOAWAY},
    Role.CLIENT: {
        FrameType.WELCOME,
        FrameType.REFUSE,
        FrameType.PING,
        FrameType.PONG,
        FrameType.GOAWAY,
    },
}


@pytest.mark.parametrize("cut", [lambda data: [data], octets], ids=["whole", "octets"])
def test_both_sides_learn_the_others_limits(cut: object) -> None:
    client = Connection(Role.CLIENT, Limits(frame=2048, open_calls=3))
    server = Connection(Role.SERVER, Limits(message=5000, stream_credit=77))
    client.send_hello(Hello(application="orders", limits=client.limits))
    hello = only(carry(client, server, cut), HelloReceived).hello  # type: ignore[arg-type]
    assert hello.application == "orders"
    server.welcome(Welcome("s-1", b"t", limits=server.limits), hello.limits)
    assert only(carry(server, client, cut), WelcomeReceived).welcome.session == "s-1"  # type: ignore[arg-type]
    assert (server.peer_limits.frame, server.peer_limits.open_calls) == (2048, 3)
    assert (client.peer_limits.message, client.peer_limits.stream_credit) == (5000, 77)
    assert client.state is server.state is State.OPEN


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("kind", [*FrameType, 0x7F])
def test_only_the_handshakes_frames_are_taken_before_it_ends(role: Role, kind: int) -> None:
    payloads: dict[int, bytes] = {
        FrameType.HELLO: Hello().encode(),
        FrameType.WELCOME: Welcome("s", b"").encode(),
        FrameType.REFUSE: Refuse("a", "b").encode(),
        FrameType.GOAWAY: Goaway(0, GoawayCode.SHUTDOWN, "").encode(),
    }
    connection = Connection(role)
    events = connection.receive(frame(kind, 0, payloads.get(kind, pack([1]))), 0.0)
    assert (connection.state is State.CLOSED and isinstance(events[-1], Failed)) != (kind in ALLOWED[role])


@pytest.mark.parametrize("data", [HELLO, WELCOME, REFUSE])
def test_the_handshakes_frames_are_refused_after_it(data: bytes) -> None:
    talk = Talk()
    assert "after the handshake" in failure_of(talk.client, data)
    assert "after the handshake" in failure_of(talk.server, data)


def test_a_call_that_comes_with_the_hello_is_refused() -> None:
    server = Connection(Role.SERVER)
    events = server.receive(HELLO + CALL, 0.0)
    assert [type(event) for event in events] == [HelloReceived, Failed]


def test_a_second_hello_is_refused() -> None:
    server = Connection(Role.SERVER)
    server.receive(HELLO, 0.0)
    assert "second HELLO" in failure_of(server, HELLO)


def test_a_stranger_is_held_to_the_small_frame_limit() -> None:
    server = Connection(Role.SERVER)
    announced = (HANDSHAKE_FRAME + 1).to_bytes(4, "big") + b"\x01" + bytes(5)
    assert str(HANDSHAKE_FRAME) in failure_of(server, announced)
    talk = Talk()
    assert talk.server.receive(announced[:4] + b"\x10" + bytes(5), 0.0) == [], "after it the full limit holds"


def test_a_hello_that_the_server_would_refuse_does_not_leave() -> None:
    client = Connection(Role.CLIENT)
    with pytest.raises(MessageTooLarge):
        client.send_hello(Hello(credentials={"token": bytes(HANDSHAKE_FRAME)}))
    assert client.pending == 0


def test_a_long_welcome_comes_in_frames_that_the_client_takes() -> None:
    client, server = Connection(Role.CLIENT, Limits(frame=1024)), Connection(Role.SERVER)
    client.send_hello(Hello(limits=client.limits))
    hello = only(carry(client, server), HelloReceived).hello
    interfaces = {f"Interface{number}": InterfaceOffer(((1, 0),), "f" * 32) for number in range(100)}
    server.welcome(Welcome("s", b"", interfaces=interfaces), hello.limits)
    server.ping()  # must not come between
    events = carry(server, client)
    assert only(events, WelcomeReceived).welcome.interfaces == interfaces
    assert FrameType.PONG in {pong.type for pong in frames_of(client.data_to_send())}


def test_a_refused_client_hears_why_and_nothing_after_it() -> None:
    client, server = Connection(Role.CLIENT), Connection(Role.SERVER)
    client.send_hello(Hello())
    carry(client, server)
    server.refuse(Refuse("rpc.server_full", "try later", "r-7"))
    assert server.state is State.CLOSED
    refusal = server.data_to_send()
    events = client.receive(refusal + CALL + b"garbage" * 10, 0.0)
    assert only(events, RefuseReceived).refuse.reference == "r-7"
    assert client.state is State.CLOSED
    assert client.receive(CALL, 0.0) == []


def test_pings_are_answered_during_the_handshake() -> None:
    client, server = Connection(Role.CLIENT), Connection(Role.SERVER)
    token = client.ping()
    assert carry(client, server) == []
    assert only(carry(server, client), PongReceived).token == token


def test_a_server_does_not_ping_a_client_that_may_not_answer_yet() -> None:
    server = Connection(Role.SERVER, ping_interval=5.0)
    server.receive(HELLO, 0.0)
    assert server.next_tick == math.inf
    assert server.tick(100.0) is Pulse.QUIET
    assert server.pending == 0
    server.welcome(Welcome("s", b""), Limits())
    assert server.next_tick == 5.0


def test_a_goaway_before_the_welcome_is_reported() -> None:
    client, server = Connection(Role.CLIENT), Connection(Role.SERVER)
    server.goaway(GoawayCode.TIMEOUT, "no HELLO came")
    assert only(carry(server, client), GoawayReceived).goaway.code is GoawayCode.TIMEOUT


def test_the_sides_cannot_take_each_others_part() -> None:
    client, server = Connection(Role.CLIENT), Connection(Role.SERVER)
    talk = Talk()
    for wrong in (
        lambda: server.send_hello(Hello()),
        lambda: client.welcome(Welcome("s", b""), Limits()),
        lambda: client.refuse(Refuse("a", "b")),
        lambda: talk.server.welcome(Welcome("s", b""), Limits()),
        lambda: talk.server.refuse(Refuse("a", "b")),
        lambda: client.open_call("o", "a.b", b""),
        lambda: client.subscribe("o", "a.b"),
    ):
        with pytest.raises(LocalProtocolError):
            wrong()


def test_a_refusal_fits_into_the_frames_that_the_client_accepts() -> None:
    client, server = Connection(Role.CLIENT, Limits(frame=1024)), Connection(Role.SERVER)
    client.send_hello(Hello(limits=client.limits))
    only(server.receive(client.data_to_send(), 0.0), HelloReceived)
    server.refuse(Refuse(codes.INTERFACE_VERSION, f"no interface {'x' * 9000}", "r-7"))
    refuse = only(client.receive(server.data_to_send(), 0.0), RefuseReceived).refuse
    assert (refuse.code, refuse.reference) == (codes.INTERFACE_VERSION, "r-7")
    assert refuse.text.startswith("no interface xxx")
