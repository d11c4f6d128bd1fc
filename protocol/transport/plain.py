"""TCP without encryption."""

from __future__ import annotations

import contextlib
import errno
import socket
import sys
from collections.abc import Callable
from typing import Final

import trio

from protocol.transport.base import CLOSE_SECONDS, PIECE, RECEIVE, Carrier
from protocol.transport.errors import TransportClosed
from protocol.transport.sockets import SocketTransport, drain, is_foreign, translate_os_error

DRAIN_MOST: Final = 1 << 20
"""Bytes that are thrown away while closing, before the other side is cut off."""

_LOOK: Final = 0.005
"""Seconds between two looks where the kernel cannot be told how much to wait for."""

_LOOK_MOST: Final = 0.1
"""Likewise, when it takes long."""
_LATER: Final = (errno.EAGAIN, errno.EWOULDBLOCK)
"""Nothing to read, or no room. An InterruptedError is a signal handler's: Python tries again by itself."""


def _is_later(error: OSError) -> bool:
    """Whether an error says that there is nothing yet."""
    return error.errno in _LATER and not is_foreign(error)


class PlainTransport(SocketTransport, Carrier):
    """A connection over a TCP socket, as it comes from `connect_tcp` or a listener.

    Args:
        sock: connected; it is owned by the transport from here on.
        address: the other side's address where the caller knows a better one than the socket.
    """

    def __init__(self, sock: socket.socket, address: str | None = None) -> None:
        super().__init__(sock, address)
        self._read: Callable[[int], bytes | None] = sock.recv
        self._write: Callable[[bytes | memoryview], int] = sock.send

    def receive_nowait(self, most: int = RECEIVE) -> bytes | None:
        """See `Transport.receive_nowait`."""
        try:
            return self._read(most)
        except OSError as exc:
            if _is_later(exc):
                return None
            raise translate_os_error(exc, self.peer_address) from exc

    def send_nowait(self, data: bytes | memoryview) -> int:
        """See `Transport.send_nowait`."""
        try:
            return self._write(data if len(data) <= PIECE else memoryview(data)[:PIECE])
        except OSError as exc:
            if _is_later(exc):
                return 0
            raise translate_os_error(exc, self.peer_address) from exc

    def peek_nowait(self, most: int) -> bytes | None:
        """See `Carrier.peek_nowait`."""
        if self._ended:
            raise TransportClosed(self.peer_address)
        try:
            return self._sock.recv(most, socket.MSG_PEEK)
        except OSError as exc:
            if _is_later(exc):
                return None
            raise translate_os_error(exc, self.peer_address) from exc

    async def peek_until(self, count: int, most: int) -> bytes:
        """Look at what has arrived once there is enough of it, without taking it.

        What lies there untaken keeps a socket readable, so the kernel is told how much must be there; it also wakes who
        waits when the other side has ended. Windows has no such option: there time passes, and an end is not seen.

        Args:
            count: bytes that must have arrived.
            most: bytes to look at.

        Returns:
            What is there, from the beginning; less than `count` where the other side has ended.

        Raises:
            TransportError: the connection is broken.
        """
        if len(start := self.peek_nowait(most) or b"") >= count:
            return start
        if sys.platform == "win32":
            pause = _LOOK
            while len(start := self.peek_nowait(most) or b"") < count:
                await trio.sleep(pause)
                pause = min(2 * pause, _LOOK_MOST)
            return start
        try:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, count)
            await self.wait_readable()
            return self.peek_nowait(most) or b""
        finally:
            if not self._ended:
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVLOWAT, 1)

    def finish_nowait(self) -> None:
        """See `Carrier.finish_nowait`."""
        with contextlib.suppress(OSError):  # the other side may be gone already
            self._sock.shutdown(socket.SHUT_WR)

    async def aclose(self, timeout: float = CLOSE_SECONDS) -> None:
        """See `Transport.aclose`."""
        if self._ended:
            await trio.lowlevel.checkpoint()
            return
        self._end()
        try:
            self.finish_nowait()
            await drain(self._sock, timeout / 2, DRAIN_MOST)
        finally:
            self._sock.close()

    def detach(self) -> socket.socket:
        """Give the socket away and be closed; nothing is sent. TLS goes on with it."""
        self._end()
        sock = socket.socket(fileno=self._sock.detach())
        sock.setblocking(False)  # the new object does not know that its descriptor is non-blocking
        return sock

    def _end(self) -> None:
        super()._end()
        self._read = self._refuse
        self._write = self._refuse
