"""A relay between client and server: it records, slows down, goes silent and cuts; TCP to TCP."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import AsyncIterator

import trio

STEP = 0.002
"""Seconds of sending between two pauses: fine enough that a rate has no bursts worth measuring."""


class Relay:
    """What lies between; `open_relay` makes one.

    Attributes:
        port: where clients connect to.
        target: the server's port; it may be changed.
        up: all bytes that clients sent.
        down: all bytes that the server sent.
        connections: made so far.
    """

    def __init__(self, target: int, rate: float | None) -> None:
        self.port = 0
        self.target = target
        self.up = bytearray()
        self.down = bytearray()
        self.connections = 0
        self._rate = rate
        self._flowing = trio.Event()
        self._flowing.set()
        self._open: set[trio.SocketStream] = set()
        self._grown = trio.Event()

    @property
    def recorded(self) -> bytes:
        """Everything that went over it."""
        return bytes(self.up + self.down)

    async def wait_up(self, size: int) -> None:
        """Wait until clients have sent so many bytes in all."""
        while len(self.up) < size:
            await self._grown.wait()

    async def wait_down(self, size: int) -> None:
        """Wait until the server has sent so many bytes in all."""
        while len(self.down) < size:
            await self._grown.wait()

    def freeze(self) -> None:
        """Swallow everything from now on, as a network that has lost the way: no bytes, no FIN, no RST."""
        self._flowing = trio.Event()

    def thaw(self) -> None:
        """Go on where it stopped."""
        self._flowing.set()

    def reset(self) -> None:
        """Reset all connections, on both sides."""
        for stream in self._open:
            _reset(stream)
        self._open.clear()

    async def carry(self, near: trio.SocketStream) -> None:
        """Relay one connection."""
        self.connections += 1
        try:
            far = await trio.open_tcp_stream("127.0.0.1", self.target)
        except OSError:  # no server is there now: neither is this
            near.socket.close()
            return
        if self._rate is not None:
            for stream in (near, far):
                # Small buffers: a link has little of its own, and what waits in them cannot be overtaken.
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 * 1024)
                stream.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 32 * 1024)
        self._open |= {near, far}
        try:
            async with near, far, trio.open_nursery() as nursery:
                nursery.start_soon(self._copy, near, far, self.up)
                await self._copy(far, near, self.down)
                nursery.cancel_scope.cancel()
        finally:
            self._open -= {near, far}

    async def _copy(self, source: trio.SocketStream, sink: trio.SocketStream, record: bytearray) -> None:
        most = int(self._rate * STEP) if self._rate is not None else 65536
        free_at = trio.current_time()
        try:
            while data := await source.receive_some(most):
                await self._flowing.wait()
                if self._rate is None:
                    record += data
                    self._grown.set()
                    self._grown = trio.Event()
                else:
                    free_at = max(free_at, trio.current_time()) + len(data) / self._rate
                await sink.send_all(data)
                if self._rate is not None:
                    await trio.sleep_until(free_at)
            await self._flowing.wait()
            await sink.send_eof()
        except trio.BrokenResourceError:  # a reset is passed on as one
            _reset(source)
            _reset(sink)
        except trio.ClosedResourceError:
            pass


def _reset(stream: trio.SocketStream) -> None:
    with contextlib.suppress(OSError):
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    stream.socket.close()


@contextlib.asynccontextmanager
async def open_relay(target: int, *, rate: float | None = None) -> AsyncIterator[Relay]:
    """Relay connections to a port of this machine for as long as the context lasts.

    Args:
        target: the server's port.
        rate: bytes a second, each way; a relay with a rate records nothing.
    """
    relay = Relay(target, rate)
    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        relay.port = listeners[0].socket.getsockname()[1]
        nursery.start_soon(trio.serve_listeners, relay.carry, listeners)
        yield relay
        nursery.cancel_scope.cancel()
