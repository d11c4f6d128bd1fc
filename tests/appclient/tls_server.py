"""A real TLS server over loopback: it shows whatever certificate a test wants, and notes what clients tell it."""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Literal

import attrs
import trio
import trustme

from protocol.certs import ALPN_PROTOCOL, spki_fingerprint
from protocol.peer import HandshakeEnded
from protocol.peer.handshake import receive_hello, send_pending
from protocol.settings import Settings, TimeoutSettings
from protocol.transport import Address, Listener, Transport, TransportError, accept_transport, open_listeners
from protocol.wire.connection import Connection, Role
from protocol.wire.envelope import Hello, Welcome
from protocol.wire.errors import RemoteProtocolError
from protocol.wire.limits import Limits

Version = Literal["1.2", "1.3"]
VERSIONS: dict[str, ssl.TLSVersion] = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}

SETTINGS = Settings(
    timeouts=TimeoutSettings(
        handshake=5.0, first_frame=5.0, reconnect_first=0.05, reconnect_factor=1.2, reconnect_most=0.2
    )
)


def issue(authority: trustme.CA, *names: str, **options: Any) -> trustme.LeafCert:
    """A certificate, for `localhost` unless other names are given."""
    return authority.issue_cert(*(names or ("localhost",)), key_type=trustme.KeyType.ECDSA, **options)


def fingerprint_of(certificate: trustme.LeafCert) -> str:
    """The fingerprint of its key."""
    return spki_fingerprint(ssl.PEM_cert_to_DER_cert(certificate.cert_chain_pems[0].bytes().decode()))


def context_of(
    certificate: trustme.LeafCert, version: str, clients: trustme.CA | None = None
) -> ssl.SSLContext:
    """A server's context that checks nothing of its own files, as others' servers do not.

    Args:
        certificate: what it shows.
        version: the one that it speaks.
        clients: whose certificates are wanted of clients; none without.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = VERSIONS[version]
    context.set_alpn_protocols([ALPN_PROTOCOL])
    certificate.configure_cert(context)
    if clients is not None:
        context.verify_mode = ssl.CERT_OPTIONAL
        clients.configure_trust(context)
    return context


@attrs.define
class TlsServer:
    """A server that welcomes every client.

    Attributes:
        contexts: for one connection after another; the last one stays.
        hellos: what the clients said: an application's credentials are in there, and nowhere before.
        clients: the certificate that each client showed, or None, for each handshake that was completed.
        connections: how many there were.
        transport: the present one.
    """

    listener: Listener
    contexts: list[ssl.SSLContext]
    hellos: list[Hello] = attrs.field(factory=list)
    clients: list[bytes | None] = attrs.field(factory=list)
    connections: int = 0
    transport: Transport | None = None

    @property
    def port(self) -> int:
        return int(self.listener.location.rpartition(":")[2])

    @property
    def address(self) -> Address:
        return Address("localhost", self.port)

    async def run(self) -> None:
        """Accept until cancelled."""
        async with trio.open_nursery() as nursery:
            while True:
                sock = await self.listener.accept()
                nursery.start_soon(self._serve, sock)

    async def _serve(self, sock: Any) -> None:
        self.connections += 1
        context = self.contexts.pop(0) if len(self.contexts) > 1 else self.contexts[0]
        with contextlib.suppress(TransportError, HandshakeEnded, RemoteProtocolError):
            transport = await accept_transport(sock, context=context, timeouts=SETTINGS.timeouts)
            self.clients.append(transport.security.peer_certificate)
            self.transport = transport
            try:
                await self._welcome(transport)
            finally:
                transport.abort()

    async def _welcome(self, transport: Transport) -> None:
        connection = Connection(Role.SERVER, ping_interval=0, now=trio.current_time())
        hello, _ = await receive_hello(transport, connection)
        self.hellos.append(hello.hello)
        connection.welcome(Welcome("1", b"t" * 16, application="tls"), Limits())
        await send_pending(transport, connection)
        while transport.receive_nowait() != b"":
            await transport.wait_readable()


@contextlib.asynccontextmanager
async def tls_server(*contexts: ssl.SSLContext) -> AsyncIterator[TlsServer]:
    """Run a server with these contexts, for at most 20 seconds."""
    with trio.fail_after(20):
        (listener,) = await open_listeners("127.0.0.1", 0)
        server = TlsServer(listener, list(contexts))
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(server.run)
                yield server
                nursery.cancel_scope.cancel()
        finally:
            listener.close()


def trusting(folder: Path, authority: trustme.CA) -> Path:
    """A client's Resources folder whose `ca.pem` is an authority's."""
    folder.mkdir(exist_ok=True)
    authority.cert_pem.write_to_path(folder / "ca.pem")
    return folder
