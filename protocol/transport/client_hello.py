"""Which protocols a TLS client offers (ALPN), read from its first message before TLS begins.

A server that wants client certificates must know before the handshake that a client cannot have one yet. OpenSSL
tells the server's name early, but lets nobody change then what is demanded of the client; so the message is
looked at where it lies, unread, and the context is chosen that the connection begins and ends with.

What is found here decides which context is used and nothing else: each serves one protocol alone, and
whoever lies about his offer is served by neither.

Source: RFC 8446 sections 4.1.2 and 5.1, RFC 7301 section 3.1.
"""

from __future__ import annotations

from typing import Final

import trio

from protocol.transport.mismatch import TLS_OCTET
from protocol.transport.plain import PlainTransport

LARGEST_HELLO: Final = 8192
"""Bytes that are looked at: one with the largest key share in use has 2000."""

PATIENCE: Final = 0.5
"""Seconds in which all of the message must have come: it is one segment as a rule, and is sent in one piece. Afterwards
it counts as one that offers nothing special, and OpenSSL takes the time that it has for the handshake."""

_CLIENT_HELLO: Final = 1
_ALPN: Final = 16
_RECORD: Final = 5


async def peek_protocols(carrier: PlainTransport) -> tuple[str, ...]:
    """Look at what a TLS client offers, without taking anything.

    Args:
        carrier: its first octet is there.

    Returns:
        The protocols in the client's order; none where it offers none, or does not say so in time.

    Raises:
        TransportError: the connection broke.
    """
    seen = -1
    with trio.move_on_after(PATIENCE):
        start = carrier.peek_nowait(LARGEST_HELLO) or b""
        while len(start) > seen:
            found = offered_protocols(start)
            if found is not None:
                return found
            seen = len(start)
            start = await carrier.peek_beyond(seen, LARGEST_HELLO)
    return ()  # it takes too long, or has gone in the middle of it: OpenSSL knows what to say


def offered_protocols(start: bytes) -> tuple[str, ...] | None:
    """Read the offer from a client's first octets.

    Args:
        start: all that came so far; not trusted.

    Returns:
        The protocols; none where there is no offer, or no such message; None while more must come.
    """
    try:
        message, whole = _message(start)
        if not whole:
            return None if len(start) < LARGEST_HELLO else ()
        return _alpn(_extensions(message))
    except (IndexError, ValueError):
        return ()


def _message(start: bytes) -> tuple[bytes, bool]:
    """The handshake message out of its records, and whether it is all there."""
    found = bytearray()
    at = 0
    while at < len(start):
        if start[at] != TLS_OCTET:
            raise ValueError("not a handshake record")
        header = start[at : at + _RECORD]
        if len(header) < _RECORD:
            break
        length = int.from_bytes(header[3:])
        found += start[at + _RECORD : at + _RECORD + length]
        at += _RECORD + length
    if found and found[0] != _CLIENT_HELLO:
        raise ValueError("not a ClientHello")
    size = int.from_bytes(found[1:4]) if len(found) >= 4 else LARGEST_HELLO
    return bytes(found[4 : 4 + size]), len(found) >= 4 + size


def _extensions(message: bytes) -> bytes:
    at = 2 + 32  # version, random
    at += 1 + message[at]  # session id
    at += 2 + int.from_bytes(message[at : at + 2])  # cipher suites
    at += 1 + message[at]  # compression methods
    return message[at + 2 :]


def _alpn(extensions: bytes) -> tuple[str, ...]:
    at = 0
    while at + 4 <= len(extensions):
        kind, length = int.from_bytes(extensions[at : at + 2]), int.from_bytes(extensions[at + 2 : at + 4])
        if kind == _ALPN:
            return tuple(_names(extensions[at + 6 : at + 4 + length]))
        at += 4 + length
    return ()


def _names(entries: bytes) -> list[str]:
    names = []
    at = 0
    while at < len(entries):
        end = at + 1 + entries[at]
        names.append(entries[at + 1 : end].decode("latin-1"))
        at = end
    return names
