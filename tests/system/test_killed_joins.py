"""kill -9 of either process in the middle of a join: the same command with the same code completes it.

A relay between the two stops after so many octets, so that the kill meets each stage: greeting, the look,
the question, the answer.
"""

from __future__ import annotations

import subprocess
import threading
from pathlib import Path

import pytest
import trio

from appclient import ConnectError, connect, join
from protocol.certs import PeerError, invite_client, load_trust
from protocol.transport import TransportError
from tests.appserver.cli.processes import command, environment
from tests.secrecy.canaries import secret
from tests.system.processes import SECONDS, client_settings, serving
from tests.system.relay import Relay, open_relay

STEP = 900
"""Octets between two kills."""


def invite(folder: Path, name: str, port: int) -> str:
    made = invite_client(folder / "Resources", name, host="localhost", port=port)
    secret(made.code)
    return made.code


async def freeze_after(relay: Relay, size: int) -> None:
    await relay.wait_down(size)
    relay.freeze()


async def test_a_client_that_is_killed_joins_by_the_same_code(tmp_path: Path) -> None:
    server_folder = tmp_path / "server"
    server_folder.mkdir()
    with trio.fail_after(SECONDS):
        async with serving(server_folder) as server, open_relay(server.port) as relay:
            kills = 0
            for number in range(1, 100):
                name, folder = f"client {number}", tmp_path / f"client-{number}"
                code = invite(server_folder, name, relay.port)
                process = subprocess.Popen(  # noqa: ASYNC220 - it returns at once
                    command("appclient", "join", "-", "--resources", str(folder)),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    env=environment(),
                    text=True,
                )
                watchdog = threading.Timer(SECONDS, process.kill)
                watchdog.start()
                assert process.stdin is not None
                process.stdin.write(code)
                process.stdin.close()
                ended = False

                async def wait_end(process: subprocess.Popen[str] = process) -> None:
                    nonlocal ended
                    await trio.to_thread.run_sync(process.wait)
                    ended = True
                    nursery.cancel_scope.cancel()

                async with trio.open_nursery() as nursery:
                    nursery.start_soon(wait_end)
                    await freeze_after(relay, len(relay.down) + STEP * number)
                    process.kill()
                watchdog.cancel()
                relay.thaw()
                if process.returncode == 0:
                    break
                kills += 1
                assert (await join(code, resources=folder)).name == name
                async with connect(
                    f"localhost:{server.port}", resources=folder, settings=client_settings()
                ) as client:
                    assert await client.ping() >= 0
                assert load_trust(folder).identity is not None
            assert kills >= 3
            assert ended


@pytest.mark.parametrize("size", [200, 1500, 2600, 3200, 3600])
async def test_a_client_of_a_server_that_is_killed_joins_by_the_same_code(tmp_path: Path, size: int) -> None:
    server_folder, folder = tmp_path / "server", tmp_path / "client"
    server_folder.mkdir()
    with trio.fail_after(SECONDS):
        async with open_relay(0) as relay:
            code = ""
            async with serving(server_folder) as server:
                relay.target = server.port
                code = invite(server_folder, "ada", relay.port)
                failed: list[Exception] = []

                async def try_it() -> None:
                    try:
                        await join(code, resources=folder)
                    except (ConnectError, TransportError, PeerError) as error:
                        failed.append(error)
                    done.set()

                done = trio.Event()
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(try_it)
                    with trio.move_on_after(5):
                        await freeze_after(relay, size)
                    server.kill()
                    relay.reset()
                    await done.wait()
                    nursery.cancel_scope.cancel()
            relay.thaw()
            async with serving(server_folder) as server:
                relay.target = server.port
                assert (await join(code, resources=folder)).name == "ada"
                async with connect(
                    f"localhost:{server.port}", resources=folder, settings=client_settings()
                ) as client:
                    assert await client.ping() >= 0
