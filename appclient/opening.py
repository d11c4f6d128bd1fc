"""`connect`: a client for the length of a context."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from appclient.asking import Ask, TrustMode, check_mode
from appclient.client import Client
from appclient.connecting import Connector, resolve_address
from appclient.renewing import keep_identity
from appclient.state import ConnectionState, StateChange
from protocol.certs import client_resources_folder
from protocol.interface import Interface, contract_of
from protocol.peer import Service
from protocol.peer.background import open_background
from protocol.peer.enrolment import Renewal
from protocol.settings import (
    PATH_VARIABLE,
    LoadedSettings,
    Settings,
    load_settings,
    settings_from_environment,
)
from protocol.transport import Address


def read_settings(settings: Settings | Path | str | None) -> tuple[Settings, LoadedSettings | None]:
    """Settings as given, or read from where it says; and where they were read from, if they were.

    Without any, the defaults hold (encryption on) and what the environment overrides. The working directory
    is not looked into unasked: whoever can write there could turn encryption off.
    """
    if isinstance(settings, Settings):
        return settings, None
    if settings is None and PATH_VARIABLE not in os.environ:
        return settings_from_environment(), None
    loaded = load_settings(Path(settings) if settings is not None else None)
    return loaded.settings, loaded


@asynccontextmanager
async def connect(
    address: str | Address | None = None,
    *,
    resources: Path | str | None = None,
    settings: Settings | Path | str | None = None,
    application: str = "",
    credentials: Mapping[str, object] | None = None,
    interfaces: Sequence[Callable[..., Interface]] = (),
    serve: Sequence[object] = (),
    on_state: Callable[[StateChange], object] | None = None,
    trust: TrustMode = "verify",
    ask: Ask | None = None,
) -> AsyncIterator[Client]:
    """Connect to an application server.

    For example::

        async with connect("appserver://orders.example:19813", resources="client/Resources") as server:
            orders = server.use(Orders)
            print(await orders.find(7))

    Args:
        address: `appserver://host:port/?pin=sha256:...`, or `host:port`, or `host`; without one it is
            taken from the settings.
        resources: the client's Resources folder, with the certificates it trusts.
        settings: the shared `settings.toml`, or settings. Without, the file that APPSERVER_SETTINGS names,
            or else the defaults (encryption on); the working directory is not looked into. Without a settings
            object, environment variables override what is read. A file is read again for each connection: its
            `client_server.encrypt`, `tls` and `timeouts` count from the next one on.
        application: what this client calls itself in the server's lists.
        credentials: what the application's sign-in takes.
        interfaces: contracts to be checked against the server's before this returns.
        serve: implementations that the server may call back.
        on_state: called with every change of the state, beginning with `connecting`; see `Client.on_state`.
        trust: "verify" refuses a server that nothing vouches for; with "ask" the first connection asks about
            it, and a server that is accepted is pinned. A changed key is never asked about.
        ask: with `trust="ask"`: gets `ServerFacts` and answers True or False; async, or plain in a worker thread.

    Raises:
        TransportError: the network failed, or encryption is switched differently: one class for each cause.
        PeerError: TLS failed or the server is not who it should be; likewise.
        ResourcesError: a file in the Resources folder cannot be used; likewise.
        ConnectError: the server refused, or its interfaces differ. `CONNECT_ERRORS` is all four.
        ValueError: `trust` and `ask` do not go together.
    """
    asked = check_mode(trust, ask)
    read, loaded = read_settings(settings)
    folder = client_resources_folder(loaded, Path(resources) if resources is not None else None)
    connector = Connector.over_network(
        resolve_address(address, read),
        resources=folder,
        settings=read,
        application=application,
        credentials=credentials or {},
        ask=asked,
        read_settings=None if loaded is None else lambda: load_settings(loaded.path).settings,
    )
    async with (
        run_client(connector, settings=read, interfaces=interfaces, serve=serve, on_state=on_state) as client,
        open_background() as nursery,
    ):
        if folder is not None:
            nursery.start_soon(keep_identity, client, folder, read)
        yield client


@asynccontextmanager
async def run_client(
    connector: Connector,
    *,
    settings: Settings,
    interfaces: Sequence[Callable[..., Interface]] = (),
    serve: Sequence[object] = (),
    on_state: Callable[[StateChange], object] | None = None,
) -> AsyncIterator[Client]:
    """Run a client on whatever a connector connects to: `connect` without its look-ups, for harnesses."""
    service = Service()
    service.errors.add(contract_of(Renewal))
    for implementation in serve:
        service.add(implementation)
    client = Client(connector, service, settings=settings)
    for cls in interfaces:
        client.use(cls)
    if on_state is not None:
        client.on_state(on_state, now=True)
    established = await client.open()
    for mismatch in established.mismatches.values():
        await established.transport.aclose()
        raise mismatch
    with service.topics.served(settings.limits.event_replay):
        async with open_background() as nursery:
            nursery.start_soon(client.keep, established)
            await client.wait_state(*(set(ConnectionState) - {ConnectionState.CONNECTING}))
            try:
                yield client
            finally:
                client.close()
