"""Proxies: what is called reaches the caller, as called."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Protocol

import pytest

from protocol.interface import (
    ContractError,
    Event,
    EventSpec,
    Interface,
    Method,
    contract_of,
    event,
    make_proxy,
)
from protocol.wire.errors import LocalProtocolError


class Orders(Interface, Protocol, version=(1, 0)):
    """The desk."""

    async def find(self, number: int, *, exact: bool = False) -> int:
        """Find one."""
        ...

    def count(self) -> int: ...

    changed: Event[int] = event()
    plain: Event[str]


class Recorder:
    """A caller that answers with what it was asked."""

    def call(self, method: Method, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        return method.qualified, args, kwargs

    def subscribe(self, event: EventSpec, **options: Any) -> Any:
        return event.qualified, options


ORDERS = make_proxy(Orders, Recorder())


def test_a_call_is_handed_to_the_caller_with_its_arguments() -> None:
    assert ORDERS.find(7, exact=True) == ("Orders.find", (7,), {"exact": True})  # type: ignore[comparison-overlap]
    assert ORDERS.count() == ("Orders.count", (), {})  # type: ignore[comparison-overlap]


def test_a_subscription_is_handed_to_the_caller_with_its_options() -> None:
    assert ORDERS.changed.subscribe() == ("Orders.changed", {"gaps": False})  # type: ignore[comparison-overlap]
    assert ORDERS.plain.subscribe(gaps=True) == ("Orders.plain", {"gaps": True})  # type: ignore[comparison-overlap]


def test_a_proxy_does_not_publish() -> None:
    with pytest.raises(LocalProtocolError) as error:
        ORDERS.changed.publish(1)
    assert str(error.value) == (
        "Orders.changed cannot be published from here: only an implementation that was handed to an application "
        "publishes"
    )


def test_a_proxy_tells_what_it_is() -> None:
    assert repr(ORDERS) == "<OrdersProxy>"
    assert isinstance(type(ORDERS), type(Orders))
    assert type(ORDERS).__mro__[1] is Orders
    assert type(ORDERS).__doc__ == "The desk."
    assert ORDERS.find.__doc__ == "Find one."
    assert str(inspect.signature(ORDERS.find)) == "(number: 'int', *, exact: 'bool' = False) -> 'int'"
    assert repr(ORDERS.changed) == "<Event Orders.changed>"


def test_proxies_of_one_contract_share_a_class_but_no_caller() -> None:
    class Other(Recorder):
        def call(self, method: Method, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
            return "other"

    other = make_proxy(Orders, Other())
    assert type(other) is type(ORDERS)
    assert other.count() == "other"  # type: ignore[comparison-overlap]
    assert ORDERS.count() == ("Orders.count", (), {})  # type: ignore[comparison-overlap]


def test_an_unknown_method_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'remove'"):
        ORDERS.remove()  # type: ignore[attr-defined]


def test_only_a_contract_has_proxies() -> None:
    with pytest.raises(ContractError, match="is not a contract class"):
        make_proxy(lambda: ORDERS, Recorder())
    with pytest.raises(ContractError, match="OrdersProxy is not a contract: it implements Orders, use that"):
        make_proxy(type(ORDERS), Recorder())


def test_a_contract_itself_is_not_instantiated() -> None:
    with pytest.raises(TypeError, match="Protocols cannot be instantiated"):
        Orders()  # type: ignore[misc]
    assert contract_of(Orders).cls is Orders
