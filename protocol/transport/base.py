"""What a connection is to the rooms above: bytes in, bytes out, and a bounded end.

A transport never waits by itself. `receive_nowait` and `send_nowait` try once; whoever gets nothing
waits with `wait_readable` or `wait_writable` and tries again. So a task that finds work at once never
passes through the scheduler, and the fast path is one call into C.

It knows nothing of frames. One task may read while another writes; two readers are a mistake.
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Final

import attrs

from protocol.transport.poll_set import Call

PIECE: Final = 262144
"""Bytes that one `send_nowait` takes at most: one call of 128 MB would stall the loop for 0.7 s."""

RECEIVE: Final = 65536
"""Bytes that one `receive_nowait` takes at most by default. Python allocates that much before it asks the
kernel, and from 128 KiB on glibc maps fresh pages for it: 256 KiB made a small receive nine times slower."""

RECORD: Final = 16384
"""Bytes of one TLS record, the most that OpenSSL gives at once. A `receive_nowait` that gave fewer has most likely
taken all there was, for a sender with more to say fills it. Source: RFC 8446, section 5.1."""

ALPN: Final = "appserver/1"
"""The application protocol that both sides name in the TLS handshake. Source: RFC 7301."""

CLOSE_SECONDS: Final = 2.0
"""How long `aclose` may take, whatever the other side does."""


@attrs.frozen
class Security:
    """What protects a connection.

    Attributes:
        encrypted: whether TLS is in use; all the rest is None where it is not.
        version: `TLSv1.3` or `TLSv1.2`.
        cipher: OpenSSL's name of the cipher suite.
        protocol: the application protocol that both sides named (ALPN).
        group: the key exchange's group, such as `X25519`; None where Python does not tell.
        fingerprint: `sha256:` and 64 hexadecimal digits of the peer's public key, if it showed a certificate.
        peer_certificate: the peer's certificate, DER; the TLS layer has verified it as its context demands.
        client_chain: on a server, the client's certificate and those behind it up to the authority that is trusted,
            DER, as this handshake has verified them; none where it showed none.
        peer_chain: on a client: all that the server showed, DER, its certificate first. None of it is verified but
            by what the context demands.
    """

    encrypted: bool = False
    version: str | None = None
    cipher: str | None = None
    protocol: str | None = None
    group: str | None = None
    fingerprint: str | None = None
    peer_certificate: bytes | None = attrs.field(default=None, repr=False)
    client_chain: tuple[bytes, ...] = attrs.field(default=(), repr=False)
    peer_chain: tuple[bytes, ...] = attrs.field(default=(), repr=False)


PLAIN: Final = Security()
"""The security of a connection that has none."""


class Transport(abc.ABC):
    """One connection, open or closed.

    Attributes:
        peer_address: the other side as `host:port`, for messages and logs.
        security: what protects the connection.
    """

    peer_address: str
    security: Security

    @abc.abstractmethod
    def receive_nowait(self, most: int = RECEIVE) -> bytes | None:
        """Take what has arrived.

        Args:
            most: bytes to take at most; fewer may come although more are there.

        Returns:
            The bytes; None if nothing is there now; `b""` once the other side has ended its sending
            properly, and ever after.

        Raises:
            TransportError: the connection is broken (the peer's or the network's doing) or was closed
                by this side.
        """

    @abc.abstractmethod
    async def wait_readable(self) -> None:
        """Wait until `receive_nowait` may give something; it may also come back too early.

        Raises:
            TransportClosed: this side closed the connection in the meantime.
            trio.BusyResourceError: another task waits already.
        """

    @abc.abstractmethod
    def send_nowait(self, data: bytes | memoryview) -> int:
        """Hand over bytes to be sent.

        Args:
            data: any number of bytes. The next call must begin with the first byte that was not taken; and
                after a 0 it must pass at least the same bytes again: TLS has encrypted them already.

        Returns:
            How many bytes were taken, at most `PIECE`; 0 if the way is blocked now.

        Raises:
            TransportError: as for `receive_nowait`.
        """

    @abc.abstractmethod
    async def wait_writable(self) -> None:
        """Wait until `send_nowait` may take something; it may also come back too early.

        Raises:
            TransportClosed: this side closed the connection in the meantime.
            trio.BusyResourceError: another task waits already.
        """

    def watch(self, call: Call) -> bool:
        """Have a function called in place of `wait_readable`: a task less has to run where many connections are busy.

        Args:
            call: called with True whenever `receive_nowait` may give something, which may be too early, and once with
                False when the tasks that wait would come back because of `wake` or the connection's end.

        Returns:
            Whether it will be, until `unwatch`. Where not, wait.
        """
        return False

    def unwatch(self) -> None:  # noqa: B027 - where nothing is watched, nothing is to be done
        """Have nothing called any more."""

    def fileno(self) -> int:
        """The descriptor of its socket, for threads that wait themselves; -1 where there is none (any more)."""
        return -1

    @abc.abstractmethod
    def wake(self) -> None:
        """Have the tasks that wait look again: they come back too early. Nothing else happens."""

    @abc.abstractmethod
    async def aclose(self, timeout: float = CLOSE_SECONDS) -> None:
        """End the connection in good order, so that what was sent before arrives and is known to be all.

        The other side is told, and given some time to read. Whatever it does, the connection is closed
        when this returns or is cancelled. It may be called at any time, also twice. Tasks that wait
        for the connection get `TransportClosed`.

        Args:
            timeout: seconds that this takes at most.
        """

    @abc.abstractmethod
    def abort(self) -> None:
        """Break the connection off at once; the other side sees a reset. It may be called at any time."""


class Carrier(Transport):
    """A transport without encryption: what TLS, or a conversation about a mistake, is carried by."""

    _read: Callable[[int], bytes | None]

    def examine_first(self, examine: Callable[[bytes], bytes | None]) -> None:
        """Pass what is received through a function until that lets something through.

        Args:
            examine: gets each piece as it comes, `b""` at the end; returns what the caller may have, None
                to hold it back, or raises a TransportError.
        """
        read = self._read

        def first(most: int) -> bytes | None:
            try:
                data = read(most)
            except BlockingIOError:  # nothing yet
                return None
            passed = None if data is None else examine(data)
            if passed is not None:
                self._read = read
            return passed

        self._read = first

    @abc.abstractmethod
    def peek_nowait(self, most: int) -> bytes | None:
        """Look at what has arrived without taking it; results and errors as for `receive_nowait`."""

    @abc.abstractmethod
    def finish_nowait(self) -> None:
        """Say that nothing more will be sent; receiving goes on. It may be called twice."""
