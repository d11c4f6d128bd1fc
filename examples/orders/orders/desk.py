"""The order desk's methods.

One object serves all clients. Its handlers are `async def`: they run on the event loop and hand whatever
blocks, which is the database and the disk, to worker threads. What a handler raises of the contract's
exceptions arrives at the caller as itself; anything else would arrive as "the handler failed", with a trace
under which the log holds the reason.
"""

# ruff: noqa: D102 - what the methods do stands in the contract

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from uuid import UUID, uuid4

import trio

from appserver import current_call
from orders import records
from orders.contract import (
    Attachment,
    Customer,
    LoadReport,
    NewLine,
    NewOrder,
    NotAllowed,
    NotFound,
    Order,
    OrderChanged,
    OrderDesk,
    Product,
    Quote,
    Status,
    Summary,
)
from orders.database import Database
from orders.files import AttachmentFolder
from orders.warehouse import StockRoom
from protocol import Blob, Stream

logger = logging.getLogger("orders")

PAGE = 200
"""Orders that one query of an export reads: between two pages it holds neither a lock nor a connection."""
BATCH = 100
"""Orders that one transaction of a load places."""
LONGEST_LIST = 500
"""Orders that one answer holds; a longer list is a stream's work."""
NAME_LENGTH = 200


class Desk(OrderDesk):
    """Serves `OrderDesk`.

    Args:
        database: open while the server runs.
        files: the attachments' contents.
        stock_room: is told which products were ordered.
    """

    def __init__(self, database: Database, files: AttachmentFolder, stock_room: StockRoom) -> None:
        self._database = database
        self._files = files
        self._stock_room = stock_room
        self._moved = trio.Event()
        self._waiting = 0

    async def products(self, search: str = "") -> list[Product]:
        return await trio.to_thread.run_sync(self._database.read, records.find_products, search)

    async def customers(self, search: str = "") -> list[Customer]:
        return await trio.to_thread.run_sync(self._database.read, records.find_customers, search)

    async def find(self, number: int) -> Order:
        return await trio.to_thread.run_sync(self._database.read, records.find_order, number)

    async def latest(self, *, status: Status | None = None, limit: int = 20) -> list[Order]:
        if not 0 < limit <= LONGEST_LIST:
            raise NotAllowed(f"a list has 1 to {LONGEST_LIST} orders, not {limit}: export has no bound")
        return await trio.to_thread.run_sync(self._database.read, records.latest_orders, status, limit)

    async def summary(self) -> Summary:
        count = await trio.to_thread.run_sync(self._database.read, records.count_orders)
        return Summary(orders=count, waiting=self._waiting)

    async def add(self, order: NewOrder, *, urgent: bool = False) -> int:
        def place() -> records.Placed:
            return self._database.write(records.place, order, urgent=urgent)

        placed = await trio.to_thread.run_sync(place)
        self._announce(placed)
        caller = current_call().session
        logger.info(
            "order placed", extra={"order": placed.number, "by": caller.application, "session": caller.id}
        )
        return placed.number

    async def move(self, number: int, status: Status) -> Order:
        order = await trio.to_thread.run_sync(self._database.write, records.move_order, number, status)
        self._publish(order)
        return order

    async def wait_for(self, number: int, status: Status) -> Order:
        # However the call ends, with the order, by the caller's cancelling, its deadline or the end of its
        # connection, it ends here as in any trio program, and `finally` runs.
        self._waiting += 1
        try:
            while True:
                moved = self._moved  # taken before the look, so that no move falls in between
                order = await self.find(number)
                if records.has_come_to(order, status):
                    return order
                await moved.wait()
        finally:
            self._waiting -= 1

    def export(self, since: datetime) -> Stream[Order]:
        return Stream(self._orders_since(since))  # a plain generator: it runs in worker threads

    def _orders_since(self, since: datetime) -> Iterator[Order]:
        number = 0
        while page := self._database.read(records.orders_after, since, number, PAGE):
            yield from page
            number = page[-1].number

    async def load(self, orders: Stream[NewOrder]) -> LoadReport:
        # Each batch is placed as a whole. Should the transfer break, the client sends everything again, and
        # the keys tell what is there already.
        report = LoadReport(added=0, known=0)
        batch: list[NewOrder] = []
        async for order in orders:
            batch.append(order)
            if len(batch) == BATCH:
                report = await self._place_batch(batch, report)
                batch = []
        return await self._place_batch(batch, report)

    async def _place_batch(self, batch: list[NewOrder], report: LoadReport) -> LoadReport:
        done = await trio.to_thread.run_sync(self._database.write, records.place_all, batch)
        for placed in done:
            self._announce(placed)
        known = sum(placed.known for placed in done)
        return LoadReport(report.added + len(done) - known, report.known + known)

    def quote(self, lines: Stream[NewLine]) -> Stream[Quote]:
        return Stream(self._quotes(lines))

    async def _quotes(self, lines: Stream[NewLine]) -> AsyncIterator[Quote]:
        async for line in lines:
            product = await trio.to_thread.run_sync(self._database.read, records.find_product, line.product)
            yield Quote(line, product.price * line.quantity, available=product.stock >= line.quantity)

    async def attach(self, number: int, file: Blob) -> Attachment:
        await self.find(number)  # before anything is received
        key = uuid4()

        def enter() -> tuple[Attachment, Order]:
            name = (file.name or "attachment")[:NAME_LENGTH]  # it comes with the content
            attachment = self._files.describe(key, name)
            return attachment, self._database.write(records.add_attachment, number, attachment)

        try:
            await file.save(self._files.path(key))
            attachment, order = await trio.to_thread.run_sync(enter)
        except BaseException:  # the caller's cancelling included
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(self._files.delete, key)
            raise
        self._publish(order)
        return attachment

    def fetch(self, attachment: UUID) -> Blob:
        # A method that gives a stream or a blob only says where it comes from, so this must not take long.
        path = self._files.path(attachment)
        if not path.is_file():
            raise NotFound("attachment", str(attachment))
        return Blob(path)

    def _announce(self, placed: records.Placed) -> None:
        """Tell whom it concerns that an order was placed; not again where it had been placed before."""
        if not placed.known:
            self.changed.publish(OrderChanged(placed.number, Status.PLACED, attachments=0))
            self._stock_room.ordered(placed.touched)

    def _publish(self, order: Order) -> None:
        self._moved.set()
        self._moved = trio.Event()
        self.changed.publish(OrderChanged(order.number, order.status, len(order.attachments)))
