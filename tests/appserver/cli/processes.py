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
def running(folder: Path, *words: str, extra: Mapping[str, str] | None = None) -> Iterator[RunningServer]:
    """Run `appserver run` on a free port for as long as the context lasts."""
    log = folder / "server.log"
    with log.open("w") as stderr:
        process = subprocess.Popen(
            command("appserver", "run", "--json", *words),
            cwd=folder,
            env=environment({"APPSERVER_CLIENT_SERVER_PORT": "0", **(extra or {})}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
    watchdog = threading.Timer(SECONDS, process.kill)
    watchdog.start()
    try:
        line = _stdout(process).readline()
        assert line, log.read_text()
        yield RunningServer(process, json.loads(line), log)
    finally:
        process.kill()
        process.wait(SECONDS)
        _stdout(process).close()
        watchdog.cancel()


def _stdout(process: subprocess.Popen[str]) -> IO[str]:
    assert process.stdout is not None
    return process.stdout
