"""Starts the example's server, drives it with the example's client from a second process, and stops it.

Everything that the two make, certificate, database and files, lies in one temporary folder, those of a process
that had to be killed too. The port is a free one. Where something fails, this says what, and shows the server's log.
"""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

EXAMPLE = Path(__file__).parent.parent / "examples" / "orders"
START_SECONDS = 60.0
STOP_SECONDS = 30.0
TOUR_SECONDS = 300.0


class Failed(Exception):
    """The tour did not go as it should."""


def prepare(folder: Path) -> dict[str, str]:
    """Make an application folder; returns the environment for both processes."""
    shutil.copy(EXAMPLE / "settings.toml", folder)
    (folder / "client" / "Resources").mkdir(parents=True)
    return os.environ | {
        "APPSERVER_CLIENT_SERVER_HOST": "127.0.0.1",
        "APPSERVER_CLIENT_SERVER_PORT": "0",
        "APPSERVER_LOG_FORMAT": "json",
        "ORDERS_DATA": str(folder / "data"),
        **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder)),
        "PYTHONPATH": str(EXAMPLE),
        "PYTHONUTF8": "1",
    }


@contextmanager
def running_server(folder: Path, environment: dict[str, str]) -> Iterator[dict[str, Any]]:
    """Run the server while the body runs; yields what it announced, and stops it in order."""
    command = [sys.executable, "-m", "appserver.cli", "run", "--json"]
    with (
        (folder / "server.log").open("wb") as log,
        subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=log, text=True
        ) as server,
    ):
        try:
            yield announcement(server)
            server.terminate()
            try:
                status = server.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired as exc:
                raise Failed(f"the server did not stop in {STOP_SECONDS:g} s") from exc
            if status != 0 and os.name == "posix":
                raise Failed(f"the server ended with status {status}")
        finally:
            if server.poll() is None:
                server.kill()


def announcement(server: subprocess.Popen[str]) -> dict[str, Any]:
    """Wait for the line in which the server says where it listens."""
    lines: queue.SimpleQueue[str] = queue.SimpleQueue()
    stdout = server.stdout
    assert stdout is not None
    threading.Thread(target=lambda: lines.put(stdout.readline()), daemon=True).start()
    try:
        line = lines.get(timeout=START_SECONDS)
    except queue.Empty as exc:
        raise Failed(f"the server did not say in {START_SECONDS:g} s where it listens") from exc
    if not line:
        raise Failed(f"the server ended with status {server.wait()} before it listened")
    found: dict[str, Any] = json.loads(line)
    return found


def drive(folder: Path, environment: dict[str, str], address: str) -> None:
    """Run the client's tour in a process of its own."""
    command = [sys.executable, "-m", "orders.demo", "--address", address]
    command += ["--settings", str(folder / "settings.toml")]
    try:
        status = subprocess.run(command, env=environment, timeout=TOUR_SECONDS, check=False).returncode
    except subprocess.TimeoutExpired as exc:
        raise Failed(f"the client was not done in {TOUR_SECONDS:g} s") from exc
    if status != 0:
        raise Failed(f"the client ended with status {status}")


def check_log(log: Path) -> None:
    """See that the server had nothing to complain of."""
    for line in log.read_text("utf-8", "replace").splitlines():
        try:
            level = json.loads(line)["level"]
        except (ValueError, KeyError, TypeError):
            raise Failed(f"the server's log has a line that is no record: {line}") from None
        if level in ("error", "critical"):
            raise Failed("the server logged an error")


def main() -> int:
    """Run the tour; returns the exit status."""
    with tempfile.TemporaryDirectory(prefix="orders-server-") as name:
        folder = Path(name)
        environment = prepare(folder)
        log = folder / "server.log"
        try:
            with running_server(folder, environment) as announced:
                print(f"{'server':<10} listens on {', '.join(announced['listening'])}, encryption ", end="")
                print("on" if announced["encrypted"] else "off", flush=True)
                if announced["certificate"]:
                    print(f"{'':<10} made an authority and a certificate of its own, until ", end="")
                    print(str(announced["expires"])[:10], flush=True)
                drive(folder, environment, announced["listening"][0])
            check_log(log)
        except Failed as exc:
            print(f"\nrun: {exc}; the server's log:", file=sys.stderr)
            text = log.read_text("utf-8", "replace") if log.exists() else ""
            print(text.strip() or "(empty)", file=sys.stderr)
            return 1
    print(f"{'server':<10} stopped in order; nothing was left behind")
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an exception, so that the server is stopped too
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
