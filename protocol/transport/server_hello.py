"""Which group a TLS handshake agreed on, read from the server's first flight.

Python tells the group only from 3.15 on; before that, it can be read by anyone who sees the wire: in TLS 1.3
from the key share of ServerHello, in TLS 1.2 from ServerKeyExchange, both in the clear. The client looks at
these bytes before OpenSSL takes them. It is for display alone: nothing is decided by what is found here.

Source: RFC 8446 sections 4.1.3 and 4.2.8 and RFC 8422 section 5.4.
"""

from __future__ import annotations

import struct

from protocol.certs.groups import GROUP_NAMES

FLIGHT = 8192
"""Bytes that hold ServerHello and ServerKeyExchange behind any usual certificate chain."""

_HANDSHAKE_RECORD = 22
_SERVER_HELLO = 2
_SERVER_KEY_EXCHANGE = 12
_KEY_SHARE = 51
_NAMED_CURVE = 3


def group_of(flight: bytes) -> str | None:
    """Find the group in the first bytes that a server sent.

    Args:
        flight: untrusted, and perhaps not all of it.

    Returns:
        The group's name, its number where it has none here, or None where the bytes do not say.
    """
    try:
        number = _find(_messages(flight))
    except (struct.error, IndexError):
        return None
    return None if number is None else GROUP_NAMES.get(number, f"group {number}")


def _messages(flight: bytes) -> bytes:
    """The handshake messages of all leading records that are in the clear."""
    found = bytearray()
    at = 0
    while at + 5 <= len(flight):
        kind, _, length = struct.unpack_from(">BHH", flight, at)
        if kind != _HANDSHAKE_RECORD:
            break
        found += flight[at + 5 : at + 5 + length]
        at += 5 + length
    return bytes(found)


def _find(messages: bytes) -> int | None:
    at = 0
    while at + 4 <= len(messages):
        kind = messages[at]
        length = int.from_bytes(messages[at + 1 : at + 4], "big")
        body = messages[at + 4 : at + 4 + length]
        if kind == _SERVER_HELLO:
            group = _key_share(body)
            if group is not None:
                return group
        elif kind == _SERVER_KEY_EXCHANGE and body[0] == _NAMED_CURVE:
            number: int = struct.unpack_from(">H", body, 1)[0]
            return number
        at += 4 + length
    return None


def _key_share(hello: bytes) -> int | None:
    """The group of ServerHello's key_share extension, which TLS 1.3 alone has."""
    at = 2 + 32  # version, random
    at += 1 + hello[at]  # session id
    at += 2 + 1  # cipher suite, compression
    end = at + 2 + int(struct.unpack_from(">H", hello, at)[0])
    at += 2
    while at + 4 <= min(end, len(hello)):
        extension, length = struct.unpack_from(">HH", hello, at)
        if extension == _KEY_SHARE:
            number: int = struct.unpack_from(">H", hello, at + 4)[0]
            return number
        at += 4 + length
    return None
