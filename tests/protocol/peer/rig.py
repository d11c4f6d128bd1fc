"""Server and client around the contract of `desk`, and a client that speaks frames by hand."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Literal

import attrs
import trio

from appclient import Client
from appserver.testing import LoopbackServer, Network, loopback_server
from protocol.peer import HandshakeEnded, Peer
from protocol.settings import Settings
from protocol.transport import PlainTransport
from protocol.transport.memory import Link, MemoryTransport
from protocol.wire.connection import Connection, Role
from protocol.wire.envelope import Hello
from protocol.wire.errors import GoawayCode
from protocol.wire.events import Event
from protocol.wire.limits import Limits
from tests.protocol.peer.desk import Counter, Desk, Ringer, new_desk

TRANSPORTS = [
    (False, None),
    (True, "1.2"),
    (True, "1.3"),
]
TRANSPORT_IDS = ["plain", "tls1.2", "tls1.3"]


@attrs.frozen
class Rig:
    """A server, one client of it, and what is behind both."""

    server: LoopbackServer
    client: Client
    desk: Desk
    counter: Counter
    ringer: Ringer
    network: Network


@contextlib.asynccontextmanager
async def open_rig(
    *,
    encrypted: bool = False,
    tls_version: Literal["1.2", "1.3"] | None = None,
    settings: Settings | None = None,
    client_settings: Settings | None = None,
    counter: Counter | None = None,
    network: Network | None = None,
    seconds: float = 300.0,
) -> AsyncIterator[Rig]:
    """Run both, for a bounded time."""
    application, counter = new_desk(counter)
    network = network or Network()
    ringer = Ringer()
    with trio.fail_after(seconds):
        async with loopback_server(
            application, encrypted=encrypted, tls_version=tls_version, network=network, settings=settings
        ) as server:
            if client_settings is not None:
                server._settings = attrs.evolve(client_settings, client_server=server._settings.client_server)
            async with server.connect(serve=[ringer]) as client:
                yield Rig(server, client, client.use(Desk), counter, ringer, network)


class SocketNetwork(Network):
    """Connections over sockets of the system, without faults."""

    def new_link(self) -> Link:
        """The two ends of one."""
        ours, theirs = socket.socketpair()
        ends = SimpleNamespace(client=PlainTransport(ours, "server"), server=PlainTransport(theirs, "client"))
        self.links.append(ends)  # type: ignore[arg-type]
        return ends  # type: ignore[return-value]


def send_away(rig: Rig, *, after: float = 0.0, code: GoawayCode = GoawayCode.POLICY) -> Peer:
    """Have the server send its newest connection away; returns the server's end of it."""
    peer = list(rig.server.server.sessions)[-1].peer
    peer.connection.goaway(code, "come back", reconnect_after=after)
    peer.wake()
    return peer


async def until(condition: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait until something is so."""
    with trio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110 - nobody tells
            await trio.sleep(0.001)


class RawClient:
    """A client without a runtime: frames leave and events arrive when the test says so."""

    def __init__(self, transport: MemoryTransport, connection: Connection) -> None:
        self.transport = transport
        self.connection = connection
        self.events: list[Event] = []

    async def send(self) -> None:
        """Write what the core has queued."""
        while data := self.connection.data_to_send():
            rest = memoryview(data)
            while rest:
                sent = self.transport.send_nowait(rest)
                rest = rest[sent:]
                if not sent:
                    await self.transport.wait_writable()

    async def receive(self, until: Callable[[Event], bool]) -> Event:
        """Read until an event is there."""
        while True:
            for number, event in enumerate(self.events):
                if until(event):
                    del self.events[number]
                    return event
            data = self.transport.receive_nowait()
            if data is None:
                await self.transport.wait_readable()
            elif data:
                self.events.extend(self.connection.receive(data, trio.current_time()))
                await self.send()
            else:
                raise HandshakeEnded("closed")

    async def receive_of(self, kind: type[Event]) -> Event:
        """Read until an event of a class is there."""
        return await self.receive(lambda event: isinstance(event, kind))


@contextlib.asynccontextmanager
async def open_raw(
    server: LoopbackServer,
    *,
    credentials: Mapping[str, object] | None = None,
    versions: Sequence[int] | None = None,
    hello: bool = True,
    limits: Limits | None = None,
) -> AsyncIterator[RawClient]:
    """Connect a raw client to an unencrypted server; it has said HELLO and read nothing."""
    link: Link = server.network.new_link()
    server._nursery.start_soon(server._serve, link)
    connection = Connection(Role.CLIENT, limits, ping_interval=0, now=trio.current_time())
    raw = RawClient(link.client, connection)
    if hello:
        said = Hello(application="raw", limits=connection.limits, credentials=credentials or {})
        if versions is not None:
            said = attrs.evolve(said, versions=tuple(versions))
        connection.send_hello(said)
        await raw.send()
    try:
        yield raw
    finally:
        link.client.abort()
