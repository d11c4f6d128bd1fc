"""A connection that is cut at every byte of a call's request and of its reply.

Whatever the byte and however it is cut: nothing runs twice, `executed: no` is never said of a call
that ran, and nobody waits for an outcome that does not come.
"""

from __future__ import annotations

from typing import Literal

import pytest
import trio
import trio.testing

from appserver.testing import Cut, LoopbackServer, Network, loopback_server
from protocol.peer import CallError
from protocol.settings import Settings, TimeoutSettings
from protocol.wire.errors import Executed
from tests.protocol.peer.desk import Counter, Desk, new_desk
from tests.protocol.peer.rig import TRANSPORT_IDS, TRANSPORTS

Clock = trio.testing.MockClock
Direction = Literal["request", "reply"]
SETTINGS = Settings(timeouts=TimeoutSettings(ping=1.0, close=0.2))
SILENCE = 2 * 1.0 + 5
"""Seconds within which a silent connection counts as dead."""


async def size_of_call(server: LoopbackServer, direction: Direction) -> int:
    """Bytes that one call of `echo` takes in a direction."""
    async with server.connect() as client:
        desk = client.use(Desk)
        await trio.testing.wait_all_tasks_blocked()
        pipe = server.network.link.to_server if direction == "request" else server.network.link.to_client
        before = pipe.statistics().sent
        with trio.fail_after(2):  # the deadline travels
            await desk.echo(1000)
        return pipe.statistics().sent - before


async def call_with_a_cut(
    server: LoopbackServer, counter: Counter, number: int, direction: Direction, at: int, how: Cut | None
) -> str:
    """One call over a connection that ends after some bytes of it; what came of it."""
    async with server.connect() as client:
        desk = client.use(Desk)
        await trio.testing.wait_all_tasks_blocked()
        link = server.network.link
        pipe = link.to_server if direction == "request" else link.to_client
        if how is None:
            pipe.hold(pipe.statistics().sent + at)
        else:
            pipe.cut_after(pipe.statistics().sent + at, how)
        started = trio.current_time()
        try:
            with trio.fail_after(SILENCE if how is None else 2):
                assert await desk.echo(number) == number
            outcome = "done"
        except CallError as exc:
            outcome = exc.executed.value
        assert trio.current_time() - started < SILENCE
        server.network.link.cut()
        await trio.testing.wait_all_tasks_blocked()
        ran = counter.ran.count(number)
        assert ran <= 1
        if outcome == Executed.NO.value:
            assert ran == 0
        if outcome in ("done", Executed.YES.value):
            assert ran == 1
        return outcome


@pytest.mark.parametrize("how", [Cut.RST, Cut.FIN, None], ids=["rst", "fin", "silence"])
@pytest.mark.parametrize("direction", ["request", "reply"])
@pytest.mark.parametrize(("encrypted", "version"), TRANSPORTS, ids=TRANSPORT_IDS)
async def test_every_byte(
    encrypted: bool,
    version: Literal["1.2", "1.3"] | None,
    direction: Direction,
    how: Cut | None,
    autojump_clock: Clock,
) -> None:
    application, counter = new_desk()
    outcomes: list[str] = []
    ran: list[int] = []
    async with loopback_server(
        application, encrypted=encrypted, tls_version=version, network=Network(), settings=SETTINGS
    ) as server:
        size = await size_of_call(server, direction)
        assert 10 < size < 200
        for at in range(1, size + 1):
            outcomes.append(await call_with_a_cut(server, counter, 1001 + at, direction, at, how))
            ran.append(counter.ran.count(1001 + at))
    if direction == "reply":
        assert set(ran) == {1}
        assert outcomes == ["maybe"] * (size - 1) + ["done"]
    else:
        assert set(ran[:-1]) == {0}  # no part of a frame is a call
        assert set(outcomes[:-1]) <= {"maybe", "no"}
        assert outcomes[-1] in ("maybe", "done")


@pytest.mark.parametrize(("encrypted", "version"), TRANSPORTS, ids=TRANSPORT_IDS)
async def test_segments_of_one_byte_change_nothing(
    encrypted: bool, version: Literal["1.2", "1.3"] | None, autojump_clock: Clock
) -> None:
    application, _ = new_desk()

    def split(link: object) -> None:
        link.to_server.deliver_in(1)  # type: ignore[attr-defined]
        link.to_client.deliver_in(1)  # type: ignore[attr-defined]

    network = Network(on_connect=split)
    async with loopback_server(
        application, encrypted=encrypted, tls_version=version, network=network
    ) as server:
        with trio.fail_after(100):
            async with server.connect() as client:
                desk = client.use(Desk)
                assert [await desk.echo(number) for number in range(20)] == list(range(20))
                assert [number async for number in desk.count(0, 200)] == list(range(200))
                assert len(await desk.give(3000).read()) == 3000
