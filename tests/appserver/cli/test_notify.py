"""What the service manager is told, over a real datagram socket."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from appserver.cli.notify import SOCKET_VARIABLE, Notifier
from tests.appserver.cli.processes import running

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no service manager of this kind")

APPLICATION = 'from appserver import Application\napp = Application("quiet")\n'


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """What stands in for systemd."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.settimeout(30)
        yield sock


def told(manager: socket.socket) -> dict[str, str]:
    lines = manager.recv(4096).decode().splitlines()
    return dict(line.split("=", 1) for line in lines)


def test_it_is_told_of_start_reload_and_stop(tmp_path: Path, manager: socket.socket) -> None:
    (tmp_path / "quiet.py").write_text(APPLICATION)
    variables = {SOCKET_VARIABLE: str(tmp_path / "notify")}
    with running(tmp_path, "quiet", extra=variables) as server:
        ready = told(manager)
        assert ready["READY"] == "1"
        assert "quiet on 127.0.0.1:" in ready["STATUS"]
        assert "encrypted until" in ready["STATUS"]
        server.process.send_signal(signal.SIGHUP)
        reloading = told(manager)
        assert reloading["RELOADING"] == "1"
        assert int(reloading["MONOTONIC_USEC"]) > 0
        assert told(manager)["READY"] == "1"
        (tmp_path / "Resources" / "cert.pem").write_text("nothing")
        server.process.send_signal(signal.SIGHUP)
        assert told(manager)["RELOADING"] == "1"
        assert "refused" in told(manager)["STATUS"]
        server.process.send_signal(signal.SIGTERM)
        assert told(manager)["STOPPING"] == "1"
        assert server.wait() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="abstract names are Linux's")
def test_an_abstract_name_is_understood() -> None:
    name = f"appserver-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(f"\0{name}")
        sock.settimeout(10)
        Notifier({SOCKET_VARIABLE: f"@{name}"}).ready("one\nline")
        assert told(sock) == {"READY": "1", "STATUS": "one line"}


def test_a_manager_that_does_not_read_holds_nobody_up(manager: socket.socket, tmp_path: Path) -> None:
    notifier = Notifier({SOCKET_VARIABLE: str(tmp_path / "notify")})
    for _ in range(2000):  # far more than the queue of a socket holds
        notifier.ready("x" * 1000)
    assert told(manager)["READY"] == "1"


@pytest.mark.parametrize("path", ["", "/nowhere/to/be/found"])
def test_without_a_manager_nothing_happens(path: str) -> None:
    Notifier({SOCKET_VARIABLE: path}).stopping()
    Notifier({}).ready("x")
