"""Connections that are watched together: what comes is taken as ever, and who fails, fails alone.

Server and clients are in one loop here, over sockets: each connection is the company of the others.
"""

from __future__ import annotations

import sys
from typing import Any, NoReturn

import pytest
import trio

from appclient import Client
from appserver import current_call
from protocol.peer import ConnectionLost, Peer
from protocol.peer.reading import Reading
from protocol.settings import LimitSettings, Settings
from protocol.transport import Transport
from protocol.transport.poll_set import current_poll_set
from protocol.wire.errors import Executed, RemoteProtocolError
from tests.protocol.peer.desk import Bell, Desk, content
from tests.protocol.peer.rig import TRANSPORT_IDS, TRANSPORTS, Rig, SocketNetwork, open_rig, until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only epoll watches")

CLIENTS = 5
ROUNDS = 30


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[Reading]:
    """The connections for which something was taken where they are watched, without their leader."""
    connections: list[Reading] = []
    take_all = Reading._take_all

    def noted(reading: Reading) -> bool:
        goes_on = take_all(reading)
        if goes_on:
            connections.append(reading)
        return goes_on

    monkeypatch.setattr(Reading, "_take_all", noted)
    return connections


def peer_of(client: Client) -> Peer:
    """The client's side of its connection."""
    peer = client.peer_nowait()
    assert peer is not None
    return peer


def is_watched(transport: Transport) -> bool:
    """Whether the poll set calls for a connection."""
    return transport.fileno() in current_poll_set()._calls


async def be_watched(client: Client) -> None:
    """Call, not too close together, until the connection is watched, for which others have to be busy."""
    with trio.fail_after(5):
        while not is_watched(peer_of(client).transport):
            assert await client.use(Desk).echo(1) == 1
            await trio.sleep(0.005)


async def keep_company(rig: Rig) -> NoReturn:
    """Be busy on another connection, until cancelled."""
    async with rig.server.connect() as client:
        desk = client.use(Desk)
        while True:
            assert await desk.echo(1) == 1


@pytest.mark.parametrize(("encrypted", "version"), TRANSPORTS, ids=TRANSPORT_IDS)
async def test_everything_arrives_on_connections_that_are_busy_together(
    encrypted: bool, version: Any, taken: list[Reading]
) -> None:
    async with open_rig(encrypted=encrypted, tls_version=version, network=SocketNetwork()) as rig:

        async def use() -> None:
            async with rig.server.connect() as client:
                desk = client.use(Desk)
                for number in range(ROUNDS):
                    assert await desk.echo(number) == number
                    async with trio.open_nursery() as nursery:
                        for other in range(3):
                            nursery.start_soon(desk.echo, other)
                async with desk.count(0, ROUNDS) as numbers:
                    assert [number async for number in numbers] == list(range(ROUNDS))
                async with desk.give(300_000) as blob:
                    assert await blob.read() == content(300_000)
                text = "long" * 100_000
                assert await desk.say(text) == text

        async with trio.open_nursery() as nursery:
            for _ in range(CLIENTS):
                nursery.start_soon(use)
        assert len({id(reading) for reading in taken}) >= CLIENTS


async def test_an_event_reaches_all_without_their_leaders(taken: list[Reading]) -> None:
    async with open_rig(network=SocketNetwork()) as rig, trio.open_nursery() as nursery:
        arrived: list[int] = []

        async def follow(*, task_status: trio.TaskStatus[None]) -> None:
            async with rig.server.connect() as client, client.use(Desk).queued.subscribe() as numbers:
                task_status.started()
                async for number in numbers:
                    arrived.append(number)

        for _ in range(CLIENTS):
            await nursery.start(follow)
        for number in range(ROUNDS):
            rig.counter.queued.publish(number)
            await until(lambda: len(arrived) == CLIENTS)
            assert arrived == [number] * CLIENTS
            arrived.clear()
        assert len(taken) > CLIENTS * ROUNDS / 2
        nursery.cancel_scope.cancel()


async def test_a_handler_of_a_watched_client_runs_as_ever() -> None:
    async with open_rig(network=SocketNetwork()) as rig, trio.open_nursery() as nursery:
        nursery.start_soon(keep_company, rig)

        async def ask_back() -> int:
            bell = current_call().use(Bell)
            total = 0
            for number in range(ROUNDS):
                total += await bell.ring(number)
                total += await bell.ring_slowly()
            return total

        rig.counter.plans["ask back"] = ask_back
        rig.ringer.release.set()
        assert await rig.desk.run("ask back") > sum(range(ROUNDS))
        nursery.cancel_scope.cancel()


async def test_a_connection_without_company_is_not_watched_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    async with open_rig(network=SocketNetwork()) as rig:
        transport = peer_of(rig.client).transport
        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep_company, rig)
            await be_watched(rig.client)
            nursery.cancel_scope.cancel()
        monkeypatch.setattr(Reading, "_has_company", lambda _: False)  # the server is in this loop, too
        server = next(iter(rig.server.server.sessions)).peer
        server.connection.ping()
        server.write()
        await until(lambda: not is_watched(transport))
        assert await rig.desk.echo(1) == 1


async def test_the_end_of_a_watched_connection_fails_its_calls_and_no_others() -> None:
    network = SocketNetwork()
    async with open_rig(network=network) as rig, trio.open_nursery() as nursery:
        rig.counter.plans["wait"] = trio.sleep_forever
        async with rig.server.connect() as other:
            link = network.link
            nursery.start_soon(keep_company, rig)
            await be_watched(other)
            failed: list[ConnectionLost] = []

            async def wait() -> None:
                try:
                    await other.use(Desk).run("wait")
                except ConnectionLost as exc:
                    failed.append(exc)

            async with trio.open_nursery() as waiting:
                waiting.start_soon(wait)
                await trio.sleep(0.02)
                assert is_watched(link.client)
                link.server.abort()
            assert [exc.executed for exc in failed] == [Executed.MAYBE]
        assert await rig.desk.echo(7) == 7
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("how", ["abort", "wake"])
async def test_a_watched_leader_looks_again_when_its_transport_says_so(how: str) -> None:
    """Also where something has come meanwhile: it is not taken in passing, by nobody who goes on."""
    async with open_rig(network=SocketNetwork()) as rig, trio.open_nursery() as nursery:
        nursery.start_soon(keep_company, rig)
        await be_watched(rig.client)
        peer = peer_of(rig.client)
        server = next(iter(rig.server.server.sessions)).peer
        server.connection.ping()
        server.write()
        getattr(peer.transport, how)()
        if how == "abort":
            await until(lambda: peer.ended)
        else:
            with trio.fail_after(5):
                assert await rig.desk.echo(1) == 1
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("error", [RemoteProtocolError("nonsense"), ZeroDivisionError("ours")])
async def test_what_fails_while_it_is_taken_is_the_leaders(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So it ends its connection, as it does where the leader reads, and not the loop."""
    async with open_rig(network=SocketNetwork()) as rig, trio.open_nursery() as nursery:
        nursery.start_soon(keep_company, rig)

        def fail(*_: object) -> NoReturn:
            raise error

        with pytest.raises(ExceptionGroup) as caught:  # noqa: PT012 - the client's block ends with it
            async with rig.server.connect() as client:
                await be_watched(client)
                monkeypatch.setattr(peer_of(client).connection, "receive", fail)
                await client.use(Desk).echo(1)
        assert caught.group_contains(type(error), match=str(error))
        assert await rig.desk.echo(1) == 1
        nursery.cancel_scope.cancel()


async def test_what_is_taken_is_answered_and_makes_room_without_the_leader(taken: list[Reading]) -> None:
    settings = Settings(limits=LimitSettings(open_calls=2))
    async with open_rig(network=SocketNetwork(), settings=settings) as rig, trio.open_nursery() as nursery:
        nursery.start_soon(keep_company, rig)
        await be_watched(rig.client)
        reading = peer_of(rig.client).reading
        taken.clear()
        with trio.fail_after(5):
            await next(iter(rig.server.server.sessions)).peer.ping()  # whose PONG leaves
            async with trio.open_nursery() as callers:
                for number in range(10):  # of which two may be open
                    callers.start_soon(rig.desk.echo, number)
        assert reading in taken
        nursery.cancel_scope.cancel()
