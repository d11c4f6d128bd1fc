"""Networks that go silent, floods of connections, and descriptors that run out."""

from __future__ import annotations

import contextlib
import os
import resource
from collections.abc import AsyncIterator
from pathlib import Path

import attrs
import pytest
import trio

from appclient import Client, ConnectionState
from protocol.peer import CallError
from protocol.wire.errors import Executed
from tests.system.application import Desk
from tests.system.processes import (
    QUICK,
    ServerProcess,
    client_of,
    serving,
)
from tests.system.relay import open_relay

PING = 0.5
MIB = 1024 * 1024


@pytest.mark.parametrize("encrypt", [True, False])
async def test_both_sides_notice_a_network_that_has_gone_silent(tmp_path: Path, encrypt: bool) -> None:
    timeouts = attrs.evolve(QUICK, ping=PING)
    errors: list[CallError] = []
    with trio.fail_after(30):
        async with (
            serving(tmp_path, encrypt=encrypt, timeouts_ping=PING) as server,
            open_relay(server.port) as relay,
            client_of(server, via=relay.port, timeouts=timeouts) as client,
            trio.open_nursery() as nursery,
        ):
            desk = client.use(Desk)

            async def call() -> None:
                with pytest.raises(CallError) as caught:
                    await desk.enter(1, wait=True)
                errors.append(caught.value)

            nursery.start_soon(call)
            await server.wait_entries(1)
            relay.freeze()
            with trio.fail_after(2 * PING + 5):
                await client.wait_state(ConnectionState.RECONNECTING)
                while not errors:
                    await trio.lowlevel.checkpoint()
                await server.wait_log(lambda line: line["event"] == "client left")
            assert errors[0].executed is Executed.MAYBE
            relay.thaw()
            with trio.fail_after(5):
                assert await desk.echo("back") == "back"


async def test_a_client_that_is_busy_and_then_lost_comes_back(tmp_path: Path) -> None:
    """The state says `busy` before it says `reconnecting`, and whoever watched that ends with the connection."""
    timeouts = attrs.evolve(QUICK, ping=3.0)
    with trio.fail_after(30):
        async with (
            serving(tmp_path) as server,
            open_relay(server.port) as relay,
            client_of(server, via=relay.port, timeouts=timeouts) as client,
            trio.open_nursery() as nursery,
        ):
            desk = client.use(Desk)

            async def call() -> None:
                with pytest.raises(CallError):
                    await desk.enter(1, wait=True)

            nursery.start_soon(call)
            await server.wait_entries(1)
            relay.freeze()
            await client.wait_state(ConnectionState.BUSY)
            relay.reset()
            await client.wait_state(ConnectionState.RECONNECTING)
            relay.thaw()
            assert await desk.echo("back") == "back"


@contextlib.asynccontextmanager
async def echoing(client: Client, *, within: float) -> AsyncIterator[list[float]]:
    """A good client beside what happens: every call in time, none fails."""
    times: list[float] = []

    async def call() -> None:
        desk = client.use(Desk)
        while True:
            began = trio.current_time()
            with trio.fail_after(within):
                assert await desk.echo("good") == "good"
            times.append(trio.current_time() - began)
            await trio.sleep(0.01)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(call)
        yield times
        target = len(times) + 3
        while len(times) < target:
            await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()


async def test_descriptors_that_run_out_do_not_end_the_listener(tmp_path: Path) -> None:
    with trio.fail_after(30):
        async with (
            serving(
                tmp_path, limits_per_source=1000, limits_connections_before_authentication=1000
            ) as server,
            client_of(server) as client,
            echoing(client, within=2) as times,
        ):
            held = len(os.listdir(f"/proc/{server.process.pid}/fd"))
            resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (held + 20, held + 20))
            async with contextlib.AsyncExitStack() as stack:
                for _ in range(60):
                    await stack.enter_async_context(await trio.open_tcp_stream("127.0.0.1", server.port))
                while len(os.listdir(f"/proc/{server.process.pid}/fd")) < held + 20:
                    await trio.lowlevel.checkpoint()
                before = len(times)
                while len(times) < before + 20:
                    await trio.lowlevel.checkpoint()
            with trio.fail_after(5):
                async with client_of(server) as another:
                    assert await another.use(Desk).echo("in") == "in"
            assert client.statistics().connections == 1


async def test_silent_connections_keep_nobody_out_for_longer_than_their_time(tmp_path: Path) -> None:
    """300 that say nothing, from one address: at most 32 are let in, and those for the handshake's time only."""
    handshake = 1.5
    with trio.fail_after(30):
        async with (
            serving(tmp_path, timeouts_handshake=handshake) as server,
            client_of(server) as client,
            echoing(client, within=1),
            contextlib.AsyncExitStack() as stack,
        ):
            silent = [
                await stack.enter_async_context(await trio.open_tcp_stream("127.0.0.1", server.port))
                for _ in range(300)
            ]
            with trio.fail_after(handshake + 3):
                await _connect_at_last(server)
            # All are rid of by then, the first by the time limit and the others at once.
            for stream in silent:
                with trio.fail_after(1), contextlib.suppress(trio.BrokenResourceError):
                    assert await stream.receive_some(1) == b""
            assert client.statistics().connections == 1


async def _connect_at_last(server: ServerProcess) -> None:
    while True:
        try:
            async with client_of(server) as client:
                assert await client.use(Desk).echo("in") == "in"
                return
        except Exception:
            await trio.sleep(0.05)


async def test_aborted_handshakes_leave_no_memory_behind(tmp_path: Path) -> None:
    """1,000 of them three times over, each aborted at another place; the third thousand costs nothing more."""
    with trio.fail_after(45):
        async with (
            serving(tmp_path, limits_per_source=200, log_level="warning") as server,
            client_of(server) as client,
            echoing(client, within=2),
        ):
            memory: list[int] = []
            for _ in range(3):
                await _abort_handshakes(server.port, 1000)
                memory.append(server.memory())
            descriptors = len(os.listdir(f"/proc/{server.process.pid}/fd"))
            assert memory[2] - memory[1] < 4 * MIB, memory
            assert descriptors < 60
            assert client.statistics().connections == 1


async def _abort_handshakes(port: int, count: int) -> None:
    import ssl

    context = ssl.create_default_context()
    context.set_alpn_protocols(["appserver/1"])
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
    hello = outgoing.read()
    numbers = iter(range(count))

    async def abort() -> None:
        for number in numbers:
            async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                with contextlib.suppress(trio.BrokenResourceError):
                    if number % 4 == 0:  # the whole hello, and the answer is read, too
                        await stream.send_all(hello)
                        await stream.receive_some(16384)
                    else:  # some part of it
                        await stream.send_all(hello[: number % len(hello)])

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(abort)
