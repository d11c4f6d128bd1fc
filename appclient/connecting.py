"""Making one connection: trust, transport, handshake, and the check of interfaces."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

import attrs
import trio

from appclient.errors import EncryptionDowngrade, HandshakeFailed, InterfaceMismatch, Refused
from protocol.certs import Trust, client_context, load_trust
from protocol.interface import Contract, differences
from protocol.peer import HandshakeEnded, Peer, connection_limits, receive_welcome
from protocol.peer.pending import PendingCall
from protocol.settings import Settings
from protocol.transport import Address, EncryptionRequired, TlsFailure, Transport, connect_transport
from protocol.wire import codes
from protocol.wire.codec import pack, unpack
from protocol.wire.connection import Connection, Role
from protocol.wire.envelope import Hello, InterfaceOffer, Welcome
from protocol.wire.errors import RemoteProtocolError
from protocol.wire.events import Event, RefuseReceived

RESOURCES_VARIABLE = "APPCLIENT_RESOURCES"


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
    def build(
        cls,
        address: str | Address | None,
        *,
        resources: Path | None,
        settings: Settings,
        folder: Path | None,
        application: str,
        credentials: Mapping[str, object],
    ) -> Connector:
        """A connector over the network.

        Args:
            address: as for `connect`.
            resources: as for `connect`.
            settings: as read.
            folder: of the settings file, where relative folders begin.
            application: what this client calls itself.
            credentials: for the application's sign-in.

        Raises:
            AddressError: the address is none.
            ResourcesError: a file in the Resources folder cannot be used.
        """
        where = resolve_address(address, settings)
        found = find_resources(resources, settings, folder)

        async def open_transport() -> Transport:
            # Read anew for each connection: a renewed certificate counts from the next one on.
            trust, context = await trio.to_thread.run_sync(_prepare, found, settings, where)
            if context is None:
                check_downgrade(trust, where)
            try:
                transport = await connect_transport(where, context=context, timeouts=settings.timeouts)
            except TlsFailure as exc:
                raise translate_tls_failure(exc, where) from exc
            try:
                check_peer(transport, trust, where)
            except BaseException:
                transport.abort()
                raise
            return transport

        return cls(where, open_transport, settings=settings, application=application, credentials=credentials)

    async def establish(self) -> Established:
        """Make one connection.

        Raises:
            TransportError: the network or TLS failed.
            ConnectError: the server cannot be worked with.
        """
        transport = await self._open_transport()
        timeouts = self._settings.timeouts
        try:
            with trio.fail_after(timeouts.first_frame):
                return await self._shake_hands(transport)
        except trio.TooSlowError as exc:
            transport.abort()
            cause = f"the server did not answer in {timeouts.first_frame:g} s (timeouts.first_frame)"
            raise HandshakeFailed(str(self.address), cause, "Check that it is an appserver") from exc
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
        try:
            answer, events = await receive_welcome(transport, connection)
        except (HandshakeEnded, RemoteProtocolError) as exc:
            raise HandshakeFailed(
                str(self.address), str(exc), "Check that the port is an appserver's, then its log"
            ) from exc
        if isinstance(answer, RefuseReceived):
            if answer.refuse.code == codes.ENCRYPTION_REQUIRED:
                raise EncryptionRequired(self.address.location)
            raise Refused(str(self.address), answer.refuse)
        welcome = answer.welcome
        mismatches = {
            name: mismatch
            for name, contract in self.interfaces.items()
            if (mismatch := self._compare(contract, welcome)) is not None
        }
        return Established(transport, connection, welcome, events, mismatches)

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
        """Ask the server for its interfaces."""
        pending = PendingCall("rpc.describe")
        peer.open(pending, pack([interface, {}]))
        outcome = await pending.wait()
        if not isinstance(outcome, bytes):
            raise peer.to_exception(outcome, "rpc.describe")
        described: dict[str, Any] = unpack(outcome, peer.connection.limits)
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


def resolve_address(address: str | Address | None, settings: Settings) -> Address:
    """The server's address: the argument, otherwise the settings.

    A server that listens everywhere is reached here under this machine's own name.
    """
    if isinstance(address, Address):
        return address
    if address is not None:
        return Address.parse(address)
    host = settings.client_server.host
    if host in ("0.0.0.0", "::", ""):
        host = "localhost"
    return Address(host, settings.client_server.port)


def find_resources(resources: Path | None, settings: Settings, folder: Path | None) -> Path | None:
    """The client's Resources folder: argument, environment, settings, then `client/Resources` beside those."""
    if resources is not None:
        return resources
    named = os.environ.get(RESOURCES_VARIABLE)
    if named:
        return Path(named)
    if settings.tls.client_resources is not None:
        return settings.tls.client_resources
    if folder is not None and (folder / "client" / "Resources").is_dir():
        return folder / "client" / "Resources"
    return None


def _prepare(
    resources: Path | None, settings: Settings, address: Address
) -> tuple[Trust, ssl.SSLContext | None]:
    trust = load_trust(resources)
    if not settings.client_server.encrypt:
        return trust, None
    pin = address.pin or trust.pin_for(address.location)
    return trust, client_context(trust, settings.tls, pin=pin)


def check_downgrade(trust: Trust, address: Address) -> None:
    """Refuse plain text to a server that was encrypted before."""
    if address.pin is not None:
        raise EncryptionDowngrade(
            str(address),
            "the address has a pin, which only an encrypted connection can keep, and encryption is off here",
            "Set client_server.encrypt to true, or take the pin out of the address",
        )
    if trust.was_encrypted(address.location):
        raise EncryptionDowngrade(
            str(address),
            "this server was encrypted when it was last seen, and encryption is off here "
            "(setting client_server.encrypt)",
            f"If that is meant, delete its entry in {trust.known_servers_file}",
        )
