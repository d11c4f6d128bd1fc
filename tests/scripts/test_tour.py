"""`scripts/run`: server and client as processes of their own, and nothing of them afterwards."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOUR = [sys.executable, str(ROOT / "scripts" / "tour.py")]
PORT = re.compile(r"listens on 127\.0\.0\.1:(\d+)")


@pytest.fixture
def temporary(tmp_path: Path) -> Path:
    folder = tmp_path / "temporary"
    folder.mkdir()
    return folder


@pytest.fixture
def environment(temporary: Path) -> dict[str, str]:
    return os.environ | {"TMPDIR": str(temporary), "TEMP": str(temporary), "PYTHONUTF8": "1"}


def listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_the_tour_succeeds_says_what_was_negotiated_and_leaves_nothing(
    environment: dict[str, str], temporary: Path, tmp_path: Path
) -> None:
    before = sorted((ROOT / "examples" / "orders").iterdir())
    result = subprocess.run(
        TOUR,
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=240,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    for pattern in (
        r"encryption on",
        r"protocol TLSv1\.3, cipher TLS_\w+, group .+\n",
        r"server's key sha256:[0-9a-f]{64}",
        r"refused with OutOfStock",
        r"1000 orders sent up",
        r"1001 orders came down",
        r"event +order 1 is packed",
        r"32 MiB up and down, SHA-256",
        r"cancelled +a call was given up",
        r"stopped in order",
    ):
        assert re.search(pattern, result.stdout), (pattern, result.stdout)
    port = PORT.search(result.stdout)
    assert port is not None
    assert not listens(int(port[1]))
    assert list(temporary.iterdir()) == []
    assert sorted((ROOT / "examples" / "orders").iterdir()) == before


def test_a_server_that_does_not_start_is_explained(environment: dict[str, str], temporary: Path) -> None:
    environment["APPSERVER_TLS_MIN_VERSION"] = "1.1"
    result = subprocess.run(
        TOUR, env=environment, capture_output=True, text=True, encoding="utf-8", check=False, timeout=240
    )
    assert result.returncode == 1
    assert "the server ended with status" in result.stderr
    assert "min_version" in result.stderr
    assert "Traceback" not in result.stderr
    assert list(temporary.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="sends signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
@pytest.mark.parametrize("group", [True, False], ids=["as a terminal does", "to itself alone"])
@pytest.mark.parametrize(
    "moment", ["server", "connected"], ids=["as the client starts", "while the client works"]
)
def test_an_interrupted_tour_leaves_nothing_running(
    environment: dict[str, str], temporary: Path, number: signal.Signals, group: bool, moment: str
) -> None:
    lines = []
    with subprocess.Popen(
        TOUR, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as tour:
        assert tour.stdout is not None
        for line in tour.stdout:
            lines.append(line)
            if line.startswith(moment):
                break
        (os.killpg if group else os.kill)(tour.pid, number)
        tour.stdout.read()
        assert tour.wait(60) != 0
    port = PORT.search(lines[0])
    assert port is not None
    assert not listens(int(port[1]))
    assert list(temporary.iterdir()) == []
