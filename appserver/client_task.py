"""One accepted connection, from its first octet to its end.

This is the barrier: whatever goes wrong with a connection, its peer or its handlers ends here, as one
log line, and never reaches the listener or another client.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from datetime import UTC, datetime

import attrs
import trio

from appserver.application import Application, NotAuthenticated
from appserver.context import signing_in
from appserver.encryption import Encryption
from appserver.identifying import NotIdentified, identify
from appserver.sessions import Session, SessionTable
from protocol.certs import ClientChain
from protocol.peer import HandshakeEnded, Peer, receive_hello, send_pending
from protocol.settings import TimeoutSettings
from protocol.transport import Transport, TransportError
from protocol.wire import codes
from protocol.wire.connection import Connection, Role
from protocol.wire.envelope import PROTOCOL_VERSION, Hello, Refuse, Welcome
from protocol.wire.errors import RemoteProtocolError
from protocol.wire.events import Event
from protocol.wire.limits import Limits

logger = logging.getLogger("appserver.connections")

SIGN_IN_RETRY = 10.0
"""Seconds after which a client tries again where signing in failed for no fault of its own."""
FULL_RETRY = 30.0
"""Seconds after which a client tries again where there was no place for it: people do not leave every second."""


@attrs.frozen
class ConnectionRules:
    """What holds for every connection of a server.

    Attributes:
        limits: what the server accepts.
        timeouts: how long it waits for what.
        sessions: clients that it serves at once.
    """

    limits: Limits
    timeouts: TimeoutSettings
    sessions: int


class ClientTask:
    """Serves one connection after another, each in a task of its own.

    Args:
        application: what is served.
        sessions: where a connection appears once it is welcome.
        rules: limits and timeouts; those that are set later count for the next connections.
        limiter: worker threads for `def` handlers.
        draining: whether the server is stopping.
    """

    def __init__(
        self,
        application: Application,
        sessions: SessionTable,
        rules: ConnectionRules,
        *,
        limiter: trio.CapacityLimiter,
        draining: Callable[[], bool],
    ) -> None:
        self._application = application
        self._sessions = sessions
        self.rules = rules
        self._limiter = limiter
        self._draining = draining

    async def serve(
        self, transport: Transport, accepted: Encryption, signed_in: Callable[[Session], object]
    ) -> None:
        """Serve one connection to its end.

        Args:
            transport: connected, with TLS established where there is any.
            accepted: what it was accepted under.
            signed_in: called with the session when the client has been welcomed.
        """
        rules = self.rules
        connection = Connection(
            Role.SERVER, rules.limits, ping_interval=rules.timeouts.ping, now=trio.current_time()
        )
        address = transport.peer_address
        try:
            with trio.move_on_after(rules.timeouts.first_frame) as scope:
                session, events = await self._welcome(transport, connection, accepted)
            if scope.cancelled_caught:
                logger.info("no HELLO in time", extra={"peer": address})
                return
            if session is None:
                return
            peer = Peer(
                transport,
                connection,
                self._application.service,
                limiter=self._limiter,
                timeouts=rules.timeouts,
                owner=session,
            )
            session.attach(peer)
            self._sessions.add(session)
            signed_in(session)
            logger.info("client connected", extra=_facts(session))
            try:
                reason = await peer.run(events)
            finally:
                self._sessions.remove(session)
            logger.info("client left", extra={**_facts(session), "reason": reason})
        except RemoteProtocolError as exc:
            logger.warning("not a client of ours", extra={"peer": address, "finding": str(exc)})
        except (TransportError, HandshakeEnded) as exc:
            logger.info("connection ended in its handshake", extra={"peer": address, "finding": str(exc)})
        except Exception:
            logger.exception("connection failed", extra={"peer": address})
        finally:
            with trio.CancelScope(shield=True):
                await transport.aclose()

    async def _welcome(
        self, transport: Transport, connection: Connection, accepted: Encryption
    ) -> tuple[Session | None, list[Event]]:
        """Answer HELLO; returns no session where the client was refused."""
        try:
            chain = identify(transport.security, accepted, datetime.now(UTC))
        except NotIdentified as exc:
            refuse = Refuse(codes.NOT_AUTHENTICATED, str(exc), _reference(), exc.retry_after)
            return await _refuse(transport, connection, refuse)
        received, events = await receive_hello(transport, connection)
        hello = received.hello
        checked = (
            self._check_place()
            or self._check(hello)
            or await self._sign_in(hello, transport.peer_address, chain)
        )
        if not isinstance(checked, Refuse):
            checked = self._check_place() or checked  # others may have come meanwhile
        if isinstance(checked, Refuse):
            return await _refuse(transport, connection, checked)
        session = Session(
            transport.peer_address,
            principal=checked,
            application=hello.application,
            security=transport.security,
            chain=chain,
            resources=accepted.identity.resources if accepted.identity is not None else None,
        )
        welcome = Welcome(
            session.id,
            secrets.token_bytes(16),
            application=self._application.name,
            interfaces=self._application.service.offers(hello.interfaces),
            limits=self.rules.limits,
            time=datetime.now(UTC),
        )
        self._sessions.reserve(session)
        try:
            connection.welcome(welcome, hello.limits)
            await send_pending(transport, connection)
        except BaseException:
            self._sessions.remove(session)
            raise
        return session, events

    async def _sign_in(self, hello: Hello, address: str, chain: ClientChain | None) -> str | Refuse:
        """The principal's name: the application has the last word, and without one the certificate."""
        certificate = chain.certificate if chain is not None else None
        name = certificate.name if certificate is not None else ""
        if self._application.authenticate is None:
            return name
        try:
            with signing_in(certificate):
                return await self._application.authenticate(hello.credentials, address) or name
        except NotAuthenticated as exc:
            return Refuse(codes.NOT_AUTHENTICATED, str(exc), _reference())
        except Exception:  # the application's: its database may be down
            text = "the server cannot sign anybody in at the moment"
            refuse = Refuse(codes.INTERNAL, text, _reference(), SIGN_IN_RETRY)
            logger.exception("authenticate failed", extra={"reference": refuse.reference})
            return refuse

    def _check_place(self) -> Refuse | None:
        """Why no client can be served now, or None."""
        if self._draining():
            return Refuse(codes.DRAINING, "the server is stopping", _reference(), retry_after=1.0)
        if self._sessions.places_taken >= self.rules.sessions:
            text = f"the server serves {self.rules.sessions} clients already (client_server.sessions)"
            return Refuse(codes.SERVER_FULL, text, _reference(), retry_after=FULL_RETRY)
        return None

    def _check(self, hello: Hello) -> Refuse | None:
        """Why this client cannot be served, or None."""
        if PROTOCOL_VERSION not in hello.versions:
            text = (
                f"this server speaks protocol version {PROTOCOL_VERSION}, the client {list(hello.versions)}"
            )
            return Refuse(codes.UNSUPPORTED_VERSION, text, _reference())
        contracts = self._application.service.contracts
        for name, offer in hello.interfaces.items():
            contract = contracts.get(name)
            if contract is None:
                text = f"this server has no interface {name}; it has {', '.join(contracts) or 'none'}"
                return Refuse(codes.INTERFACE_VERSION, text, _reference())
            if contract.version[0] not in [major for major, _ in offer.versions]:
                wanted = ", ".join(f"{major}.{minor}" for major, minor in offer.versions)
                served = f"{contract.version[0]}.{contract.version[1]}"
                text = f"the client uses {name} {wanted}, this server has {served}"
                return Refuse(codes.INTERFACE_VERSION, text, _reference())
        return None


async def _refuse(transport: Transport, connection: Connection, refuse: Refuse) -> tuple[None, list[Event]]:
    logger.warning(
        "client refused",
        extra={
            "peer": transport.peer_address,
            "code": refuse.code,
            "text": refuse.text,
            "reference": refuse.reference,
        },
    )
    connection.refuse(refuse)
    await send_pending(transport, connection)
    return None, []


def _reference() -> str:
    """What the user reads out to the administrator, who finds it in the log."""
    return secrets.token_hex(4)


def _facts(session: Session) -> dict[str, object]:
    facts: dict[str, object] = {
        "session": session.id,
        "peer": session.peer_address,
        "encrypted": session.security.encrypted,
    }
    if session.principal:
        facts["principal"] = session.principal
    if session.certificate is not None:
        facts["serial"] = session.certificate.serial
    return facts
