"""Single values: what is taken, what is refused and in which words."""

from __future__ import annotations

import enum
import sys
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Annotated, Any, Literal, NewType
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.interface import ContractError, Converter, InvalidValue
from protocol.interface.annotations import Compiler
from protocol.wire.codec import pack, unpack


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Name(enum.StrEnum):
    ADA = "ada"


class Right(enum.IntFlag):
    READ = 1
    WRITE = 2


class Strict(enum.Flag, boundary=enum.STRICT):
    READ = 1
    WRITE = 2


class Shape(enum.Enum):
    POINT = (1, 2)


class MyInt(int):
    pass


class MyText(str):
    pass


class MyBytes(bytes):
    pass


class MyDate(date):
    pass


class MyDuration(timedelta):
    pass


class MyUUID(UUID):
    pass


class MyDecimal(Decimal):
    pass


OrderNumber = NewType("OrderNumber", int)
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)
SOME_ID = UUID("12345678-1234-5678-1234-567812345678")


def converter(annotation: Any) -> Converter:
    return Compiler().converter(annotation, "test").rooted("it")


def round_trip(annotation: Any, value: object) -> Any:
    chosen = converter(annotation)
    return chosen.decode(unpack(pack(chosen.encode(value))))


EXAMPLES: list[tuple[Any, object]] = [
    (None, None),
    (bool, True),
    (int, 2**70),
    (int, -1),
    (float, 1.5),
    (complex, 1 + 2j),
    (str, "Grüße"),
    (bytes, b"\x00\xff"),
    (datetime, NOON),
    (date, date(2024, 2, 29)),
    (time, time(23, 59, 59, 999999)),
    (timedelta, timedelta(days=-1, microseconds=1)),
    (Decimal, Decimal("10.50")),
    (UUID, SOME_ID),
    (PurePosixPath, PurePosixPath("a/b.txt")),
    (PureWindowsPath, PureWindowsPath("C:\\a\\b.txt")),
    (Path, Path("a/b.txt")),
    (Color, Color.BLUE),
    (Level, Level.HIGH),
    (Name, Name.ADA),
    (Right, Right.READ | Right.WRITE),
    (Right, Right(0)),
    (Strict, Strict.READ | Strict.WRITE),
    (Literal["a", 1, None], 1),
    (Literal["a", 1, None], None),
    (Literal[b"x"], b"x"),
    (Literal[Color.RED], Color.RED),
    (Literal[True], True),
    (OrderNumber, 7),
    (Annotated[int, "a note"], 7),
]


@pytest.mark.parametrize(("annotation", "value"), EXAMPLES)
def test_a_value_arrives_as_what_was_annotated(annotation: Any, value: object) -> None:
    arrived = round_trip(annotation, value)
    assert arrived == value
    assert type(arrived) is type(value)


@pytest.mark.parametrize(
    ("annotation", "value", "arrives"),
    [
        (float, 3, 3.0),
        (complex, 3, 3 + 0j),
        (complex, 1.5, 1.5 + 0j),
        (int, MyInt(7), 7),
        (int, Level.HIGH, 2),
        (float, Level.HIGH, 2.0),
        (str, MyText("a"), "a"),
        (str, Name.ADA, "ada"),
        (bytes, MyBytes(b"a"), b"a"),
        (date, MyDate(2024, 1, 2), date(2024, 1, 2)),
        (timedelta, MyDuration(1), timedelta(1)),
        (UUID, MyUUID(int=5), UUID(int=5)),
        (Decimal, MyDecimal("1.50"), Decimal("1.50")),
    ],
)
def test_what_stands_for_a_type_arrives_as_that_type(annotation: Any, value: object, arrives: object) -> None:
    encoded = converter(annotation).encode(value)
    assert type(encoded) is type(arrives)
    arrived = round_trip(annotation, value)
    assert arrived == arrives
    assert type(arrived) is type(arrives)


def test_a_datetime_arrives_as_the_same_moment_in_utc() -> None:
    local = datetime(2024, 5, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    arrived = round_trip(datetime, local)
    assert arrived == local
    assert arrived.tzinfo is UTC


@pytest.mark.parametrize(
    ("annotation", "value", "message"),
    [
        (None, 0, "it: expected None, got int"),
        (bool, 1, "it: expected bool, got int"),
        (int, True, "it: expected int, got bool"),
        (int, 1.0, "it: expected int, got float"),
        (int, "1", "it: expected int, got str"),
        (int, None, "it: expected int, got None"),
        (float, True, "it: expected float, got bool"),
        (float, "1", "it: expected float, got str"),
        (float, 10**400, "it: expected float, got a large int"),
        (complex, False, "it: expected complex, got bool"),
        (complex, 10**400, "it: expected complex, got a large int"),
        (str, b"a", "it: expected str, got bytes"),
        (bytes, "a", "it: expected bytes, got str"),
        (bytes, bytearray(b"a"), "it: expected bytes, got bytearray"),
        (datetime, date(2024, 1, 1), "it: expected datetime, got date"),
        (datetime, datetime(2024, 1, 1), "it: expected datetime with a time zone, got one without"),
        (date, NOON, "it: expected date, got datetime"),
        (time, "12:00", "it: expected time, got str"),
        (time, time(12, tzinfo=UTC), "it: expected time without a time zone, got one with"),
        (timedelta, 5, "it: expected timedelta, got int"),
        (Decimal, "1.5", "it: expected Decimal, got str"),
        (Decimal, 1.5, "it: expected Decimal, got float"),
        (UUID, str(SOME_ID), "it: expected UUID, got str"),
        (Path, 7, "it: expected Path, got int"),
        (Color, 7, "it: expected Color, got int"),
        (Level, True, "it: expected Level, got bool"),
        (Literal["a", "b"], "c", "it: expected 'a' | 'b', got 'c'"),
        (Literal["a", "b"], 1, "it: expected 'a' | 'b', got int"),
        (Literal[1], True, "it: expected 1, got bool"),
        (Literal[1], [], "it: expected 1, got list"),
        (OrderNumber, "7", "it: expected int, got str"),
    ],
)
def test_a_wrong_value_is_refused_on_both_sides(annotation: Any, value: object, message: str) -> None:
    with pytest.raises(InvalidValue) as encoding:
        converter(annotation).encode(value)
    assert str(encoding.value) == message
    with pytest.raises(InvalidValue) as decoding:
        converter(annotation).decode(value)
    assert str(decoding.value) == message


@pytest.mark.parametrize(
    ("annotation", "plain", "message"),
    [
        (Color, "purple", "it: expected a value of Color, got 'purple'"),
        (Level, 3, "it: expected a value of Level, got 3"),
        (Strict, 8, "it: expected a value of Strict, got 8"),
        (Color, "x" * 500, f"it: expected a value of Color, got '{'x' * 56}..."),
        (Color, Color.RED, "it: expected Color, got Color"),
        (Path, Path("a"), f"it: expected Path, got {type(Path('a')).__name__}"),
    ],
)
def test_a_wrong_plain_value_is_refused(annotation: Any, plain: object, message: str) -> None:
    with pytest.raises(InvalidValue) as error:
        converter(annotation).decode(plain)
    assert str(error.value) == message


def test_an_encoded_text_does_not_reach_an_enum() -> None:
    with pytest.raises(InvalidValue, match="expected Color, got str"):
        converter(Color).encode("red")


def test_a_flag_that_ejects_unknown_bits_refuses_them() -> None:
    class Loose(enum.IntFlag, boundary=enum.EJECT):
        READ = 1

    with pytest.raises(InvalidValue, match="expected a value of Loose, got 8"):
        converter(Loose).decode(8)


def test_an_enum_of_other_values_cannot_travel() -> None:
    with pytest.raises(ContractError) as error:
        converter(Shape)
    assert str(error.value) == "test: Shape.POINT is (1, 2): an enum travels by str or int values"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="`type X = ...` is new in Python 3.12")
def test_a_type_alias_stands_for_its_type() -> None:
    namespace: dict[str, Any] = {}
    exec("type Number = int\ntype Many[T] = list[T] | None", namespace)
    assert round_trip(namespace["Number"], 7) == 7
    assert round_trip(namespace["Many"][str], ["a"]) == ["a"]
    with pytest.raises(InvalidValue, match=r"^it\[0\]: expected str, got int$"):
        round_trip(namespace["Many"][str], [7])


def test_a_path_travels_with_forward_slashes() -> None:
    assert converter(PureWindowsPath).encode(PureWindowsPath("a\\b")) == "a/b"


def test_a_small_enum_value_is_shown_in_the_error_but_never_a_huge_one() -> None:
    with pytest.raises(InvalidValue, match="got a large int"):
        converter(Level).decode(10**5000)


STRATEGIES: dict[Any, st.SearchStrategy[Any]] = {
    bool: st.booleans(),
    int: st.integers(),
    float: st.floats(allow_nan=False),
    complex: st.complex_numbers(allow_nan=False),
    str: st.text(),
    bytes: st.binary(),
    datetime: st.datetimes(timezones=st.just(UTC)),
    date: st.dates(),
    time: st.times(),
    timedelta: st.timedeltas(),
    Decimal: st.decimals(allow_nan=False),
    UUID: st.uuids(),
    Color: st.sampled_from(Color),
    Right: st.integers(0, 3).map(Right),
}


@given(st.sampled_from(list(STRATEGIES)).flatmap(lambda kind: st.tuples(st.just(kind), STRATEGIES[kind])))
def test_every_value_survives_the_round_trip(pair: tuple[Any, Any]) -> None:
    kind, value = pair
    arrived = round_trip(kind, value)
    assert arrived == value
    assert type(arrived) is type(value)
