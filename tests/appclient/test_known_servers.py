"""Clients that meet servers at the same time, and what they remember of them."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from protocol.certs import KnownServer, locking, pins

SEEN = KnownServer(None, datetime(2026, 1, 1, tzinfo=UTC))


def test_clients_that_remember_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "known_servers.toml"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda port: pins.note_server(path, "host", port), range(1, 33)))
    assert len(pins.read_known_servers(path)) == 32


def test_a_lock_that_is_kept_is_not_waited_for_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locking, "_WAIT", 0.05)
    path = tmp_path / "known_servers.toml"
    with locking.locked(path), pytest.raises(TimeoutError, match="locked"):
        pins.note_server(path, "host", 1)
    pins.note_server(path, "host", 1)
    assert len(pins.read_known_servers(path)) == 1


OTHERS = """
import sys
from pathlib import Path
from protocol.certs import note_server
path, number = Path(sys.argv[1]), int(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
note_server(path, "own", number, pin="sha256:" + f"{number:064x}")
print(note_server(path, "shared", 1, pin="sha256:" + f"{number:064x}").pin)
"""


def test_of_processes_that_store_at_once_the_first_is_believed_by_all_and_nothing_is_lost(
    tmp_path: Path,
) -> None:
    path = tmp_path / "known_servers.toml"
    root = str(Path(__file__).parents[2])
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", OTHERS, str(path), str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": root},
        )
        for number in range(1, 7)
    ]
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        told = {process.communicate("go\n", timeout=30)[0] for process in processes}
    finally:
        for process in processes:
            process.kill()
    servers = pins.read_known_servers(path)
    assert told == {f"{servers['shared:1'].pin}\n"}
    assert sorted(servers) == [*(f"own:{number}" for number in range(1, 7)), "shared:1"]


def test_noting_a_server_keeps_its_pin_and_its_first_date(tmp_path: Path) -> None:
    path = tmp_path / "known_servers.toml"
    first, second = "sha256:" + "1" * 64, "sha256:" + "2" * 64
    pins.note_server(path, "host", 1, now=SEEN.first_seen)
    assert pins.note_server(path, "host", 1, pin=first) == KnownServer(first, SEEN.first_seen)
    assert pins.note_server(path, "host", 1, pin=second).pin == first
    assert pins.note_server(path, "host", 1) == KnownServer(first, SEEN.first_seen)
    assert pins.read_known_servers(path) == {"host:1": KnownServer(first, SEEN.first_seen)}


def test_a_server_once_met_in_plain_text_counts_as_encrypted_when_it_is_met_so(tmp_path: Path) -> None:
    path = tmp_path / "known_servers.toml"
    path.write_text('["host:1"]\nfirst_seen = 2026-01-01T00:00:00Z\nencrypted = false\n')
    assert not pins.read_known_servers(path)["host:1"].encrypted
    pins.note_server(path, "host", 1)
    assert pins.read_known_servers(path)["host:1"].encrypted
