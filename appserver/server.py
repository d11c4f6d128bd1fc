"""The server: one port, its connections, and an orderly end.

It knows nothing of signals, terminals and settings files; `appserver.cli.run` does.
"""

from __future__ import annotations

import contextlib
import logging
import socket
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from ssl import SSLContext

import attrs
import trio

from appserver.application import Application
from appserver.client_task import ClientTask, ConnectionRules
from appserver.sessions import Session, SessionInfo, SessionTable
from protocol.certs import (
    ServerIdentity,
    ensure_server_identity,
    open_server_identity,
    read_passphrase,
    server_context,
)
from protocol.peer import connection_limits
from protocol.settings import Settings
from protocol.transport import Address, Mismatch, Transport, TransportError
from protocol.transport.accepting import accept_transport
from protocol.transport.listener import Listener, open_listeners
from protocol.wire.errors import GoawayCode

logger = logging.getLogger("appserver.server")


@attrs.frozen
class ServerStatistics:
    """A snapshot of a server.

    Attributes:
        sessions: welcomed clients.
        connecting: connections that are still in their handshake.
        accepted: connections since the start.
        turned_away: of these, closed at once because too many were in their handshake.
    """

    sessions: int
    connecting: int
    accepted: int
    turned_away: int


class _Gate:
    """Bounds the connections that have not proved to be clients yet, in all and from one source."""

    def __init__(self, most: int, per_source: int) -> None:
        self._most = most
        self._per_source = per_source
        self._sources: Counter[str] = Counter()
        self.inside = 0
        self.turned_away = 0

    def enter(self, source: str) -> bool:
        if self.inside >= self._most or self._sources[source] >= self._per_source:
            self.turned_away += 1
            if not self._sources[source]:
                del self._sources[source]
            return False
        self.inside += 1
        self._sources[source] += 1
        return True

    def leave(self, source: str) -> None:
        self.inside -= 1
        self._sources[source] -= 1
        if not self._sources[source]:
            del self._sources[source]


class Server:
    """A running application server; `open_server` makes one.

    Attributes:
        application: what it serves.
        identity: its certificate's facts, None with encryption off.
        addresses: what it listens on, as `host:port`.
    """

    def __init__(
        self,
        application: Application,
        settings: Settings,
        *,
        identity: ServerIdentity | None,
        context: SSLContext | None,
    ) -> None:
        self.application = application
        self.identity = identity
        self.sessions = SessionTable()
        self.addresses: tuple[str, ...] = ()
        self._settings = settings
        self._context = context
        self._draining = False
        self._accepted = 0
        self._gate = _Gate(settings.limits.connections_before_authentication, settings.limits.per_source)
        self._task = ClientTask(
            application,
            self.sessions,
            ConnectionRules(
                connection_limits(settings.limits), settings.timeouts, settings.client_server.sessions
            ),
            limiter=trio.CapacityLimiter(settings.limits.worker_threads),
            draining=lambda: self._draining,
        )

    @property
    def encrypted(self) -> bool:
        """Whether clients connect with TLS."""
        return self._context is not None

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self.addresses[0].rpartition(":")[2])

    def connection_address(self, host: str | None = None) -> Address:
        """What clients connect to, with the pin of the server's key where it is encrypted.

        Args:
            host: name under which clients know this machine; the certificate's first name without.
        """
        pin = self.identity.fingerprint if self.identity is not None else None
        if host is None:
            host = self.addresses[0].rpartition(":")[0].strip("[]")
            if host in ("0.0.0.0", "::") and self.identity is not None:
                host = self.identity.names[0]
        return Address(host, self.port, pin)

    def statistics(self) -> ServerStatistics:
        """A snapshot."""
        return ServerStatistics(len(self.sessions), self._gate.inside, self._accepted, self._gate.turned_away)

    def session_list(self) -> list[SessionInfo]:
        """A snapshot of every session."""
        return [session.info() for session in self.sessions]

    async def listen(self, listener: Listener, nursery: trio.Nursery) -> None:
        """Accept connections until cancelled.

        Args:
            listener: open.
            nursery: where the connections run: they outlive the listener when the server drains.
        """
        while True:
            sock = await listener.accept()
            self._accepted += 1
            try:
                source = sock.getpeername()[0]
            except OSError:  # gone already
                sock.close()
                continue
            if self._gate.enter(source):
                nursery.start_soon(self._serve, sock, source)
            else:
                sock.close()

    async def _serve(self, sock: socket.socket, source: str) -> None:
        """Serve one connection: the barrier between it and the rest of the server."""
        inside = True

        def signed_in() -> None:
            nonlocal inside
            if inside:
                inside = False
                self._gate.leave(source)

        try:
            transport = await accept_transport(sock, context=self._context, timeouts=self._settings.timeouts)
            await self._task.serve(transport, signed_in)
        except Mismatch as exc:
            logger.warning("client speaks something else", extra={"peer": source, "finding": exc.cause})
        except TransportError as exc:
            logger.info("handshake failed", extra={"peer": source, "finding": exc.cause})
        except Exception:
            logger.exception("connection failed", extra={"peer": source})
            sock.close()
        finally:
            signed_in()

    async def serve_transport(self, transport: Transport) -> None:
        """Serve one connection that did not come through a listener, for harnesses."""
        self._accepted += 1
        await self._task.serve(transport)

    async def drain(self, text: str = "the server is stopping") -> None:
        """Take no new calls, wait for the open ones as long as `timeouts.drain` allows, then end."""
        self._draining = True
        with trio.move_on_after(self._settings.timeouts.drain):
            async with trio.open_nursery() as nursery:
                for session in self.sessions:
                    nursery.start_soon(_drain_session, session, text)
        for session in self.sessions:
            session.peer.leave(GoawayCode.SHUTDOWN, text, reconnect_after=1.0)


async def _drain_session(session: Session, text: str) -> None:
    await session.peer.drain(text, reconnect_after=1.0)


def load_identity(settings: Settings, resources: Path) -> tuple[ServerIdentity, SSLContext]:
    """The server's certificate and TLS context, made first where there is none.

    Raises:
        ResourcesError: a file cannot be used; the server must not start then.
    """
    tls = settings.tls
    passphrase = read_passphrase(tls)
    if tls.auto_certificate:
        identity = ensure_server_identity(
            resources, names=tls.names, key_type=tls.key_type, passphrase=passphrase
        )
    else:
        identity = open_server_identity(resources, passphrase=passphrase)
    return identity, server_context(identity, settings.tls)


@contextlib.asynccontextmanager
async def open_server(
    application: Application, *, settings: Settings | None = None, resources: Path | str | None = None
) -> AsyncIterator[Server]:
    """Run a server for as long as the context lasts; leaving it drains and ends all connections.

    Args:
        application: what to serve.
        settings: the defaults without.
        resources: folder of the server's key and certificate; `tls.resources`, or `Resources` in the working
            directory, without.

    Raises:
        ResourcesError: encryption is on and a file cannot be used.
        TransportError: the port cannot be listened on.
    """
    settings = settings or Settings()
    identity, context = None, None
    if settings.client_server.encrypt:
        folder = Path(resources or settings.tls.resources or "Resources")
        identity, context = await trio.to_thread.run_sync(load_identity, settings, folder)
    server = Server(application, settings, identity=identity, context=context)
    listeners = await open_listeners(settings.client_server.host, settings.client_server.port)
    server.addresses = tuple(listener.location for listener in listeners)
    async with run_server(server, listeners):
        yield server


@contextlib.asynccontextmanager
async def run_server(server: Server, listeners: Sequence[Listener] = ()) -> AsyncIterator[trio.Nursery]:
    """Run a server on listeners that are open already, or on none, for harnesses.

    Yields:
        The nursery of its connections, for `serve_transport`.
    """
    application = server.application
    lifespan = application.lifespan() if application.lifespan is not None else contextlib.nullcontext()
    failure: BaseException | None = None
    try:
        application.service.topics.bind_loop()
        async with lifespan, trio.open_nursery() as connections:
            async with trio.open_nursery() as accepting:
                for listener in listeners:
                    accepting.start_soon(server.listen, listener, connections)
                try:
                    yield connections
                except trio.Cancelled:
                    raise
                except BaseException as exc:  # it leaves below as itself, not in a group of one
                    failure = exc
                # Who comes now is let in as far as to be told that the server is stopping: in the queue of a
                # socket that nobody accepts from, it would wait without a word.
                await server.drain()
                accepting.cancel_scope.cancel()
            connections.cancel_scope.cancel()
    finally:
        for listener in listeners:
            listener.close()
    if failure is not None:
        raise failure


async def serve(
    application: Application,
    *,
    settings: Settings | None = None,
    resources: Path | str | None = None,
    task_status: trio.TaskStatus[Server] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve an application until cancelled; see `open_server`."""
    async with open_server(application, settings=settings, resources=resources) as server:
        task_status.started(server)
        await trio.sleep_forever()
