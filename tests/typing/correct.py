"""Code that must pass `mypy --strict`: a client, a blocking client, a server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Protocol

from contract import BlockingOrders, NewOrder, Order, OrderChanged, Orders, OutOfStock

from appserver import in_thread
from protocol import Interface
from protocol.interface import Blob, Caller, Gap, Stream, bind_implementation, contract_of, make_proxy


async def client(orders: Orders) -> None:
    order: Order = await orders.find(7)
    try:
        number: int = await orders.add(NewOrder(order.customer, Decimal("9.90")), urgent=True)
    except OutOfStock as problem:
        number = problem.left
    async with orders.follow(datetime.now(timezone.utc)) as changes:
        async for change in changes:
            number += change.number
    await orders.bulk_load(Stream([NewOrder("Ada", Decimal(1))]))
    await orders.bulk_load(Stream(rows()))
    async for answer in orders.exchange(Stream(rows())):
        number = answer.number
    await orders.attach(number, Blob(Path("invoice.pdf")))
    await orders.attach(number=number, file=Blob(b"%PDF", name="invoice.pdf"))
    await orders.attach(number, Blob(chunks()))
    async with orders.fetch(number) as file:
        await file.save(Path("copy.pdf"), resume=True, progress=show)
        content: bytes = await file.read(limit=1_000_000)
        print(file.size, file.name, content)
    async with orders.changed.subscribe() as events:
        async for event in events:
            number = event.number
    async with orders.changed.subscribe(gaps=True) as events_and_gaps:
        async for item in events_and_gaps:
            number = item.lost if isinstance(item, Gap) else item.number


def blocking_client(orders: BlockingOrders) -> None:
    order: Order = orders.find(7)
    with orders.follow(datetime.now(timezone.utc)) as changes:
        for change in changes:
            print(change.number, order.number)
    with orders.changed.subscribe() as events:
        for event in events:
            print(event.number)


async def rows() -> AsyncIterator[NewOrder]:
    yield NewOrder("Ada", Decimal(1))


async def chunks() -> AsyncIterator[bytes]:
    yield b"%PDF"


def show(done: int, size: int | None) -> None:
    print(done, size)


class OrderDesk(Orders):
    def __init__(self, stock: dict[int, Order]) -> None:
        self.stock = stock

    async def find(self, number: int) -> Order:
        return self.stock[number]

    async def add(self, order: NewOrder, *, urgent: bool = False) -> int:
        if not self.stock:
            raise OutOfStock(order.customer, left=0)
        self.changed.publish(OrderChanged(1))
        return 1

    def follow(self, since: datetime) -> Stream[Order]:
        return Stream(self.stock.values())

    async def bulk_load(self, rows: Stream[NewOrder]) -> int:
        return len([row.customer async for row in rows])

    def exchange(self, rows: Stream[NewOrder]) -> Stream[Order]:
        return Stream(self.answers(rows))

    async def answers(self, rows: Stream[NewOrder]) -> AsyncIterator[Order]:
        async for row in rows:
            yield Order(1, row.customer, row.total)

    async def attach(self, number: int, file: Blob) -> None:
        await file.save(f"{number}.pdf")

    def fetch(self, number: int) -> Blob:
        return Blob(f"{number}.pdf")


class BlockingDesk(BlockingOrders):
    def find(self, number: int) -> Order:
        return Order(number, "Ada", Decimal(1))

    def add(self, order: NewOrder, *, urgent: bool = False) -> int:
        return 1

    def follow(self, since: datetime) -> Stream[Order]:
        return Stream(self.answers())

    def answers(self) -> Iterator[Order]:
        yield self.find(1)


def both_ends(caller: Caller) -> Orders:
    bind_implementation(OrderDesk({}), print)
    bind_implementation(BlockingDesk(), print)
    print(contract_of(Orders).fingerprint)
    orders: Orders = make_proxy(Orders, caller)
    return orders


class Echo(Interface, Protocol, version=(1, 0)):
    async def echo(self, text: str) -> str: ...


class ThreadedEcho(Echo):
    @in_thread
    def echo(self, text: str) -> str:
        return text
