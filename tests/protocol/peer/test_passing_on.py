"""What was received is passed on to another call as it arrives, and received only once."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import pytest
import trio

from appclient import ConnectionState
from appserver import Application, in_thread
from appserver.testing import loopback
from protocol import Blob, Interface, Stream
from protocol.wire.errors import LocalProtocolError


class Store(Interface, Protocol, version=(1, 0)):
    def rows(self, count: int) -> Stream[int]: ...
    async def load(self, rows: Stream[int]) -> int: ...
    def get(self, size: int) -> Blob: ...
    async def put(self, file: Blob) -> int: ...
    async def twice(self, number: int) -> int: ...


class MemoryStore(Store):
    def rows(self, count: int) -> Stream[int]:
        return Stream(range(count))

    async def load(self, rows: Stream[int]) -> int:
        return sum([row async for row in rows])

    def get(self, size: int) -> Blob:
        return Blob(bytes(size))

    async def put(self, file: Blob) -> int:
        return len(await file.read())

    @in_thread
    def twice(self, number: int) -> int:
        assert not trio.lowlevel.in_trio_run()
        return number * 2


@pytest.fixture
def app() -> Application:
    app = Application("store")
    app.register(MemoryStore())
    return app


async def test_a_stream_that_a_call_gives_is_passed_on_to_another(app: Application) -> None:
    with trio.fail_after(10):
        async with loopback(app) as client:
            store = client.use(Store)
            assert await store.load(store.rows(1000)) == sum(range(1000))


async def test_a_blob_that_a_call_gives_is_passed_on_to_another(app: Application) -> None:
    with trio.fail_after(10):
        async with loopback(app) as client:
            store = client.use(Store)
            assert await store.put(store.get(300_000)) == 300_000


async def test_what_was_received_already_says_so(app: Application, tmp_path: Path) -> None:
    with trio.fail_after(10):
        async with loopback(app) as client:
            store = client.use(Store)
            stream = store.rows(3)
            assert [row async for row in stream] == [0, 1, 2]
            with pytest.raises(LocalProtocolError, match=r"Store\.rows: this was received already"):
                aiter(stream)
            blob = store.get(10)
            assert await blob.read() == bytes(10)
            with pytest.raises(LocalProtocolError, match=r"Store\.get: this was received already"):
                await blob.save(tmp_path / "again")


async def test_a_plain_function_implements_an_async_method_in_a_thread(app: Application) -> None:
    with trio.fail_after(10):
        async with loopback(app) as client:
            assert await client.use(Store).twice(21) == 42


async def test_a_listener_that_raises_is_logged_and_disturbs_nobody(
    app: Application, caplog: pytest.LogCaptureFixture, error_log: object
) -> None:
    states: list[ConnectionState] = []
    with trio.fail_after(10):
        async with loopback(app) as client:
            client.on_state(lambda change: states.append(change.state), now=True)
            client.on_state(lambda change: 1 // 0)
            assert await client.use(Store).twice(1) == 2
    assert states == [ConnectionState.CONNECTED, ConnectionState.CLOSED]
    taken = error_log.take("a listener for the state failed")  # type: ignore[attr-defined]
    assert len(taken) == 1
