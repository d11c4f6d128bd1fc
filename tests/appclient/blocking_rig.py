"""A server in a thread of its own, for tests of the blocking client."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import trio

from appclient.bridge import blocking
from appclient.bridge.portal import Portal
from appserver import Server, open_server
from protocol.certs import ensure_server_identity
from protocol.peer import Peer, reading
from protocol.settings import ClientServerSettings, Settings, TimeoutSettings
from tests.protocol.peer.desk import Counter, Desk, new_desk

SECONDS = 10.0


class Rig:
    """A server in a thread, and what a test needs of it."""

    def __init__(self, portal: Portal, server: Server, counter: Counter, folder: Path | None) -> None:
        self.portal = portal
        self.server = server
        self.counter = counter
        self.folder = folder

    def connect(self, **options: Any) -> blocking.BlockingClient:
        """A blocking client of it."""
        settings = Settings(client_server=ClientServerSettings(encrypt=self.folder is not None))
        resources = self.folder and self.folder / "client"
        return blocking.connect(
            f"127.0.0.1:{self.server.port}", settings=settings, resources=resources, **options
        )

    def kick(self) -> None:
        """Cut all connections."""

        async def abort() -> None:
            for session in self.server.sessions:
                session.peer.transport.abort()
                session.peer.end("test")

        self.portal.call(abort)


def make_folder(folder: Path) -> Path:
    """Make what `serving` needs for encryption; returns the folder."""
    ensure_server_identity(folder / "Resources", names=["127.0.0.1"])
    (folder / "client").mkdir()
    authority = folder / "Resources" / "authority" / "ca.pem"
    (folder / "client" / "ca.pem").write_bytes(authority.read_bytes())
    return folder


@contextlib.contextmanager
def serving(folder: Path | None = None) -> Iterator[Rig]:
    """Serve while the body runs.

    Args:
        folder: with `Resources` of the server and `client` of its clients; without, nothing is encrypted.
    """
    application, counter = new_desk()
    settings = Settings(
        client_server=ClientServerSettings(encrypt=folder is not None, host="127.0.0.1", port=0),
        timeouts=TimeoutSettings(drain=0.0),
    )
    resources = folder and folder / "Resources"
    started: Future[Server] = Future()
    stop = threading.Event()

    async def serve() -> None:
        async with open_server(application, settings=settings, resources=resources) as server:
            started.set_result(server)
            while not stop.is_set():  # noqa: ASYNC110
                await trio.sleep(0.01)

    with Portal("server") as portal:
        job = portal.start(serve)
        yield Rig(portal, started.result(SECONDS), counter, folder)
        stop.set()
        job.outcome.wait(SECONDS)


def within(function: Callable[[], Any], seconds: float = SECONDS) -> Any:
    """Run a function in a thread; fail where it does not come back."""
    result: Future[Any] = Future()

    def run() -> None:
        try:
            result.set_result(function())
        except BaseException as exc:
            result.set_exception(exc)

    threading.Thread(target=run, daemon=True).start()
    return result.result(seconds)


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


async def publish(rig: Rig, number: int) -> None:
    """Publish an event, on the server's loop."""
    rig.counter.queued.publish(number)


def peer_of(client: blocking.BlockingClient) -> Peer:
    """The client's connection."""
    peer = client._client.peer_nowait()
    assert peer is not None
    return peer


def lend(client: blocking.BlockingClient) -> Any:
    """A proxy, once the calling thread reads by itself and the loop has nothing to do."""
    desk: Any = client.use(Desk)
    for number in range(100 * reading.STREAK):  # on a busy machine a few of them are not close together
        assert desk.echo(number) == number
        if number > 2 * reading.STREAK and peer_of(client).reading.lent:
            break
    assert peer_of(client).reading.lent
    wait_for(lambda: not client._portal._running.lock.locked())
    return desk


def is_handling(rig: Rig) -> bool:
    """Whether a handler of the only client runs."""
    (session,) = rig.server.sessions
    return bool(session.peer.connection.streams.taken)


def in_thread(call: Callable[[], object]) -> tuple[threading.Thread, list[object]]:
    """Begin a call in a thread; what it returns or raises comes into the list."""
    outcome: list[object] = []

    def run() -> None:
        try:
            outcome.append(call())
        except BaseException as exc:
            outcome.append(exc)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, outcome
