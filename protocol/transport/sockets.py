"""TCP sockets: their options, their names, their errors, and what every transport over one has in common.

All sockets here are plain non-blocking ones from the standard library, driven by trio's
`wait_readable` and `wait_writable`: trio's own socket objects cost a task switch for each operation.
"""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import struct
import sys
from collections.abc import Callable
from typing import Final, NoReturn

import trio

from protocol.transport.address import format_location
from protocol.transport.base import PLAIN, Transport
from protocol.transport.errors import ConnectionReset, TransportClosed, TransportError, Unreachable
from protocol.transport.poll_set import Call, PollSet, current_poll_set

NOTSENT_LOWAT: Final = 16384
"""Unsent bytes the kernel may hold: all that a frame of a higher class has to wait for. Linux and macOS."""

USER_TIMEOUT: Final = 40_000
"""Milliseconds that sent bytes may stay unacknowledged: keepalive is blind once data is under way. Linux."""

_KEEPALIVE: Final = (("TCP_KEEPIDLE", 60), ("TCP_KEEPALIVE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))

_MACOS_NOTSENT_LOWAT: Final = 0x201  # <netinet/tcp.h>; Python 3.11 to 3.13 do not name it on macOS

_LINGER: Final = "hh" if hasattr(socket, "SO_EXCLUSIVEADDRUSE") else "ii"  # Windows has two shorts

_LOST: Final = frozenset({errno.ETIMEDOUT})
_NO_WAY: Final = frozenset(
    {errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, getattr(errno, "EHOSTDOWN", errno.EHOSTUNREACH)}
)


def set_options(sock: socket.socket) -> None:
    """Set what every connection of ours has; what the platform lacks is left out."""
    options: list[tuple[int, int | None, int]] = [
        (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
        (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
        (socket.IPPROTO_TCP, getattr(socket, "TCP_USER_TIMEOUT", None), USER_TIMEOUT),
        (socket.IPPROTO_TCP, _notsent_lowat(), NOTSENT_LOWAT),
        *((socket.IPPROTO_TCP, getattr(socket, name, None), value) for name, value in _KEEPALIVE),
    ]
    for level, option, value in options:
        if option is not None:
            with contextlib.suppress(OSError):  # a Unix socket, or an older kernel
                sock.setsockopt(level, option, value)


def _notsent_lowat() -> int | None:
    option: int | None = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    return _MACOS_NOTSENT_LOWAT if option is None and hasattr(socket, "TCP_KEEPALIVE") else option


def peer_name(sock: socket.socket) -> str:
    """The other side's address as `host:port`; a word where it has none (any more)."""
    try:
        name = sock.getpeername()
    except OSError:
        return "unknown"
    return format_location(name[0], name[1]) if isinstance(name, tuple) else str(name or "local")


def translate_os_error(error: OSError, address: str) -> TransportError:
    """The transport's name for what the operating system says of a connection that stood."""
    if error.errno in _LOST:
        return ConnectionReset(address, "the other side no longer answers")
    if error.errno in _NO_WAY:
        return Unreachable(address, f"the network is gone ({error.strerror})")
    if isinstance(error, ConnectionError):
        return ConnectionReset(address)
    return ConnectionReset(address, f"the connection failed ({error.strerror or error})")


def is_foreign(error: OSError) -> bool:
    """Whether an error caught from a socket's call is none of the socket's: a signal handler raised it meanwhile.

    Such a one has no number, or was raised in Python's code, and so has a frame more than the call.
    """
    trace = error.__traceback__
    return error.errno is None or (trace is not None and trace.tb_next is not None)


class SocketTransport(Transport):
    """What transports over a socket share: waiting, and being closed at once.

    Args:
        sock: connected; it is owned by the transport from here on.
        address: the other side's address where the caller knows a better one than the socket.
    """

    def __init__(self, sock: socket.socket, address: str | None = None) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._ended = False
        self._poll_set: PollSet | None = None
        self.peer_address = address or peer_name(sock)
        self.security = PLAIN

    async def wait_readable(self) -> None:
        """See `Transport.wait_readable`."""
        if self._ended:
            raise TransportClosed(self.peer_address)
        try:
            await trio.lowlevel.wait_readable(self._sock)
        except trio.ClosedResourceError:
            self._check_open()

    async def wait_writable(self) -> None:
        """See `Transport.wait_writable`."""
        if self._ended:
            raise TransportClosed(self.peer_address)
        try:
            await trio.lowlevel.wait_writable(self._sock)
        except trio.ClosedResourceError:
            self._check_open()

    def watch(self, call: Call) -> bool:
        """See `Transport.watch`."""
        if self._ended:
            return False
        if self._poll_set is None:
            self._poll_set = current_poll_set()
        return self._poll_set.watch(self._sock.fileno(), call)

    def unwatch(self) -> None:
        """See `Transport.unwatch`."""
        if self._poll_set is not None:
            self._poll_set.unwatch(self._sock.fileno())

    def fileno(self) -> int:
        """See `Transport.fileno`."""
        return self._sock.fileno()

    def wake(self) -> None:
        """See `Transport.wake`."""
        forget(self._sock)
        if self._poll_set is not None:
            self._poll_set.forget(self._sock.fileno())

    def _check_open(self) -> None:
        if self._ended:
            raise TransportClosed(self.peer_address) from None

    def abort(self) -> None:
        """See `Transport.abort`."""
        if not self._ended:
            self._end()
        if self._sock.fileno() >= 0:
            reset_on_close(self._sock)
            self._sock.close()

    def _end(self) -> None:
        """Refuse all further use and send the tasks that wait away; the socket stays open."""
        self._ended = True
        self.wake()

    def _refuse(self, *_: object) -> NoReturn:
        raise TransportClosed(self.peer_address)


def reset_on_close(sock: socket.socket) -> None:
    """Have the next `close` send RST: the other side must not take the end for a proper one."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack(_LINGER, 1, 0))


def forget(sock: socket.socket) -> None:
    """Wake the tasks that wait for a socket, which is about to be closed or has to be looked at again."""
    if sock.fileno() >= 0:
        with contextlib.suppress(RuntimeError):  # no trio here: nobody waits then
            trio.lowlevel.notify_closing(sock)


async def drain(sock: socket.socket, seconds: float, most: int) -> None:
    """Throw away what still arrives until the other side ends, so that closing sends no RST.

    A close with unread bytes resets the connection, and a reset destroys what the other side has not
    read yet: our last words. Source: RFC 9112, section 9.6.
    """
    with trio.move_on_after(seconds):
        while most > 0:
            try:
                data = sock.recv(65536)
            except (BlockingIOError, InterruptedError):
                await trio.lowlevel.wait_readable(sock)
            except OSError:
                return
            else:
                if not data:
                    return
                most -= len(data)


def _poller(descriptor: int) -> Callable[[float], bool]:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return lambda seconds: bool(poll.poll(max(0.0, seconds) * 1000))


def _selector(descriptor: int) -> Callable[[float], bool]:
    def look(seconds: float) -> bool:
        try:
            return bool(select.select([descriptor], [], [], max(0.0, seconds))[0])
        except OSError as exc:  # closed now
            if is_foreign(exc):
                raise
            return True

    return look


def poller(descriptor: int) -> Callable[[float], bool]:
    """What waits outside of the loop until a socket may have something to read.

    Args:
        descriptor: the socket's; -1 where it was closed.

    Returns:
        A function that takes for how many seconds to wait at most, and returns whether there may be something, or the
        socket was closed.
    """
    if descriptor < 0:
        return lambda _: True
    return _selector(descriptor) if sys.platform == "win32" else _poller(descriptor)
