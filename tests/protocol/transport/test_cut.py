"""The connection cut at every stage, clean and unclean: one error in time, and never a false end."""

from __future__ import annotations

import socket
import ssl
from functools import partial

import pytest
import trio
from trio.testing import MockClock

from protocol.transport import (
    Address,
    ConnectionReset,
    ConnectionTruncated,
    Cut,
    HandshakeTimeout,
    Link,
    Transport,
    TransportError,
    UnknownClient,
    accept_transport,
    connect_transport,
    open_client,
    open_server,
)
from protocol.transport.sockets import reset_on_close
from tests.protocol.transport import rig

MESSAGE = b"all or nothing"


async def client_talk(link: Link, security: str) -> bytes:
    transport = await open_client(
        link.client, Address(rig.HOST), context=rig.contexts_of(security).client, timeouts=rig.TIMEOUTS
    )
    try:
        await rig.send_all(transport, MESSAGE)
        return await rig.receive_to_end(transport)
    finally:
        await transport.aclose()


async def server_talk(link: Link, security: str) -> bytes:
    transport = await open_server(
        link.server, context=rig.contexts_of(security).server, timeouts=rig.TIMEOUTS
    )
    try:
        got = await rig.receive_exactly(transport, len(MESSAGE))
        await rig.send_all(transport, MESSAGE)
        return got
    finally:
        await transport.aclose()


async def talk(link: Link, security: str) -> tuple[object, object]:
    client, server = await rig.outcomes(
        partial(client_talk, link, security), partial(server_talk, link, security)
    )
    return client, server


@pytest.mark.parametrize("how", list(Cut))
@pytest.mark.parametrize("direction", ["to_server", "to_client"])
@pytest.mark.parametrize("security", rig.TLS_VERSIONS)
async def test_a_cut_at_every_byte_of_an_encrypted_talk_never_looks_like_its_end(
    security: str, direction: str, how: Cut, autojump_clock: MockClock
) -> None:
    whole = Link()
    assert await talk(whole, security) == (MESSAGE, MESSAGE)
    end = getattr(whole, direction).statistics().sent
    step = max(1, end // 120)
    # The last bytes are close_notify: without them all, the end is not an end.
    for offset in [*range(0, end, step), *range(max(0, end - 40), end)]:
        link = Link()
        getattr(link, direction).cut_after(offset, how)
        client, server = await talk(link, security)
        if direction == "to_client":
            assert isinstance(client, ConnectionReset | ConnectionTruncated), (offset, client)
        assert server == MESSAGE or isinstance(server, TransportError), (offset, server)
        assert client == MESSAGE or isinstance(client, TransportError), (offset, client)


@pytest.mark.parametrize("direction", ["to_server", "to_client"])
@pytest.mark.parametrize("security", rig.TLS_VERSIONS)
async def test_a_handshake_that_stalls_at_any_place_ends_in_time(
    security: str, direction: str, autojump_clock: MockClock
) -> None:
    whole = Link()
    for transport in await shake_hands(whole, security):
        assert isinstance(transport, Transport)
    end = getattr(whole, direction).statistics().sent
    for offset in range(0, end, 47):
        link = Link()
        getattr(link, direction).hold(after=offset)
        start = trio.current_time()
        results = await shake_hands(link, security)
        assert any(isinstance(result, HandshakeTimeout) for result in results)
        for result in results:
            assert isinstance(result, TransportError | Transport)
            if isinstance(result, Transport):
                result.abort()
        assert trio.current_time() - start <= rig.TIMEOUTS.handshake + 2


async def shake_hands(link: Link, security: str) -> list[object]:
    contexts = rig.contexts_of(security)
    return await rig.outcomes(
        lambda: open_client(link.client, Address(rig.HOST), context=contexts.client, timeouts=rig.TIMEOUTS),
        lambda: open_server(link.server, context=contexts.server, timeouts=rig.TIMEOUTS),
    )


@pytest.mark.parametrize("security", rig.TLS_VERSIONS)
async def test_a_fin_without_goodbye_is_a_truncation_on_a_socket_too(security: str) -> None:
    async with rig.loopback_pair(security) as pair:
        await rig.send_all(pair.server, MESSAGE)
        half_close(pair.server)
        assert await rig.receive_exactly(pair.client, len(MESSAGE)) == MESSAGE
        with pytest.raises(ConnectionTruncated, match="without a goodbye"):
            await rig.receive_some(pair.client)
        with pytest.raises(ConnectionTruncated):  # and it stays one
            pair.client.receive_nowait()


def half_close(transport: Transport) -> None:
    """End a connection as a killed process or an attacker does: below TLS."""
    sock = transport._sock  # type: ignore[attr-defined]
    socket.socket.shutdown(sock, socket.SHUT_WR)


@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
@pytest.mark.parametrize("sent", [0, 1, 5, 100])
async def test_a_client_that_goes_during_the_handshake_is_an_error_of_its_own(sent: int, reset: bool) -> None:
    hello = client_hello()
    async with rig.listening() as (address, accept):
        client = rig.raw_client(address)
        client.sendall(hello[:sent])
        sock = await accept()
        if reset:
            reset_on_close(client)
        client.close()
        with trio.fail_after(2), pytest.raises((ConnectionReset, ConnectionTruncated, UnknownClient)):
            await accept_transport(sock, context=rig.contexts_of(rig.TLS13).server, timeouts=rig.TIMEOUTS)


@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
async def test_a_server_that_goes_during_the_handshake_is_an_error_of_its_own(reset: bool) -> None:
    async with rig.listening() as (address, accept):

        async def vanish() -> None:
            sock = await accept()
            await trio.lowlevel.wait_readable(sock)
            sock.recv(65536)
            if reset:
                reset_on_close(sock)
            sock.close()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(vanish)
            expected = ConnectionReset if reset else ConnectionTruncated
            with trio.fail_after(2), pytest.raises(expected, match="during the TLS handshake"):
                await connect_transport(
                    address, context=rig.contexts_of(rig.TLS13).client, timeouts=rig.TIMEOUTS
                )


def client_hello() -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = rig.contexts_of(rig.TLS13).client
    assert context is not None
    tls = context.wrap_bio(incoming, outgoing, server_hostname=rig.HOST)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()
