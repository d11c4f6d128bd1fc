"""Between rows and the contract's structures: every SQL statement of the order desk.

Each function takes a connection on which a transaction has begun. What the rules of the desk forbid raises
one of the contract's exceptions, which undoes the transaction and arrives at the client as itself.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from uuid import UUID

import attrs

from orders.contract import (
    Attachment,
    Customer,
    Line,
    NewOrder,
    NotAllowed,
    NotFound,
    Order,
    OutOfStock,
    Product,
    Status,
)

ORDER = """
SELECT placed_order.number, customer, customer.name, status, urgent, placed, note
FROM placed_order JOIN customer ON customer.number = placed_order.customer
"""


@attrs.frozen
class Placed:
    """What `place` did.

    Attributes:
        number: of the order.
        known: the order had been placed before, under the same key; nothing was done.
        touched: the products that were ordered, as they are now.
    """

    number: int
    known: bool
    touched: tuple[Product, ...] = ()


def find_products(connection: sqlite3.Connection, search: str) -> list[Product]:
    """The products whose code or name contains a text."""
    rows = connection.execute(
        "SELECT code, name, price, stock FROM product WHERE instr(lower(code || ' ' || name), ?) ORDER BY code",
        (search.lower(),),
    )
    return [_product(row) for row in rows]


def find_product(connection: sqlite3.Connection, code: str) -> Product:
    """One product.

    Raises:
        NotFound: there is none.
    """
    row = connection.execute(
        "SELECT code, name, price, stock FROM product WHERE code = ?", (code,)
    ).fetchone()
    if row is None:
        raise NotFound("product", code)
    return _product(row)


def add_stock(connection: sqlite3.Connection, code: str, quantity: int) -> Product:
    """Put goods into the stock.

    Raises:
        NotFound: there is no such product.
        NotAllowed: less than one piece.
    """
    if quantity < 1:
        raise NotAllowed(f"a delivery has at least one piece, not {quantity}")
    connection.execute("UPDATE product SET stock = stock + ? WHERE code = ?", (quantity, code))
    return find_product(connection, code)


def find_customers(connection: sqlite3.Connection, search: str) -> list[Customer]:
    """The customers whose name contains a text."""
    rows = connection.execute(
        "SELECT number, name FROM customer WHERE instr(lower(name), ?) ORDER BY number", (search.lower(),)
    )
    return [Customer(*row) for row in rows]


def find_order(connection: sqlite3.Connection, number: int) -> Order:
    """One order.

    Raises:
        NotFound: there is none.
    """
    found = _orders(connection, connection.execute(f"{ORDER} WHERE placed_order.number = ?", (number,)))
    if not found:
        raise NotFound("order", str(number))
    return found[0]


def latest_orders(connection: sqlite3.Connection, status: Status | None, limit: int) -> list[Order]:
    """The newest orders, the newest first."""
    rows = connection.execute(
        f"{ORDER} WHERE :status IS NULL OR status = :status ORDER BY placed_order.number DESC LIMIT :limit",
        {"status": status.value if status else None, "limit": limit},
    )
    return _orders(connection, rows)


def orders_after(connection: sqlite3.Connection, since: datetime, number: int, limit: int) -> list[Order]:
    """The orders placed since then whose number is higher than `number`, by number: one page of them."""
    rows = connection.execute(
        f"{ORDER} WHERE placed_order.number > ? AND placed >= ? ORDER BY placed_order.number LIMIT ?",
        (number, _text(since), limit),
    )
    return _orders(connection, rows)


def count_orders(connection: sqlite3.Connection) -> int:
    """How many orders have been placed."""
    (count,) = connection.execute("SELECT count(*) FROM placed_order").fetchone()
    return int(count)


def place(connection: sqlite3.Connection, order: NewOrder, *, urgent: bool = False) -> Placed:
    """Place an order and take its goods out of the stock.

    Raises:
        NotFound: the customer or a product does not exist.
        OutOfStock: there is not enough of a product.
        NotAllowed: it has no lines, or a line of less than one piece.
    """
    known = connection.execute("SELECT number FROM placed_order WHERE key = ?", (str(order.key),)).fetchone()
    if known is not None:
        return Placed(known[0], known=True)
    _check(connection, order)
    number = connection.execute(
        "INSERT INTO placed_order (key, customer, status, urgent, placed, note) VALUES (?, ?, ?, ?, ?, ?)",
        (str(order.key), order.customer, Status.PLACED.value, urgent, _text(datetime.now(UTC)), order.note),
    ).lastrowid
    assert number is not None
    touched = {}
    for position, line in enumerate(order.lines):
        product = find_product(connection, line.product)
        if product.stock < line.quantity:
            raise OutOfStock(line.product, line.quantity, product.stock)
        connection.execute(
            "UPDATE product SET stock = stock - ? WHERE code = ?", (line.quantity, line.product)
        )
        connection.execute(
            "INSERT INTO line (placed_order, position, product, quantity, price) VALUES (?, ?, ?, ?, ?)",
            (number, position, line.product, line.quantity, str(product.price)),
        )
        touched[product.code] = attrs.evolve(product, stock=product.stock - line.quantity)
    return Placed(number, known=False, touched=tuple(touched.values()))


def place_all(connection: sqlite3.Connection, orders: Iterable[NewOrder]) -> list[Placed]:
    """Place several orders: all of them or, where one cannot be, none."""
    return [place(connection, order) for order in orders]


def move_order(connection: sqlite3.Connection, number: int, status: Status) -> Order:
    """Move an order on.

    Raises:
        NotFound: there is no such order.
        NotAllowed: it has come so far already.
    """
    order = find_order(connection, number)
    if has_come_to(order, status):
        raise NotAllowed(f"order {number} is {order.status.value} already")
    connection.execute("UPDATE placed_order SET status = ? WHERE number = ?", (status.value, number))
    return attrs.evolve(order, status=status)


def has_come_to(order: Order, status: Status) -> bool:
    """Whether an order has come so far, or further."""
    course = list(Status)
    return course.index(order.status) >= course.index(status)


def add_attachment(connection: sqlite3.Connection, number: int, attachment: Attachment) -> Order:
    """Enter a file that lies in its place; returns the order with it."""
    connection.execute(
        "INSERT INTO attachment (id, placed_order, name, size, sha256, added) VALUES (?, ?, ?, ?, ?, ?)",
        (
            str(attachment.id),
            number,
            attachment.name,
            attachment.size,
            attachment.sha256,
            _text(attachment.added),
        ),
    )
    return find_order(connection, number)


def attachment_ids(connection: sqlite3.Connection) -> set[UUID]:
    """The attachments that are entered."""
    return {UUID(row[0]) for row in connection.execute("SELECT id FROM attachment")}


def _check(connection: sqlite3.Connection, order: NewOrder) -> None:
    if not order.lines:
        raise NotAllowed("an order has at least one line")
    for line in order.lines:
        if line.quantity < 1:
            raise NotAllowed(f"{line.product}: at least one piece, not {line.quantity}")
    if connection.execute("SELECT 1 FROM customer WHERE number = ?", (order.customer,)).fetchone() is None:
        raise NotFound("customer", str(order.customer))


def _orders(connection: sqlite3.Connection, rows: Iterable[Sequence[object]]) -> list[Order]:
    """Orders with their lines and attachments, in three statements however many they are."""
    heads = list(rows)
    numbers = [int(str(head[0])) for head in heads]
    lines = _lines(connection, numbers)
    attachments = _attachments(connection, numbers)
    return [
        Order(
            number=number,
            customer=Customer(int(str(customer)), str(name)),
            lines=tuple(lines[number]),
            status=Status(status),
            urgent=bool(urgent),
            placed=datetime.fromisoformat(str(placed)),
            note=str(note),
            attachments=tuple(attachments[number]),
        )
        for number, (_, customer, name, status, urgent, placed, note) in zip(numbers, heads, strict=True)
    ]


def _lines(connection: sqlite3.Connection, numbers: list[int]) -> dict[int, list[Line]]:
    found: dict[int, list[Line]] = defaultdict(list)
    for number, code, name, quantity, price in connection.execute(
        "SELECT placed_order, product, name, quantity, line.price FROM line JOIN product ON code = product "
        f"WHERE placed_order IN ({_marks(numbers)}) ORDER BY placed_order, position",
        numbers,
    ):
        found[number].append(Line(code, name, quantity, Decimal(price)))
    return found


def _attachments(connection: sqlite3.Connection, numbers: list[int]) -> dict[int, list[Attachment]]:
    found: dict[int, list[Attachment]] = defaultdict(list)
    for number, key, name, size, sha256, added in connection.execute(
        "SELECT placed_order, id, name, size, sha256, added FROM attachment "
        f"WHERE placed_order IN ({_marks(numbers)}) ORDER BY added, id",
        numbers,
    ):
        found[number].append(Attachment(UUID(key), name, size, sha256, datetime.fromisoformat(added)))
    return found


def _marks(values: Sequence[object]) -> str:
    return ",".join("?" * len(values))


def _product(row: tuple[str, str, str, int]) -> Product:
    code, name, price, stock = row
    return Product(code, name, Decimal(price), stock)


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds")
