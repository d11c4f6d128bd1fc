"""Is the other side alive? The clock of the keepalive, and pings that somebody asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

from protocol.wire.errors import GoawayCode
from protocol.wire.keepalive import Pulse

if TYPE_CHECKING:
    from protocol.peer.peer import Peer


class Heartbeat:
    """The life signs of one connection.

    Args:
        peer: the connection.
    """

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._pong: trio.Event | None = None

    async def run(self) -> None:
        """Ping when nothing is heard for a while; end the connection when that is not answered either."""
        connection = self._peer.connection
        while True:
            await trio.sleep_until(connection.next_tick)
            match connection.tick(trio.current_time()):
                case Pulse.PING:
                    self._peer.wake()
                case Pulse.DEAD:
                    silent = trio.current_time() - connection.last_received
                    text = f"nothing was heard from the other side for {silent:.0f} s"
                    self._peer.leave(GoawayCode.TIMEOUT, text)
                    return
                case Pulse.QUIET:
                    pass

    async def ping(self) -> float:
        """Ask for a sign of life; returns the seconds it took."""
        if self._pong is None:
            self._pong = trio.Event()
        pong = self._pong
        started = trio.current_time()
        self._peer.connection.ping()
        self._peer.wake()
        await pong.wait()
        return trio.current_time() - started

    def answered(self) -> None:
        """A PONG has come."""
        if self._pong is not None:
            self._pong.set()
            self._pong = None
