"""Server and client in one process, over a link in memory that can be told to fail.

For example::

    async def test_an_order_can_be_found(autojump_clock):
        async with loopback(app) as client:
            orders = client.use(Orders)
            assert (await orders.find(7)).number == 7

Everything but the wire is real: TLS with a certificate made for the occasion, the handshake, the
protocol, both runtimes. Nothing waits for real time where the test runs on trio's autojump clock.
Faults are methods of the link's two directions::

    network = Network()
    async with loopback(app, network=network) as client:
        network.link.to_client.delay(0.5)          # half a second each way back
        network.link.to_server.deliver_in(1, 7)    # segments of one and seven bytes in turn
        network.link.to_client.hold()              # one-way loss
        network.link.cut()                         # a reset; Cut.FIN for an end without a goodbye
        network.drop_reply()                       # CALL arrives and runs, RESULT never does
"""

from __future__ import annotations

import contextlib
import ssl
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import attrs
import trio

from appclient.client import Client
from appclient.connecting import Connector
from appclient.opening import run_client
from appserver.application import Application
from appserver.encryption import load_identity
from appserver.server import Server, run_server
from protocol.certs import client_context, load_trust
from protocol.interface import Interface
from protocol.settings import Settings
from protocol.transport import Address, ConnectionRefused, Transport, TransportError
from protocol.transport.memory import Link
from protocol.transport.opening import open_client, open_server

TlsVersion = Literal["1.2", "1.3"]

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class Network:
    """What lies between server and client.

    Attributes:
        links: one for each connection so far.
        on_connect: called with each new link before anything flows over it, to set its faults.
        down: whether connecting fails, as it does while a server is gone.
    """

    def __init__(self, on_connect: Callable[[Link], object] | None = None) -> None:
        self.links: list[Link] = []
        self.on_connect = on_connect
        self.down = False

    @property
    def link(self) -> Link:
        """The link of the present connection."""
        return self.links[-1]

    def drop_reply(self) -> None:
        """Cut the connection as soon as the server sends anything more: a call runs, its result is lost."""
        pipe = self.link.to_client
        pipe.cut_after(pipe.statistics().sent + 1)

    def new_link(self) -> Link:
        """A link for another connection; raises as the network would while it is down."""
        if self.down:
            raise TransportError("server (memory)", "the network is down", "Set network.down to False")
        link = Link()
        if self.on_connect is not None:
            self.on_connect(link)
        self.links.append(link)
        return link


@contextlib.asynccontextmanager
async def loopback(
    application: Application,
    *,
    encrypted: bool = True,
    tls_version: TlsVersion | None = None,
    network: Network | None = None,
    settings: Settings | None = None,
    credentials: Mapping[str, object] | None = None,
    interfaces: Sequence[Callable[..., Interface]] = (),
    serve: Sequence[object] = (),
) -> AsyncIterator[Client]:
    """Run an application's server and a client of it.

    Args:
        application: what to serve.
        encrypted: with TLS, or in plain text.
        tls_version: the one version to use; the newest without.
        network: what lies between the two, to make it fail; a perfect one without.
        settings: limits and timeouts of both sides.
        credentials: what the application's sign-in takes.
        interfaces: contracts to be checked against the server's before the body runs.
        serve: implementations that the server may call back.
    """
    async with (
        loopback_server(
            application, encrypted=encrypted, tls_version=tls_version, network=network, settings=settings
        ) as server,
        server.connect(credentials=credentials, interfaces=interfaces, serve=serve) as client,
    ):
        yield client


class LoopbackServer:
    """A server that any number of clients connect to in memory; `loopback_server` makes one.

    Attributes:
        server: the server itself: its sessions, its statistics.
        network: what lies between.
    """

    def __init__(
        self,
        server: Server,
        network: Network,
        nursery: trio.Nursery,
        *,
        settings: Settings,
        context: ssl.SSLContext | None,
    ) -> None:
        self.server = server
        self.network = network
        self._nursery = nursery
        self._settings = settings
        self._context = context

    @contextlib.asynccontextmanager
    async def connect(
        self,
        *,
        application: str = "loopback",
        credentials: Mapping[str, object] | None = None,
        interfaces: Sequence[Callable[..., Interface]] = (),
        serve: Sequence[object] = (),
    ) -> AsyncIterator[Client]:
        """Connect a client; arguments as for `appclient.connect`."""
        connector = Connector(
            Address("localhost"),
            self.open_transport,
            settings=self._settings,
            application=application,
            credentials=credentials,
        )
        async with run_client(
            connector, settings=self._settings, interfaces=interfaces, serve=serve
        ) as client:
            yield client

    async def open_transport(self) -> Transport:
        """The client's end of a new connection that the server serves."""
        link = self.network.new_link()
        try:
            self._nursery.start_soon(self._serve, link)
        except RuntimeError:  # the server's block has ended, and a client of it comes back
            raise ConnectionRefused("localhost") from None
        return await open_client(
            link.client, Address("localhost"), context=self._context, timeouts=self._settings.timeouts
        )

    async def _serve(self, link: Link) -> None:
        try:
            transport = await open_server(
                link.server, context=self.server.encryption.context, timeouts=self._settings.timeouts
            )
        except TransportError:
            return  # the client has the other half of the story
        await self.server.serve_transport(transport)


@contextlib.asynccontextmanager
async def loopback_server(
    application: Application,
    *,
    encrypted: bool = True,
    tls_version: TlsVersion | None = None,
    network: Network | None = None,
    settings: Settings | None = None,
) -> AsyncIterator[LoopbackServer]:
    """Run an application's server for several clients; see `loopback`."""
    settings = settings or Settings()
    settings = attrs.evolve(settings, client_server=attrs.evolve(settings.client_server, encrypt=encrypted))
    server_context = context = None
    identity = None
    if encrypted:
        with tempfile.TemporaryDirectory() as folder:
            resources = Path(folder) / "Resources"
            identity, server_context = load_identity(settings, resources)
            client_resources = Path(folder) / "client"
            client_resources.mkdir()
            (client_resources / "ca.pem").write_bytes((resources / "authority" / "ca.pem").read_bytes())
            context = client_context(load_trust(client_resources), settings.tls)
        if tls_version is not None:
            context.maximum_version = context.minimum_version = _VERSIONS[tls_version]
    server = Server(application, settings, identity=identity, context=server_context)
    async with run_server(server) as nursery:
        yield LoopbackServer(
            server,
            network or Network(),
            nursery,
            settings=settings,
            context=context,
        )
