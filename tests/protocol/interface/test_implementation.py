"""Implementations: what does not fit the contract is found when it is bound, not when it is called."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any, Protocol

import attrs
import pytest

from protocol.interface import (
    ContractError,
    Event,
    EventSpec,
    Interface,
    Stream,
    bind_implementation,
    event,
)
from protocol.wire.errors import LocalProtocolError


class Orders(Interface, Protocol, version=(1, 0)):
    async def find(self, number: int, depth: int = 1, *, exact: bool = False) -> int: ...
    def follow(self, since: int) -> Stream[int]: ...

    changed: Event[int] = event()


class Stock(Interface, Protocol, version=(2, 0)):
    def count(self, article: str, /) -> int: ...

    moved: Event[str] = event(policy="disconnect")


class Desk(Orders, Stock):
    async def find(self, number: int, depth: int = 1, *, exact: bool = False) -> int:
        return number

    def follow(self, since: int) -> Stream[int]:
        return Stream([since])

    def count(self, name: str, /) -> int:
        return len(name)


def ignore(spec: EventSpec, value: Any) -> None:
    """Publish nothing."""


def test_an_object_is_bound_to_every_contract_of_its_class() -> None:
    desk = Desk()
    orders, stock = bind_implementation(desk, ignore)
    assert (orders.contract.name, stock.contract.name) == ("Orders", "Stock")
    assert orders.handlers == {"find": desk.find, "follow": desk.follow}
    assert stock.handlers == {"count": desk.count}
    assert orders.implementation is desk
    assert (orders.asynchronous, stock.asynchronous) == (frozenset({"find"}), frozenset())


def test_events_publish_once_the_object_is_bound() -> None:
    published: list[tuple[str, Any]] = []
    desk = Desk()
    with pytest.raises(LocalProtocolError, match=r"^Orders\.changed cannot be published from here"):
        desk.changed.publish(1)
    bind_implementation(desk, lambda spec, value: published.append((spec.qualified, value)))
    desk.changed.publish(1)
    desk.moved.publish("a")
    assert published == [("Orders.changed", 1), ("Stock.moved", "a")]
    with pytest.raises(LocalProtocolError, match=r"^Orders\.changed cannot be subscribed to from here"):
        desk.changed.subscribe()


def test_two_objects_of_one_class_publish_apart() -> None:
    first: list[Any] = []
    second: list[Any] = []
    one, two = Desk(), Desk()
    bind_implementation(one, lambda spec, value: first.append(value))
    bind_implementation(two, lambda spec, value: second.append(value))
    two.changed.publish(2)
    assert (first, second) == ([], [2])


def test_a_frozen_attrs_class_may_implement_a_contract() -> None:
    @attrs.frozen
    class Frozen(Desk):
        size: int

    published: list[Any] = []
    frozen = Frozen(5)
    bind_implementation(frozen, lambda spec, value: published.append(value))
    frozen.changed.publish(1)
    assert published == [1]


def test_what_is_missing_is_listed() -> None:
    class Half(Orders, Stock):
        def count(self, name: str, /) -> int:
            return 1

    with pytest.raises(ContractError) as error:
        bind_implementation(Half(), ignore)  # type: ignore[abstract]
    assert str(error.value).endswith("Half does not implement Orders: find, follow missing")


def test_an_inherited_implementation_counts() -> None:
    class Special(Desk):
        def count(self, name: str, /) -> int:
            return 2

    _, stock = bind_implementation(Special(), ignore)
    assert stock.handlers["count"]("a") == 2


@pytest.mark.parametrize("thing", [object(), 5])
def test_an_object_without_a_contract_is_refused(thing: object) -> None:
    with pytest.raises(
        ContractError, match=f"{type(thing).__name__} implements no contract: derive it from one"
    ):
        bind_implementation(thing, ignore)


async def takes_everything(self: Any, *args: Any, **kwargs: Any) -> Any: ...
async def takes_more(
    self: Any, number: int, depth: int = 5, extra: int = 1, *, exact: bool = True, log: int = 0
) -> Any: ...
def blocking(self: Any, number: int, depth: int = 1, *, exact: bool = False) -> Any: ...
async def exact_by_both(self: Any, number: int, depth: int = 1, exact: bool = False) -> Any: ...


@pytest.mark.parametrize("handler", [takes_everything, takes_more, blocking, exact_by_both])
def test_a_handler_may_take_more_than_the_contract_says(handler: Callable[..., Any]) -> None:
    cls = type("Wide", (Desk,), {"find": handler})
    orders, _ = bind_implementation(cls(), ignore)
    assert ("find" in orders.asynchronous) is (handler is not blocking)


async def no_depth(self: Any, number: int, *, exact: bool = False) -> Any: ...
async def no_exact(self: Any, number: int, depth: int = 1) -> Any: ...
async def renamed(self: Any, order: int, depth: int = 1, *, exact: bool = False) -> Any: ...
async def no_default(self: Any, number: int, depth: int, *, exact: bool = False) -> Any: ...
async def exact_needed(self: Any, number: int, depth: int = 1, *, exact: bool) -> Any: ...
async def one_more(self: Any, number: int, depth: int = 1, *, exact: bool = False, log: int) -> Any: ...
async def by_place(self: Any, number: int, depth: int = 1, /, *, exact: bool = False) -> Any: ...
async def only_args(self: Any, *args: Any, exact: bool = False) -> Any: ...


async def generator(self: Any, number: int, depth: int = 1, *, exact: bool = False) -> AsyncIterator[int]:
    yield 1


@pytest.mark.parametrize(
    ("handler", "message"),
    [
        (no_depth, "Narrow.find does not take the parameter 'depth' of Orders.find"),
        (no_exact, "Narrow.find does not take the parameter 'exact' of Orders.find"),
        (renamed, "Narrow.find: parameter 1 is named 'order', but 'number' in Orders.find"),
        (no_default, "Narrow.find: 'depth' needs a default: Orders.find lets callers leave it out"),
        (exact_needed, "Narrow.find: 'exact' needs a default: Orders.find lets callers leave it out"),
        (one_more, "Narrow.find: Orders.find has no parameter 'log': give it a default"),
        (by_place, "Narrow.find: 'number' may come by name: it cannot be positional-only"),
        (only_args, "Narrow.find does not take the parameter 'number' of Orders.find"),
        (generator, "Narrow.find is a generator: return Stream(generator()) from a plain `def` instead"),
        (5, "Narrow.find is not a method"),
    ],
)
def test_a_handler_that_calls_would_not_fit_is_refused(handler: Any, message: str) -> None:
    cls = type("Narrow", (Desk,), {"find": handler})
    with pytest.raises(ContractError) as error:
        bind_implementation(cls(), ignore)
    assert str(error.value) == message
