"""`appserver run`: what it announces, how it ends, and what keeps it from starting."""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import trio

from appclient import ConnectError, connect
from appserver.cli.entry import main
from appserver.cli.new_application import make_application
from appserver.cli.stopping import stop_signals
from protocol import Interface
from protocol.peer import CallError
from tests.appserver.cli.processes import command, environment, run_command, running

signals = pytest.mark.skipif(sys.platform == "win32", reason="no process can send SIGTERM there")

SLOW = """
import gc
import time
import trio
from contextlib import asynccontextmanager
from typing import Protocol
from appserver import Application
from protocol import Interface
from protocol.peer import CallError

class Slow(Interface, Protocol, version=(1, 0)):
    async def work(self, seconds: float) -> str: ...
    async def block(self) -> str: ...
    async def spared(self) -> int: ...

class SlowWork(Slow):
    async def work(self, seconds: float) -> str:
        print("working", flush=True)
        await trio.sleep(seconds)
        return "done"

    async def block(self) -> str:
        print("blocking", flush=True)
        time.sleep(600)
        return "never"

    async def spared(self) -> int:
        return gc.get_freeze_count()

@asynccontextmanager
async def lifespan():
    try:
        yield
    finally:
        print("closed", flush=True)

app = Application("slow", lifespan=lifespan)
app.register(SlowWork())
"""


class Slow(Interface, version=(1, 0)):
    async def work(self, seconds: float) -> str: ...  # type: ignore[empty-body]
    async def block(self) -> str: ...  # type: ignore[empty-body]
    async def spared(self) -> int: ...  # type: ignore[empty-body]


async def lost(call: Callable[..., Awaitable[str]], *args: float) -> None:
    """Make a call that does not survive its server."""
    with pytest.raises((CallError, ConnectError)):
        await call(*args)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "settings.toml").write_text('[application]\nmodule = "slow"\n')
    return tmp_path


def test_people_are_told_where_and_how(folder: Path) -> None:
    from appserver.cli.run import Announcement

    on = Announcement(
        "slow",
        ("127.0.0.1:1",),
        "appserver://127.0.0.1:1/",
        True,
        "1.2",
        "cert.pem",
        "2030-01-31",
        True,
        "ca.pem",
    ).text()
    assert "slow listens on 127.0.0.1:1" in on
    assert "encryption           on, TLS 1.2 or newer" in on
    assert "replace it" in on
    assert "ca.pem (written now)" in on
    off = Announcement(
        "slow", ("127.0.0.1:1",), "appserver://127.0.0.1:1/", False, None, None, None, False, None
    )
    assert "encryption           OFF" in off.text()


@signals
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(folder: Path, number: signal.Signals) -> None:
    with running(folder) as server:
        server.process.send_signal(number)
        assert server.wait() == 0
        assert server.read_line() == "closed\n"
        assert "Traceback" not in server.log.read_text()


async def test_what_was_loaded_is_no_work_for_the_garbage_collector(folder: Path) -> None:
    with trio.fail_after(30), running(folder) as server:
        async with connect(server.address, application="test") as client:
            while await client.use(Slow).spared() < 10_000:  # noqa: ASYNC110 - another process makes it true
                await trio.sleep(0.01)


@signals
async def test_an_open_call_may_end_before_the_server_does(folder: Path) -> None:
    with trio.fail_after(30), running(folder, "slow:app") as server:
        async with connect(server.address, application="test") as client, trio.open_nursery() as nursery:
            answers: list[str] = []

            async def call() -> None:
                answers.append(await client.use(Slow).work(0.5))

            nursery.start_soon(call)
            assert await trio.to_thread.run_sync(server.read_line) == "working\n"
            server.process.send_signal(signal.SIGTERM)
        assert answers == ["done"]
        assert await trio.to_thread.run_sync(server.wait) == 0


@signals
async def test_a_call_that_takes_too_long_is_not_waited_for(folder: Path) -> None:
    extra = {"APPSERVER_TIMEOUTS_DRAIN": "0.2"}
    with trio.fail_after(30), running(folder, extra=extra) as server, trio.CancelScope() as scope:
        async with connect(server.address, application="test") as client, trio.open_nursery() as nursery:
            nursery.start_soon(lost, client.use(Slow).work, 600.0)
            assert await trio.to_thread.run_sync(server.read_line) == "working\n"
            server.process.send_signal(signal.SIGTERM)
            assert await trio.to_thread.run_sync(server.ends_within, 5.0)
            assert server.wait() == 0
            scope.cancel()


@signals
async def test_a_second_signal_ends_it_at_once_even_where_a_handler_blocks(folder: Path) -> None:
    with trio.fail_after(30), running(folder) as server, trio.CancelScope() as scope:
        async with connect(server.address, application="test") as client, trio.open_nursery() as nursery:
            nursery.start_soon(lost, client.use(Slow).block)
            assert await trio.to_thread.run_sync(server.read_line) == "blocking\n"
            # Each is handled between two of Python's instructions, so two at once may be taken for one.
            while not server.ends_within(0.05):
                server.process.send_signal(signal.SIGTERM)
            assert server.wait() == -signal.SIGTERM
            scope.cancel()


async def test_without_signals_it_runs_until_cancelled() -> None:
    async def in_a_thread() -> bool:
        with stop_signals(lambda: None):
            return True

    assert await trio.to_thread.run_sync(trio.run, in_a_thread)


@pytest.mark.skipif(sys.platform == "win32", reason="signal.raise_signal ends the process there")
async def test_the_first_signal_is_told_once_and_the_handlers_come_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    told = trio.Event()
    with trio.fail_after(5), stop_signals(told.set):
        signal.raise_signal(signal.SIGTERM)
        await told.wait()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_port_that_is_taken_is_one_message(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run_command(
            command("appserver", "run"), cwd=folder, extra={"APPSERVER_CLIENT_SERVER_PORT": str(port)}
        )
    assert result.returncode == 1
    assert f"127.0.0.1:{port}" in result.stderr
    assert "client_server.port" in result.stderr
    assert "Traceback" not in result.stderr


def test_unusable_certificates_keep_it_from_starting(folder: Path) -> None:
    (folder / "Resources").mkdir()
    (folder / "Resources" / "cert.pem").write_text("nothing")
    result = run_command(command("appserver", "run"), cwd=folder, extra={"APPSERVER_CLIENT_SERVER_PORT": "0"})
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("appserver: ")
    assert "cert.pem" in result.stderr or "key.pem" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_authority_of_another_certificate_is_not_given_to_clients(tmp_path: Path) -> None:
    make_application(tmp_path / "one")
    make_application(tmp_path / "two")
    for name in ("one", "two"):
        with running(tmp_path / name):
            pass
    one, two = tmp_path / "one", tmp_path / "two"
    (one / "client" / "Resources" / "ca.pem").unlink()
    for file in ("cert.pem", "key.pem"):
        (two / "Resources" / file).replace(one / "Resources" / file)
    with running(one) as server:
        assert server.announcement["private"] is False
        assert server.announcement["shared"] is None
    assert not (one / "client" / "Resources" / "ca.pem").exists()


def test_an_anchor_that_is_there_already_stays(tmp_path: Path) -> None:
    folder = tmp_path / "desk"
    make_application(folder)
    own = folder / "client" / "Resources" / "ca.pem"
    own.write_text("mine")
    with running(folder) as server:
        assert server.announcement["shared"] is None
    assert own.read_text() == "mine"


def test_no_application_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["check"]) == 1
    assert "no application is named" in capsys.readouterr().out


@signals
def test_a_closed_terminal_ends_the_server_in_order(tmp_path: Path) -> None:
    """There SIGHUP means that nobody could stop it any more."""
    (tmp_path / "quiet.py").write_text('from appserver import Application\napp = Application("quiet")\n')
    import pty

    pid, terminal = pty.fork()
    if pid == 0:  # pragma: no cover - the child
        os.chdir(tmp_path)
        os.environ.update(environment({"APPSERVER_CLIENT_SERVER_PORT": "0"}))
        os.execv(sys.executable, command("appserver", "run", "quiet"))
    told = b""
    while b"clients connect to" not in told:
        told += os.read(terminal, 4096)
    os.close(terminal)
    assert os.waitpid(pid, 0) == (pid, 0)


@signals
def test_sighup_reloads_and_the_server_goes_on(folder: Path) -> None:
    with running(folder) as server:
        for _ in range(2):
            server.process.send_signal(signal.SIGHUP)
        while "reloaded" not in server.log.read_text():
            assert not server.ends_within(0.05)
        server.process.send_signal(signal.SIGTERM)
        assert server.wait() == 0
