"""Real servers in processes of their own, each bounded in time."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
import trio

from appclient import Client, connect
from protocol.settings import ClientServerSettings, Settings, TimeoutSettings
from protocol.transport import Address
from tests.appserver.cli.processes import command, read_announcement, started

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 50.0
"""How long any process of a test may live: it is killed then, and the test fails by what is missing."""

MOMENT = 0.0005
"""Seconds between two looks at a file that a process is about to make: the next thing it does takes longer."""

QUICK = TimeoutSettings(reconnect_first=0.05, reconnect_factor=1.2, reconnect_most=0.2)
"""A client that does not wait long before it tries again."""


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment, without settings of ours, and with the project importable."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("APPSERVER_", "APPCLIENT_"))
    }
    return {**kept, "NO_COLOR": "1", "PYTHONPATH": str(ROOT), **(extra or {})}


@attrs.define
class ServerProcess:
    """A server that has said where it listens.

    Attributes:
        folder: its working folder, with `Resources`.
        process: the process.
        announcement: what it said.
    """

    folder: Path
    process: subprocess.Popen[str]
    announcement: dict[str, Any]

    @property
    def address(self) -> Address:
        return Address.parse(self.announcement["address"])

    @property
    def port(self) -> int:
        return int(self.announcement["listening"][0].rpartition(":")[2])

    @property
    def authority(self) -> Path:
        return self.folder / "Resources" / "authority" / "ca.pem"

    @property
    def entries(self) -> list[str]:
        """What its handlers have entered into the ledger, over all starts."""
        return (self.folder / "ledger").read_text().split()

    async def wait_entries(self, count: int) -> None:
        """Wait until its handlers have entered so many."""
        while len(self.entries) < count:  # noqa: ASYNC110 - a process writes them
            await trio.sleep(0.01)

    def log(self) -> list[dict[str, Any]]:
        """Its log so far, a dictionary for each line."""
        text = (self.folder / "server.log").read_text()
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    async def wait_log(
        self, found: Callable[[dict[str, Any]], object], count: int = 1
    ) -> list[dict[str, Any]]:
        """Wait until so many lines of its log are of a kind; returns those there are."""
        while len(lines := [line for line in self.log() if found(line)]) < count:  # noqa: ASYNC110 - a process writes it
            await trio.sleep(0.01)
        return lines

    def kill(self) -> None:
        """As kill -9 does."""
        self.process.kill()
        self.process.wait(SECONDS)

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    async def wait(self) -> int:
        """Wait for its end; returns the exit status."""
        return await trio.to_thread.run_sync(self.process.wait, SECONDS)

    def memory(self) -> int:
        """Resident bytes."""
        return resident(self.process.pid)


def wait_a_moment() -> None:
    """Leave the processor to the process that is waited for."""
    time.sleep(MOMENT)


def resident(pid: int | str = "self") -> int:
    """Bytes of a process that are in memory now (Linux)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@contextlib.asynccontextmanager
async def serving(
    folder: Path,
    *,
    encrypt: bool = True,
    port: int = 0,
    extra: Mapping[str, str] | None = None,
    seconds: float = SECONDS,
    **settings: object,
) -> AsyncIterator[ServerProcess]:
    """Run `appserver run` for as long as the context lasts.

    Args:
        folder: working folder; the server's Resources, its log, ledger and files are there.
        encrypt: the switch.
        port: 0 for a free one.
        extra: environment variables.
        seconds: how long it may live.
        settings: as `timeouts_ping=0.5`.
    """
    variables = environment(
        {
            "APPSERVER_CLIENT_SERVER_ENCRYPT": str(encrypt).lower(),
            "APPSERVER_CLIENT_SERVER_PORT": str(port),
            "APPSERVER_LOG_FORMAT": "json",
            "DESK_FOLDER": str(folder),
            **{f"APPSERVER_{name.upper()}": str(value) for name, value in settings.items()},
            **(extra or {}),
        }
    )
    words = command("appserver", "run", "--json", "tests.system.application")
    with started(words, folder, variables, seconds=seconds) as process:
        announcement = await trio.to_thread.run_sync(read_announcement, process, folder)
        yield ServerProcess(folder, process, announcement)


def client_settings(*, encrypt: bool = True, timeouts: TimeoutSettings = QUICK) -> Settings:
    """Settings of a client."""
    return Settings(client_server=ClientServerSettings(encrypt=encrypt), timeouts=timeouts)


def client_resources(server: ServerProcess, name: str = "client") -> Path:
    """A client's Resources folder that trusts the server's authority."""
    folder = server.folder / name
    folder.mkdir(exist_ok=True)
    if server.announcement["encrypted"]:
        (folder / "ca.pem").write_bytes(server.authority.read_bytes())
    return folder


@contextlib.asynccontextmanager
async def client_of(
    server: ServerProcess,
    *,
    via: int | None = None,
    timeouts: TimeoutSettings = QUICK,
    credentials: Mapping[str, object] | None = None,
) -> AsyncIterator[Client]:
    """A client that connects as the server wants it.

    Args:
        server: to connect to.
        via: port of a relay before it.
        timeouts: the client's.
        credentials: for the sign-in.
    """
    async with connect(
        Address("localhost", via or server.port),
        resources=client_resources(server),
        settings=client_settings(encrypt=server.announcement["encrypted"], timeouts=timeouts),
        credentials=credentials,
    ) as client:
        yield client
