"""Listening sockets, and how to go on accepting when descriptors run out.

It knows nothing of what is done with a connection: the server has a task for each.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Callable, Sequence
from typing import Final

import attrs
import trio

from protocol.transport.address import format_location
from protocol.transport.errors import CannotListen, TransportClosed
from protocol.transport.sockets import forget

BACKLOG: Final = 512
"""Connections that the kernel may hold for us; it cuts this to its own limit."""

_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

# A client that was gone before it was accepted shows up as one of these. Source: accept(2).
_CLIENT_GONE: Final = frozenset(
    getattr(errno, name)
    for name in (
        "ECONNABORTED", "ECONNRESET", "EPROTO", "EPERM", "EOPNOTSUPP", "ENETDOWN", "ENOPROTOOPT",
        "EHOSTDOWN", "ENONET", "EHOSTUNREACH", "ENETUNREACH", "EINTR",
    )
    if hasattr(errno, name)
)  # fmt: skip

_NO_IPV6: Final = frozenset({errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL})

_PAUSE_FIRST: Final = 0.05
_PAUSE_MOST: Final = 1.0
_SAME_PORT_TRIES: Final = 8


@attrs.frozen
class ListenerStatistics:
    """What a listener has done so far.

    Attributes:
        accepted: connections handed out.
        exhausted: how often no descriptor or memory was left for one.
    """

    accepted: int
    exhausted: int


class Listener:
    """One listening socket.

    Args:
        sock: bound and listening; it is owned by the listener from here on.
        on_exhausted: called once each time descriptors or memory run out, for the log.
    """

    def __init__(self, sock: socket.socket, on_exhausted: Callable[[OSError], None] | None = None) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._on_exhausted = on_exhausted
        self._accepted = 0
        self._exhausted = 0
        self.host: str = sock.getsockname()[0]
        self.port: int = sock.getsockname()[1]

    @property
    def location(self) -> str:
        """The own address as `host:port`."""
        return format_location(self.host, self.port)

    async def accept(self) -> socket.socket:
        """Wait for a client.

        Descriptors that run out are no error: this waits, with growing pauses, until some are free.
        Existing connections go on, and new ones wait in the kernel.

        Returns:
            The connection, non-blocking; it is the caller's.

        Raises:
            TransportClosed: the listener was closed.
        """
        await trio.lowlevel.checkpoint()  # a flood of clients must not keep the other tasks waiting
        pause = _PAUSE_FIRST
        while True:
            try:
                sock, _ = self._sock.accept()
            except (BlockingIOError, InterruptedError):
                await self._wait()
            except OSError as exc:
                if exc.errno in _EXHAUSTED:
                    self._note_exhausted(exc, first=pause == _PAUSE_FIRST)
                    await trio.sleep(pause)
                    pause = min(pause * 2, _PAUSE_MOST)
                elif self._sock.fileno() < 0:
                    raise TransportClosed(self.location, "this listener is closed") from None
                elif exc.errno in _CLIENT_GONE:
                    await trio.lowlevel.checkpoint()
                else:
                    raise
            else:
                sock.setblocking(False)
                self._accepted += 1
                return sock

    def close(self) -> None:
        """Take no more clients; a waiting `accept` raises TransportClosed. It may be called twice."""
        forget(self._sock)
        self._sock.close()

    def statistics(self) -> ListenerStatistics:
        """What happened so far."""
        return ListenerStatistics(self._accepted, self._exhausted)

    async def _wait(self) -> None:
        try:
            await trio.lowlevel.wait_readable(self._sock)
        except trio.ClosedResourceError:
            raise TransportClosed(self.location, "this listener is closed") from None

    def _note_exhausted(self, error: OSError, *, first: bool) -> None:
        self._exhausted += 1
        if first and self._on_exhausted is not None:
            self._on_exhausted(error)


async def open_listeners(
    host: str | None,
    port: int,
    *,
    backlog: int = BACKLOG,
    on_exhausted: Callable[[OSError], None] | None = None,
) -> list[Listener]:
    """Listen on all addresses that a host name stands for.

    Args:
        host: a name or an IP address; None or an empty text for all addresses of this computer.
        port: 0 for a free one, the same for all addresses.
        backlog: connections that may wait in the kernel.
        on_exhausted: see `Listener`.

    Raises:
        CannotListen: it says which address and why.
    """
    try:
        found = await trio.socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (socket.gaierror, UnicodeError) as exc:
        location = format_location(host or "", port)
        raise CannotListen(location, "the host name is not known", "Check client_server.host") from exc
    places = list(dict.fromkeys((family, name) for family, _, _, _, name in found if family in _families()))
    places.sort(
        key=lambda place: place[0] == socket.AF_INET6
    )  # a computer may have a name for IPv6 and no IPv6
    for attempt in range(_SAME_PORT_TRIES):
        try:
            socks = _listen(places, port, backlog)
        except CannotListen:
            # A free port of the first address may be taken on the second one.
            if port != 0 or len(places) == 1 or attempt == _SAME_PORT_TRIES - 1:
                raise
        else:
            return [Listener(sock, on_exhausted) for sock in socks]
    raise AssertionError("not reached")  # pragma: no cover


def _families() -> tuple[int, ...]:
    return (socket.AF_INET, socket.AF_INET6) if socket.has_ipv6 else (socket.AF_INET,)


def _listen(places: Sequence[tuple[int, tuple[object, ...]]], port: int, backlog: int) -> list[socket.socket]:
    with contextlib.ExitStack() as undo:
        socks: list[socket.socket] = []
        for family, name in places:
            place = (name[0], port, *name[2:])
            try:
                sock = undo.enter_context(socket.socket(family, socket.SOCK_STREAM))
                _prepare(sock, family)
                sock.bind(place)
                sock.listen(backlog)
            except OSError as exc:
                if socks and family == socket.AF_INET6 and exc.errno in _NO_IPV6:
                    continue
                raise _explain(exc, format_location(str(name[0]), port)) from exc
            port = port or sock.getsockname()[1]
            socks.append(sock)
        undo.pop_all()
        return socks


def _prepare(sock: socket.socket, family: int) -> None:
    exclusive: int | None = getattr(socket, "SO_EXCLUSIVEADDRUSE", None)
    if exclusive is not None:  # Windows, where SO_REUSEADDR would let another program take the port over
        sock.setsockopt(socket.SOL_SOCKET, exclusive, 1)
    elif os.name == "posix":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)


def _explain(error: OSError, location: str) -> CannotListen:
    if error.errno == errno.EADDRINUSE:
        return CannotListen(
            location,
            "another program listens there already",
            "Stop that program, or choose another client_server.port",
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return CannotListen(location, "this computer does not have that address", "Check client_server.host")
    if error.errno in (errno.EACCES, errno.EPERM):
        return CannotListen(location, "this user may not listen on that port", "Choose a port above 1023")
    return CannotListen(location, f"this address cannot be listened on ({error.strerror or error})")
