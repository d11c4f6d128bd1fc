"""ERROR, REFUSE and GOAWAY that fit: what is too long for the other side is shortened.

So a failure is told in any case. The texts quote names and values of the other side's choosing, and exceptions'
texts have any length; an ERROR that could not be sent would end the whole connection for the failure of one
call, and a REFUSE or GOAWAY in a frame that the other side does not take would say nothing of its reason.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from protocol.wire.envelope import Goaway, Refuse, encode_error
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
    if most - len(encode_error(attrs.evolve(error, message=""))) < MIN_MESSAGE:
        trace = None if error.trace is None else _cut(error.trace, MAX_TRACE)
        error = attrs.evolve(error, code=_cut(error.code, MAX_CODE), trace=trace, data=None, causes=())
    return _with_text(lambda text: encode_error(attrs.evolve(error, message=text)), error.message, most)


def encode_short_refuse(refuse: Refuse, most: int) -> bytes:
    """The payload of REFUSE, its text shortened to where it has at most `most` bytes."""
    code, reference = _cut(refuse.code, MAX_CODE), _cut(refuse.reference, MAX_TRACE)
    short = attrs.evolve(refuse, code=code, reference=reference)
    return _with_text(lambda text: attrs.evolve(short, text=text).encode(), refuse.text, most)


def encode_short_goaway(goaway: Goaway, most: int) -> bytes:
    """The payload of GOAWAY, its text shortened to where it has at most `most` bytes.

    An address that leaves no room for a reason stays behind: a part of one would be another one.
    """
    if most - len(attrs.evolve(goaway, text="").encode()) < MIN_MESSAGE:
        goaway = attrs.evolve(goaway, address=None)
    return _with_text(lambda text: attrs.evolve(goaway, text=text).encode(), goaway.text, most)


def _with_text(encode: Callable[[str], bytes], text: str, most: int) -> bytes:
    """A payload with as much of its text as there is room for.

    A long text's length takes up to four bytes more than an empty one's.
    """
    return encode(_cut(text, most - len(encode("")) - 4))


def _cut(text: str, most: int) -> str:
    """The beginning of a text, at most so many bytes as it travels."""
    encoded = text.encode("utf-8", "backslashreplace")
    if len(encoded) <= most:
        return encoded.decode()
    return encoded[: most - len("…".encode())].decode("utf-8", "ignore") + "…"
