"""Blobs wait for their turn: content is taken no faster than it leaves, and stays behind what is more urgent."""

from __future__ import annotations

from typing import Self

import pytest
import trio
import trio.testing

from protocol.interface import Blob
from protocol.peer import ConnectionLost
from protocol.settings import LimitSettings, Settings
from protocol.transport.pipe import CAPACITY
from tests.protocol.peer.desk import content
from tests.protocol.peer.rig import open_rig

Clock = trio.testing.MockClock
MIB = 1 << 20
PIECE = 64 * 1024
GENEROUS = Settings(limits=LimitSettings(stream_credit=8 * MIB))


class Source:
    """Content that counts how much of it was taken."""

    def __init__(self, size: int) -> None:
        self._content = content(size)
        self.taken = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self.taken >= len(self._content):
            raise StopAsyncIteration
        self.taken += PIECE
        return self._content[self.taken - PIECE : self.taken]


async def test_content_is_taken_no_faster_than_it_leaves(autojump_clock: Clock) -> None:
    source = Source(4 * MIB)
    async with open_rig(settings=GENEROUS) as rig:
        rig.network.link.to_server.hold()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(rig.desk.keep, Blob(source))
            await trio.testing.wait_all_tasks_blocked()
            assert source.taken <= CAPACITY + 3 * PIECE
            rig.network.link.to_server.release()
        assert rig.counter.blobs == [content(4 * MIB)]


async def test_several_blobs_move_side_by_side(autojump_clock: Clock) -> None:
    sources = [Source(MIB) for _ in range(3)]
    async with open_rig(settings=GENEROUS) as rig:
        rig.network.link.to_server.slow(MIB)
        async with trio.open_nursery() as nursery:
            for source in sources:
                nursery.start_soon(rig.desk.keep, Blob(source))
            await trio.sleep(1.5)
            assert all(2 * PIECE < source.taken < MIB for source in sources)
        assert rig.counter.blobs == [content(MIB)] * 3


async def test_a_cancelled_sender_leaves_the_turn_to_others(autojump_clock: Clock) -> None:
    async with open_rig(settings=GENEROUS) as rig:
        rig.network.link.to_server.hold()
        with trio.move_on_after(1):
            await rig.desk.keep(Blob(Source(4 * MIB)))
        rig.network.link.to_server.release()
        assert await rig.desk.keep(Blob(Source(MIB))) == MIB


async def test_a_sender_that_waits_for_its_turn_learns_of_the_connections_end(autojump_clock: Clock) -> None:
    async with open_rig(settings=GENEROUS) as rig:
        rig.network.link.to_server.hold()

        async def keep() -> None:
            with pytest.raises(ConnectionLost):
                await rig.desk.keep(Blob(Source(4 * MIB)))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(keep)
            await trio.testing.wait_all_tasks_blocked()
            rig.network.link.cut()
