"""TLS over a connection in memory: OpenSSL between two buffers.

It behaves as `protocol.transport.tls` does over a socket; only that the ciphertext passes through our
hands. What OpenSSL has written is always handed on whole, so nothing waits in its buffer for a caller
that may never come back.
"""

from __future__ import annotations

import contextlib
import ssl
from ssl import SSLWantReadError, SSLWantWriteError

import trio

from protocol.transport.base import CLOSE_SECONDS, RECEIVE, RECORD, Transport
from protocol.transport.errors import HandshakeTimeout, TransportClosed, TransportError
from protocol.transport.memory import MemoryTransport
from protocol.transport.security import describe_tls
from protocol.transport.server_hello import FLIGHT, group_of
from protocol.transport.tls import LAST_WORDS
from protocol.transport.tls_errors import (
    translate_client_handshake,
    translate_server_handshake,
    translate_tls_error,
)


class MemoryTlsTransport(Transport):
    """An encrypted connection in memory whose handshake is done; `open_memory_tls` makes it.

    Args:
        carrier: carries the ciphertext; it is owned by the transport from here on.
        tls: its handshake is done.
        incoming: the buffer that it reads from.
        outgoing: the buffer that it writes to.
        group: the key exchange's, where it is known.
    """

    def __init__(
        self,
        carrier: MemoryTransport,
        tls: ssl.SSLObject,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        group: str | None = None,
    ) -> None:
        self._carrier = carrier
        self._tls = tls
        self._incoming = incoming
        self._outgoing = outgoing
        self._ended = False
        self.peer_address = carrier.peer_address
        self.security = describe_tls(tls, group)

    def receive_nowait(self, most: int = RECORD) -> bytes | None:
        """See `Transport.receive_nowait`."""
        self._check_open()
        while True:
            try:
                data = self._tls.read(most)
            except (SSLWantReadError, SSLWantWriteError):
                _flush(self._outgoing, self._carrier)
            except OSError as exc:
                raise translate_tls_error(exc, self.peer_address) from exc
            else:
                return data
            if not _fill(self._incoming, self._carrier):
                return None

    def send_nowait(self, data: bytes | memoryview) -> int:
        """See `Transport.send_nowait`; at most one record is taken."""
        self._check_open()
        if not self._carrier.has_room:
            return 0
        try:
            taken = self._tls.write(memoryview(data)[:RECORD])
        except (SSLWantReadError, SSLWantWriteError):
            return 0
        except OSError as exc:
            raise translate_tls_error(exc, self.peer_address) from exc
        _flush(self._outgoing, self._carrier)
        return taken

    async def wait_readable(self) -> None:
        """See `Transport.wait_readable`."""
        self._check_open()
        if self._tls.pending() or self._incoming.pending:
            await trio.lowlevel.checkpoint()
        else:
            await self._carrier.wait_readable()
            self._check_open()

    async def wait_writable(self) -> None:
        """See `Transport.wait_writable`."""
        self._check_open()
        await self._carrier.wait_writable()
        self._check_open()

    def wake(self) -> None:
        """See `Transport.wake`."""
        self._carrier.wake()

    async def aclose(self, timeout: float = CLOSE_SECONDS) -> None:
        """See `Transport.aclose`."""
        if self._ended:
            await trio.lowlevel.checkpoint()
            return
        self._ended = True
        self._carrier.wake()
        told = False
        try:
            with trio.move_on_after(timeout / 2):
                while not self._carrier.has_room:
                    await self._carrier.wait_writable()
            told = self._carrier.has_room
        finally:
            if not told:
                self._carrier.abort()
        with contextlib.suppress(OSError, ValueError):
            self._tls.unwrap()
        with contextlib.suppress(TransportError):
            _flush(self._outgoing, self._carrier)
        await self._carrier.aclose(timeout)

    def abort(self) -> None:
        """See `Transport.abort`."""
        self._ended = True
        self._carrier.abort()

    def _check_open(self) -> None:
        if self._ended:
            raise TransportClosed(self.peer_address)


async def open_memory_tls(
    carrier: MemoryTransport,
    context: ssl.SSLContext,
    *,
    timeout: float,
    server_hostname: str | None = None,
    server_side: bool = False,
) -> MemoryTlsTransport:
    """Do the TLS handshake over a connection in memory; arguments and errors as for `open_tls`."""
    address = carrier.peer_address
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(incoming, outgoing, server_side=server_side, server_hostname=server_hostname)
    try:
        with trio.fail_after(timeout):
            flight = await _shake_hands(tls, incoming, outgoing, carrier)
    except trio.TooSlowError:
        carrier.abort()
        raise HandshakeTimeout(address) from None
    except OSError as exc:
        with contextlib.suppress(TransportError):
            _flush(outgoing, carrier)
        await carrier.aclose(LAST_WORDS)
        translate = translate_server_handshake if server_side else translate_client_handshake
        raise translate(exc, address) from exc
    except BaseException:
        carrier.abort()
        raise
    return MemoryTlsTransport(carrier, tls, incoming, outgoing, group_of(flight))


async def _shake_hands(
    tls: ssl.SSLObject, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, carrier: MemoryTransport
) -> bytes:
    """Returns the first bytes that the other side sent, for `group_of`."""
    flight = b""
    while True:
        try:
            tls.do_handshake()
        except SSLWantReadError:
            _flush(outgoing, carrier)
            flight = flight or carrier.peek_nowait(FLIGHT) or b""
            while not _fill(incoming, carrier):
                await carrier.wait_readable()
                flight = flight or carrier.peek_nowait(FLIGHT) or b""
        else:
            _flush(outgoing, carrier)
            return flight


def _flush(outgoing: ssl.MemoryBIO, carrier: MemoryTransport) -> None:
    if outgoing.pending:
        carrier.push_nowait(outgoing.read())


def _fill(incoming: ssl.MemoryBIO, carrier: MemoryTransport) -> bool:
    data = carrier.receive_nowait(RECEIVE)
    if data is None:
        return False
    if data:
        incoming.write(data)
    else:
        incoming.write_eof()
    return True
