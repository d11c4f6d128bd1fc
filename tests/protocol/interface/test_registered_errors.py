"""Registered exception classes: they arrive as themselves, or cannot be registered."""

from __future__ import annotations

import types
from typing import Any

import attrs
import pytest

from protocol.interface import Contract, ContractError, Interface, InvalidValue, contract_of
from protocol.wire.codec import pack, unpack


@attrs.define
class OutOfStock(Exception):
    article: str
    left: int = 0


@attrs.define
class HTTPFailed(OutOfStock):
    pass


class NotFound(Exception):
    pass


class Named(KeyError):
    code = "shop.unknown_name"


class OwnInit(Exception):
    def __init__(self, number: int) -> None:
        super().__init__(f"no order {number}")


class Reserved(Exception):
    code = "rpc.internal"


class Unworded(Exception):
    code = "No"


class Carrying(UnicodeError):
    pass


class Strange(UnicodeDecodeError):
    pass


@attrs.define
class Code(Exception):
    code: int


def contract(*errors: Any) -> Contract:
    return contract_of(types.new_class("Orders", (Interface,), {"version": (1, 0), "errors": errors}))


def arrives(error: Exception, *registered: type[Exception]) -> Exception:
    spec = contract(*registered).error_for(error)
    assert spec is not None
    return spec.decode(unpack(pack(spec.encode(error))))


def test_an_attrs_exception_arrives_with_its_attributes() -> None:
    arrived = arrives(OutOfStock("nail", 3), OutOfStock)
    assert type(arrived) is OutOfStock
    assert (arrived.article, arrived.left) == ("nail", 3)


def test_a_plain_exception_arrives_with_its_arguments_as_texts() -> None:
    arrived = arrives(NotFound("no order", 7), NotFound)
    assert type(arrived) is NotFound
    assert arrived.args == ("no order", "7")
    assert arrives(Named("a"), Named).args == ("a",)


def test_codes_are_made_of_interface_and_class_or_given_by_the_class() -> None:
    assert list(contract(OutOfStock, HTTPFailed, Named, Code).errors) == [
        "orders.out_of_stock",
        "orders.http_failed",
        "shop.unknown_name",
        "orders.code",
    ]


def test_an_exception_is_sent_as_its_nearest_registered_class() -> None:
    class Worse(NotFound):
        pass

    both = contract(Exception, NotFound)
    found = both.error_for(Worse("a"))
    assert found is not None
    assert found.kind is NotFound
    assert contract(NotFound).error_for(ValueError()) is None
    assert type(arrives(Worse("a"), NotFound)) is NotFound


@pytest.mark.parametrize(
    ("kind", "data", "message"),
    [
        (OutOfStock, {"left": 1}, "error.article: expected str, got nothing"),
        (OutOfStock, [], "error: expected OutOfStock, got list"),
        (NotFound, {}, "error: expected list[str], got dict"),
        (NotFound, ["a", 1], "error[1]: expected str, got int"),
    ],
)
def test_wrong_data_is_refused_with_its_path(kind: type[Exception], data: object, message: str) -> None:
    (spec,) = contract(kind).errors.values()
    with pytest.raises(InvalidValue) as error:
        spec.decode(data)
    assert str(error.value) == message


def test_arguments_that_a_builtin_base_refuses_are_an_invalid_value() -> None:
    (spec,) = contract(Strange).errors.values()
    with pytest.raises(InvalidValue, match=r"^error: expected arguments of Strange, got TypeError: "):
        spec.decode(["a"])


def test_an_attribute_of_the_wrong_type_is_refused_when_it_is_sent() -> None:
    (spec,) = contract(OutOfStock).errors.values()
    with pytest.raises(InvalidValue, match=r"^error\.left: expected int, got str$"):
        spec.encode(OutOfStock("a", "b"))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("errors", "message"),
    [
        ([7], "Orders: errors holds exception classes, not 7"),
        ([KeyboardInterrupt], "Orders: errors holds exception classes, not <class 'KeyboardInterrupt'>"),
        ([NotFound, NotFound], "Orders: NotFound and NotFound share the code 'orders.not_found'"),
        ([Reserved], "Orders: the code 'rpc.internal' of Reserved: rpc.* is the protocol's"),
        ([Unworded], "Orders: the code 'No' of Unworded is not of the form area.what_happened"),
        (
            [OwnInit],
            "Orders: error OwnInit has an __init__ of its own, so its arguments are not known: make it an "
            "attrs class (@attrs.define), whose fields arrive as they are",
        ),
    ],
)
def test_what_cannot_arrive_as_itself_cannot_be_registered(errors: list[Any], message: str) -> None:
    with pytest.raises(ContractError) as error:
        contract(*errors)
    assert str(error.value) == message
