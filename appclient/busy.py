"""Telling a busy server from a lost one: open calls, no byte for a while, no answer to a ping."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import copy_context

import trio

from appclient.state import ConnectionState, StateBoard
from protocol.peer import ConnectionLost, Peer
from protocol.peer.clock import current_clock

BUSY_AFTER = 2.0
"""Seconds without an answer, while calls are open, after which the state is `busy`."""


@contextlib.contextmanager
def watching_answers(
    peer: Peer, board: StateBoard, is_current: Callable[[], bool], nursery: trio.Nursery
) -> Iterator[None]:
    """Keep the state up to date while the body runs, as long as the connection lasts.

    Args:
        peer: the connection.
        board: where the state is told.
        is_current: whether the state is still this connection's to tell.
        nursery: for a ping, when nothing has come for a while.
    """
    asks = False
    context = copy_context()  # listeners are called with it

    def look() -> float:
        nonlocal asks
        now = trio.current_time()
        silent = now - peer.connection.last_received
        if silent >= BUSY_AFTER and peer.connection.streams.opened and is_current() and not asks:
            asks = True
            context.run(nursery.start_soon, ask)
        return now + BUSY_AFTER

    async def ask() -> None:
        nonlocal asks
        with contextlib.suppress(ConnectionLost):  # `Peer.run` says so too
            with trio.move_on_after(BUSY_AFTER) as scope:
                await peer.ping()
            if scope.cancelled_caught and is_current():
                board.set(ConnectionState.BUSY, "the server does not answer at the moment")
                await peer.ping()
                if is_current():
                    board.set(ConnectionState.CONNECTED)
        asks = False

    clock = current_clock()  # a task and a timer each would cost many connections more than their calls
    number = clock.add(trio.current_time() + BUSY_AFTER, look)
    try:
        yield
    finally:
        clock.remove(number)
