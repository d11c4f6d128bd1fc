"""Code that must fail `mypy --strict`, each line with the error that it must be given."""

from __future__ import annotations

from datetime import datetime, timezone
from decimal import Decimal

from contract import NewOrder, Order, Orders

from appserver import Server, Sever  # E: attr-defined
from protocol import Intreface  # E: attr-defined
from protocol.interface import Blob, Caller, Stream, make_proxy

NOW = datetime.now(timezone.utc)


async def wrong_argument_type(orders: Orders) -> None:
    await orders.find("seven")  # E: arg-type


async def missing_argument(orders: Orders) -> None:
    await orders.find()  # E: call-arg


async def wrong_keyword(orders: Orders) -> None:
    await orders.add(NewOrder("Ada", Decimal(1)), hurry=True)  # E: call-arg


async def positional_instead_of_keyword(orders: Orders) -> None:
    await orders.add(NewOrder("Ada", Decimal(1)), True)  # E: call-arg


async def wrong_result_use(orders: Orders) -> None:
    order = await orders.find(7)
    order.price  # E: attr-defined
    total: int = order.total  # E: assignment
    print(total)


async def forgotten_await(orders: Orders) -> None:
    orders.find(7).number  # E: attr-defined


async def wrong_stream_item_type(orders: Orders) -> None:
    await orders.bulk_load(Stream([1, 2]))  # E: list-item
    async for order in orders.follow(NOW):
        order.lost  # E: attr-defined


async def list_instead_of_stream(orders: Orders) -> None:
    await orders.bulk_load([NewOrder("Ada", Decimal(1))])  # E: arg-type


async def wrong_blob_source(orders: Orders) -> None:
    await orders.attach(7, Blob(7))  # E: arg-type


async def unknown_method(orders: Orders) -> None:
    await orders.remove(7)  # E: attr-defined


async def gap_that_was_not_asked_for(orders: Orders) -> None:
    async with orders.changed.subscribe() as events:
        async for event in events:
            event.lost  # E: attr-defined


class Unfinished(Orders):
    async def find(self, number: int) -> str:  # E: override
        return str(number)

    async def add(self, order: NewOrder) -> int:  # E: override
        self.changed.publish(order)  # E: arg-type
        return 1


def methods_missing() -> Orders:
    return Unfinished()  # E: abstract


def not_a_contract(caller: Caller) -> None:
    make_proxy(Order, caller)  # E: type-var


async def no_argument_of_a_name_that_is_imported_late(server: Server) -> None:
    server.connection_address("example.com", 1, 2, 3)  # E: call-arg
