"""How long a program takes to start: until it ends, or until its first line says that it listens."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

import attrs

from tests.bench.environment import LaneFailed, Pythons
from tests.bench.lanes import PATIENCE, Sample, environment


@attrs.frozen
class Start:
    """A lane that has one process, and that only for as long as it starts.

    Attributes:
        name: as the table shows it.
        words: for our Python.
        listens: whether it says a line when it is there, and goes on.
        warms: whether it is started once before it counts: Python compiles modules at the first import.
        seconds: of no meaning here.
    """

    name: str
    words: Sequence[str]
    listens: bool = False
    warms: bool = True
    seconds: float | None = None

    def open(self, folder: Path, pythons: Pythons) -> Starting:
        """Nothing runs yet."""
        return Starting(self, folder, pythons.of(None))


@attrs.frozen
class Starting:
    """Starts a program again and again."""

    start: Start
    folder: Path
    python: Path

    def measure(self, seconds: float, calls: int | None = None) -> Sample:
        """Start it once; the sample's value is in milliseconds."""
        begin = perf_counter()
        process = subprocess.Popen(
            [str(self.python), *self.start.words],
            cwd=self.folder,
            env=_own_environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert process.stdout is not None
        with process.stdout:
            try:
                if self.start.listens:
                    line = process.stdout.readline()
                    if not line:
                        raise LaneFailed("it ended before it listened")
                else:
                    process.stdout.read()  # until it ends: `wait` with a timeout looks every 50 ms alone
                    if process.wait(PATIENCE):
                        raise LaneFailed(f"it ended with status {process.returncode}")
                return Sample((perf_counter() - begin) * 1000)
            finally:
                process.kill()
                process.wait()

    def close(self) -> None:
        """Nothing runs."""


def _own_environment() -> dict[str, str]:
    """Bytecode is written: what a library's installation compiled, and ours not, would be a difference of setting."""
    kept = {name: value for name, value in environment().items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, "APPSERVER_CLIENT_SERVER_PORT": "0"}


def importing(module: str) -> Start:
    """A Python that imports a module and all names in it, those too that come when they are asked for, and ends."""
    return Start(
        f"import {module}", ("-c", f"import {module}; [getattr({module}, n) for n in dir({module})]")
    )


RUN = Start(
    "appserver run", ("-m", "appserver.cli", "run", "--json", "tests.bench.contract:app"), listens=True
)
