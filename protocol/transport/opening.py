"""What turns a connection into a transport, on both sides, over TCP and in memory alike."""

from __future__ import annotations

import ssl
from collections.abc import Callable

from protocol.certs import check_peer_certificate
from protocol.settings import TimeoutSettings
from protocol.transport.address import Address
from protocol.transport.base import ALPN, Carrier, Security, Transport
from protocol.transport.errors import TlsFailure
from protocol.transport.memory import MemoryTransport
from protocol.transport.memory_tls import open_memory_tls
from protocol.transport.mismatch import (
    HTTP_ANSWER,
    ServerOpening,
    examine_client,
    unnamed_protocol,
    unnamed_server,
)
from protocol.transport.plain import PlainTransport
from protocol.transport.tls import LAST_WORDS, open_tls

Verify = Callable[[Security], None]
"""Looks at what was agreed and raises if that is not good enough: pins, a demanded key."""


async def open_client(
    carrier: Carrier,
    address: Address,
    *,
    context: ssl.SSLContext | None,
    timeouts: TimeoutSettings,
    verify: Verify | None = None,
    protocol: str = ALPN,
) -> Transport:
    """Open the client's side of a connection.

    Args:
        carrier: just connected; used up, whatever happens.
        address: whose certificate is expected. Its pin is compared with the server's key unless
            `verify` is given.
        context: for TLS; None for a connection without encryption. There is no falling back.
        timeouts: `handshake` bounds the TLS handshake.
        verify: called after the handshake, before anything is sent; what it raises ends the connection.
        protocol: that the server must have named in the handshake.

    Raises:
        TransportError: one subclass for each cause.
        PeerError: of `protocol.certs`, if the server's key is not the one of the pin.
    """
    if context is None:
        carrier.examine_first(ServerOpening(carrier.peer_address).feed)
        return carrier
    transport = await _start_tls(carrier, context, timeouts.handshake, server_hostname=address.host)
    try:
        if transport.security.protocol != protocol:
            raise unnamed_server(transport.peer_address, protocol)
        if verify is not None:
            verify(transport.security)
        elif address.pin is not None:
            check_peer_certificate(
                transport.security.peer_certificate, address.pin, address=transport.peer_address
            )
    except BaseException:
        transport.abort()
        raise
    return transport


async def open_server(
    carrier: Carrier,
    *,
    context: ssl.SSLContext | None,
    timeouts: TimeoutSettings,
    protocol: str = ALPN,
) -> Transport:
    """Open the server's side of a connection.

    Args:
        carrier: just accepted; used up, whatever happens.
        context: for TLS; None for a connection without encryption. A client that does the other
            thing is told so and sent away.
        timeouts: `handshake` bounds the TLS handshake, `first_frame` a plain client's first octet.
        protocol: that the client must have named in the handshake.

    Raises:
        Mismatch: the client speaks something else; one subclass for each thing.
        TransportError: the client did not get to the end of the handshake.
    """
    if context is None:
        await examine_client(carrier, encrypt=False, timeout=timeouts.first_frame)
        return carrier
    await examine_client(carrier, encrypt=True, timeout=timeouts.handshake)
    transport = await _start_tls(carrier, context, timeouts.handshake)
    if context.verify_mode is ssl.CERT_REQUIRED and not transport.security.client_chain:
        # A session of TLS 1.2 that is resumed by its id: without tickets OpenSSL keeps it by itself, Python cannot
        # switch that off, and the client's certificate is not looked at again, whatever has become of it.
        transport.abort()
        raise TlsFailure(
            transport.peer_address,
            "the client resumed a TLS session, in which its certificate is not looked at",
            "It has to connect by a whole handshake",
        )
    if transport.security.protocol != protocol:
        try:
            transport.send_nowait(HTTP_ANSWER)  # most probably a browser; nobody else is harmed by it
            await transport.aclose(LAST_WORDS)
        finally:
            transport.abort()
        raise unnamed_protocol(transport.peer_address, protocol)
    return transport


async def _start_tls(
    carrier: Carrier, context: ssl.SSLContext, timeout: float, server_hostname: str | None = None
) -> Transport:
    server_side = server_hostname is None
    match carrier:
        case PlainTransport():
            return await open_tls(
                carrier, context, timeout=timeout, server_hostname=server_hostname, server_side=server_side
            )
        case MemoryTransport():
            return await open_memory_tls(
                carrier, context, timeout=timeout, server_hostname=server_hostname, server_side=server_side
            )
        case _:
            raise TypeError(f"TLS cannot run over {type(carrier).__name__}")
