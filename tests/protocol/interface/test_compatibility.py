"""Two versions of a contract: what still works is no difference, what would fail is named."""

from __future__ import annotations

import copy
import enum
import itertools
import types
from collections.abc import Callable
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any, Literal

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.interface import Blob, Event, Interface, InvalidValue, Stream, contract_of, differences
from protocol.interface.annotations import Compiler
from protocol.interface.readability import Reading
from protocol.wire.codec import pack, unpack


def contract(name: str = "Desk", version: tuple[int, int] = (1, 0), errors: Any = (), **body: Any) -> Any:
    """Return the description of a contract with these functions and event annotations."""
    functions = {
        key: value for key, value in body.items() if callable(value) and not hasattr(value, "__origin__")
    }
    events = {key: value for key, value in body.items() if key not in functions}
    cls = types.new_class(
        name,
        (Interface,),
        {"version": version, "errors": errors},
        lambda namespace: namespace.update(functions, __annotations__=events),
    )
    return contract_of(cls).description


def method(returns: Any = None, **parameters: Any) -> Any:
    """Return a method with these parameters: a type, or a pair of type and default."""
    annotations = {name: p[0] if isinstance(p, tuple) else p for name, p in parameters.items()}
    required = [name for name, p in parameters.items() if not isinstance(p, tuple)]
    optional = [f"{name}=None" for name, p in parameters.items() if isinstance(p, tuple)]
    namespace: dict[str, Any] = {}
    exec(f"def function(self, {', '.join(required + optional)}): ...", namespace)
    function = namespace["function"]
    function.__annotations__ = {**annotations, "return": returns}
    return function


def structure(name: str = "Order", **fields: Any) -> Any:
    """Return an attrs class with these fields: a type, or a pair of type and default."""
    made = {
        field: attrs.field(type=kind[0], default=kind[1])
        if isinstance(kind, tuple)
        else attrs.field(type=kind)
        for field, kind in fields.items()
    }
    return attrs.make_class(name, made, frozen=True)


def of(origin: Any, *arguments: Any) -> Any:
    """Return `origin[arguments]` for arguments made at run time."""
    return types.GenericAlias(origin, arguments)


OLD = structure(number=int)
WITH_DEFAULT = structure(number=int, note=(str, ""))
WITH_FIELD = structure(number=int, note=str)
TEXT = structure(number=str)
SQUARE = structure("Square", side=float)
Colors = enum.Enum("Colors", {"RED": "red"})
MoreColors = enum.Enum("MoreColors", {"RED": "red", "BLUE": "blue"})
Out = attrs.make_class("Out", {"a": attrs.field(type=int)}, bases=(Exception,))
OutText = attrs.make_class("Out", {"a": attrs.field(type=str)}, bases=(Exception,))


@pytest.mark.parametrize(
    ("client", "server"),
    [
        pytest.param({"m": method(a=int)}, {"m": method(a=int), "n": method()}, id="new method"),
        pytest.param({"m": method(a=int)}, {"m": method(a=int, b=(int, 0))}, id="new optional parameter"),
        pytest.param({"m": method(a=int, b=(int, 0))}, {"m": method(a=int)}, id="newer client's option"),
        pytest.param({"m": method(a=int)}, {"m": method(a=(int, 0))}, id="parameter became optional"),
        pytest.param({"m": method(o=OLD)}, {"m": method(o=WITH_DEFAULT)}, id="new field with default"),
        pytest.param({"m": method(o=WITH_FIELD)}, {"m": method(o=OLD)}, id="field the server ignores"),
        pytest.param({"m": method(OLD)}, {"m": method(WITH_FIELD)}, id="result with more fields"),
        pytest.param({"m": method(a=int)}, {"m": method(a=int | None)}, id="server takes None, too"),
        pytest.param({"m": method(int | None)}, {"m": method(int)}, id="server never gives None"),
        pytest.param({"m": method(a=int)}, {"m": method(a=float)}, id="int read as float"),
        pytest.param(
            {"m": method(a=Colors)}, {"m": method(a=MoreColors)}, id="enum grew on the reader's side"
        ),
        pytest.param({"m": method(a=Colors)}, {"m": method(a=str)}, id="enum read as text"),
        pytest.param({"m": method(a=list[int])}, {"m": method(a=tuple[int, ...])}, id="both are arrays"),
        pytest.param({"m": method(a=OLD)}, {"m": method(a=object)}, id="read as any value"),
        pytest.param({"m": method()}, {"m": method(), "changed": Event[int]}, id="new event"),
        pytest.param({"errors": [Out]}, {}, id="error never raised"),
        pytest.param({}, {"errors": [Out]}, id="error not known"),
        pytest.param({"version": (1, 0)}, {"version": (1, 5)}, id="minor version"),
    ],
)
def test_additive_differences_are_none(client: Any, server: Any) -> None:
    assert differences(contract(**client), contract(**server)) == []


@pytest.mark.parametrize(
    ("client", "server", "sentence"),
    [
        ({"name": "Desk"}, {"name": "Shop"}, "the client speaks Desk, the server Shop"),
        ({"version": (2, 0)}, {"version": (1, 3)}, "the client speaks Desk 2.0, the server 1.3"),
        ({"m": method()}, {}, "Desk.m: the server does not have this method"),
        (
            {"m": method(a=int, b=int)},
            {"m": method(a=int)},
            "Desk.m: parameter b: the server does not have this parameter",
        ),
        (
            {"m": method(a=int)},
            {"m": method(a=int, b=int)},
            "Desk.m: parameter b: the server needs it, the client does not have it",
        ),
        (
            {"m": method(a=(int, 0))},
            {"m": method(a=int)},
            "Desk.m: parameter a: the server needs it, the client may leave it out",
        ),
        (
            {"m": method(a=int)},
            {"m": method(b=int)},
            "Desk.m: parameter a: the server has b in its place",
        ),
        (
            {"m": method(a=int)},
            {"m": method(a=str)},
            "Desk.m: parameter a: the client sends int, the server expects str",
        ),
        (
            {"m": method(o=of(list, OLD))},
            {"m": method(o=of(list, WITH_FIELD))},
            "Desk.m: parameter o[].note: the server needs this field, the client does not send it",
        ),
        (
            {"m": method(WITH_FIELD)},
            {"m": method(OLD)},
            "Desk.m: result.note: the client needs this field, the server does not send it",
        ),
        (
            {"m": method(OLD)},
            {"m": method(TEXT)},
            "Desk.m: result.number: the server sends str, the client expects int",
        ),
        (
            {"m": method(int)},
            {"m": method(int | None)},
            "Desk.m: result: the server sends None, the client expects int",
        ),
        (
            {"m": method(Colors)},
            {"m": method(MoreColors)},
            "Desk.m: result: the server may send 'blue', which the client does not know",
        ),
        (
            {"m": method(a=Stream[int])},
            {"m": method(a=Stream[str])},
            "Desk.m: taken items: the client sends int, the server expects str",
        ),
        (
            {"m": method(Stream[int])},
            {"m": method(Stream[str])},
            "Desk.m: given items: the server sends str, the client expects int",
        ),
        (
            {"m": method(a=Blob)},
            {"m": method(a=Stream[int])},
            "Desk.m: taken: the client has a blob, the server a stream",
        ),
        (
            {"m": method()},
            {"m": method(Blob)},
            "Desk.m: given: the server has a blob, the client no stream or blob",
        ),
        ({"changed": Event[int]}, {}, "Desk.changed: the server does not have this event"),
        (
            {"changed": Event[int]},
            {"changed": Event[float]},
            "Desk.changed: the server sends float, the client expects int",
        ),
        (
            {"errors": [Out]},
            {"errors": [OutText]},
            "Desk: error desk.out.a: the server sends str, the client expects int",
        ),
    ],
)
def test_a_breaking_difference_is_named(client: Any, server: Any, sentence: str) -> None:
    assert differences(contract(**client), contract(**server)) == [sentence]


def test_true_is_not_one() -> None:
    old, new = contract(m=method(a=Literal[True])), contract(m=method(a=Literal[1]))
    sentence = "Desk.m: parameter a: the client may send True, which the server does not know"
    assert differences(old, new) == [sentence]


def test_a_parameter_may_become_one_that_is_also_given_by_position_but_not_the_reverse() -> None:
    class ByName(Interface, version=(1, 0), name="Desk"):
        async def m(self, *, a: int) -> None: ...

    class ByBoth(Interface, version=(1, 0), name="Desk"):
        async def m(self, a: int) -> None: ...

    name, both = contract_of(ByName).description, contract_of(ByBoth).description
    assert differences(name, both) == []
    assert differences(both, name) == [
        "Desk.m: parameter a: the server does not have this parameter",
        "Desk.m: parameter a: the server needs it, the client does not have it",
    ]


def test_structures_that_contain_themselves_are_compared_once() -> None:
    old = {
        "kind": "structure",
        "fields": [{"name": "children", "type": {"list": {"ref": "N"}}, "required": True}],
    }
    new = copy.deepcopy(old)
    new["fields"].append({"name": "x", "type": "int", "required": True})  # type: ignore[attr-defined]
    assert Reading("client", {"N": old}, "server", {"N": old}).problems({"ref": "N"}, {"ref": "N"}, "a") == []
    assert Reading("client", {"N": old}, "server", {"N": new}).problems({"ref": "N"}, {"ref": "N"}, "a") == [
        "a.x: the server needs this field, the client does not send it"
    ]


def test_a_structure_used_twice_is_named_once() -> None:
    pair, newer = structure("Pair", a=OLD, b=OLD), structure("Pair", a=WITH_FIELD, b=WITH_FIELD)
    assert differences(contract(m=method(p=pair)), contract(m=method(p=newer))) == [
        "Desk.m: parameter p.a.note: the server needs this field, the client does not send it"
    ]


def paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return where every value inside a description stands."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *itertools.chain.from_iterable(paths(member, (*at, key)) for key, member in inner)]


FULL = contract(
    errors=[Out],
    m=method(WITH_FIELD | SQUARE, a=Colors, b=(dict[int, tuple[str, int]], None)),
    s=method(Stream[int | str], rows=of(Stream, WITH_FIELD)),
    changed=Event[Literal["a", 1]],
)


@given(st.data())
def test_a_description_that_is_garbage_somewhere_is_never_an_exception(data: st.DataObject) -> None:
    description = copy.deepcopy(FULL)
    *steps, last = data.draw(st.sampled_from([path for path in paths(FULL) if path]))
    target = description
    for step in steps:
        target = target[step]
    target[last] = data.draw(st.none() | st.integers() | st.text() | st.lists(st.none()) | st.just({}))
    for result in (differences(description, FULL), differences(FULL, description)):
        assert all(isinstance(sentence, str) for sentence in result)


@given(
    st.none() | st.integers() | st.text() | st.lists(st.integers()) | st.dictionaries(st.text(), st.none())
)
def test_a_description_that_is_none_is_said_to_be_unreadable(garbage: Any) -> None:
    assert differences(FULL, garbage) == ["the description that the other side sent cannot be read"]


SCALARS: dict[Any, st.SearchStrategy[Any]] = {
    int: st.integers(-(2**70), 2**70),
    bool: st.booleans(),
    float: st.floats(allow_nan=False),
    complex: st.complex_numbers(allow_nan=False),
    str: st.text(max_size=3),
    bytes: st.binary(max_size=3),
    Decimal: st.decimals(allow_nan=False),
    types.NoneType: st.none(),
    PurePosixPath: st.just(PurePosixPath("a")),
    Colors: st.sampled_from(list(Colors)),
    MoreColors: st.sampled_from(list(MoreColors)),
    Literal["red"]: st.just("red"),
    Literal[1, "red"]: st.sampled_from([1, "red"]),
}
Typed = tuple[Any, st.SearchStrategy[Any]]


def grow(inner: st.SearchStrategy[Typed]) -> st.SearchStrategy[Typed]:
    """Return types made of other types, each with its values."""

    def container(make: Callable[[Any], Any], values: Callable[[Any], Any]) -> st.SearchStrategy[Typed]:
        return inner.map(lambda typed: (make(typed[0]), values(typed[1])))

    def made(typed: list[tuple[str, Typed, bool]]) -> Typed:
        kinds: dict[str, Any] = {
            name: (kind, None) if optional else kind for name, (kind, _), optional in typed
        }
        cls = structure("Order", **dict(sorted(kinds.items(), key=lambda item: isinstance(item[1], tuple))))
        return cls, st.builds(cls, **{name: values for name, (_, values), _ in typed})

    fields = st.lists(
        st.tuples(st.sampled_from("abc"), inner, st.booleans()), unique_by=lambda field: field[0], max_size=3
    )
    return st.one_of(
        container(lambda kind: of(list, kind), lambda values: st.lists(values, max_size=2)),
        container(lambda kind: kind | None, lambda values: st.none() | values),
        container(
            lambda kind: of(dict, str, kind),
            lambda values: st.dictionaries(st.text(max_size=2), values, max_size=2),
        ),
        container(
            lambda kind: of(dict, int, kind),
            lambda values: st.dictionaries(st.integers(), values, max_size=2),
        ),
        container(
            lambda kind: of(tuple, kind, ...),
            lambda values: st.lists(values, max_size=2).map(tuple),
        ),
        container(lambda kind: of(tuple, kind, kind), lambda values: st.tuples(values, values)),
        fields.map(made),
    )


TYPES: st.SearchStrategy[Typed] = st.recursive(
    st.sampled_from(list(SCALARS)).map(lambda kind: (kind, SCALARS[kind])), grow, max_leaves=4
)


@given(TYPES, TYPES, st.data())
def test_what_is_said_to_be_readable_can_be_read(sender: Typed, receiver: Typed, data: st.DataObject) -> None:
    sending, receiving = Compiler(), Compiler()
    sent, read = sending.converter(sender[0], "sender"), receiving.converter(receiver[0], "receiver")
    problems = Reading("client", sending.types, "server", receiving.types).problems(
        sent.description, read.description, "it"
    )
    plain = unpack(pack(sent.encode(data.draw(sender[1]))))
    if not problems:
        read.decode(plain)  # an integer too large for a float is beyond what types can say
    same = Reading("client", sending.types, "server", sending.types)
    assert same.problems(sent.description, sent.description, "it") == []


def test_a_union_is_readable_where_each_member_is() -> None:
    circle, square = structure("Circle", r=int), structure("Square", s=int)
    big_circle = structure("Circle", r=int, x=int)
    both, one = circle | square, circle

    def problems(sender: Any, receiver: Any) -> list[str]:
        sending, receiving = Compiler(), Compiler()
        sent, read = sending.converter(sender, "a"), receiving.converter(receiver, "b")
        return Reading("client", sending.types, "server", receiving.types).problems(
            sent.description, read.description, "it"
        )

    assert problems(both, both) == []
    assert problems(int | str, int | str | None) == []
    assert problems(int | str, str) == ["it: the client sends int, the server expects str"]
    assert problems(both, one) == ["it: the client sends Circle | Square, the server expects Circle"]
    assert problems(one, both) == ["it: the client sends Circle, the server expects Circle | Square"]
    assert problems(both, circle | structure("Cube", s=int)) == [
        "it: the client may send Square, the server expects Circle | Cube"
    ]
    assert problems(both, big_circle | square) == [
        "it.x: the server needs this field, the client does not send it"
    ]


class Fewer(enum.Flag, boundary=enum.STRICT):
    READ = 1


def test_a_flag_is_only_readable_as_a_flag_of_the_same_bits() -> None:
    right = enum.IntFlag("right", {"READ": 1, "WRITE": 2})
    plain = enum.IntEnum("plain", {"READ": 1, "WRITE": 2})

    def works(sender: Any, receiver: Any) -> bool:
        return not differences(contract(m=method(a=sender)), contract(m=method(a=receiver)))

    assert works(right, right)
    assert works(Fewer, right)
    assert works(right, int)
    assert works(plain, right)
    assert not works(right, Fewer)
    assert not works(right, plain)
    with pytest.raises(InvalidValue):
        Compiler().converter(plain, "it").decode(3)
