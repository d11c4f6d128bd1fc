"""What the server offers and what its clients call: both sides import this module, and nothing else in common.

The classes here are ordinary: structures are attrs classes, choices are enums, failures are exceptions. A
value arrives as the type that is annotated, or the call fails and names the field. There is no second
description of any of this, and nothing is generated.
"""

from __future__ import annotations

import enum
from datetime import datetime
from decimal import Decimal
from typing import Protocol
from uuid import UUID, uuid4

import attrs

from protocol import Blob, Event, Interface, Stream, event


class Status(enum.Enum):
    """How far an order has come; it never goes back."""

    PLACED = "placed"
    PACKED = "packed"
    SHIPPED = "shipped"


@attrs.frozen
class Customer:
    """Who orders."""

    number: int
    name: str


@attrs.frozen
class Product:
    """What can be ordered, and how much of it lies in the warehouse."""

    code: str
    name: str
    price: Decimal
    stock: int


@attrs.frozen
class NewLine:
    """One line of an order as the customer says it."""

    product: str
    quantity: int


@attrs.frozen
class NewOrder:
    """An order that is to be placed.

    Attributes:
        customer: the customer's number.
        lines: what is ordered.
        note: for the people who pack it.
        key: made by the client, once for each order. A client that lost the connection and does not know
            whether its order was placed sends the same order again: the key keeps it from being placed twice.
    """

    customer: int
    lines: tuple[NewLine, ...]
    note: str = ""
    key: UUID = attrs.field(factory=uuid4)


@attrs.frozen
class Line:
    """One line of a placed order, at the price of that day."""

    product: str
    name: str
    quantity: int
    price: Decimal

    @property
    def total(self) -> Decimal:
        """What the line costs."""
        return self.price * self.quantity


@attrs.frozen
class Attachment:
    """A file that belongs to an order: its description, not its content."""

    id: UUID
    name: str
    size: int
    sha256: str
    added: datetime


@attrs.frozen
class Order:
    """An order as it is now."""

    number: int
    customer: Customer
    lines: tuple[Line, ...]
    status: Status
    urgent: bool
    placed: datetime
    note: str
    attachments: tuple[Attachment, ...] = ()

    @property
    def total(self) -> Decimal:
        """What the order costs."""
        return sum((line.total for line in self.lines), Decimal(0))


@attrs.frozen
class OrderChanged:
    """An order was placed, moved on or given an attachment."""

    number: int
    status: Status
    attachments: int


@attrs.frozen
class Quote:
    """What a line would cost now, and whether there is enough of it."""

    line: NewLine
    price: Decimal
    available: bool


@attrs.frozen
class LoadReport:
    """What became of the orders of one `load`.

    Attributes:
        added: orders that were placed.
        known: orders that had been placed by an earlier, broken transfer.
    """

    added: int
    known: int


@attrs.frozen
class Summary:
    """The desk at a glance.

    Attributes:
        orders: how many have been placed.
        waiting: calls of `wait_for` that are waiting now.
    """

    orders: int
    waiting: int


@attrs.define
class NotFound(Exception):
    """There is no such customer, product, order or attachment."""

    code = "orders.not_found"  # on the wire; the same in both interfaces, whichever raises it

    kind: str
    key: str

    def __str__(self) -> str:
        return f"there is no {self.kind} {self.key}"


@attrs.define
class OutOfStock(Exception):
    """The warehouse does not hold what was ordered; nothing of the order was placed."""

    product: str
    wanted: int
    left: int

    def __str__(self) -> str:
        return f"{self.wanted} of {self.product} are wanted and {self.left} are left"


@attrs.define
class NotAllowed(Exception):
    """The desk's rules do not allow it: an order without lines, a step backwards."""

    code = "orders.not_allowed"

    reason: str

    def __str__(self) -> str:
        return self.reason


class OrderDesk(Interface, Protocol, version=(1, 0), errors=[NotFound, OutOfStock, NotAllowed]):
    """What clerks do at their desks."""

    async def products(self, search: str = "") -> list[Product]:
        """The products whose code or name contains a text, by code."""
        ...

    async def customers(self, search: str = "") -> list[Customer]:
        """The customers whose name contains a text, by number."""
        ...

    async def find(self, number: int) -> Order:
        """One order."""
        ...

    async def latest(self, *, status: Status | None = None, limit: int = 20) -> list[Order]:
        """The newest orders, the newest first."""
        ...

    async def add(self, order: NewOrder, *, urgent: bool = False) -> int:
        """Place an order and take its goods out of the stock; returns its number."""
        ...

    async def move(self, number: int, status: Status) -> Order:
        """Move an order on."""
        ...

    async def wait_for(self, number: int, status: Status) -> Order:
        """Wait until an order has come so far; the caller decides how long."""
        ...

    async def summary(self) -> Summary:
        """The desk at a glance."""
        ...

    def export(self, since: datetime) -> Stream[Order]:
        """Every order placed since then, by number: as many as there are, as fast as the client takes them."""
        ...

    async def load(self, orders: Stream[NewOrder]) -> LoadReport:
        """Place many orders, from an earlier system or a branch that was off line."""
        ...

    def quote(self, lines: Stream[NewLine]) -> Stream[Quote]:
        """Answer each line with its price while the clerk is still typing the next one."""
        ...

    async def attach(self, number: int, file: Blob) -> Attachment:
        """Add a file of any size to an order, under the name that the blob bears."""
        ...

    def fetch(self, attachment: UUID) -> Blob:
        """The content of an attachment."""
        ...

    changed: Event[OrderChanged] = event(policy="latest", key="number")
    """The newest state of each order that changes: a slow client skips what is out of date."""


class Warehouse(Interface, Protocol, version=(1, 0), errors=[NotFound, NotAllowed]):
    """What the warehouse's scripts do.

    Its methods are written with plain `def`, for the blocking client; the server's handlers may be plain
    functions too, and run in worker threads. On the wire it makes no difference.
    """

    def stock(self, code: str) -> Product:
        """One product."""
        ...

    def deliver(self, code: str, quantity: int) -> Product:
        """Put goods into the stock."""
        ...

    low: Event[Product] = event()
    """A product of which fewer than `LOW` are left after an order."""


LOW = 10
"""Pieces under which `Warehouse.low` is published."""
