"""From an accepted socket to an open connection: its first octet, then TLS."""

from __future__ import annotations

import socket
import ssl

from protocol.settings import TimeoutSettings
from protocol.transport.base import Transport
from protocol.transport.opening import open_server
from protocol.transport.plain import PlainTransport
from protocol.transport.sockets import set_options


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
    set_options(sock)
    return await open_server(PlainTransport(sock), context=context, timeouts=timeouts)
