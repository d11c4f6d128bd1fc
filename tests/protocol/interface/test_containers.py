"""Lists, tuples, sets, maps and plain values: what arrives, and the path to what is wrong."""

from __future__ import annotations

import types
from collections import OrderedDict
from collections.abc import Mapping, MutableMapping, MutableSequence, MutableSet, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.interface import ContractError, Converter, InvalidValue
from protocol.interface.annotations import Compiler
from protocol.wire.codec import pack, unpack


@attrs.frozen
class Point:
    x: int
    y: Decimal = Decimal(0)


@attrs.define
class Mutable:
    x: int


@attrs.frozen
class Holder:
    values: list[int]


NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


def converter(annotation: Any) -> Converter:
    return Compiler().converter(annotation, "test").rooted("it")


def round_trip(annotation: Any, value: object) -> Any:
    chosen = converter(annotation)
    return chosen.decode(unpack(pack(chosen.encode(value))))


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (list[int], [1, 2]),
        (list[int], []),
        (list[float], [1.5]),
        (list[Point], [Point(1), Point(2, Decimal("0.5"))]),
        (list[list[str]], [["a"], []]),
        (list, [1, "a", None]),
        (list[int | None], [1, None]),
        (MutableSequence[int], [1]),
        (Sequence[Point], [Point(1)]),
        (tuple[int, ...], (1, 2)),
        (tuple[Point, ...], (Point(1),)),
        (tuple[int, str], (1, "a")),
        (tuple[()], ()),
        (tuple, (1, "a")),
        (set[int], {1, 2}),
        (set[Point], {Point(1)}),
        (set[Point], set()),
        (set[tuple[int, str]], {(1, "a")}),
        (frozenset[str], frozenset({"a"})),
        (set[frozenset[str]], {frozenset({"a"})}),
        (AbstractSet[int], frozenset({1})),
        (MutableSet[int], {1}),
        (dict[str, int], {"a": 1}),
        (dict[str, Point], {"a": Point(1)}),
        (dict[int, Point], {1: Point(1)}),
        (dict[Point, str], {Point(1): "a"}),
        (dict[tuple[int, int], int], {(1, 2): 3}),
        (dict, {"a": [1, None]}),
        (Mapping[str, int], {"a": 1}),
        (MutableMapping[str, int], {"a": 1}),
        (object, [1, {"a": [NOON, time(1), {1}]}, None]),
        (Any, {"a": 1}),
    ],
)
def test_a_container_arrives_as_what_was_annotated(annotation: Any, value: object) -> None:
    arrived = round_trip(annotation, value)
    assert arrived == value
    assert type(arrived) is type(value)


@pytest.mark.parametrize(
    ("annotation", "value", "arrives"),
    [
        (list[float], [1, 2.0], [1.0, 2.0]),
        (Sequence[int], (1, 2), [1, 2]),
        (Sequence[int], range(2), [0, 1]),
        (AbstractSet[int], {1}, frozenset({1})),
        (Mapping[str, int], types.MappingProxyType({"a": 1}), {"a": 1}),
        (dict[str, int], OrderedDict(a=1), {"a": 1}),
        (AbstractSet[int], {1: "a"}.keys(), frozenset({1})),
        (object, (1, 2), [1, 2]),
    ],
)
def test_what_stands_for_a_container_arrives_as_the_annotated_one(
    annotation: Any, value: object, arrives: object
) -> None:
    arrived = round_trip(annotation, value)
    assert arrived == arrives
    assert type(arrived) is type(arrives)


@pytest.mark.parametrize(
    ("annotation", "value", "message"),
    [
        (list[int], (1, 2), "it: expected list[int], got tuple"),
        (list[int], [1, "2", 3], "it[1]: expected int, got str"),
        (list[float], [1.0, 2, "3"], "it[2]: expected float, got str"),
        (list[list[int]], [[1], [2, None]], "it[1][1]: expected int, got None"),
        (list[Point], [Point(1), 7], "it[1]: expected Point, got int"),
        (Sequence[str], "abc", "it: expected Sequence[str], got str"),
        (Sequence[int], b"abc", "it: expected Sequence[int], got bytes"),
        (tuple[int, ...], [1], "it: expected tuple[int, ...], got list"),
        (tuple[int, ...], (1, None), "it[1]: expected int, got None"),
        (tuple[int, str], (1,), "it: expected tuple[int, str] of 2 values, got 1"),
        (tuple[int, str], (1, 2), "it[1]: expected str, got int"),
        (tuple[int, str], [1, "a"], "it: expected tuple[int, str], got list"),
        (tuple[()], (1,), "it: expected tuple[()] of 0 values, got 1"),
        (set[int], [1], "it: expected set[int], got list"),
        (set[int], {1, "a"}, "it[*]: expected int, got str"),
        (frozenset[int], {1}, "it: expected frozenset[int], got set"),
        (dict[str, int], [1], "it: expected dict[str, int], got list"),
        (dict[str, int], {"a": "b"}, "it['a']: expected int, got str"),
        (dict[str, int], {"a": 1, 2: 3}, "it[key 2]: expected str, got int"),
        (dict[int, int], {1: "b"}, "it[1]: expected int, got str"),
        (dict[int, int], {"a": 1}, "it[key 'a']: expected int, got str"),
        (object, {"a": [1, Point(1)]}, "it['a'][1]: expected a plain value, got Point"),
        (object, {1: 2}, "it[key 1]: expected str, got int"),
        (object, {Point(1)}, "it[*]: expected a plain value, got Point"),
        (object, datetime(2024, 1, 1), "it: expected a plain value, got datetime"),
        (object, time(1, tzinfo=UTC), "it: expected a plain value, got time"),
    ],
)
def test_a_wrong_value_is_refused_with_its_path(annotation: Any, value: object, message: str) -> None:
    with pytest.raises(InvalidValue) as error:
        converter(annotation).encode(value)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("annotation", "plain", "message"),
    [
        (list[int], {"a": 1}, "it: expected list[int], got dict"),
        (list[Point], [{"x": 1}, {"x": "2"}], "it[1].x: expected int, got str"),
        (tuple[int, ...], "ab", "it: expected tuple[int, ...], got str"),
        (tuple[int, str], {}, "it: expected tuple[int, str], got dict"),
        (tuple[int, str], [1, "a", 3], "it: expected tuple[int, str] of 2 values, got 3"),
        (set[int], [1], "it: expected set[int], got list"),
        (set[int], {"a"}, "it[*]: expected int, got str"),
        (set[Point], {1}, "it: expected set[Point], got set"),
        (set[Point], [{"x": None}], "it[*].x: expected int, got None"),
        (dict[str, int], [], "it: expected dict[str, int], got list"),
        (dict[int, str], {"1": "a"}, "it: expected dict[int, str], got dict"),
        (dict[int, str], [[1, "a"], [2]], "it[1]: expected [key, value], got list"),
        (dict[int, str], [[1, "a"], 2], "it[1]: expected [key, value], got int"),
        (dict[int, str], [[1, "a"], [1, "b"]], "it: expected dict[int, str] with each key once, got 1"),
        (dict[int, str], [["1", "a"]], "it[key '1']: expected int, got str"),
        (dict[int, Point], [[5, {}]], "it[5].x: expected int, got nothing"),
    ],
)
def test_a_wrong_plain_value_is_refused_with_its_path(annotation: Any, plain: object, message: str) -> None:
    with pytest.raises(InvalidValue) as error:
        converter(annotation).decode(plain)
    assert str(error.value) == message


def test_members_that_turn_out_not_hashable_are_refused() -> None:
    with pytest.raises(
        InvalidValue, match=r"^it: expected set\[Decimal \| Point\] of hashable members, got "
    ):
        converter(set[Point | Decimal]).decode([Decimal("sNaN")])
    with pytest.raises(InvalidValue, match=r"^it: expected set\[Holder\] of hashable members, got "):
        converter(set[Holder]).decode([{"values": [1]}])
    with pytest.raises(InvalidValue, match=r"^it: expected dict\[Decimal, int\] with hashable keys, got "):
        converter(dict[Decimal, int]).decode([[Decimal("sNaN"), 1]])


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        (set[list[int]], "test: list[int] is not hashable, so it cannot be in a set"),
        (set[Mutable], "test: Mutable is not hashable, so it cannot be in a set"),
        (dict[Mutable, int], "test: Mutable is not hashable, so it cannot be a key"),
        (frozenset[object], "test: a plain value is not hashable, so it cannot be in a set"),
        (set, "test: set needs the type of its members: set[str]"),
    ],
)
def test_what_cannot_be_hashed_is_no_member_and_no_key(annotation: Any, message: str) -> None:
    with pytest.raises(ContractError) as error:
        converter(annotation)
    assert str(error.value) == message


def test_members_that_are_not_scalars_travel_as_an_array() -> None:
    assert converter(set[Point]).encode(set()) == []
    assert converter(set[int]).encode(set()) == set()


def test_a_long_key_is_cut_in_the_path() -> None:
    with pytest.raises(InvalidValue) as error:
        converter(dict[str, int]).decode({"k" * 10_000: "x"})
    assert len(str(error.value)) < 120


def test_a_value_that_contains_itself_is_refused() -> None:
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(InvalidValue) as error:
        converter(object).encode(endless)
    assert str(error.value) == "it: nested too deeply"


def test_the_value_given_is_never_changed() -> None:
    given_map = {"a": 1, "b": 2.5}
    encoded = converter(dict[str, float]).encode(given_map)
    assert encoded == {"a": 1.0, "b": 2.5}
    assert type(given_map["a"]) is int


@given(st.lists(st.integers()), st.dictionaries(st.integers(), st.text()), st.sets(st.text()))
def test_containers_survive_the_round_trip(
    numbers: list[int], texts: dict[int, str], names: set[str]
) -> None:
    assert round_trip(list[int], numbers) == numbers
    assert round_trip(tuple[float, ...], tuple(numbers[:0])) == ()
    assert round_trip(dict[int, str], texts) == texts
    assert round_trip(set[str], names) == names
    assert round_trip(dict[str, list[int]], dict.fromkeys(names, numbers)) == dict.fromkeys(names, numbers)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(PLAIN)
def test_plain_values_survive_the_round_trip(value: object) -> None:
    assert round_trip(object, value) == value


ANNOTATIONS: list[Any] = [
    list[int],
    tuple[int, str],
    tuple[Point, ...],
    set[Point],
    frozenset[int],
    dict[str, Point],
    dict[int, list[str]],
    object,
]


@given(st.sampled_from(ANNOTATIONS), PLAIN)
def test_garbage_decodes_or_is_an_invalid_value_and_nothing_else(annotation: Any, garbage: object) -> None:
    chosen = converter(annotation)
    try:
        decoded = chosen.decode(garbage)
    except InvalidValue as error:
        assert str(error).startswith("it")  # noqa: PT017  # both outcomes are right
    else:
        assert chosen.decode(unpack(pack(chosen.encode(decoded)))) == decoded
