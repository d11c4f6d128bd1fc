"""Reading the payload of EVENT: `[number, body]` and an optional map.

Nearly all have one form, without the map, and it is read here by its few octets. Whatever else comes goes through
the codec, which says what is wrong with it.
"""

from __future__ import annotations

import struct
from struct import Struct
from typing import Final

from protocol.wire.envelope import read_fields
from protocol.wire.limits import Limits

_PAIR: Final = 0x92
_NUMBERS: Final = {0xCC: Struct(">xB"), 0xCD: Struct(">xH"), 0xCE: Struct(">xI"), 0xCF: Struct(">xQ")}
_SIZES: Final = {0xC4: Struct(">xB"), 0xC5: Struct(">xH"), 0xC6: Struct(">xI")}
"""What follows msgpack's octet for an unsigned integer, and for the size of binary data.
Source: https://github.com/msgpack/msgpack/blob/master/spec.md"""


def decode_event(payload: bytes, limits: Limits) -> tuple[int, bytes]:
    """The number and the body of an EVENT.

    Args:
        payload: untrusted.
        limits: bounds for decoding.

    Raises:
        RemoteProtocolError: the payload has another form.
    """
    short = _decode_short(payload)
    if short is not None:
        return short
    sequence, body, _ = read_fields("EVENT", payload, limits, int, bytes)
    return sequence, body


def _decode_short(payload: bytes) -> tuple[int, bytes] | None:
    """The same where there is no map; None for what is of another form, or damaged."""
    try:
        number, at = payload[1], 2
        if number >= 0x80:
            form = _NUMBERS[number]
            (number,) = form.unpack_from(payload, 1)
            at = 1 + form.size
        form = _SIZES[payload[at]]
        (size,) = form.unpack_from(payload, at)
    except (IndexError, KeyError, struct.error):
        return None
    at += form.size
    if payload[0] != _PAIR or at + size != len(payload):
        return None
    return number, payload[at:]
