"""`appserver run` whose files change, with clients in other processes that come back by themselves."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio

from appclient import Client
from protocol.transport import Address
from tests.appserver.cli.processes import RunningServer, running
from tests.appserver.pairs import Issuer, new_folders, put
from tests.system.application import Desk
from tests.system.load.rotations import Tally, come_and_go, stay
from tests.system.processes import ROOT, SECONDS, environment

QUICK = "[timeouts]\nreconnect_first = 0.05\nreconnect_most = 0.2\n[limits]\nper_source = 1000\n"

hangup = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGHUP")


@attrs.frozen
class Place:
    """The files of a server and a client."""

    folder: Path
    issuer: Issuer
    resources: Path
    client_resources: Path

    @property
    def settings(self) -> Path:
        return self.folder / "settings.toml"

    def write(self, *, encrypt: bool) -> None:
        new = self.folder / "settings.new"
        new.write_text(f"[client_server]\nencrypt = {str(encrypt).lower()}\n{QUICK}")
        new.replace(self.settings)

    def ledger(self) -> list[int]:
        """What the handlers have entered, in order."""
        return [int(line) for line in (self.folder / "ledger").read_text().split()]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    issuer = Issuer()
    resources, client = new_folders(tmp_path, issuer)
    issuer.pair().put(resources)
    return Place(tmp_path, issuer, resources, client)


@contextlib.contextmanager
def serving(place: Place) -> Iterator[RunningServer]:
    """Run the server."""
    variables = {"PYTHONPATH": str(ROOT), "DESK_FOLDER": str(place.folder), "APPSERVER_LOG_FORMAT": "json"}
    with running(place.folder, "tests.system.application", extra=variables) as server:
        yield server


def log_of(server: RunningServer) -> list[dict[str, Any]]:
    return [json.loads(line) for line in server.log.read_text().splitlines(keepends=True) if line[-1] == "\n"]


async def wait_log(server: RunningServer, text: str) -> dict[str, Any]:
    """Wait for the first line with a text in it."""
    while not (lines := [line for line in log_of(server) if text in line["event"]]):  # noqa: ASYNC110 - a process writes it
        await trio.sleep(0.01)
    return lines[0]


@attrs.frozen
class Follower:
    """The client's process."""

    process: subprocess.Popen[str]

    async def told(self) -> dict[str, Any]:
        """The next thing that it says."""
        assert self.process.stdout is not None
        line = await trio.to_thread.run_sync(self.process.stdout.readline)
        assert line, "the client has ended"
        facts: dict[str, Any] = json.loads(line)
        return facts


@contextlib.asynccontextmanager
async def following(
    place: Place, server: RunningServer, settings: Path | None = None
) -> AsyncIterator[Follower]:
    """Run a client that calls all the time and reads these settings, the server's without."""
    words = [server.port, str(place.client_resources), str(settings or place.settings)]
    process = subprocess.Popen(  # noqa: ASYNC220 - it returns at once
        [sys.executable, "-m", "tests.system.following", *words],
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    watchdog = threading.Timer(SECONDS, process.kill)
    watchdog.start()
    try:
        yield Follower(process)
    finally:
        process.kill()
        process.communicate()
        watchdog.cancel()


async def test_encryption_switched_on_and_off_under_a_client_of_the_same_settings(place: Place) -> None:
    place.write(encrypt=False)
    with trio.fail_after(45), serving(place) as server:
        async with following(place, server) as client:
            assert (await client.told())["encrypted"] is False
            place.write(encrypt=True)
            assert (await client.told())["encrypted"] is True
            assert "switched on" in (await wait_log(server, "client sent away"))["reason"]
            # It has seen the server encrypted: the administrator means it, and takes that out.
            (place.client_resources / "known_servers.toml").unlink()
            place.write(encrypt=False)
            last = await client.told()
            assert last["encrypted"] is False
            assert last["connections"] == 3
        entered = place.ledger()
        assert entered == list(range(1, len(entered) + 1)), "no call was lost or made twice"
        assert [line["event"] for line in log_of(server) if line["level"] in ("warning", "error")] == []


@pytest.mark.parametrize("own_settings", [True, False], ids=["its-own-settings", "its-memory"])
async def test_a_client_that_was_not_told_to_stays_out_of_plain_text(
    place: Place, own_settings: bool
) -> None:
    place.write(encrypt=True)
    own = place.folder / "own.toml"
    own.write_text(place.settings.read_text())
    with trio.fail_after(45), serving(place) as server:
        async with following(place, server, own if own_settings else None) as client:
            assert (await client.told())["encrypted"] is True
            place.write(encrypt=False)
            last = await client.told()
            assert last["state"] == "refused"
            assert "client_server.encrypt" in last["refused"]
        assert len(place.ledger()) < last["number"], "the call that was refused did not run"


async def test_switched_on_over_a_bad_pair_it_serves_nobody_until_it_is_mended(place: Place) -> None:
    good = (place.resources / "key.pem").read_bytes()
    put(place.resources, "key.pem", place.issuer.pair().key)
    place.write(encrypt=False)
    with trio.fail_after(45), serving(place) as server:
        async with following(place, server) as client:
            assert (await client.told())["encrypted"] is False
            place.write(encrypt=True)
            line = await wait_log(server, "nobody is served")
            assert (line["level"], line["file"]) == ("error", str(place.resources / "cert.pem"))
            entered = len(place.ledger())
            await wait_log(server, "client turned away")
            assert len(place.ledger()) == entered
            put(place.resources, "key.pem", good)
            assert (await client.told())["encrypted"] is True


@hangup
async def test_a_settings_file_that_does_not_load_and_one_that_needs_a_restart(place: Place) -> None:
    place.write(encrypt=True)
    with trio.fail_after(45), serving(place) as server:
        place.settings.write_text("[client_server]\nencrypt = fals")
        server.process.send_signal(signal.SIGHUP)
        line = await wait_log(server, "reload refused")
        assert (line["level"], line["file"]) == ("warning", str(place.settings))
        place.settings.write_text('[client_server]\nhost = "0.0.0.0"\n')
        assert (await wait_log(server, "need a restart"))["settings"] == "client_server.host"
        async with following(place, server) as client:
            assert (await client.told())["encrypted"] is True


async def test_watched_pairs_that_change_fast_break_nothing(place: Place) -> None:
    """As people copy files: in place, one after another, some of them cut off."""
    place.write(encrypt=True)
    tally = Tally()
    with trio.fail_after(45), serving(place) as server:
        tally.good.add(server.announcement["address"].partition("pin=")[2])
        async with trio.open_nursery() as nursery:
            address = Address("localhost", int(server.port))
            for _ in range(4):
                await nursery.start(stay, address, place.client_resources, tally, echo_desk)
                nursery.start_soon(come_and_go, address, place.client_resources, tally, echo_desk)
            for number in range(60):
                pair = place.issuer.pair()
                tally.good.add(pair.fingerprint)
                (place.resources / "key.pem").write_bytes(pair.key)
                half = pair.cert[: len(pair.cert) // 2]
                (place.resources / "cert.pem").write_bytes(half if number % 10 == 5 else pair.cert)
                await trio.sleep(0.02)
            while pair.fingerprint not in server.log.read_text():  # noqa: ASYNC110 - a process writes it
                await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
    assert tally.held, tally


async def echo_desk(client: Client) -> None:
    """One call."""
    assert await client.use(Desk).echo("a") == "a"
