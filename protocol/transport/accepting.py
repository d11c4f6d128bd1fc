"""From an accepted socket to an open connection: its first octet, then TLS."""

from __future__ import annotations

import socket
import ssl

from protocol.settings import TimeoutSettings
from protocol.transport.base import Carrier, Transport
from protocol.transport.mismatch import INTERNAL_ERROR, examine_client
from protocol.transport.opening import open_server
from protocol.transport.plain import PlainTransport
from protocol.transport.sockets import set_options
from protocol.transport.tls import LAST_WORDS


def take_socket(sock: socket.socket) -> PlainTransport:
    """Make a carrier of a socket that was just accepted; it is owned by the carrier from here on."""
    set_options(sock)
    return PlainTransport(sock)


async def accept_transport(
    sock: socket.socket,
    *,
    context: ssl.SSLContext | None,
    timeouts: TimeoutSettings,
) -> Transport:
    """Open the server's side of a connection.

    Args:
        sock: just accepted; used up, whatever happens.
        context: for TLS; None for a connection without encryption. A client that does the other
            thing is told so and sent away.
        timeouts: `handshake` bounds the TLS handshake, `first_frame` a plain client's first octet.

    Raises:
        Mismatch: the client speaks something else; one subclass for each thing.
        TransportError: the client did not get to the end of the handshake.
    """
    return await open_server(take_socket(sock), context=context, timeouts=timeouts)


async def turn_away(sock: socket.socket, *, timeouts: TimeoutSettings) -> None:
    """Send a client away while the server must encrypt and cannot: it has no certificate that can be used.

    A client without encryption is told to encrypt, one with it that the server has a problem of its own, so
    that it tries again.

    Args:
        sock: just accepted; used up, whatever happens.
        timeouts: `handshake` bounds the wait for its first octet.

    Raises:
        Mismatch: the client does not encrypt, or speaks something else.
        TransportError: it says nothing, or is gone.
    """
    carrier = take_socket(sock)
    await examine_client(carrier, encrypt=True, timeout=timeouts.handshake)
    await refuse_for_now(carrier)


async def refuse_for_now(carrier: Carrier) -> None:
    """Tell a TLS client that it cannot be served at the moment, before TLS begins.

    Args:
        carrier: nothing was taken from it; used up, whatever happens.

    Raises:
        TransportError: the client is gone.
    """
    try:
        carrier.send_nowait(INTERNAL_ERROR)
        await carrier.aclose(LAST_WORDS)
    finally:
        carrier.abort()
