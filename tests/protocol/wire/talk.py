"""Two connections that talk to each other without a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from protocol.wire.codec import pack
from protocol.wire.connection import Connection, Role, State
from protocol.wire.envelope import Hello, Welcome
from protocol.wire.events import CallReceived, Event, Failed, HelloReceived, WelcomeReceived
from protocol.wire.framing import Frame, FrameReader, FrameType, encode_frame
from protocol.wire.limits import Limits

E = TypeVar("E")


def frames_of(data: bytes) -> list[Frame]:
    """All frames of some octets, which end with the last of them."""
    reader = FrameReader(1 << 24)
    frames = reader.feed(data)
    assert reader.held == 0
    return frames


def frame(kind: int, stream: int, value: object, flags: int = 0) -> bytes:
    """One frame whose payload is a packed value, or bytes as they are."""
    return encode_frame(kind, flags, stream, value if isinstance(value, bytes) else pack(value))


def only(events: list[Event], kind: type[E]) -> E:
    """The one event there is."""
    assert [type(event) for event in events] == [kind]
    event = events[0]
    assert isinstance(event, kind)
    return event


def failure_of(connection: Connection, data: bytes) -> str:
    """Feed octets that break the protocol; returns what was wrong."""
    events = connection.receive(data, 0.0)
    assert isinstance(events[-1], Failed)
    assert connection.state is State.CLOSED
    last = frames_of(connection.data_to_send())[-1]
    assert last.type == FrameType.GOAWAY, "the other side is told"
    return str(events[-1].error)


class Talk:
    """A client and a server, open after the handshake."""

    def __init__(
        self,
        client_limits: Limits | None = None,
        server_limits: Limits | None = None,
        *,
        ping_interval: float = 30.0,
    ) -> None:
        self.client = Connection(Role.CLIENT, client_limits, ping_interval=ping_interval)
        self.server = Connection(Role.SERVER, server_limits, ping_interval=ping_interval)
        self.client.send_hello(Hello(limits=self.client.limits))
        hello = only(self.to_server(), HelloReceived).hello
        self.server.welcome(Welcome("s", b"", limits=self.server.limits), hello.limits)
        only(self.to_client(), WelcomeReceived)

    def to_server(self, cut: Callable[[bytes], list[bytes]] = lambda data: [data]) -> list[Event]:
        return carry(self.client, self.server, cut)

    def to_client(self, cut: Callable[[bytes], list[bytes]] = lambda data: [data]) -> list[Event]:
        return carry(self.server, self.client, cut)

    def settle(self) -> tuple[list[Event], list[Event]]:
        """Carry both ways until nothing is left; what the client and the server were told."""
        client: list[Event] = []
        server: list[Event] = []
        while self.client.pending or self.server.pending:
            server += self.to_server()
            client += self.to_client()
        return client, server

    def call(self, owner: object = "owner", body: bytes = b"\x91\x80") -> int:
        """Open a call and let the server take it."""
        stream = self.client.open_call(owner, "Orders.find", body)
        assert only(self.to_server(), CallReceived).stream == stream
        return stream


def carry(
    sender: Connection, receiver: Connection, cut: Callable[[bytes], list[bytes]] = lambda data: [data]
) -> list[Event]:
    """Carry all that waits, cut into pieces, and return what the receiver was told."""
    events: list[Event] = []
    while data := sender.data_to_send():
        for piece in cut(data):
            events += receiver.receive(piece, 0.0)
    return events


def octets(data: bytes) -> list[bytes]:
    """Cut into single octets."""
    return [data[at : at + 1] for at in range(len(data))]
