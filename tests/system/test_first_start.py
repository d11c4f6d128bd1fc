"""The first start of a real server: what it costs, and that a kill at any moment of it does no harm."""

from __future__ import annotations

import os
import random
import stat
import subprocess
import threading
from pathlib import Path

import pytest
import trio

from protocol.certs import ensure_server_identity, open_server_identity
from tests.appserver.cli.processes import command
from tests.system.application import Desk
from tests.system.processes import client_of, environment, serving, wait_a_moment

KILLS = 10
"""Of real processes; `tests/protocol/certs/test_killed_changes.py` kills the same function at each step."""


async def cpu_seconds_to_listening(folder: Path) -> float:
    """Processor time of a server from its start until it has said where it listens."""
    async with serving(folder) as server:
        return cpu_seconds(server.process.pid)


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has taken, its own and the system's for it (Linux)."""
    ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processor time is read from /proc")
@pytest.mark.alone
async def test_a_first_start_costs_less_than_a_second_more_than_a_later_one(tmp_path: Path) -> None:
    """Processor time, which other load on the machine does not lengthen."""
    with trio.fail_after(40):
        first = await cpu_seconds_to_listening(tmp_path)
        later = min([await cpu_seconds_to_listening(tmp_path) for _ in range(2)])
    assert first - later < 1


def start(folder: Path) -> subprocess.Popen[bytes]:
    folder.mkdir()
    return subprocess.Popen(
        command("appserver", "run", "--json", "tests.system.application"),
        cwd=folder,
        env=environment({"APPSERVER_CLIENT_SERVER_PORT": "0", "DESK_FOLDER": str(folder)}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        umask=0,
    )


def kill_once_written(folder: Path, delay: float) -> None:
    """Kill a first start at a moment after the first of its files is there, and look at what it left."""
    resources = folder / "Resources"
    process = start(folder)
    watchdog = threading.Timer(30, process.kill)
    watchdog.start()
    try:
        while not (resources.exists() and any(resources.iterdir())) and process.poll() is None:
            wait_a_moment()
        assert process.poll() is None, "it ended by itself"
        threading.Event().wait(delay)
    finally:
        process.kill()
        process.wait(30)
        watchdog.cancel()
        assert process.stdout is not None
        process.stdout.close()
    for path in resources.rglob("*"):
        if path.is_file() and b"PRIVATE KEY" in path.read_bytes():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name
        if path.suffix == ".pem":
            assert path.read_bytes().endswith(b"-----\n"), path.name
    if (resources / "cert.pem").exists():
        open_server_identity(resources)


async def test_a_first_start_that_is_killed_at_any_moment_is_completed_by_the_next(tmp_path: Path) -> None:
    random.seed(7)
    for number in range(KILLS):
        folder = tmp_path / str(number)
        await trio.to_thread.run_sync(kill_once_written, folder, random.uniform(0, 0.05))
        ensure_server_identity(folder / "Resources")
    with trio.fail_after(20):
        async with serving(folder) as server, client_of(server) as client:
            assert await client.use(Desk).echo("clean") == "clean"
