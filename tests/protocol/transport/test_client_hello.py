"""What a TLS client offers, read before TLS begins: from what OpenSSL sends, in any pieces, and from garbage."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from protocol.transport import HandshakeTimeout, TransportError
from protocol.transport.client_hello import LARGEST_HELLO, offered_protocols, peek_protocols
from protocol.transport.plain import PlainTransport

OFFERS: list[tuple[str, ...]] = [("appserver-join/1",), ("appserver/1", "appserver-join/1"), ("h2",), ()]


def hello(*protocols: str, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> bytes:
    """The first message of a client."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.maximum_version = version
    if protocols:
        context.set_alpn_protocols(list(protocols))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname="orders.example").do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("offer", OFFERS)
def test_the_offer_of_openssl_is_read(offer: tuple[str, ...], version: ssl.TLSVersion) -> None:
    whole = hello(*offer, version=version)
    assert offered_protocols(whole) == offer
    assert offered_protocols(whole + b"more") == offer or offered_protocols(whole + b"more") == ()


@pytest.mark.parametrize("offer", OFFERS)
def test_a_beginning_says_nothing_yet(offer: tuple[str, ...]) -> None:
    whole = hello(*offer)
    assert {offered_protocols(whole[:end]) for end in range(5)} == {5}
    assert {offered_protocols(whole[:end]) for end in range(5, len(whole))} == {len(whole)}


@pytest.mark.parametrize("size", [40, 100, 1000])
def test_it_may_come_in_several_records(size: int) -> None:
    message = hello("appserver-join/1")[5:]
    pieces = [message[at : at + size] for at in range(0, len(message), size)]
    records = b"".join(b"\x16\x03\x01" + len(piece).to_bytes(2) + piece for piece in pieces)
    assert offered_protocols(records) == ("appserver-join/1",)
    looks = {offered_protocols(records[:end]) for end in range(len(records))}
    assert len(looks) <= 2 * len(pieces), "once for each header and once for what it announces"
    for end in range(len(records)):
        needed = offered_protocols(records[:end])
        assert isinstance(needed, int)
        assert end < needed <= len(records)


@pytest.mark.parametrize(
    "start",
    [
        b"\x00\x00\x00\x00\x01",
        b"GET / HTTP/1.1",
        b"\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00",  # a ServerHello
        b"\x16\x03\x01\xff\xff\x01\xff\xff\xff" + bytes(LARGEST_HELLO),
        b"\x16\x03\x01\x00\x04\x01\x00\x00\x00",
        b"\x16\x03\x01\x00\x00",  # a record without content
        b"".join(b"\x16\x03\x01\x00\x01" + bytes([octet]) for octet in b"\x01\x00\x10" + bytes(13)),
    ],
)
def test_what_is_no_such_message_offers_nothing(start: bytes) -> None:
    assert offered_protocols(start) == ()


@given(st.binary(max_size=600), st.integers(0, 500), st.integers(0, 255))
def test_any_octets_give_an_answer(garbage: bytes, at: int, octet: int) -> None:
    changed = bytearray(hello("appserver-join/1"))
    changed[at % len(changed)] = octet
    for start in (garbage, b"\x16" + garbage, bytes(changed), bytes(changed[:at])):
        found = offered_protocols(start)
        assert isinstance(found, tuple) or len(start) < found <= LARGEST_HELLO


@pytest.fixture
def ends() -> Iterator[tuple[PlainTransport, socket.socket]]:
    """The server's end of a connection, and the client's socket."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server, _ = listener.accept()
    transport = PlainTransport(server)
    yield transport, client
    transport.abort()
    client.close()


Ends = tuple[PlainTransport, socket.socket]


async def peek(transport: PlainTransport, timeout: float = 60.0) -> tuple[str, ...]:
    return await peek_protocols(transport, deadline=trio.current_time() + timeout)


async def test_octet_by_octet_it_is_read_and_left_where_it_lies(ends: Ends) -> None:
    transport, client = ends
    whole = hello("appserver-join/1")
    found: list[tuple[str, ...]] = []

    async def look() -> None:
        found.append(await peek(transport))

    with trio.fail_after(10):
        client.sendall(whole[:1])
        await transport.wait_readable()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(look)
            for at in range(1, len(whole)):
                client.sendall(whole[at : at + 1])
                await trio.lowlevel.checkpoint()
        assert found == [("appserver-join/1",)]
        assert transport.receive_nowait() == whole
        client.sendall(b"x")  # one octet wakes again whoever waits
        await transport.wait_readable()
        assert transport.receive_nowait() == b"x"


async def test_who_goes_in_the_middle_is_not_waited_for(ends: Ends) -> None:
    transport, client = ends
    with trio.fail_after(10):
        client.sendall(hello("appserver-join/1")[:50])
        await transport.wait_readable()
        client.shutdown(socket.SHUT_WR)
        assert await peek(transport) == ()


async def test_who_stops_in_the_middle_is_waited_for_as_long_as_a_handshake_may_take(ends: Ends) -> None:
    transport, client = ends
    with trio.fail_after(10):
        client.sendall(hello("appserver-join/1")[:50])
        await transport.wait_readable()
        with pytest.raises(HandshakeTimeout, match="not whole"):
            await peek(transport, 0.1)


async def test_who_breaks_off_is_not_waited_for(ends: Ends) -> None:
    transport, client = ends
    with trio.fail_after(10):
        client.sendall(b"\x16\x03")
        await transport.wait_readable()
        PlainTransport(client).abort()
        with contextlib.suppress(TransportError):
            assert await peek(transport) == ()


async def test_who_sends_octet_by_octet_is_looked_at_a_few_times_only(
    ends: Ends, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each look costs the server more than an octet costs who sends it."""
    looks = []

    def count(start: bytes) -> tuple[str, ...] | int:
        looks.append(len(start))
        return offered_protocols(start)

    monkeypatch.setattr("protocol.transport.client_hello.offered_protocols", count)
    transport, client = ends
    with trio.fail_after(10):
        client.sendall(b"\x16")
        await transport.wait_readable()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(peek, transport)
            for octet in hello("appserver-join/1")[1:]:
                client.sendall(bytes([octet]))
                await trio.lowlevel.checkpoint()
    assert len(looks) <= 2
