"""Attrs classes: fields, defaults, inheritance, generics, and classes that contain themselves."""

from __future__ import annotations

import enum
import inspect
import traceback
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Optional, TypeVar, Union
from uuid import UUID

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.interface import ContractError, Converter, InvalidValue
from protocol.interface.annotations import Compiler
from protocol.wire.codec import pack, unpack
from protocol.wire.extensions import MAX_DECIMAL

if TYPE_CHECKING:
    from fractions import Fraction

T = TypeVar("T")
K = TypeVar("K")


class Color(enum.Enum):
    RED = "red"


@attrs.frozen
class Line:
    article: str
    price: Decimal
    count: int = 1


@attrs.define
class Order:
    unit: ClassVar[str] = "EUR"
    number: int
    lines: list[Line]
    note: str | None = None
    tags: set[str] = attrs.Factory(set)
    total: Decimal = attrs.field(init=False, default=Decimal(0))


@attrs.define
class Tree:
    name: str
    children: list[Tree] = attrs.Factory(list)
    parent: Tree | None = None


@attrs.define
class Chicken:
    egg: Egg | None


@attrs.define
class Egg:
    chicken: Chicken


@attrs.define
class Page(Generic[T]):
    rows: list[T]
    next: int | None = None


@attrs.define
class OrderPage(Page[Order]):
    title: str = ""


@attrs.define
class Pair(Generic[K, T]):
    first: K
    second: T


@attrs.define
class Swapped(Pair[T, K], Generic[K, T]):
    third: list[K]


@attrs.define
class Base:
    a: int


@attrs.define
class Derived(Base):
    b: int = 5


@attrs.define
class Keyword:
    _hidden: int
    name: str = attrs.field(alias="label")
    flag: bool = attrs.field(kw_only=True)
    other: int = attrs.field(kw_only=True, default=3)


@attrs.define
class Checked:
    count: int = attrs.field(validator=attrs.validators.gt(0))


def strip(text: str) -> str:
    return text.strip()


@attrs.define
class Cleaned:
    name: str = attrs.field(converter=strip)


@attrs.define
class Dependent:
    a: int
    b: int = attrs.Factory(lambda self: self.a + 1, takes_self=True)


@attrs.define
class Empty:
    pass


@attrs.define(init=False)
class OwnInit:
    a: int

    def __init__(self) -> None:
        self.a = 1


@attrs.define
class Untyped:
    a = attrs.field()  # type: ignore[var-annotated]


@attrs.define
class Invisible:
    a: Fraction


@attrs.define
class Broken:
    a: list[object] | 5  # type: ignore[valid-type]


@dataclass
class Data:
    a: int


@attrs.define
class Outer:
    inner: Middle


@attrs.define
class Middle:
    data: Data


def converter(annotation: Any) -> Converter:
    return Compiler().converter(annotation, "test").rooted("it")


def round_trip(annotation: Any, value: object) -> Any:
    chosen = converter(annotation)
    return chosen.decode(unpack(pack(chosen.encode(value))))


LINE = Line("nail", Decimal("0.05"), 100)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Line, LINE),
        (Order, Order(1, [LINE, Line("saw", Decimal(20))], tags={"new"})),
        (Tree, Tree("a", [Tree("b", [Tree("c")])])),
        (Chicken, Chicken(Egg(Chicken(None)))),
        (Page[Order], Page([Order(1, [])], next=2)),
        (Page[int], Page([1])),
        (Page[Page[str]], Page([Page(["a"])])),
        (OrderPage, OrderPage([Order(1, [])], None, "t")),
        (Swapped[int, str], Swapped("a", 1, [2])),
        (Derived, Derived(1, 2)),
        (Keyword, Keyword(1, "n", flag=True)),
        (Checked, Checked(1)),
        (Dependent, Dependent(1, 7)),
        (Empty, Empty()),
        (list[Line | None], [LINE, None]),
    ],
)
def test_a_structure_arrives_as_itself(annotation: Any, value: object) -> None:
    arrived = round_trip(annotation, value)
    assert arrived == value
    assert type(arrived) is type(value)


@attrs.frozen
class Small:
    number: int


MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (Decimal | None, Decimal("1.50")),
        (Decimal | None, None),
        (date | datetime, MOMENT),
        (date | datetime | None, MOMENT),
        (date | datetime, date(2026, 1, 2)),
        (Decimal | list[int], [1, 2]),
        (Decimal | dict[str, int], {"a": 1}),
        (Decimal | set[int], {1, 2}),
        (Decimal | Small, Small(3)),
        (Decimal | Small, Decimal(3)),
        (UUID | Color, Color.RED),
        (UUID | Color, UUID(int=1)),
        (timedelta | time, time(1, 2)),
        (complex | list[int], [1]),
        (dict[str, Decimal], {"a": Decimal("1.5")}),
        (list[date | None], [date(2026, 1, 2), None]),
    ],
    ids=str,
)
def test_a_field_of_any_type_arrives_as_the_value_alone_does(annotation: Any, value: object) -> None:
    """Generated encoders give some values their form themselves: never those of another type."""
    holder = attrs.make_class("Holder", {"field": attrs.field(type=annotation)}, frozen=True)
    compiler = Compiler()
    alone = compiler.converter(annotation, "field")
    converter = compiler.converter(holder, "holder")
    packed = pack(converter.encode(holder(value)))
    assert packed == pack({"field": alone.encode(value)})
    assert converter.decode(unpack(packed)) == holder(value)


def test_a_field_that_cannot_be_packed_is_named() -> None:
    converter = Compiler().converter(Line, "line").rooted("args.line")
    with pytest.raises(InvalidValue, match=r"args\.line\.price.*Decimal of"):
        converter.encode(Line("x", Decimal("1" * (MAX_DECIMAL + 1))))


def test_a_structure_is_a_map_of_its_field_names() -> None:
    assert converter(Keyword).encode(Keyword(1, "n", flag=True)) == {
        "_hidden": 1,
        "name": "n",
        "flag": True,
        "other": 3,
    }
    assert "total" not in converter(Order).encode(Order(1, []))


def test_absent_fields_take_their_defaults_and_unknown_ones_are_ignored() -> None:
    order = converter(Order).decode({"number": 1, "lines": [], "from the future": 5})
    assert order == Order(1, [])
    assert order.tags is not converter(Order).decode({"number": 1, "lines": []}).tags
    assert converter(Dependent).decode({"a": 1}) == Dependent(1, 2)
    assert converter(Keyword).decode({"_hidden": 1, "name": "n", "flag": False}).other == 3


def test_a_subclass_of_what_was_annotated_arrives_as_what_was_annotated() -> None:
    assert round_trip(Base, Derived(1)) == Base(1)


def test_the_class_converts_and_checks_as_it_always_does() -> None:
    assert converter(Cleaned).decode({"name": " a "}) == Cleaned("a")
    with pytest.raises(InvalidValue) as error:
        converter(list[Checked]).decode([{"count": 1}, {"count": 0}])
    assert str(error.value) == "it[1]: expected a valid Checked, got ValueError: 'count' must be > 0: 0"
    assert isinstance(error.value.__cause__, ValueError)


@pytest.mark.parametrize(
    ("annotation", "value", "message"),
    [
        (Line, None, "it: expected Line, got None"),
        (Line, {"article": "a"}, "it: expected Line, got dict"),
        (Line, Line("a", 1.5), "it.price: expected Decimal, got float"),  # type: ignore[arg-type]
        (Order, Order(1, [LINE, Line("a", "b")]), "it.lines[1].price: expected Decimal, got str"),  # type: ignore[arg-type]
        (Order, Order(1, [], note=5), "it.note: expected str or None, got int"),  # type: ignore[arg-type]
        (Order, Order(1, [], tags={5}), "it.tags[*]: expected str, got int"),  # type: ignore[arg-type]
        (Tree, Tree("a", [Tree("b", [Tree(5)])]), "it.children[0].children[0].name: expected str, got int"),  # type: ignore[arg-type]
        (Page[str], Page([1]), "it.rows[0]: expected str, got int"),
        (OrderPage, OrderPage([1]), "it.rows[0]: expected Order, got int"),  # type: ignore[list-item]
        (Swapped[int, str], Swapped(1, 1, []), "it.first: expected str, got int"),
    ],
)
def test_a_wrong_value_is_refused_with_its_path(annotation: Any, value: object, message: str) -> None:
    with pytest.raises(InvalidValue) as error:
        converter(annotation).encode(value)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("annotation", "plain", "message"),
    [
        (Line, [], "it: expected Line, got list"),
        (Line, {}, "it.article: expected str, got nothing"),
        (Line, {"article": "a"}, "it.price: expected Decimal, got nothing"),
        (Line, {"article": "a", "price": None}, "it.price: expected Decimal, got None"),
        (Line, {"article": "a", "price": Decimal(1), "count": "1"}, "it.count: expected int, got str"),
        (
            Order,
            {"number": 1, "lines": [{"article": "a"}]},
            "it.lines[0].price: expected Decimal, got nothing",
        ),
        (Order, {"number": True, "lines": []}, "it.number: expected int, got bool"),
        (Tree, {"name": "a", "parent": {"name": 5}}, "it.parent.name: expected str, got int"),
        (Keyword, {"_hidden": 1, "name": "n"}, "it.flag: expected bool, got nothing"),
    ],
)
def test_a_wrong_plain_value_is_refused_with_its_path(annotation: Any, plain: object, message: str) -> None:
    with pytest.raises(InvalidValue) as error:
        converter(annotation).decode(plain)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        (OwnInit, "test: OwnInit cannot be made from its fields: its __init__ takes ()"),
        (Untyped, "test: Untyped.a has no annotation"),
        (Page, "test: the type variable ~T stands for no type: give one in brackets"),
        (list[T], "test: the type variable ~T stands for no type: give one in brackets"),  # type: ignore[valid-type]
        (Data, "test: Data cannot travel (make the dataclass an attrs class)"),
        (Outer, "test: Outer.inner: Middle.data: Data cannot travel (make the dataclass an attrs class)"),
    ],
)
def test_a_class_that_cannot_travel_is_refused_by_name(annotation: Any, message: str) -> None:
    with pytest.raises(ContractError) as error:
        converter(annotation)
    assert str(error.value) == message


def test_a_name_that_is_not_there_at_run_time_is_named() -> None:
    with pytest.raises(
        ContractError, match="test: Invisible: the name 'Fraction' in an annotation is not defined"
    ):
        converter(Invisible)


def test_an_annotation_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(ContractError, match="test: Broken: an annotation cannot be read: "):
        converter(Broken)


def test_a_refused_class_leaves_nothing_half_built() -> None:
    compiler = Compiler()
    for _ in range(2):
        with pytest.raises(ContractError, match="Data cannot travel"):
            compiler.converter(Outer, "test")
    assert compiler.types == {}


def test_two_classes_of_one_name_have_two_descriptions() -> None:
    def make(kind: type) -> type:
        return attrs.make_class("Same", {"a": attrs.field(type=kind)})

    compiler = Compiler()
    for kind in (int, str, bytes):
        compiler.converter(make(kind), "test")
    assert len(compiler.types) == 3
    assert "Same" in compiler.types


def test_a_generic_class_is_described_alike_however_its_arguments_are_written() -> None:
    spellings: list[Any] = [Page[int | str | None], Page[Optional[Union[str, int]]]]  # noqa: UP007, UP045
    for spelling in spellings:
        compiler = Compiler()
        compiler.converter(spelling, "test")
        assert list(compiler.types) == ["Page[int | str | None]"]


def test_generated_code_can_be_read_in_a_traceback() -> None:
    source = inspect.getsource(Compiler().converter(Line, "test").decode)
    assert "_value['price']" in source
    with pytest.raises(InvalidValue) as error:
        Compiler().converter(Line, "test").decode({"article": "a", "price": 1})
    assert "_v_price = _convert_v_price(_v_price)" in "".join(traceback.format_exception(error.value))


def test_a_tree_too_deep_for_the_stack_is_refused() -> None:
    tree = Tree("leaf")
    for _ in range(10_000):
        tree = Tree("node", parent=tree)
    with pytest.raises(InvalidValue, match=r"^it: nested too deeply$"):
        converter(Tree).encode(tree)


lines = st.builds(Line, st.text(), st.decimals(allow_nan=False), st.integers())
orders = st.builds(
    Order, st.integers(), st.lists(lines, max_size=4), st.none() | st.text(), st.sets(st.text())
)
trees: st.SearchStrategy[Tree] = st.recursive(
    st.builds(Tree, st.text()), lambda inner: st.builds(Tree, st.text(), st.lists(inner, max_size=3), inner)
)
rows: Any = st.builds(
    attrs.make_class(
        "Row",
        {
            "number": attrs.field(type=int),
            "day": attrs.field(type=date),
            "key": attrs.field(type=UUID),
            "ok": attrs.field(type=bool),
        },
    ),
    st.integers(),
    st.dates(),
    st.uuids(),
    st.booleans(),
)


@given(orders, trees, rows)
def test_structures_survive_the_round_trip(order: Order, tree: Tree, row: Any) -> None:
    assert round_trip(Order, order) == order
    assert round_trip(Tree, tree) == tree
    assert round_trip(Page[Order], Page([order])) == Page([order])
    assert round_trip(type(row), row) == row
