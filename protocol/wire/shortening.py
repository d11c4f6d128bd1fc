"""ERRORs that fit: what is too long for the other side is shortened, so that a failure is told in any case.

The texts quote names and values of the other side's choosing, and exceptions' texts have any length; an
ERROR that could not be sent would end the whole connection for the failure of one call.
"""

from __future__ import annotations

import attrs

from protocol.wire.envelope import encode_error
from protocol.wire.errors import ErrorInfo

MAX_CODE = 200
MAX_TRACE = 100
"""Bytes that stay of a code and a trace: with them and a sentence an ERROR fits into the smallest message
limit. No code or trace of this side's own is that long."""

MIN_MESSAGE = 200
"""Bytes of a message that matter more than data and causes."""


def encode_short_error(error: ErrorInfo, most: int) -> bytes:
    """The payload of ERROR, shortened where it has to be.

    Args:
        error: what is told.
        most: bytes that the other side accepts, at least the smallest `Limits.message`. Where it is
            more, the message loses its end; if that is not enough, data and causes stay behind.
    """
    payload = encode_error(error)
    if len(payload) <= most:
        return payload
    room = _room(error, most)
    if room < MIN_MESSAGE:
        trace = None if error.trace is None else _cut(error.trace, MAX_TRACE)
        code = _cut(error.code, MAX_CODE)
        error = attrs.evolve(error, code=code, trace=trace, data=None, causes=())
        room = _room(error, most)
    return encode_error(attrs.evolve(error, message=_cut(error.message, room)))


def _room(error: ErrorInfo, most: int) -> int:
    """Bytes that are left for the message; a long text's length takes up to four more than an empty one's."""
    return most - len(encode_error(attrs.evolve(error, message=""))) - 4


def _cut(text: str, most: int) -> str:
    """The beginning of a text, at most so many bytes as it travels."""
    encoded = text.encode("utf-8", "backslashreplace")
    if len(encoded) <= most:
        return text
    return encoded[: most - len("…".encode())].decode("utf-8", "ignore") + "…"
