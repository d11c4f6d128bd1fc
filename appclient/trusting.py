"""Opening a connection to a server that this client trusts.

The strictest thing that there is decides, see `docs/tls.md`: a pin in the address or in `known_servers.toml`,
and the anchors of Resources; or else the operating system's authorities. Where not even those vouch for a
server that nothing else names, a person may be asked; the answer is stored as a pin before anything else
happens, so that a key that changes between the look and the connection is noticed like any other.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable
from functools import partial
from pathlib import Path

import attrs
import trio

from appclient.asking import Ask, answer_of, look_at_server
from appclient.errors import EncryptionDowngrade, TrustRefused
from protocol.certs import (
    KNOWN_SERVERS_FILE,
    KnownServer,
    Trust,
    UnknownAuthority,
    UnwritableKnownServers,
    check_peer_certificate,
    client_context,
    load_trust,
    note_server,
    read_passphrase,
    translate_ssl_error,
    user_resources_folder,
)
from protocol.settings import Settings, SettingsError
from protocol.transport import Address, Security, TlsFailure, Transport
from protocol.transport.connecting import connect_transport

logger = logging.getLogger("appclient")


class TrustedOpener:
    """Opens transports to one server over TCP, each after the same checks.

    Args:
        address: of the server.
        resources: the client's Resources folder, or None.
        settings: as read.
        ask: whom to ask about a server that nothing vouches for; None for nobody. It is asked for the
            first connection alone: a server that was fine and suddenly is not is no first use.
        read_settings: reads them again for each connection; without, those given hold for all.
    """

    def __init__(
        self,
        address: Address,
        *,
        resources: Path | None,
        settings: Settings,
        ask: Ask | None = None,
        read_settings: Callable[[], Settings] | None = None,
    ) -> None:
        self._address = address
        self._resources = resources
        self._settings = settings
        self._ask = ask
        self._read_settings = read_settings

    async def open(self) -> Transport:
        """Open one.

        Raises:
            TransportError: the network or TLS failed.
            PeerError: the server is not who it should be.
            ResourcesError: a file in the Resources folder cannot be used.
            ConnectError: `EncryptionDowngrade` or `TrustRefused`.
        """
        # Read anew for each connection: a renewed certificate, and the administrator's change of the shared
        # settings, count from the next one on.
        if self._read_settings is not None:
            read = self._read_settings
            self._settings = await trio.to_thread.run_sync(_read_again, read, self._settings)
        trust = await trio.to_thread.run_sync(read_trust, self._resources, self._settings)
        if not self._settings.client_server.encrypt:
            check_downgrade(trust, self._address)
            return await connect_transport(self._address, context=None, timeouts=self._settings.timeouts)
        known = trust.find_server(self._address.host, self._address.port)
        try:
            transport = await self._connect(trust, known)
        except UnknownAuthority:
            if self._ask is None or trust.anchors:
                raise
            transport = await self._connect(trust, await self._ask_and_store(self._ask, known))
        self._ask = None
        if trust.resources is not None and known is None:
            await trio.to_thread.run_sync(_remember, trust.resources, self._address)
        return transport

    async def _connect(self, trust: Trust, known: KnownServer | None) -> Transport:
        """Connect, and check the server by all that there is to judge it by."""
        address, settings = self._address, self._settings
        pin = address.pin or (known.pin if known is not None else None)
        context = await trio.to_thread.run_sync(partial(client_context, trust, settings.tls, pin=pin))
        check = partial(
            check_peer_certificate,
            pin=pin,
            address=str(address),
            known=known if address.pin is None else None,
            reset=f"run {trust_command(address, self._resources, '--forget')}",
        )

        def verify(security: Security) -> None:
            check(security.peer_certificate)
            trust.check_not_own_key(security.peer_certificate)

        try:
            return await connect_transport(
                address, context=context, timeouts=settings.timeouts, verify=verify
            )
        except TlsFailure as exc:
            error = explain_tls_failure(exc, address)
            if isinstance(error, UnknownAuthority):
                error = nobody_vouches(error, trust, address)
            raise error from exc

    async def _ask_and_store(self, ask: Ask, known: KnownServer | None) -> KnownServer:
        address = self._address
        first_seen = known.first_seen if known is not None else None
        facts = await look_at_server(address, self._settings, first_seen=first_seen)
        if not await answer_of(ask, facts):
            raise TrustRefused(str(address), facts.fingerprint)
        self._resources = self._resources or user_resources_folder()
        return await trio.to_thread.run_sync(store_pin, self._resources, address, facts.fingerprint)


def _read_again(read_settings: Callable[[], Settings], last: Settings) -> Settings:
    """The settings as they are now, or the last ones where these cannot be used."""
    try:
        return read_settings()
    except SettingsError as exc:
        logger.warning("the settings cannot be read again; the last ones hold", extra={"finding": str(exc)})
        return last


def read_trust(resources: Path | None, settings: Settings) -> Trust:
    """Read what a client trusts; its key's passphrase is where the settings say."""
    return load_trust(resources, passphrase=partial(read_passphrase, settings.tls))


def store_pin(resources: Path, address: Address, fingerprint: str) -> KnownServer:
    """Write a server that was accepted into `known_servers.toml`.

    Args:
        resources: the client's folder; made where there is none.
        address: of the server.
        fingerprint: of its key.

    Returns:
        What stands there now: another process may have been first, with another key.

    Raises:
        UnwritableKnownServers: it cannot be written. The server is not connected to then: the next time
            a changed key would look like a first one.
    """
    path = resources / KNOWN_SERVERS_FILE
    try:
        resources.mkdir(mode=0o700, parents=True, exist_ok=True)
        return note_server(path, address.host, address.port, pin=fingerprint)
    except OSError as exc:
        pinned = attrs.evolve(address, pin=fingerprint)
        raise UnwritableKnownServers(
            path,
            f"the server that was accepted cannot be stored ({exc.strerror or exc})",
            f"Make the folder writable and look for a full disk, or connect by the address {pinned}",
        ) from exc


def _remember(resources: Path, address: Address) -> None:
    """Note that a server was seen encrypted: from now on this client does not talk to it in plain text."""
    try:
        note_server(resources / KNOWN_SERVERS_FILE, address.host, address.port)
    except OSError as exc:  # a read-only folder, as installed applications have
        logger.debug("cannot remember the server", extra={"folder": str(resources), "finding": str(exc)})


def explain_tls_failure(failure: TlsFailure, address: Address) -> Exception:
    """The class that says which: the certificate, the name, the version, the alert."""
    cause = failure.__cause__
    return translate_ssl_error(cause, address) if isinstance(cause, ssl.SSLError) else failure


def nobody_vouches(error: UnknownAuthority, trust: Trust, address: Address) -> UnknownAuthority:
    """Say what was asked in vain, and what helps there."""
    if trust.anchors:
        return UnknownAuthority(
            error.address,
            f"{error.cause}; what it trusts lies in {trust.resources}",
            "Ask the administrator for the server's present ca.pem or cert.pem and copy it there",
        )
    return UnknownAuthority(
        error.address,
        f"{error.cause}; there is no pin and no ca.pem, and the operating system does not know it",
        "Copy the server's ca.pem or cert.pem into this client's Resources folder, connect by an address with "
        f"the server's pin, or run {trust_command(address, trust.resources)} and compare the fingerprint",
    )


def trust_command(address: Address, resources: Path | None, *options: str) -> str:
    """The command `appclient trust` for a server, as a user types it.

    Args:
        address: of the server.
        resources: the client's folder, or None.
        options: such as `--forget`.
    """
    words = ["appclient trust", *options, address.location]
    if resources is not None:
        words += ["--resources", f'"{resources}"' if " " in str(resources) else str(resources)]
    return " ".join(words)


def check_downgrade(trust: Trust, address: Address) -> None:
    """Refuse plain text to a server that has a pin or was encrypted before.

    Raises:
        EncryptionDowngrade: it has, or was.
    """
    if address.pin is not None:
        raise EncryptionDowngrade(
            str(address),
            "the address has a pin, which only an encrypted connection can keep, and encryption is off here "
            "(setting client_server.encrypt)",
            "Set client_server.encrypt to true, or take the pin out of the address",
        )
    known = trust.find_server(address.host, address.port)
    if known is not None and known.encrypted and trust.resources is not None:
        raise EncryptionDowngrade(
            str(address),
            f"this server was encrypted when it was first seen ({known.first_seen:%Y-%m-%d}), and encryption is off "
            "here (setting client_server.encrypt)",
            f"If that is meant, run {trust_command(address, trust.resources, '--forget')}, which removes it from "
            f"{trust.resources / KNOWN_SERVERS_FILE}",
        )
