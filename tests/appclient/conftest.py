"""Authorities, an operating system that trusts the ones that a test says, and a server in a thread."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from protocol.peer import reading
from tests.appclient.blocking_rig import Rig, serving

SystemTrusts = Callable[[trustme.CA], None]


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    """The one that the servers of these tests have their certificates from."""
    return trustme.CA(key_type=trustme.KeyType.ECDSA)


@pytest.fixture(scope="session")
def stranger() -> trustme.CA:
    """One that issued none of them."""
    return trustme.CA(key_type=trustme.KeyType.ECDSA)


@pytest.fixture
def system_trusts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> SystemTrusts:
    """Exchange the operating system's authorities: `system_trusts(authority)`."""
    if sys.platform in ("win32", "darwin"):
        pytest.skip("the system's store cannot be exchanged for a test")

    def exchange(authority: trustme.CA) -> None:
        file = tmp_path / "system.pem"
        authority.cert_pem.write_to_path(file)
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
        monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "none"))

    return exchange


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A client's empty Resources folder."""
    (tmp_path / "client").mkdir()
    return tmp_path / "client"


@pytest.fixture
def rig() -> Iterator[Rig]:
    """A server in a thread."""
    with serving() as rig:
        yield rig


@pytest.fixture
def patient_leader(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no busy machine decide who reads: calls are close together, and the leader does not look."""
    monkeypatch.setattr(reading, "CLOSE", 1000.0)
    monkeypatch.setattr(reading, "TICK", 1000.0)
