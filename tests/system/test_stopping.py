"""How `appserver run` ends, and how it begins again after an end that was none."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

import pytest
import trio

from appclient import ConnectionState, Refused
from protocol.peer import CallError
from tests.appserver.cli.processes import command
from tests.system.application import Desk
from tests.system.processes import MOMENT, SECONDS, client_of, environment, serving, wait_a_moment

CALLS = 50


@pytest.mark.parametrize("encrypt", [True, False])
async def test_fifty_calls_in_flight_end_before_the_server_does(tmp_path: Path, encrypt: bool) -> None:
    results: list[int] = []
    with trio.fail_after(30):
        async with (
            serving(tmp_path, encrypt=encrypt) as server,
            client_of(server) as client,
            trio.open_nursery() as nursery,
        ):
            desk = client.use(Desk)

            async def call(number: int) -> None:
                results.append(await desk.enter(number, wait=True))

            for number in range(CALLS):
                nursery.start_soon(call, number)
            await server.wait_entries(CALLS)
            server.terminate()
            await client.wait_state(ConnectionState.RECONNECTING)
            assert not results
            with pytest.raises(Refused) as caught:
                async with client_of(server):
                    pass
            assert caught.value.code == "rpc.draining"
            assert caught.value.retry_after is not None
            (tmp_path / "go").touch()
            assert await server.wait() == 0
        assert sorted(results) == list(range(CALLS))
        assert not [line for line in server.log() if line["level"] == "error"]


async def test_a_second_signal_ends_the_server_at_once(tmp_path: Path) -> None:
    outcomes: list[str] = []
    with trio.fail_after(30):
        async with (
            serving(tmp_path) as server,
            client_of(server) as client,
            trio.open_nursery() as nursery,
        ):
            desk = client.use(Desk)

            async def call(number: int) -> None:
                with pytest.raises(CallError) as caught:
                    await desk.enter(number, wait=True)
                outcomes.append(caught.value.executed.value)

            for number in range(CALLS):
                nursery.start_soon(call, number)
            await server.wait_entries(CALLS)
            server.terminate()
            await client.wait_state(ConnectionState.RECONNECTING)
            server.terminate()
            with trio.fail_after(2):
                assert await server.wait() == -signal.SIGTERM
                while len(outcomes) < CALLS:
                    await trio.lowlevel.checkpoint()
        assert outcomes == ["maybe"] * CALLS


# The first start makes these, in this order.
MADE = ("authority", "authority/ca-key.pem", "authority/ca.pem", "key.pem", "cert.pem")


def test_a_first_start_that_was_killed_does_not_keep_the_next_one_from_starting(tmp_path: Path) -> None:
    """Killed as soon as each of its files appears; the next start must find its way."""
    starts: dict[str, tuple[Path, subprocess.Popen[bytes]]] = {}
    for name in MADE:
        folder = tmp_path / name.replace("/", "-")
        folder.mkdir()
        first = start(folder)
        while not (folder / "Resources" / name).exists():
            assert first.poll() is None
            wait_a_moment()
        first.kill()
        first.communicate(timeout=SECONDS)
        starts[name] = folder, start(folder)
    for folder, second in starts.values():
        try:
            assert second.stdout is not None
            assert second.stdout.readline().startswith(b"{"), (folder / "log").read_text()
        finally:
            second.kill()
            second.communicate(timeout=SECONDS)


def start(folder: Path) -> subprocess.Popen[bytes]:
    with (folder / "log").open("a") as log:
        return subprocess.Popen(
            command("appserver", "run", "--json", "tests.system.application"),
            cwd=folder,
            env=environment({"APPSERVER_CLIENT_SERVER_PORT": "0"}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
        )


async def test_what_a_killed_first_start_left_serves_clients(tmp_path: Path) -> None:
    first = start(tmp_path)
    while not (tmp_path / "Resources" / "key.pem").exists():  # noqa: ASYNC110 - a process makes it
        await trio.sleep(MOMENT)
    first.kill()
    first.communicate(timeout=SECONDS)
    with trio.fail_after(20):
        async with serving(tmp_path) as server, client_of(server) as client:
            assert await client.use(Desk).echo("serving") == "serving"
