"""Two sides that speak different things, both ways round: each is told in its own language, quickly."""

from __future__ import annotations

import socket
import ssl
from functools import partial

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from protocol.transport import (
    Address,
    EncryptionRequired,
    HandshakeTimeout,
    HttpClient,
    Link,
    NotAnAppserver,
    PlainClient,
    ServerNotEncrypted,
    TlsClient,
    Transport,
    TransportError,
    UnknownClient,
    accept_transport,
    connect_transport,
    open_client,
    open_server,
)
from protocol.transport.mismatch import HTTP_ANSWER, ServerOpening, answer_to, refusal_to_plain_client
from protocol.wire.envelope import Refuse
from protocol.wire.framing import FrameReader, FrameType, encode_frame
from protocol.wire.limits import Limits
from tests.protocol.transport import rig

SETTING = "client_server.encrypt"


async def memory_mismatch(
    client: ssl.SSLContext | None, server: ssl.SSLContext | None
) -> tuple[object, object]:
    link = Link()

    async def talk() -> bytes:
        transport = await open_client(link.client, Address(rig.HOST), context=client, timeouts=rig.TIMEOUTS)
        await rig.send_all(transport, rig.OPENING)
        return await rig.receive_to_end(transport)

    results = await rig.outcomes(
        talk, lambda: open_server(link.server, context=server, timeouts=rig.TIMEOUTS)
    )
    link.client.abort()
    return results[0], results[1]


async def loopback_mismatch(
    client: ssl.SSLContext | None, server: ssl.SSLContext | None
) -> tuple[object, object]:
    async with rig.listening() as (address, accept):

        async def talk() -> bytes:
            transport = await connect_transport(address, context=client, timeouts=rig.TIMEOUTS)
            try:
                await rig.send_all(transport, rig.OPENING)
                return await rig.receive_to_end(transport)
            finally:
                transport.abort()

        async def serve() -> Transport:
            return await accept_transport(await accept(), context=server, timeouts=rig.TIMEOUTS)

        with trio.fail_after(2):
            results = await rig.outcomes(talk, serve)
        return results[0], results[1]


@pytest.mark.parametrize("meet", [memory_mismatch, loopback_mismatch], ids=["memory", "loopback"])
@pytest.mark.parametrize("security", rig.TLS_VERSIONS)
async def test_a_tls_client_at_a_plain_server_learns_that_the_server_does_not_encrypt(meet, security) -> None:  # type: ignore[no-untyped-def]
    client, server = await meet(rig.contexts_of(security).client, None)
    assert isinstance(client, ServerNotEncrypted)
    assert SETTING in str(client)
    assert isinstance(server, TlsClient)
    assert SETTING in str(server)


@pytest.mark.parametrize("meet", [memory_mismatch, loopback_mismatch], ids=["memory", "loopback"])
async def test_a_plain_client_at_a_tls_server_learns_that_encryption_is_required(meet) -> None:  # type: ignore[no-untyped-def]
    client, server = await meet(None, rig.contexts_of(rig.TLS13).server)
    assert isinstance(client, EncryptionRequired)
    assert SETTING in str(client)
    assert isinstance(server, PlainClient)
    assert SETTING in str(server)


def test_the_refusal_is_a_frame_that_any_client_can_read() -> None:
    (frame,) = FrameReader(16384).feed(refusal_to_plain_client())
    assert (frame.type, frame.flags, frame.stream) == (FrameType.REFUSE, 0, 0)
    refuse = Refuse.decode(frame.payload, Limits())
    assert refuse.code == "rpc.encryption_required"
    assert SETTING in refuse.text


@pytest.mark.parametrize("encrypt", [False, True], ids=["plain server", "TLS server"])
@pytest.mark.parametrize(
    ("start", "kind"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", HttpClient),
        (b"POST /rpc HTTP/1.1\r\n", HttpClient),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", HttpClient),
        (b"SSH-2.0-OpenSSH_9.2\r\n", UnknownClient),
        (b"*1\r\n$4\r\nPING\r\n", UnknownClient),
        (b"PING\r\n", UnknownClient),
        (b"G", UnknownClient),
        (b"\x80\x2e\x01\x00\x02", UnknownClient),  # an SSL 2 hello
        (b"\xff" * 100, UnknownClient),
    ],
)
async def test_foreign_clients_are_explained_or_closed_within_a_second(
    start: bytes, kind: type[TransportError], encrypt: bool
) -> None:
    context = rig.contexts_of(rig.TLS13).server if encrypt else None
    async with rig.listening() as (address, accept):
        client = rig.raw_client(address)
        client.sendall(start)
        sock = await accept()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(expect_mismatch, sock, context, kind, start)
            with trio.fail_after(1):
                answer = await trio.to_thread.run_sync(read_all, client)
            client.close()
        assert answer == (HTTP_ANSWER if kind is HttpClient else b"")


async def expect_mismatch(
    sock: socket.socket, context: ssl.SSLContext | None, kind: type[TransportError], start: bytes
) -> None:
    with pytest.raises(kind) as caught:
        await accept_transport(sock, context=context, timeouts=rig.TIMEOUTS)
    assert getattr(caught.value, "start", b"") == start[:16]
    assert sock.fileno() == -1


def read_all(sock: socket.socket) -> bytes:
    got = b""
    while data := sock.recv(65536):
        got += data
    return got


async def test_a_postgresql_client_is_not_mistaken_for_a_secret_friend() -> None:
    """Its first octet is our own: an encrypted server tells it so, and it is gone."""
    kind, answer = answer_to(b"\x00\x00\x00\x08\x04\xd2\x16\x2f", encrypt=True)
    assert kind is PlainClient
    assert answer == refusal_to_plain_client()


@pytest.mark.parametrize("encrypt", [False, True])
async def test_a_client_that_says_nothing_is_sent_away_in_time(
    encrypt: bool, autojump_clock: MockClock
) -> None:
    link = Link()
    context = rig.contexts_of(rig.TLS13).server if encrypt else None
    start = trio.current_time()
    with pytest.raises(HandshakeTimeout, match="said nothing"):
        await open_server(link.server, context=context, timeouts=rig.TIMEOUTS)
    assert trio.current_time() - start == pytest.approx(5)
    assert link.to_client.has_room  # the end was closed


async def test_a_client_that_goes_without_a_word_is_no_mystery(autojump_clock: MockClock) -> None:
    link = Link()
    await link.client.aclose()
    with pytest.raises(UnknownClient, match="without a word"):
        await open_server(link.server, context=None, timeouts=rig.TIMEOUTS)


async def test_a_cancelled_examination_closes_the_connection(autojump_clock: MockClock) -> None:
    link = Link()
    with trio.move_on_after(1):
        await open_server(link.server, context=None, timeouts=rig.TIMEOUTS)
    with pytest.raises(TransportError):
        await rig.receive_some(link.client)


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-x\r\n", b"220 smtp ready\r\n"]
)
@pytest.mark.parametrize("encrypt", [False, True], ids=["plain client", "TLS client"])
async def test_a_client_at_a_foreign_server_says_that_it_is_no_appserver(
    answer: bytes, encrypt: bool, autojump_clock: MockClock
) -> None:
    link = Link()
    link.server.send_nowait(answer)
    context = rig.contexts_of(rig.TLS13).client if encrypt else None

    async def talk() -> bytes:
        transport = await open_client(link.client, Address(rig.HOST), context=context, timeouts=rig.TIMEOUTS)
        return await rig.receive_some(transport)

    result = await rig.outcome(talk)
    assert isinstance(result, NotAnAppserver)
    if not encrypt:
        assert answer[:4].decode() in str(result)


async def test_a_plain_client_that_meets_tls_says_that_encryption_is_off_here() -> None:
    opening = ServerOpening("host:1")
    with pytest.raises(EncryptionRequired, match="speaks TLS"):
        opening.feed(bytes([0x15, 3, 3, 0, 2, 2, 40]))


async def test_a_tls_client_without_our_protocol_is_sent_away_with_an_explanation() -> None:
    context = rig.client_context()
    context.set_alpn_protocols(["http/1.1"])
    async with rig.listening() as (address, accept):

        def browse() -> bytes:
            with context.wrap_socket(rig.raw_client(address), server_hostname=rig.HOST) as sock:
                got = b""
                while data := sock.recv(65536):
                    got += data
                return got

        async def serve() -> Transport:
            server = rig.contexts_of(rig.TLS13).server
            return await accept_transport(await accept(), context=server, timeouts=rig.TIMEOUTS)

        seen, served = await rig.outcomes(partial(trio.to_thread.run_sync, browse), serve)
    assert seen == HTTP_ANSWER
    assert isinstance(served, UnknownClient)


async def test_a_tls_server_without_our_protocol_is_no_appserver(autojump_clock: MockClock) -> None:
    other = rig.server_context()
    other.set_alpn_protocols(["http/1.1"])
    link = Link()
    client, _ = await rig.outcomes(
        lambda: open_client(
            link.client, Address(rig.HOST), context=rig.contexts_of(rig.TLS13).client, timeouts=rig.TIMEOUTS
        ),
        lambda: open_server(link.server, context=other, timeouts=rig.TIMEOUTS),
    )
    assert isinstance(client, NotAnAppserver)


# The examination of a server's first octets, on bytes alone.

OTHER_REFUSAL = encode_frame(FrameType.REFUSE, 0, 0, Refuse("rpc.server_full", "come again").encode())
WELCOME = encode_frame(FrameType.WELCOME, 0, 0, b"\x90")


@pytest.mark.parametrize("whole", [OTHER_REFUSAL, WELCOME, OTHER_REFUSAL + WELCOME, rig.OPENING])
@given(data=st.data())
def test_what_an_appserver_says_passes_unchanged_however_it_is_split(
    whole: bytes, data: st.DataObject
) -> None:
    opening = ServerOpening("host:1")
    places = sorted(data.draw(st.sets(st.integers(1, len(whole) - 1))))
    pieces = [whole[a:b] for a, b in zip([0, *places], [*places, len(whole)], strict=True)]
    got = b""
    for number, piece in enumerate(pieces):
        passed = opening.feed(piece)
        if passed is not None:
            got = passed + b"".join(pieces[number + 1 :])
            break
    assert got == whole


def test_a_refusal_for_lack_of_encryption_is_understood_byte_by_byte() -> None:
    opening = ServerOpening("host:1")
    refusal = refusal_to_plain_client()
    for octet in refusal[:-1]:
        assert opening.feed(bytes([octet])) is None
    with pytest.raises(EncryptionRequired):
        opening.feed(refusal[-1:])


def test_a_server_that_ends_in_the_middle_of_a_refusal_hides_nothing() -> None:
    opening = ServerOpening("host:1")
    assert opening.feed(OTHER_REFUSAL[:8]) is None
    assert opening.feed(b"") == OTHER_REFUSAL[:8]
    assert ServerOpening("host:1").feed(b"") == b""


@given(st.binary(max_size=40))
def test_any_octets_pass_wait_or_are_explained(octets: bytes) -> None:
    try:
        passed = ServerOpening("host:1").feed(octets)
    except (NotAnAppserver, EncryptionRequired):
        return
    assert passed in (None, octets)


@given(st.binary(min_size=1, max_size=16), st.booleans())
def test_any_foreign_start_has_an_answer(start: bytes, encrypt: bool) -> None:
    kind, answer = answer_to(start, encrypt=encrypt)
    assert bool(answer) == (kind is not UnknownClient)
