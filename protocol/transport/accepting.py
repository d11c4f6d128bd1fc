"""From an accepted socket to an open connection: its first octet, then TLS."""

from __future__ import annotations

import socket
import ssl

from protocol.settings import TimeoutSettings
from protocol.transport.base import Transport
from protocol.transport.mismatch import HTTP_ANSWER, examine_client, unnamed_protocol
from protocol.transport.plain import PlainTransport
from protocol.transport.security import speaks_appserver
from protocol.transport.sockets import set_options
from protocol.transport.tls import LAST_WORDS, open_tls


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
    plain = PlainTransport(sock)
    if context is None:
        await examine_client(plain, encrypt=False, timeout=timeouts.first_frame)
        return plain
    await examine_client(plain, encrypt=True, timeout=timeouts.handshake)
    transport = await open_tls(plain, context, timeout=timeouts.handshake, server_side=True)
    if not speaks_appserver(transport.tls):
        try:
            transport.send_nowait(HTTP_ANSWER)  # most probably a browser; nobody else is harmed by it
            await transport.aclose(LAST_WORDS)
        finally:
            transport.abort()
        raise unnamed_protocol(transport.peer_address)
    return transport
