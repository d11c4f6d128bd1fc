"""A class read as a contract: what may stand in it, what may not, and its fingerprint."""

from __future__ import annotations

import inspect
import json
import types
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Any, ClassVar, Protocol

import attrs
import pytest

from protocol.interface import (
    Blob,
    Channel,
    ContractError,
    Event,
    EventPolicy,
    Interface,
    InvalidValue,
    Stream,
    contract_of,
    event,
    fingerprint_of,
    type_text,
)
from protocol.wire.codec import pack, unpack


@attrs.frozen
class Order:
    number: int
    note: str | None = None


@attrs.frozen
class Changed:
    number: int


@attrs.define
class OutOfStock(Exception):
    article: str


class Orders(Interface, Protocol, version=(1, 2), errors=[OutOfStock]):
    """The order desk."""

    limit: ClassVar[int] = 5
    _private: int = 3

    async def find(self, number: int) -> Order:
        """Find one."""
        ...

    async def add(self, order: Order, *, urgent: bool = False) -> int: ...
    def follow(self, since: datetime) -> Stream[Order]: ...
    async def bulk_load(self, rows: Stream[Order]) -> int: ...
    def exchange(self, rows: Stream[int]) -> Stream[Order]: ...
    async def attach(self, number: int, file: Blob) -> None: ...
    def fetch(self, number: int) -> Blob: ...
    def _helper(self, anything: Callable[[], None]) -> None: ...

    changed: Event[Changed] = event(policy="latest", key="number", limit=10)
    plain: Event[int]


class BlockingOrders(Interface, version=(1, 2), name="Orders", errors=[OutOfStock]):
    def find(self, number: int) -> Order:  # type: ignore[empty-body]
        """Another text."""

    def add(self, order: Order, *, urgent: bool = False) -> int:  # type: ignore[empty-body]
        ...

    def follow(self, since: datetime) -> Stream[Order]:  # type: ignore[empty-body]
        ...

    def bulk_load(self, rows: Stream[Order]) -> int:  # type: ignore[empty-body]
        ...

    def exchange(self, rows: Stream[int]) -> Stream[Order]:  # type: ignore[empty-body]
        ...

    def attach(self, number: int, file: Blob) -> None: ...

    def fetch(self, number: int) -> Blob:  # type: ignore[empty-body]
        ...

    plain: Event[int] = event()
    changed: Event[Changed] = event(policy="latest", key="number", limit=10)


ORDERS = contract_of(Orders)


def test_a_contract_has_the_methods_events_and_errors_of_its_class() -> None:
    assert (ORDERS.name, ORDERS.version, ORDERS.cls) == ("Orders", (1, 2), Orders)
    assert list(ORDERS.methods) == ["find", "add", "follow", "bulk_load", "exchange", "attach", "fetch"]
    assert set(ORDERS.events) == {"changed", "plain"}
    assert list(ORDERS.errors) == ["orders.out_of_stock"]
    assert ORDERS.doc == "The order desk."
    method = ORDERS.methods["find"]
    assert (method.qualified, method.interface, method.doc) == ("Orders.find", "Orders", "Find one.")
    assert str(method.signature) == "(number: 'int') -> 'Order'"


@pytest.mark.parametrize(
    ("name", "takes", "gives", "takes_items", "gives_items"),
    [
        ("find", Channel.NONE, Channel.NONE, False, False),
        ("follow", Channel.NONE, Channel.VALUES, False, True),
        ("bulk_load", Channel.VALUES, Channel.NONE, True, False),
        ("exchange", Channel.VALUES, Channel.VALUES, True, True),
        ("attach", Channel.BYTES, Channel.NONE, False, False),
        ("fetch", Channel.NONE, Channel.BYTES, False, False),
    ],
)
def test_streams_and_blobs_are_channels(
    name: str, takes: Channel, gives: Channel, takes_items: bool, gives_items: bool
) -> None:
    method = ORDERS.methods[name]
    assert (method.takes, method.gives) == (takes, gives)
    assert (method.take_item is not None, method.give_item is not None) == (takes_items, gives_items)


def test_results_items_and_events_have_their_own_roots() -> None:
    find, exchange = ORDERS.methods["find"], ORDERS.methods["exchange"]
    assert find.decode_result(find.encode_result(Order(1))) == Order(1)
    with pytest.raises(InvalidValue, match=r"^result\.number: expected int, got str$"):
        find.decode_result({"number": "1"})
    with pytest.raises(InvalidValue, match=r"^result: expected Order, got None$"):
        find.encode_result(None)
    assert exchange.take_item is not None
    with pytest.raises(InvalidValue, match=r"^item: expected int, got str$"):
        exchange.take_item.encode("1")
    with pytest.raises(InvalidValue, match=r"^event\.number: expected int, got nothing$"):
        ORDERS.events["changed"].item.decode({})


def test_events_have_a_policy_and_a_key() -> None:
    changed, plain = ORDERS.events["changed"], ORDERS.events["plain"]
    assert changed.policy == EventPolicy("latest", "number", 10)
    assert changed.key is not None
    assert changed.key(Changed(7)) == 7
    assert (plain.policy, plain.key, plain.qualified) == (
        EventPolicy("queue", None, 1000),
        None,
        "Orders.plain",
    )


def test_a_contract_is_read_once() -> None:
    assert contract_of(Orders) is ORDERS


def test_the_description_is_plain_and_says_everything() -> None:
    description = ORDERS.description
    assert unpack(pack(description)) == json.loads(json.dumps(description)) == description
    assert description["methods"]["add"] == {
        "parameters": [
            {"name": "order", "type": {"ref": "Order"}, "required": True, "positional": True, "named": True},
            {
                "name": "urgent",
                "type": "bool",
                "required": False,
                "positional": False,
                "named": True,
                "default": False,
            },
        ],
        "takes": None,
        "gives": None,
        "returns": "int",
        "doc": None,
    }
    assert description["methods"]["exchange"]["takes"] == {"stream": "int"}
    assert description["methods"]["fetch"]["gives"] == "blob"
    assert description["types"]["Order"] == {
        "kind": "structure",
        "fields": [
            {"name": "number", "type": "int", "required": True},
            {"name": "note", "type": {"optional": "str"}, "required": False},
        ],
    }
    assert description["events"]["changed"]["policy"] == {"kind": "latest", "key": "number", "limit": 10}
    assert description["errors"] == {
        "orders.out_of_stock": {"name": "OutOfStock", "type": {"ref": "OutOfStock"}}
    }


def test_the_fingerprint_ignores_texts_order_and_the_flavour_of_functions() -> None:
    blocking = contract_of(BlockingOrders)
    assert blocking.fingerprint == ORDERS.fingerprint
    assert list(blocking.events) != list(ORDERS.events)
    assert not inspect.iscoroutinefunction(BlockingOrders.find)
    assert fingerprint_of(json.loads(json.dumps(ORDERS.description))) == ORDERS.fingerprint


def test_the_fingerprint_is_stable() -> None:
    class Small(Interface, Protocol, version=(1, 0)):
        async def find(self, number: int, *, name: str | int | None = None) -> list[bytes]: ...

    # A change of this value makes every deployed client look different: it needs a reason.
    assert contract_of(Small).fingerprint == "600ed1a9422de9ac46ca0b03f7e172ee"


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["methods"].pop("find"),
        lambda d: d["methods"]["add"]["parameters"][1].update(required=True),
        lambda d: d["types"]["Order"]["fields"].pop(),
        lambda d: d["events"]["changed"]["policy"].update(limit=11),
        lambda d: d["errors"].clear(),
        lambda d: d.update(version=[1, 3]),
    ],
)
def test_the_fingerprint_changes_with_everything_else(change: Callable[[Any], object]) -> None:
    description = json.loads(json.dumps(ORDERS.description))
    change(description)
    assert fingerprint_of(description) != ORDERS.fingerprint


@pytest.mark.parametrize(
    ("described", "text"),
    [
        ("int", "int"),
        ({"ref": "Order"}, "Order"),
        ({"optional": {"list": "int"}}, "list[int] | None"),
        ({"union": ["int", "str"]}, "int | str"),
        ({"tagged": {"A": {"ref": "A"}, "B": {"ref": "B"}}}, "A | B"),
        ({"literal": ["a", 1]}, "Literal['a', 1]"),
        ({"tuple": ["int", "str"]}, "tuple[int, str]"),
        ({"tuple": []}, "tuple[()]"),
        ({"pairs": ["int", "str"]}, "dict[int, str]"),
        ({"map": "int"}, "dict[str, int]"),
        ({"set": "int"}, "set[int]"),
        ({"distinct": {"ref": "A"}}, "set[A]"),
    ],
)
def test_a_described_type_can_be_read(described: Any, text: str) -> None:
    assert type_text(described) == text


SUPPORTED = (
    "supported are None, bool, int, float, complex, str, bytes, datetime, date, time, timedelta, Decimal, "
    "UUID, Path, enums with str or int values, Literal, list, Sequence, tuple, set, frozenset, dict, Mapping, "
    "attrs classes, unions of these, and object for any plain value"
)


class Unfit:
    pass


def wrong(message: str, **annotations: Any) -> Any:
    """A case: a method with these annotations, and what is said about it."""

    async def method(self: Any, value: Any = 0) -> Any: ...

    method.__annotations__ = annotations
    return pytest.param(method, f"Wrong.method: {message}", id=message[:40])


@pytest.mark.parametrize(
    ("method", "message"),
    [
        wrong(f"parameter 'value': Unfit cannot travel ({SUPPORTED})", value=Unfit, **{"return": None}),
        wrong("parameter 'value' has no annotation", **{"return": None}),
        wrong("the result has no annotation (`-> None` if there is none)", value=int),
        wrong("parameter 'value': a Stream or Blob has no default", value=Blob, **{"return": None}),
        wrong(
            "parameter 'value': a Stream needs the type of its values: Stream[Order]",
            value=Stream,
            **{"return": None},
        ),
        wrong(
            "parameter 'value': Stream cannot travel (a Stream stands alone, as a parameter or as the result)",
            value=list[Stream[int]],
            **{"return": None},
        ),
        wrong(
            "result: AsyncIterator cannot travel (many values are a Stream)",
            value=int,
            **{"return": AsyncIterator[int]},
        ),
        wrong("a Stream opens when used: write `def`, not `async def`", value=int, **{"return": Stream[int]}),
        wrong("a Blob opens when used: write `def`, not `async def`", value=int, **{"return": Blob}),
        wrong(
            "parameter 'value': [1] is not a type", value=types.GenericAlias(list, ([1],)), **{"return": None}
        ),
    ],
)
def test_a_method_that_cannot_be_called_is_refused(method: Any, message: str) -> None:
    cls = types.new_class("Wrong", (Interface,), {"version": (1, 0)}, lambda body: body.update(method=method))
    with pytest.raises(ContractError) as error:
        contract_of(cls)
    assert str(error.value) == message


def test_parameters_that_have_no_form_on_the_wire_are_refused() -> None:
    class Rest(Interface, Protocol, version=(1, 0)):
        async def method(self, *numbers: int) -> None: ...

    class Private(Interface, Protocol, version=(1, 0)):
        async def method(self, _number: int) -> None: ...

    class Two(Interface, Protocol, version=(1, 0)):
        async def method(self, rows: Stream[int], file: Blob) -> None: ...

    class Selfless(Interface, Protocol, version=(1, 0)):
        async def method() -> None: ...  # type: ignore[misc]

    for cls, message in (
        (Rest, "parameter 'numbers': *args and **kwargs have no form on the wire: use a list or a dict"),
        (Private, "parameter '_number': a name that starts with an underscore is private"),
        (Two, "parameter 'file': a method takes at most one Stream or Blob"),
        (Selfless, "a method needs `self` as its first parameter"),
    ):
        with pytest.raises(ContractError) as error:
            contract_of(cls)
        assert str(error.value) == f"{cls.__name__}.method: {message}"


def test_attributes_that_are_no_events_are_refused() -> None:
    class Attribute(Interface, version=(1, 0)):
        number: int

    class Undeclared(Interface, version=(1, 0)):
        changed: Event[int] = 5  # type: ignore[assignment]

    class Unannotated(Interface, version=(1, 0)):
        changed = event()

    class Keyless(Interface, version=(1, 0)):
        changed: Event[Changed] = event(policy="latest", key="name")

    class Property(Interface, version=(1, 0)):
        @property
        def number(self) -> int:
            return 1

    for cls, message in (
        (Attribute, "Attribute.number: a contract's attributes are events, Event[...], not <class 'int'>"),
        (Undeclared, "Undeclared.changed: an event is declared with event(), not 5"),
        (Unannotated, "Unannotated.changed has no annotation: changed: Event[...] = event()"),
        (Keyless, "Keyless.changed: Changed has no field 'name' to be the key"),
        (Property, "Property.number: a property cannot be part of a contract"),
    ):
        with pytest.raises(ContractError) as error:
            contract_of(cls)
        assert str(error.value) == message


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({}, "Wrong: a contract names its version: (Interface, version=(1, 0))"),
        ({"version": (1,)}, "Wrong: the version is (major, minor), not (1,)"),
        ({"version": "1.0"}, "Wrong: the version is (major, minor), not '1.0'"),
        ({"version": (1, -1)}, "Wrong: the version is (major, minor), not (1, -1)"),
        ({"version": (1, True)}, "Wrong: the version is (major, minor), not (1, True)"),
        (
            {"version": (1, 0), "name": "a.b"},
            "Wrong: the name of an interface is letters, digits and _, not 'a.b'",
        ),
    ],
)
def test_a_class_line_that_is_wrong_is_refused_at_once(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(ContractError) as error:
        types.new_class("Wrong", (Interface,), keywords)
    assert str(error.value) == message


def test_a_contract_does_not_derive_from_a_contract() -> None:
    with pytest.raises(ContractError, match="only a direct subclass of Interface is a contract"):

        class More(Orders, version=(2, 0)):
            pass


def test_only_a_contract_class_has_a_contract() -> None:
    class Implementation(Orders):
        pass

    with pytest.raises(
        ContractError, match="Implementation is not a contract: it implements Orders, use that"
    ):
        contract_of(Implementation)
    with pytest.raises(ContractError, match="int is not a contract: it is not a subclass of Interface"):
        contract_of(int)
    with pytest.raises(ContractError, match="Interface is not a contract"):
        contract_of(Interface)
