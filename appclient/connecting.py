"""Making one connection: trust, transport, handshake, and the check of interfaces."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

import attrs
import trio

from appclient.asking import Ask
from appclient.errors import HandshakeIncomplete, InterfaceMismatch, Refused
from appclient.trusting import TrustedOpener, explain_tls_failure
from protocol.interface import Contract, differences
from protocol.peer import HandshakeEnded, Peer, check_plain_server, connection_limits, receive_welcome
from protocol.peer.pending import PendingCall
from protocol.settings import Settings
from protocol.transport import Address, EncryptionRequired, TlsFailure, Transport
from protocol.wire import codes
from protocol.wire.codec import pack, unpack
from protocol.wire.connection import Connection, Role
from protocol.wire.envelope import Hello, InterfaceOffer, Refuse, Welcome
from protocol.wire.errors import CodecError, ErrorInfo, Executed, RemoteProtocolError
from protocol.wire.events import Event, RefuseReceived


@attrs.frozen
class Established:
    """One connection after its handshake.

    Attributes:
        transport: connected.
        connection: its core.
        welcome: the server's answer.
        events: what came with it.
        mismatches: interfaces in use that differ from the server's, by name.
    """

    transport: Transport
    connection: Connection
    welcome: Welcome
    events: list[Event]
    mismatches: dict[str, InterfaceMismatch]


class Connector:
    """Makes connections to one server.

    Args:
        address: of the server.
        open_transport: makes a transport to it.
        settings: limits and timeouts.
        application: what this client calls itself.
        credentials: for the application's sign-in.

    Attributes:
        interfaces: the contracts in use, by name.
    """

    def __init__(
        self,
        address: Address,
        open_transport: Callable[[], Coroutine[Any, Any, Transport]],
        *,
        settings: Settings,
        application: str = "",
        credentials: Mapping[str, object] | None = None,
    ) -> None:
        self.address = address
        self.interfaces: dict[str, Contract] = {}
        self._open_transport = open_transport
        self._settings = settings
        self._application = application
        self._credentials = credentials or {}

    @classmethod
    def over_network(
        cls,
        address: Address,
        *,
        resources: Path | None,
        settings: Settings,
        application: str,
        credentials: Mapping[str, object],
        ask: Ask | None = None,
        read_settings: Callable[[], Settings] | None = None,
    ) -> Connector:
        """A connector over TCP.

        Args:
            address: of the server.
            resources: the client's Resources folder, or None.
            settings: as read.
            application: what this client calls itself.
            credentials: for the application's sign-in.
            ask: whom to ask about a server that nothing vouches for, or None.
            read_settings: reads them again; without, those given hold for all connections.
        """
        opener = TrustedOpener(
            address, resources=resources, settings=settings, ask=ask, read_settings=read_settings
        )
        return cls(address, opener.open, settings=settings, application=application, credentials=credentials)

    async def establish(self) -> Established:
        """Make one connection.

        Raises:
            TransportError: the network or TLS failed.
            ConnectError: the server cannot be worked with.
        """
        timeouts = self._settings.timeouts
        try:
            transport = await self._open_transport()
        except TlsFailure as exc:
            raise explain_tls_failure(exc, self.address) from exc
        try:
            with trio.fail_after(timeouts.first_frame):
                return await self._shake_hands(transport)
        except TlsFailure as exc:  # TLS 1.3 tells a client only now that its certificate was refused
            transport.abort()
            raise explain_tls_failure(exc, self.address) from exc
        except trio.TooSlowError as exc:
            transport.abort()
            cause = f"the server did not answer in {timeouts.first_frame:g} s (timeouts.first_frame)"
            raise HandshakeIncomplete(str(self.address), cause, "Check that it is an appserver") from exc
        except BaseException:
            transport.abort()
            raise

    async def _shake_hands(self, transport: Transport) -> Established:
        settings = self._settings
        connection = Connection(
            Role.CLIENT,
            connection_limits(settings.limits),
            ping_interval=settings.timeouts.ping,
            now=trio.current_time(),
        )
        try:
            if not transport.security.encrypted:
                await check_plain_server(transport, connection)
            connection.send_hello(
                Hello(
                    application=self._application,
                    interfaces={
                        name: InterfaceOffer((contract.version,), contract.fingerprint)
                        for name, contract in self.interfaces.items()
                    },
                    limits=connection.limits,
                    credentials=self._credentials,
                )
            )
            answer, events = await receive_welcome(transport, connection)
        except (HandshakeEnded, RemoteProtocolError) as exc:
            if isinstance(exc, HandshakeEnded) and exc.refuse is not None:
                raise self._refused(exc.refuse) from exc
            raise HandshakeIncomplete(
                str(self.address),
                str(exc),
                "Check that the port is an appserver's, then its log",
                retry_after=exc.retry_after if isinstance(exc, HandshakeEnded) else None,
            ) from exc
        if isinstance(answer, RefuseReceived):
            raise self._refused(answer.refuse)
        welcome = answer.welcome
        mismatches = {
            name: mismatch
            for name, contract in self.interfaces.items()
            if (mismatch := self._compare(contract, welcome)) is not None
        }
        return Established(transport, connection, welcome, events, mismatches)

    def _refused(self, refuse: Refuse) -> Exception:
        if refuse.code == codes.ENCRYPTION_REQUIRED:
            return EncryptionRequired(self.address.location)
        return Refused(str(self.address), refuse)

    def check_offered(self, contract: Contract, welcome: Welcome) -> InterfaceOffer:
        """Check an interface that is used for the first time on a live connection.

        Raises:
            InterfaceMismatch: the server does not have it, or in another major version.
        """
        offer = welcome.interfaces.get(contract.name)
        if offer is None:
            served = ", ".join(welcome.interfaces) or "none"
            raise InterfaceMismatch(
                str(self.address), contract.name, [f"this server has no such interface; it has {served}"]
            )
        if contract.version[0] not in [major for major, _ in offer.versions]:
            versions = ", ".join(f"{major}.{minor}" for major, minor in offer.versions)
            own = f"{contract.version[0]}.{contract.version[1]}"
            raise InterfaceMismatch(
                str(self.address), contract.name, [f"the server has version {versions}, this client {own}"]
            )
        return offer

    async def describe(self, peer: Peer, interface: str | None) -> dict[str, Any]:
        """Ask the server for its interfaces.

        Raises:
            InvalidResult: what it answers is not one description for each name.
            CallError: it does not answer.
        """
        pending = PendingCall("rpc.describe")
        await peer.wait_slot()
        stream = peer.open(pending, pack([interface, {}]), trio.current_effective_deadline())
        try:
            outcome = await pending.wait()
        finally:
            peer.abandon(stream)  # nothing happens where it has its outcome
        if not isinstance(outcome, bytes):
            raise peer.to_exception(outcome, "rpc.describe")
        try:
            described = unpack(outcome, peer.connection.limits)
        except (CodecError, RecursionError) as exc:
            raise _unreadable(peer, str(exc)) from exc
        if not isinstance(described, dict):
            raise _unreadable(peer, f"expected a map, got {type(described).__name__}")
        for name, description in described.items():
            if not isinstance(name, str) or not isinstance(description, dict):
                raise _unreadable(peer, "expected a description for each name")
        return described

    def compare(self, contract: Contract, description: object) -> InterfaceMismatch | None:
        """What differs between an interface and the server's description of it."""
        found = differences(contract.description, description)  # type: ignore[arg-type]
        return InterfaceMismatch(str(self.address), contract.name, found) if found else None

    def _compare(self, contract: Contract, welcome: Welcome) -> InterfaceMismatch | None:
        try:
            offer = self.check_offered(contract, welcome)
        except InterfaceMismatch as exc:
            return exc
        if offer.fingerprint == contract.fingerprint or offer.description is None:
            return None
        return self.compare(contract, offer.description)


def _unreadable(peer: Peer, finding: str) -> BaseException:
    info = ErrorInfo(codes.INVALID_RESULT, finding, Executed.YES)
    return peer.to_exception(info, "rpc.describe")


def resolve_address(address: str | Address | None, settings: Settings) -> Address:
    """The server's address: the argument, otherwise the settings.

    A server that listens everywhere is reached from its own machine under the name `localhost`.
    """
    if isinstance(address, Address):
        return address
    if address is not None:
        return Address.parse(address)
    host = settings.client_server.host
    if host in ("0.0.0.0", "::", ""):
        host = "localhost"
    return Address(host, settings.client_server.port)
