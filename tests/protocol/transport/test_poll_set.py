"""The poll set: who is called, and that what is closed, forgotten or not watched any more does no harm."""

from __future__ import annotations

import os
import select
import socket
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import trio

from protocol.transport import PlainTransport, TransportClosed
from protocol.transport import poll_set as module
from protocol.transport.poll_set import PollSet, current_poll_set
from tests.conftest import ErrorLog

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has epoll")

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


class Watcher:
    """Keeps what it is called with."""

    def __init__(self, act: Callable[[], object] = lambda: None) -> None:
        self.calls: list[bool] = []
        self._act = act

    def __call__(self, readable: bool) -> bool:
        self.calls.append(readable)
        self._act()
        return True


async def settle() -> None:
    """Let the poll set look, whose task waits for the system."""
    for _ in range(3):
        await trio.sleep(0.002)


def registered(poll_set: PollSet, descriptor: int) -> bool:
    return descriptor in poll_set._registered


async def test_it_calls_as_long_as_there_is_something_to_read(pair: Pair) -> None:
    ours, theirs = pair
    poll_set = PollSet()
    watcher = Watcher()
    assert poll_set.watch(ours.fileno(), watcher)
    await settle()
    assert not watcher.calls
    theirs.send(b"here")
    await settle()
    assert len(watcher.calls) > 1
    assert all(watcher.calls)
    ours.recv(100)
    await settle()
    watcher.calls.clear()
    await settle()
    assert not watcher.calls


async def test_what_is_not_watched_any_more_is_taken_out_when_it_is_readable(pair: Pair) -> None:
    ours, theirs = pair
    poll_set = PollSet()
    first, second = Watcher(), Watcher()
    poll_set.watch(ours.fileno(), first)
    poll_set.unwatch(ours.fileno())
    await settle()
    assert registered(poll_set, ours.fileno())
    theirs.send(b"here")
    await settle()
    assert not registered(poll_set, ours.fileno())
    assert poll_set.watch(ours.fileno(), second)
    await settle()
    assert not first.calls
    assert second.calls


async def test_who_watches_what_is_forgotten_is_told_once(pair: Pair) -> None:
    ours, theirs = pair
    poll_set = PollSet()
    watcher = Watcher()
    poll_set.watch(ours.fileno(), watcher)
    theirs.send(b"not read in passing")
    poll_set.forget(ours.fileno())
    poll_set.forget(ours.fileno())
    poll_set.forget(12345)
    assert watcher.calls == [False]
    assert not registered(poll_set, ours.fileno())


@pytest.mark.parametrize("how", ["abort", "wake"])
async def test_who_watches_a_transport_is_told_of_its_end_and_to_look_again(how: str, pair: Pair) -> None:
    ours, theirs = pair
    transport = PlainTransport(ours.dup())
    watcher = Watcher()
    assert transport.watch(watcher)
    theirs.send(b"unread")
    getattr(transport, how)()
    assert watcher.calls == [False]
    transport.abort()


async def test_a_duplicate_of_what_was_closed_does_not_keep_the_loop_busy(pair: Pair) -> None:
    """Epoll goes by the open file and not by its number: a stale one would be found readable for good."""
    ours, theirs = pair
    transport = PlainTransport(ours.dup())
    assert transport.watch(Watcher())
    duplicate = os.dup(transport.fileno())
    try:
        transport.abort()
        theirs.send(b"here")
        epoll = current_poll_set()._epoll
        assert epoll is not None
        assert epoll.poll(0.01) == []
    finally:
        os.close(duplicate)


async def test_a_closed_transport_is_not_watched_but_says_so_to_who_waits(pair: Pair) -> None:
    transport = PlainTransport(pair[0].dup())
    transport.abort()
    assert not transport.watch(Watcher())
    transport.unwatch()
    with pytest.raises(TransportClosed):
        await transport.wait_readable()


async def test_what_fails_is_logged_and_the_others_are_called(pair: Pair, error_log: ErrorLog) -> None:
    ours, theirs = pair
    poll_set = PollSet()

    def fail() -> None:
        ours.recv(100)
        raise ZeroDivisionError

    theirs.setblocking(False)
    watcher = Watcher(lambda: theirs.recv(100))
    poll_set.watch(ours.fileno(), Watcher(fail))
    poll_set.watch(theirs.fileno(), watcher)
    theirs.send(b"for ours")
    ours.send(b"for theirs")
    await settle()
    assert watcher.calls == [True]
    assert len(error_log.take("could not be read")) == 1


async def test_others_have_their_turn_among_very_many(monkeypatch: pytest.MonkeyPatch, pair: Pair) -> None:
    monkeypatch.setattr(module, "AT_ONCE", 1)
    ours, theirs = pair
    poll_set = PollSet()
    called: list[int] = []
    for number in (ours.fileno(), theirs.fileno()):
        poll_set.watch(number, Watcher(partial(called.append, number)))
    theirs.send(b"here")
    ours.send(b"there")
    seen = {0}
    while len(called) < 4:
        await trio.lowlevel.checkpoint()
        seen.add(len(called))
    assert set(called) == {ours.fileno(), theirs.fileno()}
    assert len(seen) > 2


async def test_without_epoll_nothing_is_watched(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    poll_set = PollSet()
    assert not poll_set.watch(pair[0].fileno(), Watcher())
    poll_set.unwatch(pair[0].fileno())
    poll_set.forget(pair[0].fileno())


async def test_without_room_for_another_descriptor_nothing_is_watched(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    poll_set = PollSet()
    with (tmp_path / "file").open("w") as refused:
        assert not poll_set.watch(refused.fileno(), Watcher())  # as the system refuses one too many
    monkeypatch.setattr(select, "epoll", full)
    assert not PollSet().watch(pair[0].fileno(), Watcher())


async def test_who_watches_is_told_where_the_system_lets_nobody_wait(
    pair: Pair, monkeypatch: pytest.MonkeyPatch, error_log: ErrorLog
) -> None:
    async def full(_: object) -> None:
        await trio.lowlevel.checkpoint()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(trio.lowlevel, "wait_readable", full)
    poll_set = PollSet()
    watcher = Watcher()
    assert poll_set.watch(pair[0].fileno(), watcher)
    await settle()
    assert watcher.calls == [False]
    assert not poll_set.watch(pair[0].fileno(), watcher)
    assert error_log.take("not watched together any more")


def test_it_ends_with_its_loop(pair: Pair) -> None:
    made: list[PollSet] = []

    async def main() -> None:
        made.append(current_poll_set())
        assert made[0] is current_poll_set()
        made[0].watch(pair[0].fileno(), Watcher())
        await settle()

    trio.run(main)
    (poll_set,) = made
    assert not poll_set.watch(pair[0].fileno(), Watcher())
    poll_set.forget(pair[0].fileno())
