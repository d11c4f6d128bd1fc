"""What every transport does, whatever it runs over: the same tests on each implementation."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from protocol.transport import (
    ConnectionReset,
    ConnectionTruncated,
    Transport,
    TransportClosed,
    TransportError,
)
from protocol.transport.base import CLOSE_SECONDS, PIECE
from tests.protocol.transport import rig

WAYS = [(way, security) for way in ("memory", "loopback") for security in rig.SECURITIES]
pytestmark = pytest.mark.parametrize(("way", "security"), WAYS, ids=[f"{w}-{s}" for w, s in WAYS])


@asynccontextmanager
async def connected(way: str, security: str) -> AsyncIterator[tuple[Transport, Transport]]:
    opener = rig.memory_pair if way == "memory" else rig.loopback_pair
    with trio.fail_after(10):
        async with opener(security) as pair:
            yield pair.client, pair.server


async def test_bytes_go_both_ways_and_the_security_is_told(way: str, security: str) -> None:
    async with connected(way, security) as (client, server):
        await rig.send_all(client, b"question")
        assert await rig.receive_exactly(server, 8) == b"question"
        await rig.send_all(server, b"answer")
        assert await rig.receive_exactly(client, 6) == b"answer"
        assert client.security.encrypted == server.security.encrypted == (security != rig.PLAIN)
        assert client.security.version == (None if security == rig.PLAIN else security)
        assert client.security.cipher == server.security.cipher
        assert (client.security.fingerprint or "").startswith("sha256:") == (security != rig.PLAIN)
        assert server.security.peer_certificate is None
        assert client.peer_address
        assert server.peer_address


async def test_nothing_there_gives_none_and_a_single_byte_is_enough(way: str, security: str) -> None:
    async with connected(way, security) as (client, server):
        assert server.receive_nowait() is None
        for octet in (b"a", b"b", b"c"):
            await rig.send_all(client, octet)
            assert await rig.receive_some(server) == octet
        assert server.receive_nowait() is None


async def test_received_byte_by_byte_nothing_is_lost(way: str, security: str) -> None:
    message = bytes(range(256)) * 2
    async with connected(way, security) as (client, server):
        await rig.send_all(client, message)
        got = b""
        while len(got) < len(message):
            piece = server.receive_nowait(1)
            if piece is None:
                await server.wait_readable()
            else:
                assert len(piece) == 1
                got += piece
        assert got == message


async def test_no_call_takes_more_than_a_piece(way: str, security: str) -> None:
    async with connected(way, security) as (client, server):
        huge = bytes(PIECE * 4)

        async def read() -> None:
            await rig.receive_exactly(server, len(huge))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(read)
            left = memoryview(huge)
            while left:
                taken = client.send_nowait(left)
                assert taken <= PIECE
                left = left[taken:]
                if not taken:
                    await client.wait_writable()


async def test_partial_writes_keep_their_order(way: str, security: str) -> None:
    numbers = b"".join(number.to_bytes(4, "big") for number in range(1_000_000))
    async with connected(way, security) as (client, server), trio.open_nursery() as nursery:
        nursery.start_soon(rig.send_all, client, numbers)
        await wait_all_tasks_blocked()  # the way is full before anything is read
        assert await rig.receive_exactly(server, len(numbers)) == numbers


async def test_reading_and_writing_tasks_do_not_disturb_each_other(way: str, security: str) -> None:
    payload = bytes(500_000)
    async with connected(way, security) as (client, server):
        received: dict[str, bytes] = {}

        async def read(name: str, transport: Transport) -> None:
            received[name] = await rig.receive_exactly(transport, len(payload))

        async with trio.open_nursery() as nursery:
            for name, transport in (("client", client), ("server", server)):
                nursery.start_soon(read, name, transport)
                nursery.start_soon(rig.send_all, transport, payload)
        assert received == {"client": payload, "server": payload}


async def test_a_second_reader_is_a_mistake(way: str, security: str) -> None:
    async with connected(way, security) as (client, _), trio.open_nursery() as nursery:
        nursery.start_soon(client.wait_readable)
        await wait_all_tasks_blocked()
        with pytest.raises(trio.BusyResourceError):
            await client.wait_readable()
        nursery.cancel_scope.cancel()


async def test_what_was_sent_before_an_orderly_close_arrives_and_then_the_end(
    way: str, security: str
) -> None:
    async with connected(way, security) as (client, server):

        async def close() -> None:
            await rig.send_all(client, b"last words")
            await client.aclose()

        async def read() -> None:
            assert await rig.receive_to_end(server) == b"last words"
            assert server.receive_nowait() == b""
            await server.aclose()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(close)
            nursery.start_soon(read)


async def test_last_words_survive_a_peer_that_goes_on_sending(way: str, security: str) -> None:
    """A close with unread bytes must not reset what the other side has yet to read."""
    async with connected(way, security) as (client, server):
        await rig.send_all(client, b"unread" * 100)
        async with trio.open_nursery() as nursery:
            await rig.send_all(server, b"goodbye")
            nursery.start_soon(server.aclose)
            await wait_all_tasks_blocked()
            assert await rig.receive_to_end(client) == b"goodbye"
            nursery.start_soon(client.aclose)


async def test_closing_twice_and_aborting_afterwards_is_harmless(way: str, security: str) -> None:
    async with connected(way, security) as (client, server):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.aclose)
            nursery.start_soon(client.aclose)
            nursery.start_soon(server.aclose)
        await client.aclose()
        client.abort()
        client.abort()


async def test_after_a_close_every_use_says_so(way: str, security: str) -> None:
    async with connected(way, security) as (client, server):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.aclose)
            nursery.start_soon(server.aclose)
        server.abort()
        for transport in (client, server):
            with pytest.raises(TransportClosed):
                transport.receive_nowait()
            with pytest.raises(TransportClosed):
                transport.send_nowait(b"x")
            with pytest.raises(TransportClosed):
                await transport.wait_readable()
            with pytest.raises(TransportClosed):
                await transport.wait_writable()


@pytest.mark.parametrize("how", ["aclose", "abort"])
async def test_closing_sends_waiting_tasks_away(way: str, security: str, how: str) -> None:
    async with connected(way, security) as (client, _):
        await rig.fill(client)

        async def expect_closed(wait: str) -> None:
            with pytest.raises(TransportClosed):
                await getattr(client, wait)()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(expect_closed, "wait_readable")
            nursery.start_soon(expect_closed, "wait_writable")
            await wait_all_tasks_blocked()
            if how == "abort":
                client.abort()
            else:
                nursery.start_soon(client.aclose, 0.1)


def close_timeout(way: str, security: str) -> float:
    """The default once, in real time; a shorter one elsewhere, for the sake of the suite."""
    return CLOSE_SECONDS if (way, security) == ("loopback", rig.TLS13) else 0.3


async def test_a_stalled_peer_does_not_hold_the_close(way: str, security: str) -> None:
    async with connected(way, security) as (client, _):
        timeout = close_timeout(way, security)
        with trio.fail_after(timeout):
            await client.aclose(timeout)
        with pytest.raises(TransportClosed):
            client.send_nowait(b"x")


async def test_a_blocked_sender_does_not_hold_the_close(way: str, security: str) -> None:
    async with connected(way, security) as (client, _):
        await rig.fill(client)
        timeout = close_timeout(way, security)
        with trio.fail_after(timeout):
            await client.aclose(timeout)


async def test_a_cancelled_close_closes(way: str, security: str) -> None:
    async with connected(way, security) as (client, server):
        with trio.CancelScope() as scope:
            scope.cancel()
            await client.aclose()
        with pytest.raises(TransportClosed):
            client.receive_nowait()
        # The goodbye was said before the first wait, or the other side sees a reset: never a silent peer.
        ended = await rig.outcome(partial(rig.receive_some, server))
        assert ended == b"" or isinstance(ended, ConnectionReset)


async def test_an_abort_is_seen_as_a_reset_by_the_other_side(way: str, security: str) -> None:
    async with connected(way, security) as (client, server):
        client.abort()
        with pytest.raises(ConnectionReset):
            await rig.receive_some(server)
        with pytest.raises(TransportError):
            await rig.fill(server)


async def test_writing_to_a_peer_that_is_gone_fails(way: str, security: str) -> None:
    async with connected(way, security) as (client, server):
        client.abort()
        with pytest.raises((ConnectionReset, ConnectionTruncated)):
            await rig.send_all(server, bytes(1 << 24))
