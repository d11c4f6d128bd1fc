"""Busy polling: when it begins, when it ends, and that nobody else is kept waiting by it."""

from __future__ import annotations

import math
import os
import socket
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import trio

from protocol.peer import busy_polling
from protocol.peer.busy_polling import FEWEST, FOUND, MOST, SHORT, BusyPolling
from protocol.peer.company import current_company
from protocol.peer.pending import PendingCall
from protocol.peer.reading import Reading
from protocol.transport import Link, PlainTransport, poller


@pytest.fixture(autouse=True)
def two_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)


@pytest.fixture
def sockets() -> Iterator[tuple[PlainTransport, socket.socket]]:
    """A connection's transport, and the other side of it."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield PlainTransport(ours), theirs


Sockets = tuple[PlainTransport, socket.socket]


def due(transport: PlainTransport) -> BusyPolling:
    """The busy polling of a connection whose waits have been short."""
    polling = BusyPolling(transport)
    for _ in range(FEWEST):
        assert not polling.is_due
        polling.note(SHORT / 2)
    assert polling.is_due
    return polling


def waits_asked_for(polling: BusyPolling) -> int:
    """How many short waits must come before the next look."""
    count = 0
    while not polling.is_due:
        polling.note(0.0)
        count += 1
    return count


def test_it_begins_after_short_waits_that_follow_one_another(sockets: Sockets) -> None:
    polling = BusyPolling(sockets[0])
    for _ in range(3):
        for _ in range(FEWEST - 1):
            polling.note(SHORT / 2)
        polling.note(SHORT)
        assert not polling.is_due
    assert waits_asked_for(polling) == FEWEST
    polling.reset()
    assert waits_asked_for(polling) == FEWEST


def test_it_is_not_done_with_one_processor_nor_where_there_is_no_socket(
    sockets: Sockets, monkeypatch: pytest.MonkeyPatch
) -> None:
    for transport in (Link().client, sockets[0]):
        polling = BusyPolling(transport)
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3}, raising=False)
        for _ in range(2 * MOST):
            polling.note(0.0)
        assert not polling.is_due


def test_the_number_of_processors_is_known_where_the_system_does_not_say_which(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert busy_polling.processors() == 3
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert busy_polling.processors() == 1


@pytest.mark.parametrize("in_thread", [False, True])
async def test_each_look_for_nothing_asks_for_more_waits_before_the_next(
    sockets: Sockets, in_thread: bool
) -> None:
    transport, other = sockets
    polling = due(transport)

    async def poll() -> bool:
        return polling.poll_in_thread(poller(transport.fileno()), 1.0) if in_thread else await polling.poll()

    asked = FEWEST
    while asked < MOST:
        assert not await poll()
        asked *= 2
        assert waits_asked_for(polling) == asked
    assert not await poll()
    assert waits_asked_for(polling) == MOST
    other.send(b"here")
    for _ in range(math.ceil(math.log(FEWEST / MOST, FOUND))):
        assert polling.is_due
        assert await poll()
    assert transport.receive_nowait() == b"here"
    assert not await poll()
    assert waits_asked_for(polling) == 2 * FEWEST


async def test_it_goes_on_where_seven_looks_of_eight_find_something(sockets: Sockets) -> None:
    transport, other = sockets

    async def look(finds: int) -> int:
        """The waits asked for after many looks, of which one for nothing comes after so many others."""
        polling = due(transport)
        for _ in range(100):
            other.send(b"here")
            for _ in range(finds):
                waits_asked_for(polling)
                assert await polling.poll()
            transport.receive_nowait()
            assert not await polling.poll()
        return waits_asked_for(polling)

    assert await look(7) <= 4 * FEWEST
    assert await look(5) == MOST


async def test_other_tasks_go_on_meanwhile(sockets: Sockets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(busy_polling, "PATIENCE", 60.0)
    transport, other = sockets
    polling = due(transport)

    async def answer() -> None:
        for _ in range(20):
            await trio.lowlevel.checkpoint()
        other.send(b"here")

    with trio.fail_after(10):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer)
            assert await polling.poll()


async def test_it_is_cancelled_like_any_wait(sockets: Sockets, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(busy_polling, "PATIENCE", 60.0)
    polling = due(sockets[0])
    with trio.move_on_after(0.05) as scope:
        await polling.poll()
    assert scope.cancelled_caught


async def test_a_connection_that_was_closed_is_not_polled(sockets: Sockets) -> None:
    polling = due(sockets[0])
    sockets[0].abort()
    assert await polling.poll()  # whoever reads is told
    assert polling.poll_in_thread(poller(sockets[0].fileno()), 1.0)


class Waits:
    """A connection where something lies to be read; counts how often it is looked at, and slept for."""

    def __init__(self, sockets: Sockets, monkeypatch: pytest.MonkeyPatch) -> None:
        transport, other = sockets
        other.send(b"here")
        self.looks = 0
        self.sleeps = 0
        streams = SimpleNamespace(opened={}, taken={})
        connection = SimpleNamespace(last_received=0.0, streams=streams)
        peer: Any = SimpleNamespace(transport=transport, connection=connection, ended=False)
        self.peer = peer
        self.connection = connection
        self.reading = Reading(peer, None)  # type: ignore[arg-type]
        wait_readable = transport.wait_readable

        async def wait() -> None:
            self.sleeps += 1
            await wait_readable()

        def counted(descriptor: int) -> Callable[[float], bool]:
            look = poller(descriptor)

            def count(seconds: float) -> bool:
                self.looks += 1
                return look(seconds)

            return count

        monkeypatch.setattr(transport, "wait_readable", wait)
        monkeypatch.setattr(busy_polling, "poller", counted)
        monkeypatch.setattr(busy_polling, "SHORT", math.inf)

    def receive(self) -> None:
        """Have something received."""
        self.connection.last_received = trio.current_time()

    async def receive_and_wait(self) -> None:
        """Wait once more, as something was received."""
        self.receive()
        await self.reading.wait_readable()

    async def become_due(self) -> None:
        """Wait until each wait begins with looking."""
        for _ in range(2 * FEWEST):
            await self.receive_and_wait()


async def test_nobody_sleeps_where_everything_comes_at_once(
    sockets: Sockets, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = Waits(sockets, monkeypatch)
    for _ in range(3 * FEWEST):
        await waits.receive_and_wait()
    assert (waits.sleeps, waits.looks) == (FEWEST - 1, 2 * FEWEST + 1)


async def test_a_socket_that_stays_readable_and_gives_nothing_is_not_polled_again(
    sockets: Sockets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So it is where TLS wants to write before it reads on: the loop would run hot until it can."""
    waits = Waits(sockets, monkeypatch)
    await waits.become_due()
    before = waits.sleeps, waits.looks
    for _ in range(FEWEST):
        await waits.reading.wait_readable()
    assert (waits.sleeps, waits.looks) == (before[0] + FEWEST, before[1])


async def test_it_ends_where_other_connections_are_busy(
    sockets: Sockets, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = Waits(sockets, monkeypatch)
    for _ in range(3 * FEWEST):
        current_company().note(object())
        await waits.receive_and_wait()
    assert (waits.sleeps, waits.looks) == (3 * FEWEST, 0)


@pytest.mark.parametrize("which", ["opened", "taken"])
async def test_the_leader_does_not_look_while_a_call_is_open(
    which: str, sockets: Sockets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its caller, or its handler, has something to do meanwhile."""
    waits = Waits(sockets, monkeypatch)
    await waits.become_due()
    looks = waits.looks
    getattr(waits.connection.streams, which)[1] = object()
    waits.receive()
    await waits.reading.wait_in_lead()
    assert waits.looks == looks
    getattr(waits.connection.streams, which).clear()
    waits.receive()
    await waits.reading.wait_in_lead()
    assert waits.looks == looks + 1


async def test_who_looks_when_the_connection_ends_does_not_go_to_sleep(
    sockets: Sockets, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`Peer.end` wakes tasks that sleep; one that looks sees it by itself."""
    waits = Waits(sockets, monkeypatch)
    await waits.become_due()
    assert sockets[0].receive_nowait() == b"here"
    waits.receive()
    waiting = waits.reading.wait_readable()
    waits.peer.ended = True
    with trio.fail_after(10):
        await waiting


async def test_a_caller_that_reads_for_itself_is_company_for_others(
    sockets: Sockets, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = Waits(sockets, monkeypatch)
    waits.connection.receive = lambda data, now: []
    assert not waits.reading.take(PendingCall("Desk.echo"), trio.current_time())
    assert current_company().last is waits.reading
