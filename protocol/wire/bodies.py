"""What CALL, RESULT and EVENT carry, read from untrusted bytes.

Nearly all traffic has three forms: a CALL without deadline is `[method, nil, body]`, a RESULT is `[body]`, an EVENT is
`[number, body]`. These are taken apart by their octets: looking at a few of them costs a fifth of a general msgpack
reader, and no more where the body is long. Whatever has another form, also a valid one, is read, or refused, the
general way.
"""

from __future__ import annotations

from typing import Any

from protocol.wire.codec import unpack
from protocol.wire.envelope import MAX_UNSIGNED, read_fields
from protocol.wire.errors import CodecError, RemoteProtocolError
from protocol.wire.limits import Limits

_NIL = 0xC0
_BIN8, _BIN16, _BIN32 = 0xC4, 0xC5, 0xC6
_ARRAY1, _ARRAY2, _ARRAY3 = 0x91, 0x92, 0x93
_SMALL_INT_END = 0x80
_UNSIGNED = {0xCC: 3, 0xCD: 4, 0xCE: 6, 0xCF: 10}
"""Where a larger unsigned integer ends that is the first field, by its first octet."""
_STR, _STR_END, _STR8 = 0xA0, 0xC0, 0xD9


def read_call(payload: bytes, limits: Limits) -> tuple[str, float | None, bytes, dict[str, Any]]:
    """Method, deadline in seconds, body and optional map of a CALL; raises RemoteProtocolError."""
    plain = _split_call(payload)
    if plain is not None:
        return plain[0], None, plain[1], {}
    try:
        fields = unpack(payload, limits)
    except CodecError as exc:
        raise RemoteProtocolError(f"CALL: {exc}") from exc
    extra: dict[str, Any]
    match fields:
        case [str(method), None | int() as milliseconds, bytes(body)]:
            extra = {}
        case [str(method), None | int() as milliseconds, bytes(body), dict(extra)]:
            pass
        case _:
            raise RemoteProtocolError("CALL: expected [method, deadline, body] and an optional map")
    if milliseconds is None:
        return method, None, body, extra
    if 0 <= milliseconds <= MAX_UNSIGNED:
        return method, milliseconds / 1000, body, extra
    raise RemoteProtocolError("CALL: the deadline is no unsigned integer of 64 bits")


def read_result(payload: bytes, limits: Limits) -> bytes:
    """The body of a RESULT; raises RemoteProtocolError."""
    if payload and payload[0] == _ARRAY1:
        body = _rest(payload, 1, len(payload))
        if body is not None:
            return body
    try:
        fields = unpack(payload, limits)
    except CodecError as exc:
        raise RemoteProtocolError(f"RESULT: {exc}") from exc
    match fields:
        case [bytes(body)] | [bytes(body), dict()]:
            return body
    raise RemoteProtocolError("RESULT: expected [body] and an optional map")


def read_event(payload: bytes, limits: Limits) -> tuple[int, bytes]:
    """Number and body of an EVENT; raises RemoteProtocolError."""
    plain = _split_event(payload)
    if plain is not None:
        return plain
    number, body, _ = read_fields("EVENT", payload, limits, int, bytes)
    return number, body


def _split_call(payload: bytes) -> tuple[str, bytes] | None:
    """Method and body of a CALL without deadline and map."""
    size = len(payload)
    if size < 5 or payload[0] != _ARRAY3:
        return None
    head = payload[1]
    if _STR <= head < _STR_END:
        begin = 2
        end = head - _STR + 2
    elif head == _STR8:
        begin = 3
        end = payload[2] + 3
    else:
        return None
    if end >= size or payload[end] != _NIL:
        return None
    body = _rest(payload, end + 1, size)
    if body is None:
        return None
    try:
        return payload[begin:end].decode(), body
    except UnicodeDecodeError:
        return None


def _split_event(payload: bytes) -> tuple[int, bytes] | None:
    """Number and body of an EVENT without map."""
    size = len(payload)
    if size < 4 or payload[0] != _ARRAY2:
        return None
    head = payload[1]
    end = 2 if head < _SMALL_INT_END else _UNSIGNED.get(head, size)
    body = _rest(payload, end, size)
    if body is None:
        return None
    return (head if end == 2 else int.from_bytes(payload[2:end], "big")), body


def _rest(payload: bytes, at: int, size: int) -> bytes | None:
    """The bytes that begin at an offset, where they are all that comes there."""
    begin = at + 2
    if begin > size:
        return None
    head = payload[at]
    if head == _BIN8:
        length = payload[at + 1]
    elif head == _BIN16:
        begin = at + 3
        length = int.from_bytes(payload[at + 1 : begin], "big")
    elif head == _BIN32:
        begin = at + 5
        length = int.from_bytes(payload[at + 1 : begin], "big")
    else:
        return None
    return payload[begin:] if begin + length == size else None
