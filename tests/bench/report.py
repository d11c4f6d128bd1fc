"""A whole run: the machine, the versions, and every row, as text and as JSON."""

from __future__ import annotations

import os
import platform
import ssl
import subprocess
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import attrs

from tests.bench.environment import Pythons, versions
from tests.bench.rounds import Plan, RowResult

OWN = ("appserver", "attrs", "cryptography", "msgpack", "trio")


@attrs.frozen
class Report:
    """What a run measured, and on what.

    Attributes:
        facts: of the machine, by name.
        plan: how much was measured.
        results: the rows.
    """

    facts: dict[str, str]
    plan: Plan
    results: Sequence[RowResult]

    def summary(self) -> Iterator[str]:
        """How many targets were met, and which were not."""
        verdicts = [(result.row.name, verdict) for result in self.results for verdict in result.verdicts()]
        missed = [(row, verdict) for row, verdict in verdicts if not verdict.met]
        yield f"{len(verdicts) - len(missed)} of {len(verdicts)} targets met"
        for row, verdict in missed:
            yield f"    {row}: {verdict.text}: {verdict.shown}"

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "facts": self.facts,
            "plan": attrs.asdict(self.plan),
            "rows": [_row(result) for result in self.results],
        }


def _row(result: RowResult) -> dict[str, Any]:
    return {
        "name": result.row.name,
        "title": result.row.title,
        "unit": result.row.unit,
        "lanes": [
            {
                "name": lane.lane,
                "failure": lane.failure,
                "median": lane.median(),
                "samples": [{"value": sample.value, **sample.figures} for sample in lane.samples],
            }
            for lane in result.lanes
        ],
        "targets": [attrs.asdict(verdict) for verdict in result.verdicts()],
    }


def facts(pythons: Pythons) -> dict[str, str]:
    """The machine and the versions, as a reader needs them to repeat a run."""
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "openssl": ssl.OPENSSL_VERSION,
        "commit": _commit(),
        **{name: version(name) for name in OWN},
        **{f"peer {name}": found for name, found in versions(pythons).items() if name not in OWN},
        **{f"peer {name}": f"not installed: {reason}" for name, reason in pythons.missing.items()},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()


def _commit() -> str:
    try:
        command = ["git", "describe", "--always", "--dirty"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent)
    except OSError:
        return "unknown"
    return done.stdout.strip() or "unknown"
