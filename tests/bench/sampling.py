"""Where time goes, per Python function: py-spy looks at both processes while they work.

A sample is where a thread of the process is, also one that waits in a call of the system; so the functions of
`WAITING` are left out, with what little work they do themselves. A function's own share of the rest, times the
processor time of a call, is about what it costs a call.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import attrs

from tests.bench.environment import LaneFailed, Pythons
from tests.bench.lanes import Lane, Sample

RATE = 500
WAITING = (
    "EpollIOManager.get_events",
    "Life.end_with_parent.<locals>.watch",
    "Load.orders",
    "read_orders.<locals>.read",
    "WorkerThread._work",
    "Condition.wait",
)


@attrs.frozen
class Function:
    """One function's part.

    Attributes:
        name: with its file and line.
        own: share of the samples that were in it.
        total: share of those that were in it or in what it called.
    """

    name: str
    own: float
    total: float


def functions(stacks: Iterable[str]) -> list[Function]:
    """Read py-spy's raw output, a line for each stack with the number of its samples; most of their own first."""
    own: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for line in stacks:
        stack, _, number = line.rpartition(" ")
        names = stack.split(";")
        if names[-1].startswith(WAITING):
            continue
        own[names[-1]] += int(number)
        for name in set(names):
            total[name] += int(number)
    samples = sum(own.values())
    return [Function(name, own[name] / samples, count / samples) for name, count in _by_own(total, own)]


def _by_own(total: Counter[str], own: Counter[str]) -> list[tuple[str, int]]:
    return sorted(total.items(), key=lambda item: (-own[item[0]], -item[1]))


def sample(
    lane: Lane, folder: Path, pythons: Pythons, seconds: int
) -> tuple[Sample, dict[str, list[Function]]]:
    """Run a lane under py-spy.

    Returns:
        What the client measured, and the functions of "client" and "server".

    Raises:
        LaneFailed: the lane, or py-spy, does not work here.
    """
    spy = str(pythons.of("py-spy").parent / "py-spy")
    pair = lane.open(folder, pythons)
    try:
        if lane.warms:
            pair.measure(0.5)
        with tempfile.TemporaryDirectory() as name:
            files = {side: Path(name) / side for side in ("client", "server")}
            watched = {"client": pair.client.pid, "server": pair.server_pid}
            options = ["record", "--function", "-r", str(RATE), "-f", "raw", "-d", str(seconds)]
            spies = [
                subprocess.Popen(
                    [spy, *options, "-o", str(files[side]), "-p", str(pid)],
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
                for side, pid in watched.items()
            ]
            try:
                measured = pair.measure(seconds + 1.0)  # longer than it is looked at
                for spy_process in spies:
                    spy_process.wait(seconds + 30)
            finally:
                for spy_process in spies:
                    spy_process.kill()
                    spy_process.wait()
            return measured, {side: functions(_lines(file)) for side, file in files.items()}
    finally:
        pair.close()


def _lines(file: Path) -> list[str]:
    if not file.exists():
        raise LaneFailed(
            "py-spy cannot look into processes here (on Linux it needs the right to trace: ptrace)"
        )
    return file.read_text("utf-8").splitlines()


def lines(side: str, found: list[Function], microseconds: float | None, most: int) -> Iterator[str]:
    """One side's table."""
    yield f"{side}: {microseconds:.1f} us of processor time a call" if microseconds else side
    yield f"    {'own':>6} {'total':>6} {'us/call':>8}  function"
    for function in found[:most]:
        cost = f"{function.own * microseconds:8.1f}" if microseconds else f"{'':>8}"
        yield f"    {function.own:6.1%} {function.total:6.1%} {cost}  {function.name}"
    yield ""
