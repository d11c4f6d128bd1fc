"""Running the real commands in processes, each bounded in time."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import attrs

LOG = "server.log"

SECONDS = 60.0
"""How long any process of a test may live: it is killed then, and the test fails by what is missing."""


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without settings of ours."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("APPSERVER_", "APPCLIENT_"))
    }
    return {**kept, "NO_COLOR": "1", **(extra or {})}


def command(module: str, *words: str) -> list[str]:
    """The command line of `appserver` or `appclient` with this Python."""
    return [sys.executable, "-m", f"{module}.cli", *words]


def run_command(
    words: list[str], *, cwd: Path, extra: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        words,
        cwd=cwd,
        env=environment(extra),
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
        stdin=subprocess.DEVNULL,
    )


@attrs.define
class RunningServer:
    """A server process that has said where it listens."""

    process: subprocess.Popen[str]
    announcement: dict[str, Any]
    log: Path

    @property
    def address(self) -> str:
        return str(self.announcement["address"])

    @property
    def port(self) -> str:
        return str(self.announcement["listening"][0]).rpartition(":")[2]

    def read_line(self) -> str:
        return _stdout(self.process).readline()

    def ends_within(self, seconds: float) -> bool:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(seconds)
        return self.process.returncode is not None

    def wait(self) -> int:
        return self.process.wait(SECONDS)


@contextlib.contextmanager
def started(
    words: list[str], folder: Path, variables: Mapping[str, str], *, seconds: float = SECONDS
) -> Iterator[subprocess.Popen[str]]:
    """Run a server for as long as the context lasts; it will say where it listens in a line of its output.

    Args:
        words: the command line.
        folder: its working folder; its log goes there, behind what is in it.
        variables: its environment.
        seconds: after which it is killed.
    """
    with (folder / LOG).open("a") as log:
        process = subprocess.Popen(
            words,
            cwd=folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
    watchdog = threading.Timer(seconds, process.kill)
    watchdog.start()
    try:
        yield process
    finally:
        process.kill()
        process.wait(SECONDS)
        watchdog.cancel()
        _stdout(process).close()


def read_announcement(process: subprocess.Popen[str], folder: Path) -> dict[str, Any]:
    """Read what a server says when it listens; its log is the error where it does not."""
    line = _stdout(process).readline()
    if not line:
        raise RuntimeError(f"the server did not start: {(folder / LOG).read_text()}")
    announcement: dict[str, Any] = json.loads(line)
    return announcement


@contextlib.contextmanager
def running(folder: Path, *words: str, extra: Mapping[str, str] | None = None) -> Iterator[RunningServer]:
    """Run `appserver run` on a free port for as long as the context lasts."""
    variables = environment({"APPSERVER_CLIENT_SERVER_PORT": "0", **(extra or {})})
    with started(command("appserver", "run", "--json", *words), folder, variables) as process:
        yield RunningServer(process, read_announcement(process, folder), folder / LOG)


def _stdout(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stdout is not None
    return process.stdout
