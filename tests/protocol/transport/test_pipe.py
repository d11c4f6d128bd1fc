"""The faults of a connection in memory, one by one. Time is trio's and jumps."""

from __future__ import annotations

from functools import partial

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock, wait_all_tasks_blocked

from protocol.transport import ConnectionReset, Cut, Link, MemoryTransport
from protocol.transport.pipe import Pipe
from tests.protocol.transport.rig import (
    fill,
    outcome,
    receive_exactly,
    receive_some,
    receive_to_end,
    send_all,
)


@pytest.fixture
def link() -> Link:
    return Link(capacity=1000)


async def test_what_is_sent_arrives_at_once(link: Link, autojump_clock: MockClock) -> None:
    assert link.client.send_nowait(b"hello") == 5
    assert link.server.peek_nowait(3) == b"hel"
    assert link.server.receive_nowait() == b"hello"
    assert link.server.receive_nowait() is None
    assert link.to_server.statistics().sent == link.to_server.statistics().delivered == 5


async def test_a_full_link_takes_nothing_until_it_is_read(link: Link, autojump_clock: MockClock) -> None:
    assert await fill(link.client) == 1000
    waited = trio.Event()

    async def wait() -> None:
        await link.client.wait_writable()
        waited.set()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(wait)
        await wait_all_tasks_blocked()
        assert not waited.is_set()
        assert link.server.receive_nowait(1) == b"\0"
    assert link.client.send_nowait(b"ab") == 1


def was_cut(link: Link) -> bool:
    return link.cut_as is not None


@pytest.mark.parametrize("how", list(Cut))
async def test_a_cut_delivers_exactly_the_bytes_before_it(
    link: Link, how: Cut, autojump_clock: MockClock
) -> None:
    link.to_server.cut_after(7, how)
    assert link.client.send_nowait(b"hello") == 5
    assert not was_cut(link)
    assert link.client.send_nowait(b"world") == 5  # the kernel took them; the network lost three
    assert link.cut_as is how
    await link.wait_cut()
    assert link.server.receive_nowait() == b"hellowo"
    for _ in range(2):
        ended = await outcome(partial(receive_some, link.server))
        assert ended == b"" if how is Cut.FIN else isinstance(ended, ConnectionReset)
    with pytest.raises(ConnectionReset):
        link.client.send_nowait(b"x")
    with pytest.raises(ConnectionReset):
        link.server.send_nowait(b"x")


async def test_a_cut_in_one_direction_still_delivers_what_the_other_had_sent(
    link: Link, autojump_clock: MockClock
) -> None:
    link.server.send_nowait(b"reply")
    link.to_server.cut_after(1)
    link.client.send_nowait(b"xyz")
    assert await receive_some(link.client) == b"reply"
    with pytest.raises(ConnectionReset):
        await receive_some(link.client)


async def test_a_cut_at_a_place_that_has_been_passed_comes_at_once(
    link: Link, autojump_clock: MockClock
) -> None:
    link.client.send_nowait(b"hello")
    link.to_server.cut_after(3, Cut.FIN)
    assert link.cut_as is Cut.FIN
    assert await receive_to_end(link.server) == b"hello"


async def test_the_first_cut_counts(link: Link, autojump_clock: MockClock) -> None:
    link.cut(Cut.FIN)
    link.cut(Cut.RST)
    assert link.cut_as is Cut.FIN
    assert await receive_to_end(link.client) == b""


async def test_a_cut_wakes_both_sides(link: Link, autojump_clock: MockClock) -> None:
    await fill(link.client)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.client.wait_readable)
        nursery.start_soon(link.client.wait_writable)
        await wait_all_tasks_blocked()
        link.cut()


async def test_hold_loses_one_direction_and_release_brings_it_back(
    link: Link, autojump_clock: MockClock
) -> None:
    link.to_server.hold()
    link.client.send_nowait(b"lost")
    link.server.send_nowait(b"heard")
    assert link.client.receive_nowait() == b"heard"
    with trio.move_on_after(3600) as scope:
        await link.server.wait_readable()
    assert scope.cancelled_caught
    assert link.server.receive_nowait() is None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(link.server.wait_readable)
        await wait_all_tasks_blocked()
        link.to_server.release()
    assert link.server.receive_nowait() == b"lost"


async def test_hold_lets_the_bytes_before_it_through_and_swallows_the_end(
    link: Link, autojump_clock: MockClock
) -> None:
    link.to_server.hold(after=3)
    link.client.send_nowait(b"hello")
    link.client.finish_nowait()
    assert link.server.receive_nowait() == b"hel"
    assert link.server.receive_nowait() is None
    assert await fill(link.server) == 1000  # the other direction is not concerned


async def test_a_held_direction_blocks_its_writer(link: Link, autojump_clock: MockClock) -> None:
    link.to_server.hold()
    assert await fill(link.client) == 1000
    with trio.move_on_after(60) as scope:
        await link.client.wait_writable()
    assert scope.cancelled_caught


async def test_delay_takes_its_time_and_keeps_the_order(link: Link, autojump_clock: MockClock) -> None:
    start = trio.current_time()
    link.to_server.delay(5)
    link.client.send_nowait(b"a")
    link.to_server.delay(0)
    link.client.send_nowait(b"b")  # must not overtake
    assert link.server.receive_nowait() is None
    assert await receive_exactly(link.server, 2) == b"ab"
    assert trio.current_time() - start == pytest.approx(5)


async def test_delay_holds_the_end_of_the_stream_back_too(link: Link, autojump_clock: MockClock) -> None:
    start = trio.current_time()
    link.to_server.delay(2)
    link.client.send_nowait(b"a")
    link.client.finish_nowait()
    assert await receive_to_end(link.server) == b"a"
    assert trio.current_time() - start == pytest.approx(2)


async def test_split_delivers_pieces_of_the_given_sizes(link: Link, autojump_clock: MockClock) -> None:
    link.to_server.deliver_in(1, 3)
    link.client.send_nowait(b"abcdefgh")
    pieces = [link.server.receive_nowait() for _ in range(4)]
    assert pieces == [b"a", b"bcd", b"e", b"fgh"]
    link.to_server.deliver_in()
    link.client.send_nowait(b"abcdefgh")
    assert link.server.receive_nowait() == b"abcdefgh"


async def test_split_without_repeat_leaves_the_rest_alone(link: Link, autojump_clock: MockClock) -> None:
    link.to_server.deliver_in(2, repeat=False)
    link.client.send_nowait(b"abcdefgh")
    assert [link.server.receive_nowait() for _ in range(2)] == [b"ab", b"cdefgh"]


async def test_merge_delivers_in_one_piece_what_was_sent_within_the_time(
    link: Link, autojump_clock: MockClock
) -> None:
    link.to_server.merge(0.1)
    link.client.send_nowait(b"a")
    await trio.sleep(0.05)  # trio's clock jumps
    link.client.send_nowait(b"b")
    assert link.server.receive_nowait() is None
    assert await receive_some(link.server) == b"ab"
    link.to_server.merge(0)
    link.client.send_nowait(b"c")
    assert link.server.receive_nowait() == b"c"


async def test_a_slow_reader_takes_no_more_than_its_rate(link: Link, autojump_clock: MockClock) -> None:
    start = trio.current_time()
    link.to_server.slow(200)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(send_all, link.client, bytes(2000))
        await receive_exactly(link.server, 2000)
    assert trio.current_time() - start == pytest.approx(10, rel=0.02)
    link.to_server.slow(None)
    link.client.send_nowait(bytes(500))
    assert link.server.receive_nowait() == bytes(500)


async def test_closing_an_end_resets_a_peer_that_goes_on_writing(
    link: Link, autojump_clock: MockClock
) -> None:
    await link.client.aclose()
    assert link.server.receive_nowait() == b""
    with pytest.raises(ConnectionReset):
        link.server.send_nowait(b"x")


async def test_faults_that_make_no_sense_are_refused() -> None:
    pipe = Pipe()
    with pytest.raises(ValueError, match="at least one byte"):
        pipe.deliver_in(3, 0)
    with pytest.raises(ValueError, match=r"hold\(\)"):
        pipe.slow(0)


@given(
    pieces=st.lists(st.binary(min_size=1, max_size=20), max_size=12),
    sizes=st.lists(st.integers(1, 7), max_size=4),
    cut=st.integers(0, 80),
)
def test_with_any_splits_the_bytes_before_a_cut_arrive_in_order(
    pieces: list[bytes], sizes: list[int], cut: int
) -> None:
    async def run() -> None:
        link = Link()
        link.to_server.deliver_in(*sizes)
        link.to_server.cut_after(cut, Cut.FIN)
        for piece in pieces:
            await outcome(partial(send_all, link.client, piece))
        sent = b"".join(pieces)
        link.client.finish_nowait()
        assert await receive_to_end(link.server) == sent[:cut]

    trio.run(run)


def test_a_link_has_two_ends_of_plain_transport() -> None:
    link = Link()
    assert isinstance(link.client, MemoryTransport)
    assert not link.server.security.encrypted
