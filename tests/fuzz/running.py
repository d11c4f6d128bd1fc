"""Run the targets for a while and measure them."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from random import Random

import attrs

from tests.fuzz.targets import Sessions, fuzz_codec, fuzz_reader

SLOWEST_ALLOWED = 0.1
"""Seconds of processor time for one input."""
BATCH = 50


@attrs.frozen
class Report:
    """What a run found.

    Attributes:
        target: name of what was fuzzed.
        inputs: how many.
        seconds: processor time of all.
        slowest: processor time of the slowest input.
        slowest_seed: what makes that input again.
    """

    target: str
    inputs: int
    seconds: float
    slowest: float
    slowest_seed: str


class Finding(Exception):
    """An input that raised what it may not, or took too long. Its text holds the seed."""


def targets(seed: int) -> dict[str, Callable[[Random], None]]:
    """All that is fuzzed, by name."""
    return {"reader": fuzz_reader, "codec": fuzz_codec, "connection": Sessions(Random(seed))}


def run_one(name: str, target: Callable[[Random], None], seed: str) -> float:
    """Run one input; returns its processor time."""
    chance = Random(seed)
    started = time.process_time()
    try:
        target(chance)
    except Exception as exc:
        raise Finding(f"{name} {seed}: {type(exc).__name__}: {exc}") from exc
    return time.process_time() - started


def run(name: str, target: Callable[[Random], None], *, seed: int, seconds: float, most: int) -> Report:
    """Run a target until its time or its number of inputs is over.

    Raises:
        Finding: an input failed.
    """
    inputs, total, slowest, slowest_seed = 0, 0.0, 0.0, ""
    gc.collect()
    gc.freeze()
    while total < seconds and inputs < most:
        each = f"{seed}-{inputs}"
        took = run_one(name, target, each)
        if took > SLOWEST_ALLOWED:  # again, lest a pause of the machine count
            took = min(took, *(run_one(name, target, each) for _ in range(2)))
        if took > SLOWEST_ALLOWED:
            raise Finding(f"{name} {each}: took {took * 1000:.0f} ms")
        inputs += 1
        total += took
        if took > slowest:
            slowest, slowest_seed = took, each
    gc.unfreeze()
    return Report(name, inputs, total, slowest, slowest_seed)
