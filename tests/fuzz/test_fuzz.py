"""A short, seeded run of each target; `scripts/fuzz` runs longer."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest

from protocol.wire.framing import FrameReader
from tests.fuzz import targets as fuzzed
from tests.fuzz.mutation import damage, damage_session, split
from tests.fuzz.running import Finding, run, run_one, targets

SCRIPT = Path(__file__).parent.parent.parent / "scripts" / "fuzz"


@pytest.mark.parametrize("name", ["reader", "codec", "connection"])
def test_damaged_input_ends_in_protocol_errors_alone_and_soon(name: str) -> None:
    report = run(name, targets(7)[name], seed=7, seconds=5.0, most=1500)
    assert report.inputs == 1500 or report.seconds >= 5.0


def test_a_run_is_made_again_by_its_seed() -> None:
    first, second = fuzzed.record(Random(3)), fuzzed.record(Random(3))
    assert first == second
    assert damage_session(Random(5), first[0]) == damage_session(Random(5), second[0])


def test_the_recorded_sessions_reach_every_part_of_a_connection() -> None:
    said = b"".join(b"".join(fuzzed.record(Random(seed))) for seed in range(60))
    kinds = {frame.type for frame in FrameReader(1 << 24).feed(said)}
    assert kinds >= {
        1,
        2,
        3,
        0x10,
        0x11,
        0x12,
        0x13,
        0x14,
        0x15,
        0x16,
        0x17,
        0x20,
        0x21,
        0x22,
        0x23,
        0x30,
        0x31,
        0x33,
    }


def test_damage_damages_and_splitting_loses_nothing() -> None:
    chance = Random(1)
    data = bytes(range(200))
    assert sum(damage(chance, data) != data for _ in range(100)) > 90
    assert all(b"".join(split(chance, data)) == data for _ in range(50))


def test_a_wrong_exception_is_a_finding_with_its_seed() -> None:
    def broken(chance: Random) -> None:
        raise KeyError(chance.random())

    with pytest.raises(Finding, match="broken 7-0: KeyError"):
        run_one("broken", broken, "7-0")


def test_a_slow_input_is_a_finding() -> None:
    def slow(chance: Random) -> None:
        end = time.process_time() + 0.11
        while time.process_time() < end:
            pass

    with pytest.raises(Finding, match="took"):
        run("slow", slow, seed=1, seconds=10.0, most=1)


def test_the_script_prints_the_rate_and_the_slowest_input() -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, "--seconds", "0.3", "--seed", "5"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.stderr, done.returncode) == ("", 0)
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["reader", "codec", "connection"]
    assert "inputs/s" in done.stdout
    assert "slowest" in done.stdout
