"""A lane: one peer's server and client, each a process, and the orders that its client is given."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Protocol

import attrs

from tests.bench.environment import LaneFailed, Pythons

ROOT = Path(__file__).resolve().parents[2]
TUNED_MALLOC = {"MALLOC_MMAP_THRESHOLD_": "4194304", "MALLOC_TRIM_THRESHOLD_": "8388608"}
"""Has glibc take blocks up to 4 MiB from its heap. Otherwise each read of uvloop's TLS, which reserves 256 KiB, maps
fresh pages, until something larger has been freed once: then glibc does so by itself."""
PATIENCE = 60.0
"""Seconds that a process may take for an answer, besides what the order itself takes; it is killed then."""


@attrs.frozen
class Lane:
    """What is measured, by name.

    Attributes:
        name: as the table shows it.
        server: module of `tests.bench.peers` that serves.
        work: what the client does.
        client: module of the client, None for the server's.
        connections: how many.
        callers: on each of them.
        size: of a blob, bytes.
        words: options of both sides.
        library: what the peers' environment must have, None where our own Python runs it.
        warms: whether it is run once for a moment before it counts.
        seconds: of one order, where the plan's do not fit.
        tuned_malloc: whether both sides run with `TUNED_MALLOC`.
    """

    name: str
    server: str
    work: str = "add"
    client: str | None = None
    connections: int = 1
    callers: int = 1
    size: int = 0
    words: tuple[str, ...] = ()
    library: str | None = None
    warms: bool = True
    seconds: float | None = None
    tuned_malloc: bool = False

    def open(self, folder: Path, pythons: Pythons) -> Pair:
        """Start its processes.

        Raises:
            LaneFailed: its library is not there, or one of them ended.
        """
        return Pair(self, folder, pythons)


@attrs.frozen
class Sample:
    """What one order gave.

    Attributes:
        value: the row's figure.
        figures: what was measured besides, by name: `client_us` and `server_us` for all that are calls.
    """

    value: float
    figures: dict[str, float] = attrs.field(factory=dict)

    @classmethod
    def parse(cls, line: dict[str, float]) -> Sample:
        """From what a client reported."""
        return cls(line["value"], {name: figure for name, figure in line.items() if name != "value"})


class Measured(Protocol):
    """A lane that has begun."""

    def measure(self, seconds: float, calls: int | None = None) -> Sample:
        """Give one order."""
        ...

    def close(self) -> None:
        """End it."""
        ...


class AnyLane(Protocol):
    """What a row holds."""

    @property
    def name(self) -> str:
        """As the table shows it."""
        ...

    @property
    def warms(self) -> bool:
        """Whether it is run once for a moment before it counts."""
        ...

    @property
    def seconds(self) -> float | None:
        """Of one order, where the plan's do not fit."""
        ...

    def open(self, folder: Path, pythons: Pythons) -> Measured:
        """Begin."""
        ...


class Pair:
    """The two processes of a lane, until `close`.

    Args:
        lane: what they do.
        folder: with the certificate.
        pythons: which Python runs what.
        under: a program that runs both, as valgrind does, with its options.
    """

    def __init__(self, lane: Lane, folder: Path, pythons: Pythons, under: Sequence[str] = ()) -> None:
        self.lane = lane
        self._under = tuple(under)
        self._processes: list[subprocess.Popen[str]] = []
        python = pythons.of(lane.library)
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - `close` closes it
        try:
            self.server = self._start(python, "serve", lane.server, str(folder), *lane.words)
            said = self._answer(self.server, PATIENCE)
            self.server_pid = int(said["pid"])
            self.client = self._start(
                python,
                "load",
                lane.client or lane.server,
                str(folder),
                str(said["port"]),
                str(self.server_pid),
                lane.work,
                *(str(number) for number in (lane.connections, lane.callers, lane.size)),
                *lane.words,
            )
            self._answer(self.client, PATIENCE + 0.05 * lane.connections)
        except BaseException:
            self.close()
            raise

    def measure(self, seconds: float, calls: int | None = None) -> Sample:
        """Give the client an order.

        Args:
            seconds: how long it is to run.
            calls: how many each caller makes at most.

        Raises:
            LaneFailed: a process ended, or did not answer in time.
        """
        order = {"seconds": seconds} if calls is None else {"seconds": seconds, "calls": calls}
        with contextlib.suppress(OSError):  # it has ended: the missing answer says why
            _pipe(self.client.stdin).write(json.dumps(order) + "\n")
            _pipe(self.client.stdin).flush()
        return Sample.parse(self._answer(self.client, PATIENCE + seconds))

    def close(self) -> None:
        """End both processes, the client first."""
        for process in reversed(self._processes):
            _close(_pipe(process.stdin))
        for process in reversed(self._processes):
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            _close(_pipe(process.stdout))
        self._errors.close()

    def _start(self, python: Path, *words: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*self._under, str(python), "-m", "tests.bench.child", *words],
            cwd=ROOT,
            env={**environment(), **(TUNED_MALLOC if self.lane.tuned_malloc else {})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            start_new_session=True,  # Ctrl+C is for the parent, which ends its processes in order
        )
        self._processes.append(process)
        return process

    def _answer(self, process: subprocess.Popen[str], seconds: float) -> dict[str, Any]:
        """The next line of a process."""
        watchdog = threading.Timer(seconds, process.kill)
        watchdog.start()
        try:
            line = _pipe(process.stdout).readline()
        finally:
            watchdog.cancel()
        if line:
            answer: dict[str, Any] = json.loads(line)
            return answer
        process.kill()
        self._errors.seek(0)
        reason = self._errors.read().strip().splitlines()
        side = "client" if len(self._processes) > 1 else "server"
        raise LaneFailed(f"the {side} ended: {reason[-1] if reason else f'no answer in {seconds:g} s'}")


def environment() -> dict[str, str]:
    """This process's environment, without settings of ours, and with the project importable."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("APPSERVER_", "APPCLIENT_"))
    }
    return {**kept, "PYTHONPATH": str(ROOT)}


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


def _close(pipe: IO[str]) -> None:
    with contextlib.suppress(BrokenPipeError):  # what was not read by a process that has ended
        pipe.close()
