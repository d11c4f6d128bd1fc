"""Either side killed in the middle of what it does: one outcome for each caller, and all goes on afterwards."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import attrs
import pytest
import trio

from appclient import Client, ConnectionState
from appclient.connecting import Connector, Established
from protocol import Blob, Stream
from protocol.peer import CallError
from protocol.wire.errors import Executed
from tests.system.application import Desk, Note
from tests.system.processes import (
    QUICK,
    ROOT,
    ServerProcess,
    client_of,
    client_resources,
    environment,
    serving,
)
from tests.system.relay import Relay, open_relay

CALLS = 40


class Outcomes:
    """What callers got: exactly one thing each, or the test fails."""

    def __init__(self) -> None:
        self.results: dict[object, object] = {}
        self.errors: dict[object, CallError] = {}

    async def take(self, caller: object, work: Awaitable[object]) -> None:
        assert caller not in self.results
        assert caller not in self.errors
        try:
            self.results[caller] = await work
        except CallError as exc:
            self.errors[caller] = exc


async def iterate(items: object) -> int:
    count = 0
    async for _ in items:  # type: ignore[attr-defined]
        count += 1
    return count


async def endless(item: object) -> AsyncIterator[object]:
    while True:
        yield item


def start_everything(client: Client, nursery: trio.Nursery, outcomes: Outcomes) -> int:
    """Calls, streams and blobs both ways that do not end by themselves; returns how many."""
    desk = client.use(Desk)
    work: dict[object, Awaitable[object]] = {n: desk.enter(n, wait=True) for n in range(CALLS)}
    work["stream"] = iterate(desk.notes("down", 0))
    work["stream up"] = desk.collect(Stream(endless(Note("up"))))  # type: ignore[arg-type]
    work["blob"] = iterate(desk.zeros(1 << 40))
    work["blob up"] = desk.put("large", Blob(endless(bytes(4096))))  # type: ignore[arg-type]
    work["ping"] = pings(client)
    for caller, awaitable in work.items():
        nursery.start_soon(outcomes.take, caller, awaitable)
    return len(work)


async def pings(client: Client) -> None:
    while True:
        await client.ping()


def check_executed(outcomes: Outcomes, server: ServerProcess) -> None:
    """`executed: no` was never said of a call that ran, and nothing ran twice."""
    entries = server.entries
    assert len(entries) == len(set(entries))
    for caller, error in outcomes.errors.items():
        if error.executed is Executed.NO:
            assert str(caller) not in entries
    for caller, result in outcomes.results.items():
        assert caller == result
        assert entries.count(str(caller)) == 1


End = Callable[[ServerProcess, Relay], object]


def kill(server: ServerProcess, relay: Relay) -> None:
    server.kill()


def reset(server: ServerProcess, relay: Relay) -> None:
    relay.reset()


@pytest.mark.parametrize("end", [kill, reset])
@pytest.mark.parametrize("encrypt", [True, False])
async def test_every_caller_gets_one_outcome_and_the_client_comes_back(
    tmp_path: Path, end: End, encrypt: bool
) -> None:
    outcomes = Outcomes()
    with trio.fail_after(30):
        async with (
            serving(tmp_path, encrypt=encrypt) as server,
            open_relay(server.port) as relay,
            client_of(server, via=relay.port) as client,
        ):
            async with trio.open_nursery() as nursery:
                count = start_everything(client, nursery, outcomes)
                await server.wait_entries(CALLS)
                assert not outcomes.results
                assert not outcomes.errors
                end(server, relay)
                nursery.cancel_scope.deadline = trio.current_time() + 2
            assert not nursery.cancel_scope.cancelled_caught
            assert len(outcomes.errors) == count
            assert {error.executed for error in outcomes.errors.values()} == {Executed.MAYBE}
            check_executed(outcomes, server)
            if end is reset:
                with trio.fail_after(2):
                    assert await client.use(Desk).echo("back") == "back"
                return
            await client.wait_state(ConnectionState.RECONNECTING)
            async with trio.open_nursery() as nursery:
                waiting: list[str] = []

                async def call_meanwhile() -> None:
                    waiting.append(await client.use(Desk).echo("meanwhile"))

                nursery.start_soon(call_meanwhile)
                async with serving(tmp_path, encrypt=encrypt, port=server.port) as again:
                    assert again.port == server.port
                    with trio.fail_after(3):
                        assert await client.use(Desk).enter(1000) == 1000
                        while not waiting:
                            await trio.lowlevel.checkpoint()
            assert waiting == ["meanwhile"]


async def test_calls_that_come_and_go_are_never_said_not_to_have_run_when_they_have(tmp_path: Path) -> None:
    """Killed five times under short calls: many results, some errors, each true."""
    outcomes = Outcomes()
    numbers = iter(range(1_000_000))
    with trio.fail_after(40):
        async with serving(tmp_path) as server:
            port = server.port
            async with client_of(server) as client, trio.open_nursery() as nursery:
                desk = client.use(Desk)

                async def caller() -> None:
                    while True:
                        number = next(numbers)
                        with trio.fail_after(10):
                            await outcomes.take(number, desk.enter(number))

                for _ in range(20):
                    nursery.start_soon(caller)
                for _ in range(3):
                    target = len(outcomes.results) + 500
                    while len(outcomes.results) < target:
                        await trio.lowlevel.checkpoint()
                    server.kill()
                    again = serving(tmp_path, port=port)
                    server = await again.__aenter__()
                    nursery.start_soon(close_at_end, again)
                target = len(outcomes.results) + 500
                while len(outcomes.results) < target:
                    await trio.lowlevel.checkpoint()
                nursery.cancel_scope.cancel()
    check_executed(outcomes, server)
    assert outcomes.errors


async def close_at_end(context: object) -> None:
    try:
        await trio.sleep_forever()
    finally:
        with trio.CancelScope(shield=True):
            await context.__aexit__(None, None, None)  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", ["calls", "stream", "stream up", "blob", "blob up", "event"])
async def test_a_killed_client_leaves_nothing_behind_on_the_server(tmp_path: Path, kind: str) -> None:
    with trio.fail_after(30):
        async with serving(tmp_path) as server, client_of(server) as witness:
            with subprocess.Popen(  # noqa: ASYNC220 - it returns at once
                [
                    sys.executable,
                    "-m",
                    "tests.system.calling",
                    str(server.port),
                    str(client_resources(server)),
                    kind,
                ],
                env=environment(),
                cwd=ROOT,
                stdout=subprocess.PIPE,
                text=True,
            ) as process:
                try:
                    assert process.stdout is not None
                    assert await trio.to_thread.run_sync(process.stdout.readline) == "ready\n"
                finally:
                    process.kill()
            with trio.fail_after(2):
                await server.wait_log(lambda line: line["event"] == "client left")
            assert await witness.use(Desk).echo("untouched") == "untouched"
            assert not [line for line in server.log() if line["level"] == "error"]
            server.terminate()
            with trio.fail_after(5):  # no handler of the killed client is waited for
                assert await server.wait() == 0


async def test_a_client_that_is_closed_while_it_reconnects_ends_at_once(tmp_path: Path) -> None:
    slow = attrs.evolve(QUICK, reconnect_first=600.0, reconnect_most=600.0)
    with trio.fail_after(30):
        async with serving(tmp_path) as server:
            async with client_of(server, timeouts=slow) as client:
                server.kill()
                await client.wait_state(ConnectionState.RECONNECTING)
                scope = trio.CancelScope(deadline=trio.current_time() + 1)
            assert trio.current_time() < scope.deadline
            assert client.state is ConnectionState.CLOSED


async def test_a_client_that_is_closed_just_when_it_is_welcome_again_leaves_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    establish = Connector.establish
    clients: list[Client] = []

    async def establish_and_close(self: Connector) -> Established:
        established = await establish(self)
        for client in clients:
            client.close()
        return established

    monkeypatch.setattr(Connector, "establish", establish_and_close)
    with trio.fail_after(10):
        async with (
            serving(tmp_path) as server,
            open_relay(server.port) as relay,
            client_of(server, via=relay.port) as client,
        ):
            clients.append(client)
            relay.reset()
            await client.wait_state(ConnectionState.CLOSED)
            await server.wait_log(lambda line: line["event"] == "client left", 2)
            assert relay.connections == 2
