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

from protocol.transport.errors import HandshakeTimeout
from protocol.transport.mismatch import TLS_OCTET
from protocol.transport.plain import PlainTransport

LARGEST_HELLO: Final = 8192
"""Bytes that are looked at: one with the largest key share in use has 2000."""

MOST_RECORDS: Final = 16
"""In which it may come: it is one as a rule. Each can be sent alone, and be a reason to look at all of them again."""

_CLIENT_HELLO: Final = 1
_ALPN: Final = 16
_RECORD: Final = 5


async def peek_protocols(carrier: PlainTransport, *, deadline: float) -> tuple[str, ...]:
    """Look at what a TLS client offers, without taking anything.

    Args:
        carrier: its first octet is there.
        deadline: of trio's clock, until which all of the message must have come.

    Returns:
        The protocols in the client's order; none where it offers none, or nothing that OpenSSL would not refuse.

    Raises:
        HandshakeTimeout: the message was not whole in time; the connection is closed.
        TransportError: the connection broke.
    """
    needed = _RECORD
    try:
        with trio.fail_at(deadline):
            while True:
                start = await carrier.peek_until(needed, LARGEST_HELLO)
                if len(start) < needed:
                    return ()  # it has gone in the middle of it: OpenSSL knows what to say
                found = offered_protocols(start)
                if isinstance(found, tuple):
                    return found
                needed = found
    except trio.TooSlowError:
        carrier.abort()
        raise HandshakeTimeout(carrier.peer_address, "the client's greeting was not whole in time") from None


def offered_protocols(start: bytes) -> tuple[str, ...] | int:
    """Read the offer from a client's first octets.

    Args:
        start: all that came so far; not trusted.

    Returns:
        The protocols; none where there is no offer, or no such message. While more must come, how many octets there
        must be for another look to be worth it; more than there are.
    """
    try:
        message, needed = _message(start)
        if needed > LARGEST_HELLO:
            return ()
        return needed or _alpn(_extensions(message))
    except (IndexError, ValueError):
        return ()


def _message(start: bytes) -> tuple[bytes, int]:
    """The handshake message out of its records; and where it is not all there, how many octets there must be."""
    found = bytearray()
    at = 0
    for _ in range(MOST_RECORDS):
        if at < len(start) and start[at] != TLS_OCTET:
            raise ValueError("not a handshake record")
        header = start[at : at + _RECORD]
        if len(header) < _RECORD:
            return b"", at + _RECORD
        length = int.from_bytes(header[3:])
        if not length:
            raise ValueError("a record without content")  # RFC 8446 section 5.1 forbids it
        found += start[at + _RECORD : at + _RECORD + length]
        at += _RECORD + length
        if found and found[0] != _CLIENT_HELLO:
            raise ValueError("not a ClientHello")
        size = int.from_bytes(found[1:4]) if len(found) >= 4 else LARGEST_HELLO
        if len(found) >= 4 + size:
            return bytes(found[4 : 4 + size]), 0
        if at > len(start):
            return b"", at
    raise ValueError("in too many records")


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
