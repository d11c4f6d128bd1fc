"""Instructions a call, counted by valgrind's callgrind: a figure that a noisy machine does not change.

Both processes run under callgrind, which counts only while the calls that are measured run. What the kernel does is
not in it: a change that saves system calls shows in the processor time of `scripts/bench`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

import attrs

from tests.bench.environment import LaneFailed, Pythons
from tests.bench.lanes import Lane, Pair

WARM = 50
"""Calls of each caller that are not counted: they specialise Python's bytecode and fill caches."""
PATIENCE = 600.0


def count(lane: Lane, calls: int, folder: Path, pythons: Pythons) -> dict[str, float]:
    """Instructions a call of "client" and "server".

    Args:
        lane: one of ours, whose work is calls.
        calls: of all callers together.
        folder: with the certificate.
        pythons: which Python runs what.

    Raises:
        LaneFailed: valgrind is not there, or the lane failed.
    """
    if shutil.which("valgrind") is None or shutil.which("callgrind_control") is None:
        raise LaneFailed("valgrind is not installed (on Debian: apt install valgrind)")
    callers = lane.connections * lane.callers
    each = max(1, calls // callers)
    with tempfile.TemporaryDirectory() as name:
        output = f"--callgrind-out-file={name}/%p"
        under = ["valgrind", "--tool=callgrind", "--instr-atstart=no", output]
        patient = attrs.evolve(lane, words=(*lane.words, "patient"))
        pair = Pair(patient, folder, pythons, under)
        try:
            processes = {"client": pair.client.pid, "server": pair.server.pid}
            pair.measure(PATIENCE, max(1, WARM // callers))
            for pid in processes.values():
                _control("-i", "on", pid)
            pair.measure(PATIENCE, each)
            for pid in processes.values():
                _control("-i", "off", pid)
                _control("-d", "calls", pid)
            return {side: _total(Path(name), pid) / (each * callers) for side, pid in processes.items()}
        finally:
            pair.close()


def _control(option: str, word: str, pid: int) -> None:
    command = ["callgrind_control", option, word, str(pid)]
    subprocess.run(command, check=True, capture_output=True, timeout=60, env=os.environ | {"LC_ALL": "C"})


def _total(folder: Path, pid: int) -> int:
    """The instructions of a process's first dump."""
    found = re.search(r"^totals: (\d+)", (folder / f"{pid}.1").read_text("utf-8"), re.MULTILINE)
    if found is None:
        raise LaneFailed("callgrind wrote no total")
    return int(found[1])
