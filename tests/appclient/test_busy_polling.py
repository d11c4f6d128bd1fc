"""Calls of one client after another, over sockets: once they are close together, neither side sleeps for them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from appclient import connect
from protocol.peer import busy_polling, outside, reading
from protocol.peer.busy_polling import FEWEST
from protocol.settings import ClientServerSettings, Settings
from protocol.transport import PlainTransport, TlsTransport, poller
from tests.appclient.blocking_rig import Rig, lend, make_folder, serving
from tests.protocol.peer.desk import Desk

CALLS = 100
WARM = 3 * reading.STREAK + 2 * FEWEST


@pytest.fixture(params=[False, True], ids=["plain", "encrypted"])
def rig(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Rig]:
    with serving(make_folder(tmp_path) if request.param else None) as rig:
        yield rig


@pytest.fixture
def sleeps(monkeypatch: pytest.MonkeyPatch, patient_leader: None) -> list[object]:
    """Whoever went to sleep for a connection. All waits count as short, and whoever looks is patient."""
    slept: list[object] = []

    def note(kind: type[PlainTransport | TlsTransport]) -> None:
        wait_readable = kind.wait_readable

        async def wait(self: PlainTransport | TlsTransport) -> None:
            slept.append(self)
            await wait_readable(self)  # type: ignore[arg-type]

        monkeypatch.setattr(kind, "wait_readable", wait)

    def poller_in_thread(descriptor: int) -> Callable[[float], bool]:
        look = poller(descriptor)

        def wait(seconds: float) -> bool:
            if seconds:
                slept.append(descriptor)
            return look(seconds)

        return wait

    note(PlainTransport)
    note(TlsTransport)
    monkeypatch.setattr(outside, "poller", poller_in_thread)
    monkeypatch.setattr(busy_polling, "SHORT", float("inf"))
    monkeypatch.setattr(busy_polling, "PATIENCE", 5.0)
    monkeypatch.setattr(outside, "PATIENCE", 5.0)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)
    return slept


def test_a_thread_does_not_sleep_for_its_answers(rig: Rig, sleeps: list[object]) -> None:
    with rig.connect() as client:
        desk = lend(client)
        for number in range(WARM):
            assert desk.echo(number) == number
        sleeps.clear()
        for number in range(CALLS):
            assert desk.echo(number) == number
        assert not sleeps


async def test_a_task_does_not_sleep_for_its_answers(rig: Rig, sleeps: list[object]) -> None:
    encrypted = rig.folder is not None
    settings = Settings(client_server=ClientServerSettings(encrypt=encrypted))
    resources = rig.folder and rig.folder / "client"
    async with connect(f"127.0.0.1:{rig.server.port}", settings=settings, resources=resources) as client:
        desk = client.use(Desk)
        for number in range(WARM):
            assert await desk.echo(number) == number
        sleeps.clear()
        for number in range(CALLS):
            assert await desk.echo(number) == number
        assert not sleeps
