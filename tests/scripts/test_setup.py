"""`scripts/setup` with the tools replaced by ones that only write down what they were asked for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the scripts are for a POSIX shell")

PYTHON = """#!/bin/sh
echo "python $*" >>"$CALLS"
case "$1 $2" in
"-m venv") mkdir -p "$4/bin" && cp "$0" "$4/bin/python" ;;
"-m pip" | "-c import pip" | "-c import ensurepip, venv") ;;
*) exec "$REAL_PYTHON" "$@" ;;
esac
"""
UV = """#!/bin/sh
echo "uv $*" >>"$CALLS"
mkdir -p .venv/bin && cp "$FAKE_PYTHON" .venv/bin/python
"""
OLD = """#!/bin/sh
exit 1
"""


class Workshop:
    """A copy of what `setup` looks at, and a PATH that holds nothing but the fakes and the basic tools."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "house"
        self.tools = folder / "tools"
        self.calls = folder / "calls"
        (self.root / "scripts").mkdir(parents=True)
        self.tools.mkdir()
        shutil.copy(ROOT / "scripts" / "setup", self.root / "scripts")
        for name in ("pyproject.toml", "uv.lock"):
            (self.root / name).write_text(f"# {name}\n")
        for name in ("sh", "cat", "cksum", "cp", "dirname", "mkdir", "rm"):
            found = shutil.which(name)
            assert found is not None
            (self.tools / name).symlink_to(found)

    def install(self, name: str, text: str) -> Path:
        tool = self.tools / name
        tool.write_text(text)
        tool.chmod(0o755)
        return tool

    def setup(self, **variables: str) -> subprocess.CompletedProcess[str]:
        self.calls.write_text("")
        environment = {
            "PATH": str(self.tools),
            "CALLS": str(self.calls),
            "REAL_PYTHON": sys.executable,
            "FAKE_PYTHON": str(self.tools / "python3"),
            **variables,
        }
        return subprocess.run(
            [self.root / "scripts" / "setup"],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    @property
    def work(self) -> list[str]:
        """What was asked of the tools, beside questions."""
        return [line for line in self.calls.read_text().splitlines() if not line.startswith("python -c")]


@pytest.fixture
def workshop(tmp_path: Path) -> Workshop:
    return Workshop(tmp_path)


def test_uv_is_used_where_it_is_installed(workshop: Workshop) -> None:
    workshop.install("python3", PYTHON)
    workshop.install("uv", UV)
    result = workshop.setup()
    assert result.returncode == 0, result.stderr
    assert [line for line in workshop.work if line.startswith("uv")] == [
        "uv sync --quiet --all-extras --python python3"
    ]


@pytest.mark.parametrize("uv", [False, True], ids=["no uv", "uv not wanted"])
def test_pip_is_used_otherwise(workshop: Workshop, uv: bool) -> None:
    workshop.install("python3", PYTHON)
    if uv:
        workshop.install("uv", UV)
    result = workshop.setup(**({"APPSERVER_NO_UV": "1"} if uv else {}))
    assert result.returncode == 0, result.stderr
    assert workshop.work[1:] == [
        f"python -m venv --clear {workshop.root}/.venv",
        "python -m pip install --quiet --upgrade pip>=25.1",
        "python -m pip install --quiet --editable .[server] --group test --group check",
    ]


@pytest.mark.parametrize("uv", [False, True], ids=["pip", "uv"])
def test_nothing_is_done_twice(workshop: Workshop, uv: bool) -> None:
    workshop.install("python3", PYTHON)
    if uv:
        workshop.install("uv", UV)
    workshop.setup()
    result = workshop.setup()
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert workshop.work == []


@pytest.mark.parametrize("name", ["pyproject.toml", "uv.lock"])
def test_a_change_of_what_is_needed_is_followed(workshop: Workshop, name: str) -> None:
    workshop.install("python3", PYTHON)
    workshop.setup()
    (workshop.root / name).write_text("# changed\n")
    assert workshop.setup().returncode == 0
    assert any("--editable" in line for line in workshop.work)
    assert not any("venv" in line for line in workshop.work), "the environment itself is kept"


def test_an_environment_that_was_left_half_made_is_completed(workshop: Workshop) -> None:
    workshop.install("python3", PYTHON.replace('"-m pip" |', '"-m pip") exit 1 ;;'))
    assert workshop.setup().returncode != 0
    workshop.install("python3", PYTHON)
    shutil.copy(workshop.tools / "python3", workshop.root / ".venv" / "bin" / "python")
    assert workshop.setup().returncode == 0
    assert any("--editable" in line for line in workshop.work)


def test_the_python_that_is_asked_for_is_taken(workshop: Workshop) -> None:
    workshop.install("python3", OLD)
    other = workshop.install("snake", PYTHON)
    assert workshop.setup(PYTHON=str(other)).returncode == 0
    assert workshop.setup(PYTHON=str(other)).returncode == 0
    assert workshop.work == []


def test_a_python_that_is_too_old_is_passed_over(workshop: Workshop) -> None:
    workshop.install("python3", OLD)
    workshop.install("python3.12", PYTHON)
    assert workshop.setup().returncode == 0


def test_without_a_python_it_says_what_to_do(workshop: Workshop) -> None:
    workshop.install("python3", OLD)
    result = workshop.setup()
    assert result.returncode == 1
    assert "no Python 3.11 or newer" in result.stderr
    assert not (workshop.root / ".venv").exists()


def test_a_wrong_wish_is_refused(workshop: Workshop) -> None:
    workshop.install("python3", PYTHON)
    result = workshop.setup(PYTHON="/nowhere/python")
    assert result.returncode == 1
    assert "PYTHON=/nowhere/python" in result.stderr


def test_it_works_from_any_folder_and_through_spaces(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path / "a house with spaces")
    workshop.install("python3", PYTHON)
    assert workshop.setup().returncode == 0
    assert workshop.setup().stderr == ""
