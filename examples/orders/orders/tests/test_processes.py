"""The programs as a user starts them: processes of their own, an encrypted connection, status and messages."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from appserver import open_server
from orders.app import build_application
from protocol.settings import ClientServerSettings, Settings

FOLDER = Path(__file__).parents[2]


@pytest.fixture
async def address(tmp_path: Path) -> AsyncIterator[str]:
    settings = Settings(client_server=ClientServerSettings(port=0))
    application = build_application(tmp_path / "data")
    async with open_server(application, settings=settings, resources=tmp_path / "Resources") as server:
        yield str(server.connection_address())


@pytest.fixture
def resources(tmp_path: Path) -> Path:
    """A client's Resources folder, in which there is nothing yet."""
    folder = tmp_path / "client"
    folder.mkdir()
    return folder


async def run(module: str, *words: str, resources: Path) -> subprocess.CompletedProcess[bytes]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("APPSERVER_")}
    environment |= {"PYTHONPATH": str(FOLDER), "PYTHONUTF8": "1"}
    with trio.fail_after(60):
        return await trio.run_process(
            [sys.executable, "-m", module, "--resources", str(resources), *words],
            env=environment,
            capture_stdout=True,
            capture_stderr=True,
            check=False,
        )


async def test_the_terminal_shows_what_it_asked_for(address: str, resources: Path) -> None:
    result = await run("orders.client", "--address", address, "products", "saw", resources=resources)
    assert (result.returncode, result.stderr) == (0, b"")
    assert result.stdout.decode().split()[:3] == ["SAW-300", "24.90", "12"]


async def test_the_blocking_script_delivers(address: str, resources: Path) -> None:
    words = ("--address", address, "SAW-300", "5")
    result = await run("orders.deliver", *words, resources=resources)
    assert (result.returncode, result.stderr) == (0, b"")
    assert result.stdout.split() == b"SAW-300: 17 in stock".split()


@pytest.mark.parametrize(
    ("module", "words", "finding"),
    [
        ("orders.client", ("find", "7"), "orders: there is no order 7"),
        ("orders.client", ("add", "1", "SAW-300=99"), "orders: 99 of SAW-300 are wanted and 12 are left"),
        ("orders.deliver", ("SAW-300", "0"), "deliver: a delivery has at least one piece, not 0"),
    ],
)
async def test_a_refusal_is_one_line(
    address: str, resources: Path, module: str, words: tuple[str, ...], finding: str
) -> None:
    result = await run(module, "--address", address, *words, resources=resources)
    assert result.returncode == 1
    assert finding in result.stderr.decode()
    assert b"Traceback" not in result.stderr


async def test_a_server_that_is_not_trusted_is_one_line(address: str, resources: Path) -> None:
    without_pin = address.partition("?")[0]
    result = await run("orders.client", "--address", without_pin, "list", resources=resources)
    assert result.returncode == 1
    assert result.stderr.decode().startswith("orders: ")
    assert "does not trust" in result.stderr.decode()
    assert b"Traceback" not in result.stderr
