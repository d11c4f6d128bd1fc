"""`mypy --strict` accepts correct code that uses an interface, and finds what is wrong in other code."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
EXAMPLES = Path(__file__).parent / "typing"
REPORT = re.compile(r"(?P<file>\w+)\.py:(?P<line>\d+): error: .*\[(?P<code>[\w-]+)\]$")
MARK = re.compile(r"# E: (?P<codes>[\w -]+)$")

Found = set[tuple[str, int, str]]


def expected(file: Path) -> Found:
    """Return the errors that a file's lines ask for."""
    return {
        (file.stem, number, code)
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1)
        if (mark := MARK.search(line))
        for code in mark["codes"].split()
    }


def reported() -> Found:
    """Return the errors that mypy finds in the examples, with no configuration but `--strict`."""
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", "--no-error-summary"]
    command += ["--explicit-package-bases"]  # the examples are modules of their own, as a user's are
    command += ["--no-pretty", f"--cache-dir={ROOT / '.mypy_cache' / 'typing'}"]
    command += [file.name for file in sorted(EXAMPLES.glob("*.py"))]
    environment = os.environ | {"MYPYPATH": f"{EXAMPLES}{os.pathsep}{ROOT}", "NO_COLOR": "1"}
    result = subprocess.run(
        command, cwd=EXAMPLES, env=environment, capture_output=True, text=True, check=False, timeout=240
    )
    assert not result.stderr, result.stderr
    lines = [line for line in result.stdout.splitlines() if ": note: " not in line]
    found = {(m["file"], int(m["line"]), m["code"]) for line in lines if (m := REPORT.search(line))}
    unread = [line for line in lines if not REPORT.search(line)]
    assert not unread, "\n".join(unread)
    return found


@pytest.fixture(scope="module")
def errors() -> Found:
    return reported()


def test_correct_code_passes(errors: Found) -> None:
    assert not {error for error in errors if error[0] != "wrong"}


def test_each_wrong_line_is_found_and_nothing_else(errors: Found) -> None:
    assert {error for error in errors if error[0] == "wrong"} == expected(EXAMPLES / "wrong.py")


def test_there_are_at_least_eight_kinds_of_wrong_code() -> None:
    assert len(expected(EXAMPLES / "wrong.py")) >= 8
