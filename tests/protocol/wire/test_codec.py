from __future__ import annotations

import contextlib
import copy
import math
import pickle
import time
import tracemalloc
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from datetime import time as clock
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.wire.codec import MAX_NESTED_SETS, new_packer, pack, unpack
from protocol.wire.errors import CodecError
from protocol.wire.extensions import MAX_DECIMAL, MAX_INTEGER
from protocol.wire.limits import Limits

PRIME = (1 << 61) - 1  # what the hashes of numbers are taken modulo

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(1 << 200), 1 << 200)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.datetimes(timezones=st.just(UTC))
    | st.dates()
    | st.times()
    | st.timedeltas()
    | st.decimals(allow_nan=False)
    | st.uuids()
    | st.complex_numbers(allow_nan=False)
)
HASHABLE = st.recursive(SCALARS, lambda inner: st.frozensets(inner, max_size=4), max_leaves=6)
VALUES = st.recursive(
    SCALARS | st.sets(HASHABLE, max_size=4),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5),
    max_leaves=20,
)


HONEST = pack([{} for _ in range(60_000)])


def cost_of_refusing(data: bytes) -> float:
    """How many times as long as reading an honest message of many containers: the same on any machine."""

    def refuse() -> None:
        with pytest.raises(CodecError):
            unpack(data)

    def seconds(work: Callable[[], object]) -> float:
        started = time.process_time()
        work()
        return time.process_time() - started

    rounds = [(seconds(refuse), seconds(lambda: unpack(HONEST))) for _ in range(5)]
    return min(refused for refused, _ in rounds) / min(read for _, read in rounds)


@given(VALUES)
def test_a_value_comes_back_as_itself(value: Any) -> None:
    unpacked = unpack(pack(value))
    assert unpacked == value
    assert type(unpacked) is type(value)
    assert new_packer()(value) == pack(value)


def test_a_packer_holds_no_memory_before_its_first_value_and_after_a_large_one() -> None:
    tracemalloc.start()
    try:
        packers = [new_packer() for _ in range(100)]
        assert tracemalloc.get_traced_memory()[0] < 100 * 600
        for packer in packers[:10]:
            assert len(packer(bytes(1_000_000))) == 1_000_005
        assert tracemalloc.get_traced_memory()[0] < 200_000
        assert packers[0]([1, 2]) == pack([1, 2])
    finally:
        tracemalloc.stop()


@given(st.uuids())
def test_a_uuid_is_like_one_that_its_class_made(value: UUID) -> None:
    unpacked = unpack(pack(value))
    assert (hash(unpacked), str(unpacked), unpacked.is_safe) == (hash(value), str(value), value.is_safe)
    assert copy.deepcopy(pickle.loads(pickle.dumps(unpacked))) == value
    with pytest.raises(TypeError, match="immutable"):
        unpacked.int = 0


@pytest.mark.parametrize("size", [0, 15, 17])
def test_a_uuid_has_16_bytes(size: int) -> None:
    with pytest.raises(CodecError, match=f"a UUID of {size} bytes"):
        unpack(bytes([0xC7, size, 5]) + bytes(size))


@given(st.binary(max_size=200))
def test_garbage_is_a_value_or_a_codec_error(data: bytes) -> None:
    with contextlib.suppress(CodecError):
        unpack(data)


@given(VALUES, st.data())
def test_a_damaged_message_is_a_value_or_a_codec_error(value: Any, data: st.DataObject) -> None:
    octets = bytearray(pack(value))
    at = data.draw(st.integers(0, len(octets) - 1))
    octets[at] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(CodecError):
        unpack(bytes(octets))


@given(VALUES)
def test_a_part_of_a_message_or_more_than_one_is_refused(value: Any) -> None:
    packed = pack(value)
    for data in (packed[:-1], packed + b"\xc0"):
        with pytest.raises(CodecError):
            unpack(data)


def test_what_changes_its_type_on_the_way() -> None:
    assert unpack(pack((1, (2,)))) == [1, [2]]
    zone = timezone(timedelta(hours=2))
    arrived = unpack(pack(datetime(2030, 1, 1, 2, tzinfo=zone)))
    assert arrived == datetime(2030, 1, 1, tzinfo=UTC)
    assert arrived.tzinfo is UTC
    assert type(unpack(pack(frozenset({1})))) is set
    assert unpack(pack({(1, (2, 3))})) == {(1, (2, 3))}, "what is inside a set can be hashed"


def test_numbers_that_are_none_survive() -> None:
    assert math.isnan(unpack(pack(math.nan)))
    assert unpack(pack(Decimal("NaN"))).is_nan()
    assert unpack(pack(Decimal("sNaN"))).is_snan()
    assert unpack(pack(-0.0)).hex() == "-0x0.0p+0"


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(datetime(2030, 1, 1), id="naive datetime"),
        pytest.param(clock(1, tzinfo=UTC), id="time with a zone"),
        pytest.param(object(), id="any object"),
        pytest.param([{"a": range(3)}], id="range inside"),
        pytest.param("\udc80", id="surrogate"),
        pytest.param(1 << (8 * MAX_INTEGER), id="huge integer"),
        pytest.param(Decimal("1" * (MAX_DECIMAL + 1)), id="long decimal"),
    ],
)
def test_what_has_no_form_is_refused_here(value: object) -> None:
    with pytest.raises(CodecError):
        pack(value)


def test_a_value_that_contains_itself_is_refused_here() -> None:
    value: list[object] = []
    value.append(value)
    with pytest.raises(CodecError):
        pack(value)


@pytest.mark.parametrize(
    ("form", "limit"),
    [
        (b"\xc8" + (MAX_INTEGER + 1).to_bytes(2, "big") + b"\x06" + b"\x01" * (MAX_INTEGER + 1), "integer"),
        (b"\xc8" + (MAX_DECIMAL + 1).to_bytes(2, "big") + b"\x04" + b"1" * (MAX_DECIMAL + 1), "Decimal"),
    ],
)
def test_a_number_that_would_hold_the_loop_is_refused(form: bytes, limit: str) -> None:
    with pytest.raises(CodecError, match=limit):
        unpack(form)


def test_the_largest_integer_passes() -> None:
    value = (1 << (8 * MAX_INTEGER - 1)) - 1
    assert unpack(pack(value)) == value


class TestLimits:
    @pytest.mark.parametrize("limit", [1, 2, 64, 200])
    @pytest.mark.parametrize("wrap", [lambda v: [v], lambda v: {"a": v}], ids=["arrays", "maps"])
    def test_depth_is_counted_exactly(self, limit: int, wrap: Any) -> None:
        value: object = "x" * limit  # so that the message is not too small to be deep
        for _ in range(limit):
            value = wrap(value)
        limits = Limits(depth=limit)
        assert unpack(pack(value), limits) == value
        with pytest.raises(CodecError):
            unpack(pack(wrap(value)), limits)

    def test_depth_counts_inside_sets(self) -> None:
        value: Any = 1
        for _ in range(64):
            value = (value,)
        with pytest.raises(CodecError, match="deep"):
            unpack(pack({value}))

    @pytest.mark.parametrize("octet", [b"\x91", b"\x81\xa0"], ids=["arrays", "maps"])
    def test_a_million_levels_are_refused_at_once(self, octet: bytes) -> None:
        assert cost_of_refusing(octet * 1_000_000 + b"\xc0") < 3

    def test_elements_of_one_container_are_bounded(self) -> None:
        limits = Limits(elements=100)
        array, mapping = [0] * 100, {f"{number:03}": 0 for number in range(100)}
        assert unpack(pack(array), limits) == array
        assert unpack(pack(mapping), limits) == mapping
        for value in ([*array, 0], {**mapping, "more": 0}):
            with pytest.raises(CodecError):
                unpack(pack(value), limits)

    @pytest.mark.parametrize("empty", [b"\x80", b"\x90", b"\xc7\x00\x06"], ids=["map", "array", "extension"])
    def test_containers_of_a_message_are_bounded(self, empty: bytes) -> None:
        """Split over several arrays, each of which is within its bound."""
        limits = Limits(elements=100)
        item = pack({}) if empty == b"\x80" else pack([]) if empty == b"\x90" else pack(1 << 70)
        within = b"\x93" + (b"\xdc\x00\x20" + item * 32) * 3
        beyond = b"\x94" + (b"\xdc\x00\x20" + item * 32) * 4
        assert len(unpack(within, limits)) == 3
        with pytest.raises(CodecError):
            unpack(beyond, limits)

    def test_a_megabyte_of_empty_maps_costs_no_memory(self) -> None:
        bomb = b"\xdd" + (1_000_000).to_bytes(4, "big") + b"\x80" * 1_000_000
        halves = b"\x9f" + (b"\xdd\x00\x00\xff\xff" + b"\x80" * 65535) * 15
        for data in (bomb, halves):
            assert cost_of_refusing(data) < 8
            tracemalloc.start()
            with pytest.raises(CodecError):
                unpack(data)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
            assert peak < 12_000_000

    def test_containers_inside_a_set_are_bounded(self) -> None:
        inner = b"\xdc\xff\xff" + b"".join(b"\x91\xcd" + n.to_bytes(2, "big") for n in range(65535))
        sets = b"\xc9" + len(inner).to_bytes(4, "big") + b"\x08" + inner
        with pytest.raises(CodecError):
            unpack(b"\x93" + sets * 3)

    def test_members_of_a_set_are_bounded(self) -> None:
        inner = b"\xdd\x00\x01\x00\x01" + b"".join(b"\xce" + n.to_bytes(4, "big") for n in range(65537))
        with pytest.raises(CodecError):
            unpack(b"\xc9" + len(inner).to_bytes(4, "big") + b"\x08" + inner)

    def test_sets_inside_sets_are_bounded(self) -> None:
        value: frozenset[Any] = frozenset()
        for _ in range(MAX_NESTED_SETS - 1):
            value = frozenset({value})
        assert unpack(pack(value)) == value
        with pytest.raises(CodecError):
            unpack(pack(frozenset({value})))

    @pytest.mark.parametrize("octets", [b"\xdc\xff\xff", b"\xdd\x00\x00\xff\xff", b"\xde\xff\xff\xa1a"])
    def test_lying_lengths_are_refused_at_once(self, octets: bytes) -> None:
        assert cost_of_refusing(octets * 1000) < 1
        assert cost_of_refusing(octets * 1000 + b"\xc0" * 70_000) < 1

    @pytest.mark.parametrize(
        "member",
        [
            lambda n: n * PRIME << 64,
            lambda n: Decimal(n * PRIME),
            lambda n: UUID(int=n * PRIME),
        ],
        ids=["integers", "decimals", "uuids"],
    )
    def test_a_set_of_numbers_that_collide_is_refused_at_once(self, member: Any) -> None:
        """All have the hash 0: with 20,000 of them, building the set takes seconds."""
        colliding = b"\xdc\x4e\x20" + b"".join(pack(member(n)) for n in range(1, 20_001))
        assert cost_of_refusing(b"\xc9" + len(colliding).to_bytes(4, "big") + b"\x08" + colliding) < 8

    def test_an_honest_large_set_passes(self) -> None:
        value = set(range(-30_000, 30_000))
        assert unpack(pack(value)) == value

    @pytest.mark.parametrize("key", [1, None, b"a", 1.5, (1,), date(2030, 1, 1)])
    @pytest.mark.parametrize("room", [b"", b"\xdd\x00\x01\x00\x00" + b"\x90" * 65536], ids=["small", "large"])
    def test_keys_are_strings(self, key: object, room: bytes) -> None:
        mapping = b"\x81" + pack(key) + b"\x01"
        with pytest.raises(CodecError):
            unpack(b"\x92" + mapping + (room or b"\x90"))
