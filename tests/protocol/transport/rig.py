"""Connected pairs of every kind, over memory and over loopback, for the tests of this folder."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cache
from typing import TypeVar

import attrs
import trio
import trustme

from protocol.settings import TimeoutSettings
from protocol.transport import (
    Address,
    Link,
    Transport,
    accept_transport,
    connect_transport,
    open_client,
    open_listeners,
    open_server,
)

T = TypeVar("T")

HOST = "127.0.0.1"
TIMEOUTS = TimeoutSettings(handshake=5.0, first_frame=5.0)
ALPN = "appserver/1"

PLAIN = "plain"
TLS12 = "TLSv1.2"
TLS13 = "TLSv1.3"
SECURITIES = (PLAIN, TLS12, TLS13)
TLS_VERSIONS = (TLS12, TLS13)
OPENING = b"\x00\x00\x00\x05\x10hello"  # what the first bytes of a plain connection must look like


@attrs.frozen
class Contexts:
    """What each side is given; None for no encryption."""

    server: ssl.SSLContext | None
    client: ssl.SSLContext | None


@cache
def authority() -> trustme.CA:
    return trustme.CA(key_type=trustme.KeyType.ECDSA)


@cache
def server_certificate(*names: str) -> trustme.LeafCert:
    # RSA, because its signatures are all of one length: a byte's place is then the same in each handshake.
    return authority().issue_cert(*names, key_type=trustme.KeyType.RSA)


@cache
def contexts_of(security: str) -> Contexts:
    if security == PLAIN:
        return Contexts(None, None)
    return Contexts(server_context(security), client_context(security))


def server_context(security: str = TLS13, *, names: tuple[str, ...] = ("localhost", HOST)) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_certificate(*names).configure_cert(context)
    return _limit(context, security)


def client_context(security: str = TLS13) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority().configure_trust(context)
    return _limit(context, security)


def _limit(context: ssl.SSLContext, security: str) -> ssl.SSLContext:
    version = {TLS12: ssl.TLSVersion.TLSv1_2, TLS13: ssl.TLSVersion.TLSv1_3}[security]
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols([ALPN])
    if hasattr(context, "num_tickets") and context.protocol == ssl.PROTOCOL_TLS_SERVER:
        context.num_tickets = 0
    return context


@attrs.frozen
class Pair:
    """Two ends of one connection."""

    client: Transport
    server: Transport

    def abort(self) -> None:
        self.client.abort()
        self.server.abort()


@asynccontextmanager
async def memory_pair(
    security: str, link: Link | None = None, *, contexts: Contexts | None = None
) -> AsyncIterator[Pair]:
    link = link or Link()
    contexts = contexts or contexts_of(security)
    pair = await both(
        lambda: open_client(link.client, Address(HOST), context=contexts.client, timeouts=TIMEOUTS),
        lambda: _serve_memory(link, contexts),
        plain=security == PLAIN,
        link=link,
    )
    try:
        yield pair
    finally:
        pair.abort()


async def _serve_memory(link: Link, contexts: Contexts) -> Transport:
    return await open_server(link.server, context=contexts.server, timeouts=TIMEOUTS)


async def both(
    client: Callable[[], Awaitable[Transport]],
    server: Callable[[], Awaitable[Transport]],
    *,
    plain: bool,
    link: Link | None = None,
) -> Pair:
    """Open both sides. A plain server waits for the client's first octet, so the opening is sent and taken."""
    made: dict[str, Transport] = {}

    async def open_side(name: str, opener: Callable[[], Awaitable[Transport]]) -> None:
        made[name] = await opener()
        if plain and name == "client":
            assert made[name].send_nowait(OPENING) == len(OPENING)

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(open_side, "client", client)
            nursery.start_soon(open_side, "server", server)
        if plain:
            assert await receive_exactly(made["server"], len(OPENING)) == OPENING
            assert await send_all(made["server"], OPENING) == len(OPENING)
            assert await receive_exactly(made["client"], len(OPENING)) == OPENING
    return Pair(made["client"], made["server"])


@asynccontextmanager
async def loopback_pair(security: str) -> AsyncIterator[Pair]:
    contexts = contexts_of(security)
    async with listening() as (address, accept):
        pair = await both(
            lambda: connect_transport(address, context=contexts.client, timeouts=TIMEOUTS),
            lambda: _serve_loopback(accept, contexts),
            plain=security == PLAIN,
        )
        try:
            yield pair
        finally:
            pair.abort()


async def _serve_loopback(accept: Callable[[], Awaitable[socket.socket]], contexts: Contexts) -> Transport:
    return await accept_transport(await accept(), context=contexts.server, timeouts=TIMEOUTS)


@asynccontextmanager
async def listening() -> AsyncIterator[tuple[Address, Callable[[], Awaitable[socket.socket]]]]:
    (listener,) = await open_listeners(HOST, 0)
    try:
        yield Address(HOST, listener.port), listener.accept
    finally:
        listener.close()


async def send_all(transport: Transport, data: bytes) -> int:
    view = memoryview(data)
    while view:
        taken = transport.send_nowait(view)
        if taken:
            view = view[taken:]
        else:
            await transport.wait_writable()
    return len(data)


async def receive_some(transport: Transport) -> bytes:
    while (data := transport.receive_nowait()) is None:
        await transport.wait_readable()
    return data


async def receive_exactly(transport: Transport, count: int) -> bytes:
    got = bytearray()
    while len(got) < count:
        data = await receive_some(transport)
        if not data:
            break
        got += data
    return bytes(got)


async def receive_to_end(transport: Transport) -> bytes:
    got = bytearray()
    while data := await receive_some(transport):
        got += data
    return bytes(got)


async def fill(transport: Transport) -> int:
    """Send until the way is blocked; how many bytes were taken."""
    total = 0
    piece = bytes(65536)
    while taken := transport.send_nowait(piece):
        total += taken
    return total


async def outcome(what: Callable[[], Awaitable[T]]) -> T | Exception:
    """What came out of it, be it an exception."""
    try:
        return await what()
    except Exception as exc:
        return exc


async def outcomes(*actions: Callable[[], Awaitable[object]]) -> list[object]:
    """What came out of each of several things done at the same time."""
    results: list[object] = [None] * len(actions)

    async def run(index: int, what: Callable[[], Awaitable[object]]) -> None:
        results[index] = await outcome(what)

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            for index, what in enumerate(actions):
                nursery.start_soon(run, index, what)
    return results


def raw_client(address: Address) -> socket.socket:
    """A bare blocking socket that speaks whatever a test wants."""
    sock = socket.create_connection((address.host, address.port), timeout=5)
    sock.settimeout(5)
    return sock
