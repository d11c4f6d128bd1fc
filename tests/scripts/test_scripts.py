"""The scripts as files: they can be run, and a shell can read them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHELL_SCRIPTS = [ROOT / "scripts" / name for name in ("setup", "run", "test", "check")]

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the scripts are for a POSIX shell")


@pytest.mark.parametrize("script", [*SHELL_SCRIPTS, ROOT / ".ci" / "run"], ids=lambda script: script.name)
def test_a_script_is_executable_and_well_formed(script: Path) -> None:
    assert os.access(script, os.X_OK)
    first = script.read_text(encoding="utf-8").splitlines()[0]
    shell = first.removeprefix("#!")
    assert shell == ("/bin/bash" if script.parent.name == ".ci" else "/bin/sh")
    if shutil.which(shell) is None:
        pytest.skip(f"there is no {shell} here")
    subprocess.run([shell, "-n", script], check=True, timeout=60)
