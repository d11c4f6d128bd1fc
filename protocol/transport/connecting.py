"""From an address to an open connection: names, several addresses at once, TCP, TLS."""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterator
from typing import Final

import trio

from protocol.settings import TimeoutSettings
from protocol.transport.address import Address
from protocol.transport.base import ALPN, Transport
from protocol.transport.errors import (
    ConnectionRefused,
    ConnectTimeout,
    TransportError,
    UnknownHost,
    Unreachable,
)
from protocol.transport.opening import Verify, open_client
from protocol.transport.plain import PlainTransport
from protocol.transport.sockets import set_options


async def connect_transport(
    address: Address,
    *,
    context: ssl.SSLContext | None,
    timeouts: TimeoutSettings,
    verify: Verify | None = None,
    protocol: str = ALPN,
) -> Transport:
    """Connect to a server.

    Args:
        address: where to. Its pin is compared with the server's key unless `verify` is given.
        context: for TLS; None for a connection without encryption. There is no falling back.
        timeouts: `handshake` bounds the way to an open TCP connection, and again the TLS handshake.
        verify: called after the handshake, before anything is sent; what it raises ends the connection.
        protocol: that the server must have named in the handshake.

    Raises:
        TransportError: one subclass for each cause.
    """
    plain = PlainTransport(await connect_tcp(address, timeouts.handshake), address.location)
    return await open_client(
        plain, address, context=context, timeouts=timeouts, verify=verify, protocol=protocol
    )


async def connect_tcp(address: Address, timeout: float) -> socket.socket:
    """Open a TCP connection, trying the host's addresses side by side (RFC 8305).

    Args:
        address: where to.
        timeout: seconds for all of it, looking up the name included.

    Returns:
        A non-blocking socket with all options set; it is the caller's.

    Raises:
        TransportError: one subclass for each cause.
    """
    location = address.location
    try:
        with trio.fail_after(timeout):
            stream = await trio.open_tcp_stream(address.host, address.port)
    except trio.TooSlowError:
        raise ConnectTimeout(location, f"nobody answered within {timeout:g} s") from None
    except (OSError, UnicodeError) as exc:
        raise translate_connect_error(exc, location) from exc
    sock = socket.socket(fileno=stream.socket.detach())
    sock.setblocking(False)
    set_options(sock)
    return sock


_TIMED_OUT: Final = frozenset({errno.ETIMEDOUT})


def translate_connect_error(error: OSError | UnicodeError, location: str) -> TransportError:
    """The transport's name for why no connection came about.

    Args:
        error: as raised by `trio.open_tcp_stream`; with several addresses, it was caused by a group.
        location: the server's.
    """
    if isinstance(error, UnicodeError):
        return UnknownHost(location, "the host is not a valid name")
    causes = list(_leaves(error))
    for cause in causes:
        if isinstance(cause, ConnectionRefusedError):
            return ConnectionRefused(location)
    for cause in causes:
        if isinstance(cause, socket.gaierror):
            return UnknownHost(location, _lookup_failure(cause))
        if cause.errno in _TIMED_OUT:
            return ConnectTimeout(location)
    reasons = sorted({cause.strerror for cause in causes if cause.strerror})
    return Unreachable(location, f"the host cannot be reached ({'; '.join(reasons) or error})")


def _lookup_failure(error: socket.gaierror) -> str:
    if error.errno == socket.EAI_AGAIN:
        return "the host's name cannot be looked up now (no name server answers)"
    return UnknownHost.default_cause


def _leaves(error: BaseException) -> Iterator[OSError]:
    if isinstance(error, BaseExceptionGroup):
        for member in error.exceptions:
            yield from _leaves(member)
    elif error.__cause__ is not None:
        yield from _leaves(error.__cause__)
    elif isinstance(error, OSError):
        yield error
