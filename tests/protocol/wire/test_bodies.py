"""CALL and RESULT taken apart by their octets: the same as a general reader finds, whatever the bytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.wire import bodies
from protocol.wire.bodies import read_call, read_result
from protocol.wire.errors import RemoteProtocolError
from protocol.wire.limits import Limits

LIMITS = Limits()
SIZES = [0, 1, 255, 256, 65_535, 65_536]
NAMES = ["", "A.b", "A" * 31, "A" * 32, "Ä.b" * 10, "A" * 255, "A" * 256]


def outcome(read: Callable[[bytes, Limits], Any], payload: bytes) -> object:
    """What reading gives, or that it is refused."""
    try:
        return read(payload, LIMITS)
    except RemoteProtocolError:
        return RemoteProtocolError


def in_general(read: Callable[[bytes, Limits], Any], payload: bytes) -> object:
    """The same, without looking at octets."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bodies, "_split_call", lambda payload: None)
        patch.setattr(bodies, "_rest", lambda payload, at, size: None)
        return outcome(read, payload)


@pytest.mark.parametrize("size", SIZES)
def test_bodies_of_all_sizes_are_found(size: int) -> None:
    body = b"\xc4" * size
    assert read_result(msgpack.packb([body]), LIMITS) == body
    for name in NAMES:
        assert read_call(msgpack.packb([name, None, body]), LIMITS) == (name, None, body, {})


@pytest.mark.parametrize(
    "fields",
    [["A.b", 1500, b"x"], ["A.b", None, b"x", {"offset": 1}], ["A.b", 0, b""], ["A.b", (1 << 64) - 1, b"x"]],
    ids=str,
)
def test_other_forms_are_read_the_general_way(fields: list[Any]) -> None:
    deadline = None if fields[1] is None else fields[1] / 1000
    extra = fields[3] if len(fields) > 3 else {}
    assert read_call(msgpack.packb(fields), LIMITS) == (fields[0], deadline, fields[2], extra)
    assert read_result(msgpack.packb([b"x", {"a": 1}]), LIMITS) == b"x"


@pytest.mark.parametrize("read", [read_call, read_result])
def test_cut_and_changed_payloads_mean_what_they_mean_in_general(read: Callable[..., Any]) -> None:
    for payload in (
        msgpack.packb(["Orders.find", None, b"0123"]),
        msgpack.packb(["O" * 40, None, b"0" * 300]),
        msgpack.packb(["Orders.find", 5, b""]),
        msgpack.packb([b"0123"]),
        msgpack.packb([b"0" * 300]),
        b"\x91\xc6\x00\x00\x00\x04abcd",
        b"\x93\xd9\x01a\xc0\xc5\x00\x01b",
        b"\x93\xa2\xff\xfe\xc0\xc4\x01b",
    ):
        for end in range(len(payload) + 1):
            assert outcome(read, payload[:end]) == in_general(read, payload[:end])
        assert outcome(read, payload + b"\xc0") == in_general(read, payload + b"\xc0")
        for place in range(min(len(payload), 24)):
            for octet in range(0, 256, 3):
                changed = payload[:place] + bytes([octet]) + payload[place + 1 :]
                assert outcome(read, changed) == in_general(read, changed)


@given(st.binary(max_size=40))
def test_any_bytes_mean_what_they_mean_in_general(data: bytes) -> None:
    for prefix in (b"", b"\x91", b"\x93\xa1a", b"\x93\xa1a\xc0"):
        assert outcome(read_call, prefix + data) == in_general(read_call, prefix + data)
        assert outcome(read_result, prefix + data) == in_general(read_result, prefix + data)
