"""The door for clients that join: a connection that has no certificate yet, and gets one for a code.

Theory of operation. Such a client says so in its first message (ALPN `appserver-join/1`), and is served with a TLS
context of its own, which asks for no certificate and shows one of the private authority. Nothing of the application is
on that connection: no sign-in, no interface but `Joining`, small limits, one call, a short time. Everybody
else meets the server's own context, and with `clients-ca.pem` its alert `certificate_required`.

The authority's key is read for the moment in which it signs, and not kept.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from ssl import SSLContext

import attrs
import trio

from appserver.door_rate import DoorRate
from protocol.certs import (
    CertificatesError,
    ExpiredInvitation,
    RequestError,
    ServerIdentity,
    UnfitRequest,
    UnknownInvitation,
    UsedInvitation,
    admit_client,
    anchors_for_clients,
    facts_of_der,
    make_joining_identity,
    server_context,
)
from protocol.peer import HandshakeEnded, Peer, Service, receive_hello, send_pending
from protocol.peer.enrolment import (
    JOIN_PROTOCOL,
    Admission,
    CodeExpired,
    CodeUnknown,
    CodeUsed,
    Joining,
    JoiningClosed,
    RequestUnfit,
)
from protocol.peer.replies import Refusal
from protocol.settings import Settings, TimeoutSettings, TlsSettings
from protocol.transport import Carrier, Transport, TransportError, open_server
from protocol.transport.accepting import refuse_for_now
from protocol.wire import codes
from protocol.wire.connection import Connection, Role
from protocol.wire.envelope import PROTOCOL_VERSION, Refuse, Welcome
from protocol.wire.errors import Executed, RemoteProtocolError
from protocol.wire.limits import HANDSHAKE_FRAME, Limits

logger = logging.getLogger("appserver.joining")

SECONDS = 20.0
"""How long a connection for joining may last in all."""

FRESH = 3600.0
"""Seconds for which one TLS context is used; its certificate holds for longer."""

LIMITS = Limits(
    frame=HANDSHAKE_FRAME,
    message=HANDSHAKE_FRAME,
    open_calls=1,
    subscriptions=0,
    stream_credit=1,
    stream_window=1,
    connection_credit=1,
    depth=8,
    elements=64,
    pending_output=64 * 1024,
)

_TOLD: dict[type[RequestError], type[Exception]] = {
    UnknownInvitation: CodeUnknown,
    UsedInvitation: CodeUsed,
    ExpiredInvitation: CodeExpired,
    UnfitRequest: RequestUnfit,
}


@attrs.frozen
class _Shown:
    """The context in use, and what it was made of."""

    context: SSLContext
    identity: ServerIdentity
    policy: TlsSettings
    made: float


class Doorway:
    """Serves connections for joining.

    Args:
        settings: gives the server's settings as they are now.
        now: the clock, UTC.
    """

    def __init__(
        self, settings: Callable[[], Settings], *, now: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self.rate = DoorRate()
        self.now = now
        self._settings = settings
        self._shown: _Shown | None = None
        self._limiter = trio.CapacityLimiter(2)  # threads that sign, beside those of handlers

    async def serve(self, carrier: Carrier, source: str, identity: ServerIdentity) -> None:
        """Serve one connection to its end; whatever goes wrong with it ends here, as a line in the log.

        Args:
            carrier: of a client that offers to join; nothing was taken from it.
            source: its address.
            identity: what the server shows to all others.
        """
        visit = self.rate.enter(source, trio.current_time())
        if visit is None:
            logger.warning("too many connections for joining", extra={"peer": source})
            await refuse_for_now(carrier)
            return
        try:
            visit.deadline = trio.current_time() + SECONDS
            with visit:
                await self._serve(carrier, identity)
            if visit.cancelled_caught:
                logger.info("a connection for joining took too long", extra={"peer": source})
        except RemoteProtocolError as exc:
            logger.warning("not a client of ours", extra={"peer": source, "finding": str(exc)})
        except (
            HandshakeEnded
        ) as exc:  # it looked at the certificate, which each join begins with, and said nothing
            logger.debug("a connection for joining was a look", extra={"peer": source, "finding": str(exc)})
        except TransportError as exc:
            logger.info("a connection for joining ended", extra={"peer": source, "finding": str(exc)})
        finally:
            self.rate.leave(visit)
            carrier.abort()

    async def _serve(self, carrier: Carrier, identity: ServerIdentity) -> None:
        settings = self._settings()
        try:
            context = await self._context(identity, settings.tls)
        except CertificatesError as exc:
            logger.warning("nobody can join", extra={"peer": carrier.peer_address, "finding": str(exc)})
            await refuse_for_now(carrier)
            return
        transport = await open_server(
            carrier, context=context, timeouts=settings.timeouts, protocol=JOIN_PROTOCOL
        )
        try:
            await self._talk(transport, identity.resources, settings.timeouts)
        finally:
            with trio.CancelScope(shield=True):
                await transport.aclose()

    async def _context(self, identity: ServerIdentity, policy: TlsSettings) -> SSLContext:
        now = trio.current_time()
        shown = self._shown
        if shown is None or (shown.identity, shown.policy) != (identity, policy) or now > shown.made + FRESH:
            make = partial(_make_context, identity.resources, policy, self.now())
            context = await trio.to_thread.run_sync(make, limiter=self._limiter)
            shown = self._shown = _Shown(context, identity, policy, now)
        return shown.context

    async def _talk(self, transport: Transport, resources: Path, timeouts: TimeoutSettings) -> None:
        connection = Connection(Role.SERVER, LIMITS, ping_interval=timeouts.ping, now=trio.current_time())
        service = Service()
        service.add(_Desk(self, resources, transport.peer_address))
        received, events = await receive_hello(transport, connection)
        if PROTOCOL_VERSION not in received.hello.versions:
            text = f"this server speaks protocol version {PROTOCOL_VERSION}"
            connection.refuse(Refuse(codes.UNSUPPORTED_VERSION, text, secrets.token_hex(4)))
            await send_pending(transport, connection)
            return
        # No name of the application, and no session: there is nothing that a stranger needs to know.
        welcome = Welcome(
            "joining",
            b"",
            interfaces=service.offers(received.hello.interfaces),
            limits=LIMITS,
            time=datetime.now(UTC),
        )
        connection.welcome(welcome, received.hello.limits)
        await send_pending(transport, connection)
        peer = Peer(transport, connection, service, limiter=self._limiter, timeouts=timeouts)
        await peer.run(events)

    async def admit(self, resources: Path, secret: bytes, request: bytes, peer: str) -> Admission:
        """Answer the one call; what it raises goes to the client."""
        try:
            name, certificate = await trio.to_thread.run_sync(
                partial(admit_client, resources, secret, request, now=self.now()), limiter=self._limiter
            )
            authority, anchors = await trio.to_thread.run_sync(
                anchors_for_clients, resources, limiter=self._limiter
            )
        except RequestError as exc:
            logger.warning("a client may not join", extra={"peer": peer, "finding": str(exc)})
            raise _TOLD[type(exc)](str(exc)) from None
        except CertificatesError as exc:
            logger.error("nobody can join", extra={"peer": peer, "finding": str(exc)})
            raise JoiningClosed("the server cannot issue a certificate now; its log says why") from None
        fingerprint = facts_of_der(certificate).fingerprint
        logger.info("client joined", extra={"peer": peer, "client": name, "fingerprint": fingerprint})
        return Admission(certificate, authority, list(anchors))


class _Desk(Joining):
    """What one connection can call."""

    def __init__(self, doorway: Doorway, resources: Path, peer: str) -> None:
        self._doorway = doorway
        self._resources = resources
        self._peer = peer
        self._asked = False

    async def join(self, secret: bytes, request: bytes) -> Admission:
        if self._asked:
            raise Refusal(codes.TOO_MANY_CALLS, "one call for each connection", Executed.NO)
        self._asked = True
        return await self._doorway.admit(self._resources, secret, request, self._peer)


def _make_context(resources: Path, policy: TlsSettings, now: datetime) -> SSLContext:
    identity = make_joining_identity(resources, names=policy.names, now=now)
    context = server_context(identity, policy)
    context.set_alpn_protocols([JOIN_PROTOCOL])
    return context
