"""Telling a busy server from a lost one: open calls, no byte for a while, no answer to a ping."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import trio

from appclient.state import ConnectionState, StateBoard
from protocol.peer import ConnectionLost, Peer

BUSY_AFTER = 2.0
"""Seconds without an answer, while calls are open, after which the state is `busy`."""


async def watch_answers(peer: Peer, board: StateBoard, is_current: Callable[[], bool]) -> None:
    """Keep the state up to date for as long as a connection lasts.

    Args:
        peer: the connection.
        board: where the state is told.
        is_current: whether the state is still this connection's to tell.
    """
    with contextlib.suppress(ConnectionLost):  # `Peer.run` says so too
        while True:
            await trio.sleep(BUSY_AFTER)
            silent = trio.current_time() - peer.connection.last_received
            if not is_current() or not peer.connection.streams.opened or silent < BUSY_AFTER:
                continue
            with trio.move_on_after(BUSY_AFTER) as scope:
                await peer.ping()
            if scope.cancelled_caught and is_current():
                board.set(ConnectionState.BUSY, "the server does not answer at the moment")
                await peer.ping()
                if is_current():
                    board.set(ConnectionState.CONNECTED)
