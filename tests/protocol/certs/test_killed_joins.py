"""kill -9 at each step of a join, a revocation and a renewal, of client and server: doing it again completes it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.protocol.certs.join_kill_rig import CASES

ROOT = Path(__file__).parents[3]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot fork")


@pytest.mark.parametrize("case", CASES)
def test_a_kill_at_each_step_leaves_what_can_be_completed(tmp_path: Path, case: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.protocol.certs.join_kill_rig", case, str(tmp_path / "start")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[0]) >= 5, "the kills were not among the steps"
