"""Reading EVENT: the short way gives what the codec gives, and refuses what it refuses."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from protocol.wire.bodies import read_event
from protocol.wire.codec import pack
from protocol.wire.envelope import read_fields
from protocol.wire.errors import RemoteProtocolError
from protocol.wire.limits import Limits
from protocol.wire.publications import encode_event

LIMITS = Limits()
NUMBERS = [0, 1, 127, 128, 255, 256, 65_535, 65_536, (1 << 32) - 1, 1 << 32, (1 << 64) - 1]
SIZES = [0, 1, 255, 256, 65_535, 65_536]


def by_codec(payload: bytes) -> tuple[int, bytes] | None:
    """What the codec reads; None where it refuses."""
    try:
        sequence, body, _ = read_fields("EVENT", payload, LIMITS, int, bytes)
    except RemoteProtocolError:
        return None
    return sequence, body


def read(payload: bytes) -> tuple[int, bytes] | None:
    """What is read here; None where it is refused."""
    try:
        return read_event(payload, LIMITS)
    except RemoteProtocolError:
        return None


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("size", SIZES)
def test_every_size_of_number_and_body_is_read(number: int, size: int) -> None:
    body = bytes(size)
    assert read_event(encode_event(number, body), LIMITS) == (number, body)
    assert read_event(encode_event(number, body, {"later": 1}), LIMITS) == (number, body)


@pytest.mark.parametrize("payload", [encode_event(300, b"body"), encode_event(1, bytes(300), {"a": 1})])
def test_what_is_cut_or_followed_by_something_is_refused(payload: bytes) -> None:
    for end in range(len(payload)):
        assert read(payload[:end]) is None
    assert read(payload + b"\x00") is None


@given(st.binary(max_size=40) | st.builds(lambda rest: b"\x92" + rest, st.binary(max_size=40)))
@example(pack([-1, b""]))
@example(pack([True, b""]))
@example(pack([1, "text"]))
@example(pack([1.0, b""]))
@example(b"\x92\xcd\x00\x05\xc6\x00\x00\x00\x01a")  # longer forms than needed
def test_whatever_comes_is_read_as_the_codec_reads_it(payload: bytes) -> None:
    assert read(payload) == by_codec(payload)
