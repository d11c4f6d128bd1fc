"""TLS over a TCP socket: a non-blocking `ssl.SSLSocket`, asked once for each operation.

Theory of operation. `trio.SSLStream` encrypts into memory and copies to a socket; that costs half the
speed, and it never sends the alert that tells the other side what was wrong. Here OpenSSL owns the
socket: it reads and writes by itself and sends its alerts. What remains is to wait when it says so.

Reading may need to write (TLS 1.3 answers a key update) and writing may need to read (TLS 1.2
renegotiates). Such a crossed wait must not meet the other task's wait on the same descriptor, so
it happens on a duplicate. The record that a crossed writer waits for may be consumed by the reader;
therefore a reader that finds nothing more sends the crossed writer to try again.

An end without close_notify is `ConnectionTruncated`, never an end of the stream.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable
from functools import partial
from ssl import SSLWantReadError, SSLWantWriteError
from typing import Final, NoReturn, Protocol

import trio

from protocol.transport.base import CLOSE_SECONDS, PIECE, RECORD, Security
from protocol.transport.errors import (
    ConnectionReset,
    HandshakeTimeout,
    TlsFailure,
    TransportClosed,
    TransportError,
)
from protocol.transport.plain import PlainTransport
from protocol.transport.poll_set import Call
from protocol.transport.security import describe_tls
from protocol.transport.server_hello import FLIGHT, group_of
from protocol.transport.sockets import SocketTransport
from protocol.transport.tls_errors import (
    translate_client_handshake,
    translate_server_handshake,
    translate_tls_error,
)

_TRIES: Final = 2


LAST_WORDS: Final = 1.0
"""Seconds for the alert of a failed handshake to reach the other side."""


class _Engine(Protocol):
    """What is used of `_ssl._SSLSocket`."""

    def read(self, size: int, /) -> bytes: ...
    def write(self, data: bytes | memoryview, /) -> int: ...
    def pending(self) -> int: ...
    def shutdown(self) -> object: ...


class TlsTransport(SocketTransport):
    """An encrypted connection whose handshake is done; `handshake` makes it.

    Args:
        sock: its handshake is done; it is owned by the transport from here on.
        security: what was agreed.
        address: the other side's.
    """

    def __init__(self, sock: ssl.SSLSocket, security: Security, address: str) -> None:
        super().__init__(sock, address)
        # The C object itself: SSLSocket.recv is three Python calls deep. It has had this name and these
        # four methods since Python 3.2.
        engine: _Engine = sock._sslobj  # type: ignore[attr-defined]
        self._tls = sock
        self._read: Callable[[int], bytes] = engine.read
        self._write: Callable[[bytes | memoryview], int] = engine.write
        self._pending = engine.pending
        self._shutdown = engine.shutdown
        self._read_wants_write = False
        self._write_wants_read = False
        self._spare: socket.socket | None = None
        self.security = security

    def receive_nowait(self, most: int = RECORD) -> bytes | None:
        """See `Transport.receive_nowait`; at most one record comes at once."""
        try:
            return self._read(most if most < RECORD else RECORD)
        except SSLWantReadError:
            if self._write_wants_read:
                self._retry_crossed_write()
            return None
        except SSLWantWriteError:
            self._read_wants_write = True
            return None
        except OSError as exc:
            failure = translate_tls_error(exc, self.peer_address)
            self._read = partial(_fail, failure)  # OpenSSL would say something else the next time
            raise failure from exc

    def send_nowait(self, data: bytes | memoryview) -> int:
        """See `Transport.send_nowait`."""
        try:
            return self._write(data if len(data) <= PIECE else memoryview(data)[:PIECE])
        except SSLWantWriteError:
            return 0
        except SSLWantReadError:
            self._write_wants_read = True
            return 0
        except OSError as exc:
            raise self._explain_failed_write(exc) from exc

    async def wait_readable(self) -> None:
        """See `Transport.wait_readable`."""
        if self._read_wants_write and not self._ended:
            await self._wait_crossed(trio.lowlevel.wait_writable)
            self._read_wants_write = False
        elif not self._ended and self._pending():
            await trio.lowlevel.checkpoint()
        else:  # SocketTransport's, without a coroutine more
            self._check_open()
            try:
                await trio.lowlevel.wait_readable(self._sock)
            except trio.ClosedResourceError:
                self._check_open()

    def watch(self, call: Call) -> bool:
        """See `Transport.watch`."""
        return not self._read_wants_write and not self._pending() and super().watch(call)

    async def wait_writable(self) -> None:
        """See `Transport.wait_writable`."""
        if self._write_wants_read and not self._ended:
            await self._wait_crossed(trio.lowlevel.wait_readable)
            self._write_wants_read = False
        else:
            await super().wait_writable()

    async def aclose(self, timeout: float = CLOSE_SECONDS) -> None:
        """See `Transport.aclose`."""
        if self._ended:
            await trio.lowlevel.checkpoint()
            return
        self._end()
        told = False
        try:
            with trio.move_on_after(timeout / 2):
                told = await self._say_goodbye()
        finally:
            # Without close_notify a FIN would only be taken for a truncation; a reset frees the
            # kernel's buffers, which a stalled peer would keep full.
            rest = PlainTransport(_bare(self._tls), self.peer_address)
            if not told:
                rest.abort()
        await rest.aclose(timeout)

    async def _say_goodbye(self) -> bool:
        """Send close_notify; whether it is under way. The answer is not awaited (RFC 8446, section 6.1)."""
        for _ in range(_TRIES):
            try:
                self._shutdown()
            except SSLWantReadError:
                return True
            except SSLWantWriteError:
                # Either the socket is full, or half a record waits for its writer, who is gone: then
                # the second try fails as the first did.
                await trio.lowlevel.wait_writable(self._sock)
            except ssl.SSLError as exc:
                return exc.reason == "APPLICATION_DATA_AFTER_CLOSE_NOTIFY"  # theirs; ours was sent
            except (OSError, ValueError):
                return False
            else:
                return True
        return False

    def _explain_failed_write(self, error: OSError) -> TransportError:
        """Prefer the reason that the other side gave before it went: an alert waits to be read."""
        failure = translate_tls_error(error, self.peer_address)
        try:
            data = self._read(RECORD)
        except (SSLWantReadError, SSLWantWriteError):
            return failure
        except TransportError as exc:  # reading has failed before, and said more
            return exc
        except OSError as exc:
            told = translate_tls_error(exc, self.peer_address)
            return told if isinstance(told, TlsFailure) else failure
        if data:
            read = self._read

            def give_back(_: int) -> bytes:
                self._read = read
                return data

            self._read = give_back
        return failure

    async def _wait_crossed(self, wait: Callable[[socket.socket], Awaitable[None]]) -> None:
        if self._spare is None:
            self._spare = socket.fromfd(self._sock.fileno(), self._sock.family, self._sock.type)
        try:
            await wait(self._spare)
        except trio.ClosedResourceError:
            if self._ended:
                raise TransportClosed(self.peer_address) from None

    def _retry_crossed_write(self) -> None:
        self._write_wants_read = False
        if self._spare is not None:
            trio.lowlevel.notify_closing(self._spare)

    def _end(self) -> None:
        super()._end()
        self._read = self._refuse
        self._write = self._refuse
        if self._spare is not None:
            trio.lowlevel.notify_closing(self._spare)
            self._spare.close()


async def open_tls(
    plain: PlainTransport,
    context: ssl.SSLContext,
    *,
    timeout: float,
    server_hostname: str | None = None,
    server_side: bool = False,
) -> TlsTransport:
    """Do the TLS handshake over a connection on which nothing has been sent or received yet.

    Args:
        plain: it is used up, whatever happens.
        context: decides versions, suites, certificates and their verification.
        timeout: seconds for the whole handshake.
        server_hostname: the name to ask for and to verify; clients only.
        server_side: which side this is.

    Raises:
        TransportError: the handshake failed; the other side was sent an alert that says why.
    """
    address = plain.peer_address
    # OpenSSL 3 would otherwise let a truncated stream pass for a complete one where a build sets this.
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    translate = translate_server_handshake if server_side else translate_client_handshake
    try:
        sock = context.wrap_socket(
            plain.detach(),
            server_side=server_side,
            server_hostname=server_hostname,
            do_handshake_on_connect=False,
            suppress_ragged_eofs=False,
        )
    except OSError as exc:
        raise ConnectionReset(address, "the connection was reset before the TLS handshake") from exc
    try:
        with trio.fail_after(timeout):
            flight = await _shake_hands(sock)
    except trio.TooSlowError:
        PlainTransport(_bare(sock), address).abort()
        raise HandshakeTimeout(address) from None
    except OSError as exc:
        await PlainTransport(_bare(sock), address).aclose(LAST_WORDS)
        raise translate(exc, address) from exc
    except BaseException:
        PlainTransport(_bare(sock), address).abort()
        raise
    return TlsTransport(sock, describe_tls(sock, group_of(flight)), address)


_turn: trio.lowlevel.RunVar[trio.Lock] = trio.lowlevel.RunVar("handshakes")


async def _wait_turn() -> None:
    """Let everybody else run before the next step of a server's handshake, which is a millisecond of arithmetic.

    Forty greetings that came together would otherwise be answered in one pass of the loop, and all who are
    connected would wait for them.
    """
    try:
        turn = _turn.get()
    except LookupError:
        turn = trio.Lock()
        _turn.set(turn)
    async with turn:
        await trio.lowlevel.checkpoint()


async def _shake_hands(sock: ssl.SSLSocket) -> bytes:
    """Returns the first bytes that a server sent, for `group_of`; none on the server's side."""
    flight = b""
    while True:
        if sock.server_side:
            await _wait_turn()
        try:
            sock.do_handshake()
        except SSLWantReadError:
            await trio.lowlevel.wait_readable(sock)
            if not flight and not sock.server_side:
                with contextlib.suppress(BlockingIOError):  # any other error is told only once
                    flight = socket.socket.recv(sock, FLIGHT, socket.MSG_PEEK)
        except SSLWantWriteError:
            await trio.lowlevel.wait_writable(sock)
        else:
            return flight


def _fail(failure: TransportError, _: int) -> NoReturn:
    raise failure


def _bare(sock: ssl.SSLSocket) -> socket.socket:
    """The socket without its TLS, which is over."""
    return socket.socket(fileno=sock.detach())
