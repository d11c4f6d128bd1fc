"""Connections in memory, for tests: a link with two directions that can go wrong on demand.

What runs over it is the real thing: the same examination of the first octet, the same TLS (through
memory buffers), the same errors as over TCP.
"""

from __future__ import annotations

import contextlib
from typing import Final

import trio

from protocol.transport.base import CLOSE_SECONDS, PIECE, PLAIN, RECEIVE, Carrier
from protocol.transport.errors import ConnectionReset, TransportClosed
from protocol.transport.pipe import CAPACITY, Cut, Pipe

DRAIN_MOST: Final = 1 << 20


class Link:
    """A connection in memory: two directions, and an end of it for each side.

    Args:
        capacity: bytes that lie in each direction at most.

    Attributes:
        to_server: what the client sends; its methods are the faults of that direction.
        to_client: what the server sends.
        client: the client's end.
        server: the server's end.
        cut_as: how the connection was cut, or None.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self.to_server = Pipe(capacity)
        self.to_client = Pipe(capacity)
        self.client = MemoryTransport(self.to_client, self.to_server, "server (memory)")
        self.server = MemoryTransport(self.to_server, self.to_client, "client (memory)")
        self.cut_as: Cut | None = None
        self._was_cut = trio.Event()
        self.to_server.on_cut = self.to_client.on_cut = self.cut

    def cut(self, how: Cut = Cut.RST) -> None:
        """Cut the connection now. What was sent before still arrives."""
        if self.cut_as is None:
            self.cut_as = how
            self._was_cut.set()
            for pipe in (self.to_server, self.to_client):
                pipe.end(how)
                pipe.break_off()

    async def wait_cut(self) -> None:
        """Wait until the connection has been cut, by `cut` or by a direction's `cut_after`."""
        await self._was_cut.wait()


class MemoryTransport(Carrier):
    """One end of a `Link`, without encryption.

    Args:
        incoming: what this end reads.
        outgoing: what it writes.
        address: the other side's, for messages.
    """

    def __init__(self, incoming: Pipe, outgoing: Pipe, address: str) -> None:
        self._incoming = incoming
        self._outgoing = outgoing
        self._read = incoming.take
        self._ended = False
        self.peer_address = address
        self.security = PLAIN

    def receive_nowait(self, most: int = RECEIVE) -> bytes | None:
        """See `Transport.receive_nowait`."""
        self._check_open()
        try:
            return self._read(most)
        except ConnectionResetError:
            raise ConnectionReset(self.peer_address) from None

    def peek_nowait(self, most: int) -> bytes | None:
        """See `Carrier.peek_nowait`."""
        self._check_open()
        try:
            return self._incoming.peek(most)
        except ConnectionResetError:
            raise ConnectionReset(self.peer_address) from None

    def send_nowait(self, data: bytes | memoryview) -> int:
        """See `Transport.send_nowait`."""
        self._check_open()
        try:
            return self._outgoing.put(memoryview(data)[:PIECE])
        except ConnectionResetError:
            raise ConnectionReset(self.peer_address) from None

    @property
    def has_room(self) -> bool:
        """Whether `send_nowait` takes something or raises."""
        return self._outgoing.has_room

    def push_nowait(self, data: bytes) -> None:
        """Send all of it, even if that is more than the link holds: TLS cannot keep a rest."""
        try:
            self._outgoing.put(data, overfill=True)
        except ConnectionResetError:
            raise ConnectionReset(self.peer_address) from None

    async def wait_readable(self) -> None:
        """See `Transport.wait_readable`."""
        self._check_open()
        await self._incoming.wait_data()
        self._check_open()

    async def wait_writable(self) -> None:
        """See `Transport.wait_writable`."""
        self._check_open()
        await self._outgoing.wait_room()
        self._check_open()

    def finish_nowait(self) -> None:
        """See `Carrier.finish_nowait`."""
        self._outgoing.end(Cut.FIN)

    async def aclose(self, timeout: float = CLOSE_SECONDS) -> None:
        """See `Transport.aclose`."""
        if self._ended:
            await trio.lowlevel.checkpoint()
            return
        self._ended = True
        self.wake()
        try:
            self.finish_nowait()
            await trio.lowlevel.checkpoint()  # whoever waited here goes first
            with trio.move_on_after(timeout / 2), contextlib.suppress(ConnectionResetError):
                await self._drain()
        finally:
            self._incoming.abandon()

    def abort(self) -> None:
        """See `Transport.abort`."""
        self._ended = True
        self._outgoing.end(Cut.RST)
        self._incoming.abandon()

    def wake(self) -> None:
        """See `Transport.wake`."""
        self._incoming.wake()
        self._outgoing.wake()

    async def _drain(self) -> None:
        left = DRAIN_MOST
        while left > 0:
            data = self._incoming.take(RECEIVE)
            if data is None:
                await self._incoming.wait_data()
            elif data:
                left -= len(data)
            else:
                return

    def _check_open(self) -> None:
        if self._ended:
            raise TransportClosed(self.peer_address)
