"""The README's examples: the first one runs as printed, the others compile and import what exists."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import textwrap
import threading
from pathlib import Path

import pytest

from tests.appserver.cli.processes import command
from tests.system.processes import ROOT, SECONDS, environment

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
PYTHON = [block for language, block in BLOCKS if language == "python"]
CONSOLE = [block for language, block in BLOCKS if language == "console"]


def test_the_first_example_has_twelve_lines() -> None:
    assert len(PYTHON[0].splitlines()) == 12


def test_the_first_example_runs_as_printed(tmp_path: Path) -> None:
    """Saved, served and called with the commands that the README prints, in an empty folder."""
    (tmp_path / "greeter.py").write_text(PYTHON[0], encoding="utf-8")
    assert CONSOLE[0] == "$ appserver run greeter\n"
    typed, shown = CONSOLE[1].splitlines()
    address = re.fullmatch(r"\$ appclient call '(appserver://127\.0\.0\.1:19813/\?pin=sha256:…)' (.*)", typed)
    assert address is not None
    env = environment({"APPSERVER_CLIENT_SERVER_PORT": "0", "PYTHONPATH": ""})
    server = subprocess.Popen(
        command("appserver", "run", "greeter"),
        cwd=tmp_path,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    watchdog = threading.Timer(SECONDS, server.kill)
    watchdog.start()
    try:
        assert server.stdout is not None
        printed = next((line for line in server.stdout if "appserver://" in line), "")
        found = re.search(r"appserver://127\.0\.0\.1:\d+/\?pin=sha256:[0-9a-f]{64}", printed)
        assert found is not None, printed
        elsewhere = tmp_path / "second-terminal"
        elsewhere.mkdir()
        result = subprocess.run(
            command("appclient", "call", found.group(), *address.group(2).split()),
            cwd=elsewhere,
            env=env,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert (result.stdout, result.stderr, result.returncode) == (shown + "\n", "", 0)
    finally:
        server.kill()
        server.communicate(timeout=SECONDS)
        watchdog.cancel()


@pytest.mark.parametrize("number", range(len(PYTHON)))
def test_python_compiles_and_imports_what_exists(number: int) -> None:
    # Statements with `await` at the top stand for the inside of some coroutine.
    block = "async def around():\n" + textwrap.indent(PYTHON[number], "    ")
    tree = ast.parse(block)
    compile(tree, f"README.md, block {number}", "exec")
    for node in ast.walk(tree):
        match node:
            case ast.Import(names):
                for name in names:
                    importlib.import_module(name.name)
            case ast.ImportFrom(str(module), names) if module != "greeter":
                imported = importlib.import_module(module)
                for name in names:
                    if not hasattr(imported, name.name):
                        importlib.import_module(f"{module}.{name.name}")
