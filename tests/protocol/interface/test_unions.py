"""Unions: which member a value belongs to, on both sides."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Generic, Literal, Optional, TypeVar, Union
from uuid import UUID

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.interface import ContractError, Converter, InvalidValue
from protocol.interface.annotations import Compiler
from protocol.wire.codec import pack, unpack

T = TypeVar("T")


@attrs.frozen
class Circle:
    radius: float


@attrs.frozen
class Square:
    side: float


@attrs.frozen
class Cube(Square):
    depth: float


@attrs.frozen
class Group:
    members: list[Circle | Square | Group]
    name: str | None = None


@attrs.frozen
class Box(Generic[T]):
    content: T


class Color(enum.Enum):
    RED = "red"


NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


def converter(annotation: Any) -> Converter:
    return Compiler().converter(annotation, "test").rooted("it")


def round_trip(annotation: Any, value: object) -> Any:
    chosen = converter(annotation)
    return chosen.decode(unpack(pack(chosen.encode(value))))


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int | None, None),
        (int | None, 7),
        (Optional[Circle], Circle(1.0)),  # noqa: UP045  # the old spelling works, too
        (Union[int, str], "a"),  # noqa: UP007
        (int | str, 7),
        (int | float, 7),
        (int | float, 7.0),
        (bool | int, True),
        (date | datetime, date(2024, 1, 1)),
        (date | datetime, NOON),
        (Decimal | UUID | bytes, b"a"),
        (list[int] | str | None, [1]),
        (list[Circle] | Circle, Circle(2.0)),
        (dict[str, int] | list[int], {"a": 1}),
        (set[int] | list[int], {1}),
        (Color | int, Color.RED),
        (Literal["a"] | int, "a"),
        (Literal["a"] | Literal["b"], "b"),
        (Circle | Square, Square(1.0)),
        (Circle | Square | None, None),
        (Circle | Square | int, 7),
        (Square | Cube, Cube(1.0, 2.0)),
        (Cube | Square, Square(1.0)),
        (Box[int] | Circle, Box(7)),
        (Group, Group([Circle(1.0), Group([], "inner")])),
        (int | object, "anything"),
        (set[int | str], {1, "a"}),
        (set[Circle | Square], {Circle(1.0), Square(1.0)}),
        (dict[int | str, int], {1: 1, "a": 2}),
    ],
)
def test_a_member_arrives_as_itself(annotation: Any, value: object) -> None:
    arrived = round_trip(annotation, value)
    assert arrived == value
    assert type(arrived) is type(value)


def test_an_int_that_a_stranger_sends_is_read_as_the_float_of_the_union() -> None:
    assert repr(converter(float | str).decode(7)) == "7.0"
    assert repr(converter(float | int).decode(7)) == "7"


def test_classes_carry_their_name_only_where_there_are_two() -> None:
    assert converter(Circle | None).encode(Circle(1.0)) == {"radius": 1.0}
    assert converter(Circle | int).encode(Circle(1.0)) == {"radius": 1.0}
    assert converter(Circle | Square).encode(Circle(1.0)) == ["Circle", {"radius": 1.0}]
    assert converter(Box[int] | Square).encode(Box(1)) == ["Box", {"content": 1}]


def test_an_instance_of_a_subclass_goes_as_the_most_derived_member() -> None:
    @attrs.frozen
    class Deep(Cube):
        pass

    assert converter(Square | Cube).encode(Deep(1.0, 2.0)) == ["Cube", {"side": 1.0, "depth": 2.0}]


@pytest.mark.parametrize(
    ("annotation", "value", "arrives"),
    [
        (float | str, 7, 7.0),
        (float | None, 7, 7.0),
        (complex | str, 7, 7 + 0j),
        (Sequence[int] | str, (1, 2), [1, 2]),
    ],
)
def test_what_stands_for_a_member_arrives_as_that_member(
    annotation: Any, value: object, arrives: object
) -> None:
    arrived = round_trip(annotation, value)
    assert arrived == arrives
    assert type(arrived) is type(arrives)


@pytest.mark.parametrize(
    ("annotation", "value", "message"),
    [
        (int | None, "a", "it: expected int or None, got str"),
        (list[int] | None, ["a"], "it[0]: expected int, got str"),
        (int | str, 1.5, "it: expected int | str, got float"),
        (int | str | None, 1.5, "it: expected int | str or None, got float"),
        (Circle | Square, Box(1), "it: expected Circle | Square, got Box"),
        (Circle | Square | None, 7, "it: expected Circle | Square or None, got int"),
        (Circle | Square, Circle("a"), "it.radius: expected float, got str"),  # type: ignore[arg-type]
        (Group, Group([Circle(1.0), 5]), "it.members[1]: expected Circle | Square | Group, got int"),  # type: ignore[list-item]
    ],
)
def test_a_wrong_value_is_refused_with_its_path(annotation: Any, value: object, message: str) -> None:
    with pytest.raises(InvalidValue) as error:
        converter(annotation).encode(value)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("annotation", "plain", "message"),
    [
        (int | str, 1.5, "it: expected int | str, got float"),
        (Circle | Square, {"radius": 1.0}, "it: expected Circle | Square, got dict"),
        (Circle | Square, ["Circle"], "it: expected Circle | Square, got list"),
        (Circle | Square, [{}, {}], "it: expected Circle | Square, got list"),
        (Circle | Square, ["Cube", {}], "it: expected Circle | Square, got 'Cube'"),
        (Circle | Square, ["Circle", {}], "it.radius: expected float, got nothing"),
        (Circle | Square, ["Circle", 7], "it: expected Circle, got int"),
        (Circle | int, {"radius": "a"}, "it.radius: expected float, got str"),
    ],
)
def test_a_wrong_plain_value_is_refused_with_its_path(annotation: Any, plain: object, message: str) -> None:
    with pytest.raises(InvalidValue) as error:
        converter(annotation).decode(plain)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        (str | Path, "test: str and Path look the same on the wire (str)"),
        (str | Color, "test: str and Color look the same on the wire (str)"),
        (Literal["a"] | str, "test: 'a' and str look the same on the wire (str)"),
        (list[int] | tuple[int, ...], "test: list[int] and tuple[int, ...] look the same on the wire (list)"),
        (
            list[int] | Circle | Square,
            "test: list[int] and Circle | Square look the same on the wire (list)",
        ),
        (dict[str, int] | Circle, "test: dict[str, int] and Circle look the same on the wire (dict)"),
        (
            dict[str, int] | dict[int, int],
            "test: dict[str, int] and dict[int, int] cannot be told apart when they are sent",
        ),
        (
            Box[int] | Box[str],
            "test: two classes of a union are named Box: their names tell them apart",
        ),
    ],
)
def test_members_that_cannot_be_told_apart_are_refused(annotation: Any, message: str) -> None:
    with pytest.raises(ContractError) as error:
        converter(annotation)
    assert str(error.value) == message


shapes: st.SearchStrategy[Any] = st.recursive(
    st.builds(Circle, st.floats(allow_nan=False)) | st.builds(Square, st.floats(allow_nan=False)),
    lambda inner: st.builds(Group, st.lists(inner, max_size=4), st.none() | st.text()),
)


@given(shapes, st.integers() | st.text() | st.none() | st.lists(st.integers()))
def test_unions_survive_the_round_trip(shape: Any, value: Any) -> None:
    assert round_trip(Circle | Square | Group, shape) == shape
    assert round_trip(int | str | list[int] | None, value) == value
