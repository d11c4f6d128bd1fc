"""The server: one port, its connections, and an orderly end.

It knows nothing of signals, terminals and settings files; `appserver.cli.run` does.
"""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from ssl import SSLContext

import attrs
import trio

from appserver.application import Application
from appserver.client_task import ClientTask, ConnectionRules
from appserver.doorway import Doorway
from appserver.encryption import Encryption, load_encryption
from appserver.gate import Gate
from appserver.rechecking import keep_checking
from appserver.reloading import Reloader, ReloadReport
from appserver.sending_away import send_away
from appserver.sessions import Session, SessionInfo, SessionTable
from appserver.sources import Source
from appserver.upkeep import keep_certificate
from protocol.certs import CertificateFacts, ServerIdentity
from protocol.peer import connection_limits
from protocol.peer.enrolment import JOIN_PROTOCOL
from protocol.settings import LoadedSettings, Settings
from protocol.transport import Address, Mismatch, PlainTransport, Transport, TransportError
from protocol.transport.accepting import take_socket, turn_away
from protocol.transport.client_hello import peek_protocols
from protocol.transport.listener import Listener, open_listeners
from protocol.transport.mismatch import examine_client
from protocol.transport.opening import open_server as open_transport
from protocol.wire.errors import GoawayCode

logger = logging.getLogger("appserver.server")

_AT_ONCE = 500
"""Sessions that are looked at before others have their turn."""


@attrs.frozen
class ServerStatistics:
    """A snapshot of a server.

    Attributes:
        sessions: welcomed clients.
        connecting: connections that are still in their handshake.
        accepted: connections since the start.
        turned_away: of these, closed at once because too many were in their handshake.
        certificate: the one that new connections are shown, None without encryption.
        reload: how the last change of settings or certificates went, None where there was none.
    """

    sessions: int
    connecting: int
    accepted: int
    turned_away: int
    certificate: CertificateFacts | None = None
    reload: ReloadReport | None = None


class Server:
    """A running application server; `open_server` makes one.

    Attributes:
        application: what it serves.
        encryption: what new connections get; `take_over` swaps it.
        settings: those that new connections get.
        addresses: what it listens on, as `host:port`.
        doorway: where clients join.
        reloader: takes changed files over; None where nothing is read again, as in the harness.
        now: the clock, UTC, by which clients' certificates end.
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
        self.encryption = Encryption(context is not None, settings.tls, identity, context)
        self.settings = settings
        self.sessions = SessionTable()
        self.addresses: tuple[str, ...] = ()
        self.reloader: Reloader | None = None
        self.now: Callable[[], datetime] = lambda: datetime.now(UTC)
        self._nursery: trio.Nursery | None = None
        self._draining = False
        self._accepted = 0
        self._gate = Gate(settings.limits.connections_before_authentication, settings.limits.per_source)
        self.doorway = Doorway(lambda: self.settings)
        self._limiter = trio.CapacityLimiter(settings.limits.worker_threads)
        self._task = ClientTask(
            application,
            self.sessions,
            _rules_of(settings),
            limiter=self._limiter,
            draining=lambda: self._draining,
        )

    @property
    def encrypted(self) -> bool:
        """Whether clients connect with TLS."""
        return self.encryption.encrypt

    @property
    def identity(self) -> ServerIdentity | None:
        """Its certificate, None with encryption off."""
        return self.encryption.identity

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
        return ServerStatistics(
            len(self.sessions),
            self._gate.inside,
            self._accepted,
            self._gate.turned_away,
            self.encryption.certificate,
            self.reloader.last if self.reloader is not None else None,
        )

    def session_list(self) -> list[SessionInfo]:
        """A snapshot of every session."""
        return [session.info() for session in self.sessions]

    async def reload(self) -> ReloadReport | None:
        """Read settings and certificates again and take them over, or keep those that are in use.

        Returns:
            How that went, which `statistics` and the log say, too; None where nothing is read again.
        """
        return await self.reloader.reload() if self.reloader is not None else None

    def take_over(self, settings: Settings, encryption: Encryption) -> None:
        """Let new connections have other settings, and send those away that no longer comply.

        Args:
            settings: `limits` and `timeouts` are for new connections, too; `limits.event_replay` holds at once.
            encryption: proven; it has never served.
        """
        self.settings, self.encryption = settings, encryption
        self._task.rules = _rules_of(settings)
        self.application.service.topics.resize(settings.limits.event_replay)
        self._gate.most = settings.limits.connections_before_authentication
        self._gate.per_source = settings.limits.per_source
        self._limiter.total_tokens = settings.limits.worker_threads
        now = self.now()
        for session in self.sessions:
            self._check_compliance(session, now)

    async def check_sessions(self) -> None:
        """Send those away whose client's certificate has ended since they were looked at."""
        now = self.now()
        for number, session in enumerate(self.sessions):
            self._check_compliance(session, now)
            if number % _AT_ONCE == _AT_ONCE - 1:
                await trio.lowlevel.checkpoint()

    def _check_compliance(self, session: Session, now: datetime) -> None:
        if session.hurried or self._nursery is None:
            return
        objection = self.encryption.objection(session.security, session.chain, now)
        # One that was sent away is told again only where it has less time now.
        if objection is not None and (objection.urgent or not session.sent_away):
            ahead = self.sessions.sent_away
            self.sessions.leave_place(session, hurried=objection.urgent)
            send_away(session, objection, self._nursery, ahead=ahead, patience=self.settings.timeouts.drain)

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
        encryption = self.encryption  # it may be swapped before the handshake is over

        def leave_gate() -> None:
            nonlocal inside
            if inside:
                inside = False
                self._gate.leave(source)

        def signed_in(session: Session) -> None:
            leave_gate()
            self._admit(session)

        try:
            if encryption.is_closed:
                await turn_away(sock, timeouts=self.settings.timeouts)
                logger.warning("client turned away: the certificate cannot be used", extra={"peer": source})
                return
            carrier = take_socket(sock)
            if await self._wants_to_join(carrier, encryption):
                assert encryption.identity is not None
                await self.doorway.serve(carrier, source, encryption.identity)
                return
            transport = await open_transport(
                carrier, context=encryption.context, timeouts=self.settings.timeouts
            )
            await self._task.serve(transport, encryption, signed_in)
        except Mismatch as exc:
            logger.warning("client speaks something else", extra={"peer": source, "finding": exc.cause})
        except TransportError as exc:
            logger.info("handshake failed", extra={"peer": source, "finding": exc.cause})
        except Exception:
            logger.exception("connection failed", extra={"peer": source})
            sock.close()
        finally:
            leave_gate()

    async def _wants_to_join(self, carrier: PlainTransport, encryption: Encryption) -> bool:
        """Whether a client offers to join, and nothing else; what does not encrypt is sent away here."""
        if encryption.identity is None:
            return False
        timeout = self.settings.timeouts.handshake
        deadline = trio.current_time() + timeout
        try:
            await examine_client(carrier, encrypt=True, timeout=timeout)
            return await peek_protocols(carrier, deadline=deadline) == (JOIN_PROTOCOL,)
        except BaseException:
            carrier.abort()
            raise

    def _admit(self, session: Session) -> None:
        self._check_compliance(session, self.now())

    async def serve_transport(self, transport: Transport) -> None:
        """Serve one connection that did not come through a listener, for harnesses."""
        self._accepted += 1
        await self._task.serve(transport, self.encryption, self._admit)

    async def drain(self, text: str = "the server is stopping") -> None:
        """Take no new calls, wait for the open ones as long as `timeouts.drain` allows, then end."""
        self._draining = True
        with trio.move_on_after(self.settings.timeouts.drain):
            async with trio.open_nursery() as nursery:
                for session in self.sessions:
                    nursery.start_soon(_drain_session, session, text)
        for session in self.sessions:
            session.peer.leave(GoawayCode.SHUTDOWN, text, reconnect_after=1.0)


def _rules_of(settings: Settings) -> ConnectionRules:
    return ConnectionRules(
        connection_limits(settings.limits), settings.timeouts, settings.client_server.sessions
    )


async def _drain_session(session: Session, text: str) -> None:
    await session.peer.drain(text, reconnect_after=1.0)


@contextlib.asynccontextmanager
async def open_server(
    application: Application,
    *,
    settings: Settings | LoadedSettings | None = None,
    resources: Path | str | None = None,
    watch: bool = False,
) -> AsyncIterator[Server]:
    """Run a server for as long as the context lasts; leaving it drains and ends all connections.

    Its own certificate is renewed while it runs, and `Server.reload` takes changed files over.

    Args:
        application: what to serve.
        settings: the defaults without. With those of `load_settings`, their file is read again at a reload.
        resources: folder of the server's key and certificate; `tls.resources`, or `Resources` in the working
            directory (beside the settings file, where one was read), without.
        watch: reload by itself when the settings file or a file of the folder changes.

    Raises:
        ResourcesError: encryption is on and a file cannot be used.
        TransportError: the port cannot be listened on.
    """
    source = Source(settings or Settings(), Path(resources) if resources is not None else None)
    read = source.first
    seen = await trio.to_thread.run_sync(source.signature, read)
    encryption = await trio.to_thread.run_sync(load_encryption, read, source.folder(read))
    server = Server(application, read, identity=encryption.identity, context=encryption.context)
    server.reloader = Reloader(server, source, seen)
    listeners = await open_listeners(read.client_server.host, read.client_server.port)
    server.addresses = tuple(listener.location for listener in listeners)
    async with run_server(server, listeners) as nursery:
        nursery.start_soon(keep_certificate, server.reloader)
        nursery.start_soon(keep_checking, server)
        if watch:
            nursery.start_soon(server.reloader.watch)
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
    with contextlib.ExitStack() as stack:
        for listener in listeners:
            stack.callback(listener.close)
        stack.enter_context(application.service.topics.served(server.settings.limits.event_replay))
        async with lifespan, trio.open_nursery() as connections:
            server._nursery = connections
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
    if failure is not None:
        raise failure


async def serve(
    application: Application,
    *,
    settings: Settings | LoadedSettings | None = None,
    resources: Path | str | None = None,
    task_status: trio.TaskStatus[Server] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve an application until cancelled; see `open_server`."""
    async with open_server(application, settings=settings, resources=resources) as server:
        task_status.started(server)
        await trio.sleep_forever()
