"""TLS over sockets and in memory: what is refused and who learns why, and the crossed waits."""

from __future__ import annotations

import contextlib
import socket
import ssl
import sys
from collections.abc import Awaitable, Callable
from types import SimpleNamespace

import attrs
import pytest
import trio
import trustme
from trio.testing import wait_all_tasks_blocked

from protocol.certs import ChangedServerKey
from protocol.settings import TimeoutSettings
from protocol.transport import (
    Address,
    HandshakeTimeout,
    Link,
    PlainTransport,
    Security,
    TlsFailure,
    TlsTransport,
    Transport,
    TransportClosed,
    TransportError,
    Verify,
    accept_transport,
    connect_transport,
    open_client,
    open_server,
)
from tests.protocol.transport import rig

WAYS = ("memory", "loopback")


async def meet(
    way: str,
    client: ssl.SSLContext,
    server: ssl.SSLContext,
    *,
    address: Address = Address(rig.HOST),  # noqa: B008
    verify: Verify | None = None,
) -> tuple[object, object]:
    """What the two sides get: the client after its first reading, for TLS 1.3 tells it late."""

    async def talk(connect: Callable[[], Awaitable[Transport]]) -> Transport:
        transport = await connect()
        try:
            await rig.receive_exactly(transport, 2)
        except BaseException:
            transport.abort()
            raise
        return transport

    async def greet(accept: Callable[[], Awaitable[Transport]]) -> Transport:
        transport = await accept()
        try:
            await rig.send_all(transport, b"hi")
        except BaseException:
            transport.abort()
            raise
        return transport

    options = {"timeouts": rig.TIMEOUTS, "verify": verify}
    if way == "memory":
        link = Link()
        results = await rig.outcomes(
            lambda: talk(lambda: open_client(link.client, address, context=client, **options)),  # type: ignore[arg-type]
            lambda: greet(lambda: open_server(link.server, context=server, timeouts=rig.TIMEOUTS)),
        )
    else:
        async with rig.listening() as (place, accept):
            target = attrs.evolve(place, pin=address.pin, host=address.host)

            async def serve() -> Transport:
                return await accept_transport(await accept(), context=server, timeouts=rig.TIMEOUTS)

            results = await rig.outcomes(
                lambda: talk(lambda: connect_transport(target, context=client, **options)),  # type: ignore[arg-type]
                lambda: greet(serve),
            )
    for result in results:
        if isinstance(result, Transport):
            result.abort()
    return results[0], results[1]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("security", rig.TLS_VERSIONS)
async def test_a_client_that_does_not_trust_the_server_says_so_on_both_sides(way: str, security: str) -> None:
    stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trustme.CA().configure_trust(stranger)
    stranger.set_alpn_protocols([rig.ALPN])
    stranger.maximum_version = rig.client_context(security).maximum_version
    server = rig.contexts_of(security).server
    assert server is not None
    told, heard = await meet(way, stranger, server)
    assert isinstance(told, TlsFailure)
    assert told.reason == "CERTIFICATE_VERIFY_FAILED"
    assert isinstance(told.__cause__, ssl.SSLCertVerificationError)
    assert isinstance(heard, TlsFailure)  # the alert has reached the server
    assert heard.alert == "unknown_ca"


@pytest.mark.parametrize("way", WAYS)
async def test_a_certificate_for_another_name_is_refused(way: str) -> None:
    told, _ = await meet(way, rig.client_context(), rig.server_context(names=("other.example",)))
    assert isinstance(told, TlsFailure)
    assert isinstance(told.__cause__, ssl.SSLCertVerificationError)
    assert told.__cause__.verify_code in (62, 64)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("security", rig.TLS_VERSIONS)
async def test_a_client_without_a_demanded_certificate_hears_the_alert(way: str, security: str) -> None:
    server = rig.server_context(security)
    server.verify_mode = ssl.CERT_REQUIRED
    rig.authority().configure_trust(server)
    told, heard = await meet(way, rig.client_context(security), server)
    assert isinstance(told, TlsFailure)
    assert told.alert == ("certificate_required" if security == rig.TLS13 else "handshake_failure")
    assert isinstance(heard, TlsFailure)
    assert heard.reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE"


@pytest.mark.parametrize("way", WAYS)
async def test_a_client_whose_certificate_the_server_does_not_trust_hears_the_alert(way: str) -> None:
    server, client = rig.server_context(), rig.client_context()
    server.verify_mode = ssl.CERT_REQUIRED
    rig.authority().configure_trust(server)
    trustme.CA().issue_cert("client@example").configure_cert(client)
    told, heard = await meet(way, client, server)
    assert isinstance(told, TlsFailure)
    assert told.alert == "unknown_ca"
    assert isinstance(heard, TlsFailure)
    assert "the client's certificate is not acceptable" in str(heard)


@pytest.mark.parametrize("way", WAYS)
async def test_a_trusted_client_certificate_is_shown_to_the_server(way: str) -> None:
    server, client = rig.server_context(), rig.client_context()
    server.verify_mode = ssl.CERT_REQUIRED
    rig.authority().configure_trust(server)
    rig.authority().issue_cert("client@example").configure_cert(client)
    told, heard = await meet(way, client, server)
    assert isinstance(told, Transport)
    assert isinstance(heard, Transport)
    assert heard.security.peer_certificate
    assert heard.security.fingerprint


@pytest.mark.parametrize("way", WAYS)
async def test_without_a_common_version_both_sides_say_so(way: str) -> None:
    told, heard = await meet(way, rig.client_context(rig.TLS12), rig.server_context(rig.TLS13))
    for side in (told, heard):
        assert isinstance(side, TlsFailure)
        assert "no TLS version in common" in str(side)
    assert isinstance(told, TlsFailure)
    assert told.alert == "protocol_version"


@pytest.mark.parametrize("way", WAYS)
async def test_a_pin_must_match_the_servers_key(way: str) -> None:
    server = rig.contexts_of(rig.TLS13).server
    client = rig.contexts_of(rig.TLS13).client
    assert server is not None
    assert client is not None
    seen: list[Security] = []
    await meet(way, client, server, verify=seen.append)
    pin = seen[0].fingerprint
    right, _ = await meet(way, client, server, address=Address(rig.HOST, pin=pin))
    assert isinstance(right, Transport)
    wrong, heard = await meet(way, client, server, address=Address(rig.HOST, pin="sha256:" + "0" * 64))
    assert isinstance(wrong, ChangedServerKey)
    assert isinstance(heard, TransportError | Transport)


@pytest.mark.parametrize("way", WAYS)
async def test_what_the_callers_verification_raises_ends_the_connection(way: str) -> None:
    class NotGoodEnough(Exception):
        pass

    def verify(security: Security) -> None:
        assert security.encrypted
        raise NotGoodEnough

    contexts = rig.contexts_of(rig.TLS13)
    assert contexts.client is not None
    assert contexts.server is not None
    told, _ = await meet(way, contexts.client, contexts.server, verify=verify)
    assert isinstance(told, NotGoodEnough)


async def test_a_client_that_stalls_in_the_handshake_is_dropped_in_time() -> None:
    timeouts = TimeoutSettings(handshake=0.2)
    async with rig.listening() as (address, accept):
        client = rig.raw_client(address)
        client.sendall(b"\x16\x03\x01")
        with trio.fail_after(2), pytest.raises(HandshakeTimeout):
            await accept_transport(
                await accept(), context=rig.contexts_of(rig.TLS13).server, timeouts=timeouts
            )
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        client.close()


async def test_greetings_that_come_together_are_answered_one_a_pass_of_the_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each is arithmetic that nobody else can run beside; who is connected gets his turn in between."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    sent = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname=rig.HOST).do_handshake()
    hello = sent.read()
    passes = 0
    answered: list[int] = []
    shake_hands = ssl.SSLSocket.do_handshake

    def noted(sock: ssl.SSLSocket) -> None:
        answered.append(passes)
        shake_hands(sock)

    monkeypatch.setattr(ssl.SSLSocket, "do_handshake", noted)
    pairs = [socket.socketpair() for _ in range(20)]
    async with trio.open_nursery() as nursery:

        async def accept(sock: socket.socket) -> None:
            with contextlib.suppress(TransportError):
                await accept_transport(sock, context=rig.server_context(), timeouts=rig.TIMEOUTS)

        for ours, theirs in pairs:
            theirs.sendall(hello)
            nursery.start_soon(accept, ours)
        with trio.fail_after(10):
            while len(answered) < 20:
                await trio.lowlevel.checkpoint()
                passes += 1
        nursery.cancel_scope.cancel()
    for _, theirs in pairs:
        theirs.close()
    assert len(set(answered)) == len(answered)


@pytest.mark.parametrize("side", ["client", "server"])
async def test_a_cancelled_handshake_leaves_nothing_open(side: str) -> None:
    contexts = rig.contexts_of(rig.TLS13)
    async with rig.listening() as (address, accept):

        async def connect() -> None:
            await connect_transport(address, context=contexts.client, timeouts=rig.TIMEOUTS)

        async def serve(sock: socket.socket) -> None:
            await accept_transport(sock, context=contexts.server, timeouts=rig.TIMEOUTS)

        async with trio.open_nursery() as nursery:
            if side == "client":
                nursery.start_soon(connect)
                other = await accept()
            else:
                other = rig.raw_client(address)
                other.sendall(b"\x16\x03\x01")
                nursery.start_soon(serve, await accept())
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
        other.settimeout(5)
        with contextlib.suppress(ConnectionResetError):
            while other.recv(65536):
                pass
        other.close()


async def test_a_refused_write_tells_the_alert_that_waits_to_be_read() -> None:
    """TLS 1.3: the server's refusal lies in the buffer while this client believes to be connected."""
    server = rig.server_context()
    server.verify_mode = ssl.CERT_REQUIRED
    rig.authority().configure_trust(server)
    async with rig.listening() as (address, accept):
        made: list[Transport] = []

        async def connect() -> None:
            made.append(await connect_transport(address, context=rig.client_context(), timeouts=rig.TIMEOUTS))

        async def serve() -> None:
            with pytest.raises(TlsFailure):
                await accept_transport(await accept(), context=server, timeouts=TimeoutSettings(handshake=5))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(connect)
            nursery.start_soon(serve)
        (client,) = made
        with pytest.raises(TlsFailure) as caught:
            await rig.send_all(client, bytes(1 << 24))
        assert caught.value.alert == "certificate_required"
        client.abort()


class CrossedEngine:
    """What OpenSSL does in the rare moments when reading waits for writing, or the reverse."""

    def __init__(self) -> None:
        self.read_raises: Exception | None = None
        self.write_raises: Exception | None = None
        self.data = b""

    def read(self, _: int, /) -> bytes:
        if self.read_raises is not None:
            raise self.read_raises
        if not self.data:
            raise ssl.SSLWantReadError
        data, self.data = self.data, b""
        return data

    def write(self, data: bytes | memoryview, /) -> int:
        if self.write_raises is not None:
            raise self.write_raises
        return len(data)

    def pending(self) -> int:
        return len(self.data)

    def shutdown(self) -> None:
        return None


class CrossedSocket(socket.socket):
    """A socket that claims to be an `ssl.SSLSocket` with that engine."""

    _sslobj: CrossedEngine


@pytest.fixture
def crossed() -> tuple[TlsTransport, CrossedEngine, socket.socket]:
    ours, theirs = socket.socketpair()
    sock = CrossedSocket(fileno=ours.detach())
    sock._sslobj = CrossedEngine()
    theirs.setblocking(False)
    return TlsTransport(sock, Security(encrypted=True), "fake:1"), sock._sslobj, theirs  # type: ignore[arg-type]


Crossed = tuple[TlsTransport, CrossedEngine, socket.socket]


async def test_a_reader_that_must_write_first_waits_beside_a_waiting_writer(crossed: Crossed) -> None:
    transport, engine, theirs = crossed
    fill_socket(transport)
    engine.read_raises = ssl.SSLWantWriteError()
    engine.write_raises = ssl.SSLWantWriteError()
    assert transport.receive_nowait() is None
    assert transport.send_nowait(b"x") == 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(transport.wait_writable)
        nursery.start_soon(transport.wait_readable)
        await wait_all_tasks_blocked()
        drain_socket(theirs)
    engine.read_raises = None
    engine.data = b"at last"
    assert transport.receive_nowait() == b"at last"
    transport.abort()
    theirs.close()


async def test_a_writer_that_must_read_first_waits_beside_a_waiting_reader(crossed: Crossed) -> None:
    transport, engine, theirs = crossed
    engine.write_raises = ssl.SSLWantReadError()
    assert transport.receive_nowait() is None
    assert transport.send_nowait(b"x") == 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(transport.wait_writable)
        nursery.start_soon(transport.wait_readable)
        await wait_all_tasks_blocked()
        theirs.send(b"!")
    engine.write_raises = None
    assert transport.send_nowait(b"x") == 1
    transport.abort()
    theirs.close()


async def test_a_reader_that_consumed_what_a_crossed_writer_waits_for_sends_it_to_try_again(
    crossed: Crossed,
) -> None:
    transport, engine, theirs = crossed
    engine.write_raises = ssl.SSLWantReadError()
    assert transport.send_nowait(b"x") == 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(transport.wait_writable)
        await wait_all_tasks_blocked()
        assert transport.receive_nowait() is None  # it has read all there was
    transport.abort()
    theirs.close()


@pytest.mark.parametrize("how", ["abort", "aclose"])
async def test_closing_sends_crossed_tasks_away(crossed: Crossed, how: str) -> None:
    transport, engine, theirs = crossed
    fill_socket(transport)
    engine.read_raises = ssl.SSLWantWriteError()
    engine.write_raises = ssl.SSLWantReadError()
    transport.receive_nowait()
    transport.send_nowait(b"x")

    async def expect_closed(wait: Callable[[], Awaitable[None]]) -> None:
        with pytest.raises(TransportClosed):
            await wait()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(expect_closed, transport.wait_readable)
        nursery.start_soon(expect_closed, transport.wait_writable)
        await wait_all_tasks_blocked()
        if how == "abort":
            transport.abort()
        else:
            transport._tls = CrossedSocket(fileno=transport._sock.detach())  # type: ignore[assignment]
            await transport.aclose(0.1)
    theirs.close()


def fill_socket(transport: TlsTransport) -> None:
    with pytest.raises(BlockingIOError):  # noqa: PT012
        while True:
            socket.socket.send(transport._sock, bytes(65536))


def drain_socket(sock: socket.socket) -> None:
    with contextlib.suppress(BlockingIOError):
        while sock.recv(65536):
            pass


async def test_data_that_came_with_a_failed_write_is_not_lost(crossed: Crossed) -> None:
    transport, engine, theirs = crossed
    engine.write_raises = ConnectionResetError(104, "reset")
    engine.data = b"why"
    with pytest.raises(TransportError):
        transport.send_nowait(b"x")
    assert transport.receive_nowait() == b"why"
    assert transport.receive_nowait() is None
    transport.abort()
    theirs.close()


async def test_a_detached_plain_transport_can_do_no_harm_to_its_socket() -> None:
    ours, theirs = socket.socketpair()
    plain = PlainTransport(ours)
    sock = plain.detach()
    plain.abort()
    await plain.aclose()
    sock.send(b"alive")
    assert theirs.recv(5) == b"alive"
    sock.close()
    theirs.close()


@pytest.mark.parametrize("version", rig.TLS_VERSIONS)
async def test_a_connection_is_not_watched_where_its_socket_does_not_tell_all(version: str) -> None:
    ours, theirs = socket.socketpair()
    link = SimpleNamespace(client=PlainTransport(ours), server=PlainTransport(theirs))
    async with rig.memory_pair(version, link) as pair:  # type: ignore[arg-type]
        client = pair.client
        assert isinstance(client, TlsTransport)
        assert pair.server.send_nowait(b"record") == 6
        while client.receive_nowait(2) is None:
            await client.wait_readable()
        assert not client.watch(bool)  # the rest lies in OpenSSL
        assert client.receive_nowait() == b"cord"
        assert client.watch(bool) is (sys.platform == "linux")
        client.unwatch()
        client._read_wants_write = True
        assert not client.watch(bool)
