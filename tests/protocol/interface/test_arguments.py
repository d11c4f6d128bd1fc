"""The body of a call: its form, what a caller may write, and what a stranger may send."""

from __future__ import annotations

from typing import Any, Protocol

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.interface import Blob, Interface, InvalidValue, Method, Stream, contract_of
from protocol.wire.codec import pack, unpack


@attrs.frozen
class Order:
    number: int
    lines: tuple[str, ...] = ()


class Desk(Interface, Protocol, version=(1, 0)):
    async def nothing(self) -> None: ...
    async def two(self, a: int, b: int) -> int: ...
    async def optional(self, a: int, b: int = 2, c: str | None = None) -> None: ...
    async def keywords(self, a: int, *, urgent: bool = False, reason: str) -> None: ...
    async def only(self, a: int, b: int = 2, /, c: int = 3) -> None: ...
    async def add(self, order: Order, *, urgent: bool = False) -> int: ...
    async def any(self, value: object) -> None: ...
    async def shadows(self, type: int, len: str, list: bool, *, dict: int = 0) -> None: ...  # noqa: A002
    async def load(self, name: str, rows: Stream[int], limit: int = 5) -> None: ...
    async def attach(self, number: int, *, file: Blob) -> None: ...
    async def first(self, file: Blob, number: int) -> None: ...


METHODS = contract_of(Desk).methods
STREAM = Stream([1])
BLOB = Blob(b"x")


def encoded(name: str, *args: Any, **kwargs: Any) -> Any:
    return METHODS[name].encode_arguments(args, kwargs)


def decoded(name: str, body: object, channel: object = None) -> Any:
    return METHODS[name].decode_arguments(body, channel)


@pytest.mark.parametrize(
    ("name", "args", "kwargs", "body"),
    [
        ("nothing", (), {}, [{}]),
        ("two", (1, 2), {}, [1, 2, {}]),
        ("two", (1,), {"b": 2}, [1, 2, {}]),
        ("two", (), {"b": 2, "a": 1}, [1, 2, {}]),
        ("optional", (1,), {}, [1, {}]),
        ("optional", (1, 5), {}, [1, 5, {}]),
        ("optional", (1, 5, None), {}, [1, 5, None, {}]),
        ("optional", (1,), {"c": "x"}, [1, {"c": "x"}]),
        ("keywords", (1,), {"reason": "r"}, [1, {"reason": "r"}]),
        ("keywords", (1,), {"reason": "r", "urgent": True}, [1, {"reason": "r", "urgent": True}]),
        ("only", (1,), {}, [1, {}]),
        ("only", (1,), {"c": 9}, [1, {"c": 9}]),
        ("only", (1, 2, 9), {}, [1, 2, 9, {}]),
        ("add", (Order(1, ("a",)),), {"urgent": True}, [{"number": 1, "lines": ["a"]}, {"urgent": True}]),
        ("any", ([1, {"a": None}],), {}, [[1, {"a": None}], {}]),
        ("shadows", (1, "a", True), {"dict": 5}, [1, "a", True, {"dict": 5}]),
    ],
)
def test_the_body_has_the_positional_arguments_and_then_a_map(
    name: str, args: tuple[Any, ...], kwargs: dict[str, Any], body: list[Any]
) -> None:
    assert encoded(name, *args, **kwargs) == (body, None)


def bound(method: Method, args: Any, kwargs: Any) -> dict[str, Any]:
    return dict(method.signature.bind(*args, **kwargs).arguments)


@pytest.mark.parametrize(
    ("name", "args", "kwargs"),
    [
        ("nothing", (), {}),
        ("two", (1, 2), {}),
        ("optional", (1,), {}),
        ("optional", (1, 5), {}),
        ("optional", (1, 5, "x"), {}),
        ("optional", (1,), {"c": "x"}),
        ("keywords", (1,), {"reason": "r", "urgent": True}),
        ("only", (1,), {"c": 9}),
        ("add", (Order(1),), {}),
        ("add", (Order(1),), {"urgent": True}),
        ("shadows", (1, "a", True), {}),
    ],
)
def test_a_handler_gets_what_the_caller_gave_and_its_own_defaults_for_the_rest(
    name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    body, _ = encoded(name, *args, **kwargs)
    arrived_args, arrived_kwargs = decoded(name, unpack(pack(body)))
    assert bound(METHODS[name], arrived_args, arrived_kwargs) == bound(METHODS[name], args, kwargs)


def test_a_stream_or_blob_goes_beside_the_body() -> None:
    assert encoded("load", "n", STREAM) == (["n", {}], STREAM)
    assert encoded("load", "n", STREAM, 7) == (["n", 7, {}], STREAM)
    assert encoded("load", "n", rows=STREAM, limit=7) == (["n", 7, {}], STREAM)
    assert encoded("attach", 1, file=BLOB) == ([1, {}], BLOB)
    assert encoded("first", BLOB, 1) == ([1, {}], BLOB)
    assert decoded("load", ["n", {}], STREAM) == (["n", STREAM], {})
    assert decoded("load", ["n", 7, {}], STREAM) == (["n", STREAM, 7], {})
    assert decoded("load", [{"name": "n", "limit": 7}], STREAM) == (
        [],
        {"name": "n", "rows": STREAM, "limit": 7},
    )
    assert decoded("attach", [1, {}], BLOB) == ([1], {"file": BLOB})
    assert decoded("first", [1, {}], BLOB) == ([BLOB, 1], {})


def test_a_stranger_may_give_any_argument_by_name() -> None:
    assert decoded("two", [{"b": 2, "a": 1}]) == ([], {"a": 1, "b": 2})
    assert decoded("two", [1, {"b": 2}]) == ([1], {"b": 2})


@pytest.mark.parametrize(
    ("name", "args", "kwargs", "message"),
    [
        ("two", (1, "2"), {}, "args.b: expected int, got str"),
        ("two", (True, 2), {}, "args.a: expected int, got bool"),
        ("optional", (1, None), {}, "args.b: expected int, got None"),
        ("optional", (1,), {"c": 5}, "args.c: expected str or None, got int"),
        ("keywords", (1,), {"reason": 5}, "args.reason: expected str, got int"),
        ("add", (Order(1, ("a", 2)),), {}, "args.order.lines[1]: expected str, got int"),  # type: ignore[arg-type]
        ("add", (Order(1),), {"urgent": 1}, "args.urgent: expected bool, got int"),
        ("load", ("n", [1]), {}, "args.rows: expected Stream, got list"),
        ("attach", (1,), {"file": b"x"}, "args.file: expected Blob, got bytes"),
    ],
)
def test_a_wrong_argument_is_refused_before_it_is_sent(
    name: str, args: tuple[Any, ...], kwargs: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidValue) as error:
        encoded(name, *args, **kwargs)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("args", "kwargs", "message"),
    [
        ((), {}, "Desk.two() missing 2 required positional arguments: 'a' and 'b'"),
        ((1, 2, 3), {}, "Desk.two() takes 2 positional arguments but 3 were given"),
        ((1,), {"c": 2}, "Desk.two() got an unexpected keyword argument 'c'"),
        ((1,), {"a": 2}, "Desk.two() got multiple values for argument 'a'"),
    ],
)
def test_a_call_that_does_not_fit_is_worded_by_python(
    args: tuple[Any, ...], kwargs: dict[str, Any], message: str
) -> None:
    with pytest.raises(TypeError) as error:
        encoded("two", *args, **kwargs)
    assert str(error.value) == message


@pytest.mark.parametrize(
    ("name", "body", "channel", "message"),
    [
        ("two", None, None, "args: expected an array that ends with a map, got NoneType"),
        ("two", [], None, "args: expected an array that ends with a map, got list"),
        ("two", [1, 2], None, "args: expected an array that ends with a map, got list"),
        ("two", [1, 2, []], None, "args: expected an array that ends with a map, got list"),
        ("two", [1, 2, 3, {}], None, "args: expected at most 2 positional arguments, got 3"),
        ("two", [1, {}], None, "args.b: expected int, got nothing"),
        ("two", [1, "2", {}], None, "args.b: expected int, got str"),
        ("two", [{"a": 1, "b": "2"}], None, "args.b: expected int, got str"),
        ("two", [1, 2, {"foo": 1}], None, "args.foo: unknown argument"),
        ("two", [1, 2, {"a": 1}], None, "args.a: given by position and by name"),
        ("two", [1, 2, {}], STREAM, "args: expected no stream or blob, got one"),
        ("only", [{"a": 1}], None, "args.a: expected int, got nothing"),
        ("only", [1, {"b": 2}], None, "args.b: unknown argument"),
        ("keywords", [1, {}], None, "args.reason: expected str, got nothing"),
        (
            "keywords",
            [1, True, {"reason": "r"}],
            None,
            "args: expected at most 1 positional arguments, got 2",
        ),
        ("add", [{"number": 1, "lines": [5]}, {}], None, "args.order.lines[0]: expected str, got int"),
        ("add", [{"number": 1}, {"urgent": 1}], None, "args.urgent: expected bool, got int"),
        ("load", ["n", {}], None, "args.rows: expected a stream or blob, got nothing"),
        ("load", ["n", {"rows": [1]}], STREAM, "args.rows: unknown argument"),
        ("load", [5, {}], STREAM, "args.name: expected str, got int"),
    ],
)
def test_a_wrong_body_is_refused_with_its_path(
    name: str, body: object, channel: object, message: str
) -> None:
    with pytest.raises(InvalidValue) as error:
        decoded(name, body, channel)
    assert str(error.value) == message


def test_an_unknown_argument_of_any_length_gives_a_short_message() -> None:
    with pytest.raises(InvalidValue) as error:
        decoded("nothing", [{"x" * 100_000: 1}])
    assert len(str(error.value)) < 120


def test_an_argument_that_contains_itself_is_refused() -> None:
    endless: list[object] = []
    endless.append(endless)
    with pytest.raises(InvalidValue, match=r"^args\.value: nested too deeply$"):
        encoded("any", endless)


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abc") | st.text(), inner),
    max_leaves=10,
)
BODIES = st.builds(
    lambda values, named: [*values, named],
    st.lists(PLAIN, max_size=4),
    st.dictionaries(st.sampled_from("abcde"), PLAIN),
)


@given(st.sampled_from(sorted(METHODS)), PLAIN | BODIES, st.sampled_from([None, STREAM]))
def test_garbage_is_a_call_that_fits_or_an_invalid_value_and_nothing_else(
    name: str, body: object, channel: object
) -> None:
    try:
        args, kwargs = decoded(name, body, channel)
    except InvalidValue as error:
        assert str(error).startswith("args")  # noqa: PT017  # both outcomes are right
    else:
        METHODS[name].signature.bind(*args, **kwargs)


@given(st.integers(), st.none() | st.integers(), st.none() | st.text(), st.booleans())
def test_every_way_to_call_arrives_as_called(a: int, b: int | None, c: str | None, by_name: bool) -> None:
    given_arguments: dict[str, Any] = {"a": a}
    if b is not None:
        given_arguments["b"] = b
    if c is not None:
        given_arguments["c"] = c
    positional = [] if by_name else [a]
    named = {key: value for key, value in given_arguments.items() if by_name or key != "a"}
    body, _ = encoded("optional", *positional, **named)
    args, kwargs = decoded("optional", unpack(pack(body)))
    assert bound(METHODS["optional"], args, kwargs) == given_arguments
