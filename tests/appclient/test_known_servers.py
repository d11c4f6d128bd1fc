"""Clients that meet servers at the same time, and what they remember of them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from protocol.certs import KnownServer, pins

SEEN = KnownServer(None, datetime(2026, 1, 1, tzinfo=UTC))


def test_clients_that_remember_at_once_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "known_servers.toml"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda port: pins.remember_server(path, "host", port, SEEN), range(1, 33)))
    assert len(pins.read_known_servers(path)) == 32


def test_a_lock_that_is_kept_is_not_waited_for_without_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pins, "_LOCK_WAIT", 0.05)
    path = tmp_path / "known_servers.toml"
    with pins._locked(path), pytest.raises(TimeoutError, match="locked"):
        pins.remember_server(path, "host", 1, SEEN)
    pins.remember_server(path, "host", 1, SEEN)
    assert len(pins.read_known_servers(path)) == 1
