"""Writing for all connections of a loop from one task: once each, in turns, and each for itself."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
import trio.testing

from appserver.testing import Cut
from protocol.peer.flusher import WRITES_IN_A_ROW, Flusher, current_flusher
from protocol.peer.writer import Writer
from protocol.transport.memory import Link
from protocol.wire.connection import Connection, Role
from protocol.wire.framing import FrameType
from tests.conftest import ErrorLog
from tests.protocol.peer.rig import open_rig, until

Clock = trio.testing.MockClock


async def test_it_calls_in_the_next_pass_and_once() -> None:
    flusher = Flusher()
    called: list[int] = []
    for number in range(3):
        flusher.add(lambda number=number: called.append(number))  # type: ignore[misc]
    assert not called
    await trio.testing.wait_all_tasks_blocked()
    assert called == [0, 1, 2]
    flusher.add(lambda: called.append(3))
    await trio.testing.wait_all_tasks_blocked()
    assert called == [0, 1, 2, 3]


async def test_what_is_added_while_it_calls_has_its_turn_in_a_later_pass() -> None:
    flusher = Flusher()
    passes: list[int] = []
    number = 0

    def again() -> None:
        passes.append(number)
        if len(passes) < 3:
            flusher.add(again)

    flusher.add(again)
    while len(passes) < 3:
        await trio.lowlevel.checkpoint()
        number += 1
    assert len(set(passes)) > 1


async def test_others_have_their_turn_among_very_many() -> None:
    flusher = Flusher()
    called: list[None] = []
    for _ in range(3 * WRITES_IN_A_ROW):
        flusher.add(lambda: called.append(None))
    seen = {0}
    with trio.fail_after(5):
        while max(seen) < 3 * WRITES_IN_A_ROW:
            await trio.lowlevel.checkpoint()
            seen.add(len(called))
    assert seen & {WRITES_IN_A_ROW, 2 * WRITES_IN_A_ROW}


async def test_all_connections_of_a_loop_have_the_same() -> None:
    assert current_flusher() is current_flusher()


async def test_a_writer_asks_once_however_often_it_is_woken(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: Clock
) -> None:
    flushes: list[Writer] = []
    flush = Writer.flush

    def counted(writer: Writer) -> None:
        flushes.append(writer)
        flush(writer)

    async with open_rig() as rig:
        peer = rig.client.peer_nowait()
        assert peer is not None
        monkeypatch.setattr(Writer, "flush", counted)
        for _ in range(5):
            peer.wake()
        await trio.testing.wait_all_tasks_blocked()
        assert flushes.count(peer.writer) == 1


@pytest.mark.parametrize("cut", [Cut.RST, Cut.FIN])
async def test_a_connection_that_cannot_be_written_ends_alone(
    cut: Cut, monkeypatch: pytest.MonkeyPatch, autojump_clock: Clock
) -> None:
    async with open_rig() as rig, rig.server.connect() as other:
        peer = rig.client.peer_nowait()
        assert peer is not None
        rig.network.links[0].cut(cut)
        peer.connection.ping()
        peer.wake()
        await until(lambda: peer.ended)
        assert await other.ping() >= 0


async def test_a_mistake_of_ours_while_writing_ends_its_connection_and_no_other(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: Clock, error_log: ErrorLog
) -> None:
    """It is no failure of the network: it leaves the server's end of the connection as what it is, and is logged."""
    async with open_rig() as rig, rig.server.connect() as other:
        session = next(iter(rig.server.server.sessions))
        monkeypatch.setattr(session.peer.writer, "_pull", lambda: 1 / 0)
        session.peer.connection.ping()
        session.peer.wake()
        await until(lambda: session.peer.ended)
        assert await other.ping() >= 0
        assert error_log.take("connection failed")


def unopened(link: Link, on_room: Callable[[], object] = lambda: None) -> tuple[Writer, Connection]:
    """A writer over a link, and the core it writes for."""
    server = Connection(Role.SERVER)
    return Writer(link.server, server, timeout=5.0, most_pending=1 << 22, on_room=on_room), server


@pytest.mark.parametrize("woken", [False, True])
async def test_what_was_blocked_before_the_connection_was_opened_leaves_afterwards(
    woken: bool, autojump_clock: Clock
) -> None:
    link = Link()
    writer, server = unopened(link)

    async def read() -> None:
        while True:
            if link.client.receive_nowait() is None:
                await link.client.wait_readable()

    link.to_client.hold()
    if woken:
        writer.wake()
    for _ in range(40):
        server.outbox.send(FrameType.RESULT, 1, b"x" * 60_000)
    writer.flush()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        writer.open(lambda: nursery.start_soon(writer.run))
        link.to_client.release()
        await trio.sleep(1)
        assert server.pending == 0
        server.outbox.send(FrameType.RESULT, 1, b"later")
        writer.wake()
        await trio.sleep(1)
        assert server.pending == 0
        nursery.cancel_scope.cancel()


async def test_who_waits_for_room_is_told_when_the_flusher_has_written(autojump_clock: Clock) -> None:
    told: list[None] = []
    writer, server = unopened(Link(), lambda: told.append(None))
    writer.open(lambda: None)
    server.outbox.send(FrameType.RESULT, 1, b"result")
    writer.wake()
    await trio.testing.wait_all_tasks_blocked()
    assert told == [None]
