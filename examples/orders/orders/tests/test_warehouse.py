"""The warehouse: handlers that are plain functions, and an event that an order sets off."""

from __future__ import annotations

from inspect import isawaitable
from typing import Any

import pytest
import trio

from appclient import Client
from orders.contract import NewLine, NewOrder, NotAllowed, NotFound, OrderDesk, Warehouse


async def ask(result: Any) -> Any:
    """Await a call of an interface that is written with `def`, from a client that has a loop."""
    assert isawaitable(result)
    return await result


async def test_a_delivery_adds_to_the_stock(client: Client) -> None:
    warehouse = client.use(Warehouse)
    before = await ask(warehouse.stock("SAW-300"))
    after = await ask(warehouse.deliver("SAW-300", 5))
    assert after.stock == before.stock + 5


async def test_a_delivery_of_nothing_or_of_something_unknown_is_refused(client: Client) -> None:
    warehouse = client.use(Warehouse)
    with pytest.raises(NotAllowed):
        await ask(warehouse.deliver("SAW-300", 0))
    with pytest.raises(NotFound):
        await ask(warehouse.deliver("NOTHING", 1))


async def test_an_order_that_takes_almost_the_last_ones_is_announced(client: Client) -> None:
    warehouse, desk = client.use(Warehouse), client.use(OrderDesk)
    with trio.fail_after(5):
        async with warehouse.low.subscribe() as products:
            await desk.add(NewOrder(1, (NewLine("TAPE-50", 1), NewLine("SAW-300", 7))))
            product = await anext(aiter(products))
    assert (product.code, product.stock) == ("SAW-300", 5)
