"""Is the other side alive? The clock of the keepalive, and pings that somebody asked for."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import trio

from protocol.peer.clock import current_clock
from protocol.wire.connection import Role
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
        self._number: int | None = None

    def start(self) -> None:
        """Ping when nothing is heard for a while; end the connection when that is not answered either."""
        connection = self._peer.connection
        if connection.role is Role.SERVER:
            connection.keepalive.ask_first()
        self._number = current_clock().add(self._next(trio.current_time()), self._beat)

    def stop(self) -> None:
        """The connection is over."""
        if self._number is not None:
            current_clock().remove(self._number)

    def _next(self, now: float) -> float:
        """When to look at the clock; a server's connections in groups, whose pings then leave together."""
        due = self._peer.connection.next_tick
        if due == math.inf or self._peer.connection.role is Role.CLIENT:
            return due
        grain = math.ldexp(1.0, math.frexp(due - now)[1] - 7)  # a power of two, a 64th of the rest at most
        return math.ceil(due / grain) * grain

    def _beat(self) -> float:
        """Look at the clock; returns when to do it next."""
        peer = self._peer
        now = trio.current_time()
        try:
            match peer.connection.tick(now):
                case Pulse.PING:
                    peer.write()
                case Pulse.DEAD:
                    silent = now - peer.connection.last_received
                    text = f"nothing was heard from the other side for {silent:.0f} s"
                    peer.leave(GoawayCode.TIMEOUT, text)
                case Pulse.QUIET:
                    pass
        except Exception as exc:  # a mistake of ours; nobody would notice any more that this one is dead
            peer.end(f"{type(exc).__name__} while its clock was looked at")
            raise
        return math.inf if peer.ended else self._next(now)

    async def ping(self) -> float:
        """Ask for a sign of life; returns the seconds it took."""
        if self._pong is None:
            self._pong = trio.Event()
        pong = self._pong
        started = trio.current_time()
        self._peer.connection.ping()
        self._peer.reading.take_back()
        self._peer.wake()
        await pong.wait()
        return trio.current_time() - started

    def answered(self) -> None:
        """A PONG has come."""
        if self._pong is not None:
            self._pong.set()
            self._pong = None
