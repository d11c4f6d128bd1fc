"""The end of a server: GOAWAY, open calls that may finish, and those that may not."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing

from appclient import ConnectionState
from appserver import Application
from appserver.testing import loopback_server
from protocol.peer import CallError, ConnectionLost
from protocol.settings import Settings, TimeoutSettings
from protocol.wire.errors import Executed
from tests.protocol.peer.desk import Counter, Desk, new_desk

Clock = trio.testing.MockClock


async def nap(seconds: float) -> int:
    await trio.sleep(seconds)
    return 7


async def test_draining_lets_open_calls_finish_and_takes_no_new_ones(autojump_clock: Clock) -> None:
    application, counter = new_desk()
    counter.plans["work"] = lambda: nap(3)
    results: list[int] = []
    refused: list[CallError] = []
    with trio.fail_after(60):
        async with loopback_server(application, encrypted=False) as server, server.connect() as client:
            desk = client.use(Desk)
            started = trio.current_time()

            async def work() -> None:
                results.append(await desk.run("work"))

            async with trio.open_nursery() as nursery:
                for _ in range(50):
                    nursery.start_soon(work)
                await trio.sleep(1)
                nursery.start_soon(server.server.drain)
                await trio.sleep(0.5)
                assert client.state is ConnectionState.RECONNECTING
            assert results == [7] * 50
            assert trio.current_time() - started == pytest.approx(3, abs=0.5)
    assert refused == []


async def test_draining_ends_what_takes_too_long(autojump_clock: Clock) -> None:
    application, counter = new_desk()
    counter.plans["work"] = trio.sleep_forever
    settings = Settings(timeouts=TimeoutSettings(drain=5))
    with trio.fail_after(60):
        async with (
            loopback_server(application, encrypted=False, settings=settings) as server,
            server.connect() as client,
        ):
            desk = client.use(Desk)
            async with trio.open_nursery() as nursery:

                async def work() -> None:
                    with pytest.raises(ConnectionLost) as caught:
                        await desk.run("work")
                    assert caught.value.executed is Executed.MAYBE

                nursery.start_soon(work)
                await trio.sleep(1)
                started = trio.current_time()
                await server.server.drain()
            assert trio.current_time() - started == pytest.approx(5, abs=2)
            assert counter.ended == ["work"]


async def test_draining_is_not_held_up_by_calls_that_end_out_of_order(autojump_clock: Clock) -> None:
    application, counter = new_desk()
    counter.plans["hop"] = lambda: nap(0)
    with trio.fail_after(60):
        async with loopback_server(application, encrypted=False) as server:
            for _ in range(30):
                async with server.connect() as client:
                    desk = client.use(Desk)
                    async with trio.open_nursery() as nursery:
                        for number in range(3):
                            nursery.start_soon(_tolerant, desk, "hop", number)
                        await trio.lowlevel.checkpoint()
                        await trio.lowlevel.checkpoint()
                        (session,) = server.server.sessions
                        started = trio.current_time()
                        await session.peer.drain("stop")
                        assert trio.current_time() - started < 1
                await trio.testing.wait_all_tasks_blocked()


async def _tolerant(desk: Desk, name: str, number: int) -> None:
    with contextlib.suppress(CallError):
        if number % 2:
            await desk.run(name)
        else:
            await desk.echo(number)


async def test_the_lifespan_is_entered_before_and_left_after_all_connections(autojump_clock: Clock) -> None:
    log: list[str] = []

    @contextlib.asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        log.append("entered")
        yield
        log.append("left")

    application = Application("desk", lifespan=lifespan)
    counter = Counter()
    application.register(counter)
    with trio.fail_after(30):
        async with loopback_server(application, encrypted=False) as server, server.connect() as client:
            assert log == ["entered"]
            await client.use(Desk).echo(1)
            log.append("called")
    assert log == ["entered", "called", "left"]


async def test_an_exception_of_the_body_leaves_as_itself(autojump_clock: Clock) -> None:
    application, _ = new_desk()
    with trio.fail_after(30), pytest.raises(KeyError):
        async with loopback_server(application, encrypted=False) as server, server.connect():
            raise KeyError("mine")
