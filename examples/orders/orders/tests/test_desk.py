"""The order desk as its clients see it: calls, refusals, streams, events and waiting."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import attrs
import pytest
import trio

from orders.contract import (
    NewLine,
    NewOrder,
    NotAllowed,
    NotFound,
    OrderChanged,
    OrderDesk,
    OutOfStock,
    Status,
)
from orders.desk import BATCH, PAGE
from protocol import Stream

AN_HOUR_AGO = datetime.now(UTC) - timedelta(hours=1)


def tape(quantity: int = 1, customer: int = 1) -> NewOrder:
    return NewOrder(customer, (NewLine("TAPE-50", quantity),))


async def stock(desk: OrderDesk, code: str) -> int:
    (product,) = await desk.products(code)
    return product.stock


async def test_an_order_is_placed_at_the_prices_of_the_day_and_takes_its_goods(desk: OrderDesk) -> None:
    before = await stock(desk, "GEAR-24")
    number = await desk.add(
        NewOrder(2, (NewLine("GEAR-24", 2), NewLine("BOLT-M8", 1)), note="ring twice"), urgent=True
    )
    order = await desk.find(number)
    assert order.customer.name == "Grace Hopper"
    assert order.total == Decimal("92.30")
    assert (order.status, order.urgent, order.note) == (Status.PLACED, True, "ring twice")
    assert AN_HOUR_AGO < order.placed <= datetime.now(UTC)
    assert await stock(desk, "GEAR-24") == before - 2


async def test_products_and_customers_are_found_by_a_part_of_their_names(desk: OrderDesk) -> None:
    assert [product.code for product in await desk.products("m8")] == ["BOLT-M8"]
    assert [customer.number for customer in await desk.customers("gmbh")] == [3]
    assert len(await desk.products()) == 6


async def test_the_same_order_sent_twice_is_placed_once(desk: OrderDesk) -> None:
    order = tape(quantity=3)
    before = await stock(desk, "TAPE-50")
    assert await desk.add(order) == await desk.add(order)
    assert await stock(desk, "TAPE-50") == before - 3
    assert (await desk.summary()).orders == 1


async def test_what_is_out_of_stock_arrives_as_itself_and_places_nothing(desk: OrderDesk) -> None:
    before = await stock(desk, "TAPE-50")
    with pytest.raises(OutOfStock) as caught:
        await desk.add(NewOrder(1, (NewLine("TAPE-50", 1), NewLine("SAW-300", 13))))
    assert (caught.value.product, caught.value.wanted, caught.value.left) == ("SAW-300", 13, 12)
    assert await stock(desk, "TAPE-50") == before
    assert (await desk.summary()).orders == 0


@pytest.mark.parametrize(
    ("order", "kind"),
    [
        (NewOrder(99, (NewLine("TAPE-50", 1),)), NotFound),
        (NewOrder(1, (NewLine("NOTHING", 1),)), NotFound),
        (NewOrder(1, ()), NotAllowed),
        (NewOrder(1, (NewLine("TAPE-50", 0),)), NotAllowed),
        (NewOrder(1, (NewLine("TAPE-50", -1),)), NotAllowed),
    ],
    ids=["no such customer", "no such product", "no lines", "no pieces", "less than no pieces"],
)
async def test_an_order_that_cannot_be_is_refused(
    desk: OrderDesk, order: NewOrder, kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        await desk.add(order)


async def test_an_unknown_order_is_not_found(desk: OrderDesk) -> None:
    with pytest.raises(NotFound, match="there is no order 7"):
        await desk.find(7)


async def test_the_newest_orders_come_first_and_by_status(desk: OrderDesk) -> None:
    first, second, third = [await desk.add(tape()) for _ in range(3)]
    await desk.move(second, Status.PACKED)
    assert [order.number for order in await desk.latest(limit=2)] == [third, second]
    assert [order.number for order in await desk.latest(status=Status.PLACED)] == [third, first]
    with pytest.raises(NotAllowed):
        await desk.latest(limit=100_000)


async def test_an_order_moves_on_and_never_back(desk: OrderDesk) -> None:
    number = await desk.add(tape())
    assert (await desk.move(number, Status.SHIPPED)).status is Status.SHIPPED
    with pytest.raises(NotAllowed):
        await desk.move(number, Status.PACKED)
    assert (await desk.find(number)).status is Status.SHIPPED


async def test_who_waits_for_an_order_gets_it_once_it_has_come_so_far(desk: OrderDesk) -> None:
    number = await desk.add(tape())
    arrived: list[Status] = []

    async def wait() -> None:
        arrived.append((await desk.wait_for(number, Status.PACKED)).status)

    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            while not (await desk.summary()).waiting:  # noqa: ASYNC110 - the other side's state
                await trio.sleep(0.01)
            assert not arrived
            await desk.move(number, Status.SHIPPED)
    assert arrived == [Status.SHIPPED]


async def test_a_call_that_is_given_up_ends_on_the_server(desk: OrderDesk) -> None:
    number = await desk.add(tape())
    with trio.move_on_after(0.2) as scope:
        await desk.wait_for(number, Status.SHIPPED)
    assert scope.cancelled_caught
    with trio.fail_after(5):
        while (await desk.summary()).waiting:  # noqa: ASYNC110 - the other side's state
            await trio.sleep(0.01)


async def test_changes_are_announced(desk: OrderDesk) -> None:
    with trio.fail_after(5):
        async with desk.changed.subscribe() as changes:
            number = await desk.add(tape())
            change = await anext(aiter(changes))
            assert change == OrderChanged(number, Status.PLACED, attachments=0)
            await desk.move(number, Status.PACKED)
            assert (await anext(aiter(changes))).status is Status.PACKED


async def test_an_order_that_was_placed_before_is_not_announced_again(desk: OrderDesk) -> None:
    order = tape()
    number = await desk.add(order)
    async with desk.changed.subscribe() as changes:
        await desk.add(order)
        other = await desk.add(tape())
        assert other != number
        assert (await anext(aiter(changes))).number == other


async def test_orders_are_loaded_and_exported_over_several_pages(desk: OrderDesk) -> None:
    count = PAGE + BATCH + 1
    rows = [tape() for _ in range(count)]
    report = await desk.load(Stream(rows))
    assert (report.added, report.known) == (count, 0)
    numbers = [order.number async for order in desk.export(AN_HOUR_AGO)]
    assert numbers == list(range(1, count + 1))


async def test_a_load_that_is_sent_again_adds_what_is_missing(desk: OrderDesk) -> None:
    rows = [tape() for _ in range(10)]
    await desk.load(Stream(rows[:4]))
    report = await desk.load(Stream(rows))
    assert (report.added, report.known) == (6, 4)


async def test_a_load_that_is_refused_leaves_whole_batches(desk: OrderDesk) -> None:
    rows = [tape() for _ in range(BATCH + 5)]
    rows[-1] = attrs.evolve(rows[-1], customer=99)
    with pytest.raises(NotFound):
        await desk.load(Stream(rows))
    assert (await desk.summary()).orders == BATCH


async def test_an_export_can_be_left_early(desk: OrderDesk) -> None:
    await desk.load(Stream([tape() for _ in range(50)]))
    async with desk.export(AN_HOUR_AGO) as orders:
        async for order in orders:
            assert order.number == 1
            break
    assert (await desk.summary()).orders == 50


async def test_an_export_of_nothing_is_empty(desk: OrderDesk) -> None:
    assert [order async for order in desk.export(datetime.now(UTC) + timedelta(days=1))] == []


async def test_each_line_is_quoted_before_the_next_is_asked(desk: OrderDesk) -> None:
    may_ask = trio.Event()

    async def lines() -> AsyncIterator[NewLine]:
        yield NewLine("BOLT-M8", 3)
        await may_ask.wait()
        yield NewLine("SAW-300", 13)

    with trio.fail_after(5):
        async with desk.quote(Stream(lines())) as quotes:
            found = []
            async for quote in quotes:
                found.append((quote.price, quote.available))
                may_ask.set()
    assert found == [(Decimal("37.20"), True), (Decimal("323.70"), False)]
