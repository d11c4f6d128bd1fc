"""The clerk's terminal: `python -m orders.client COMMAND`.

Each command is a short function on a typed proxy. The connection, its encryption and its coming back after
a failure are the SDK's business; what is left here is to say which failures a user can do something about.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

import trio

from appclient import CallError, Client, ConnectError, ConnectionLost, ConnectionState, StateChange, connect
from orders.contract import (
    Attachment,
    LoadReport,
    NewLine,
    NewOrder,
    NotAllowed,
    NotFound,
    Order,
    OrderDesk,
    OutOfStock,
    Status,
)
from orders.progress import progress_bar
from protocol import Blob, Gap, Stream
from protocol.certs import CertificatesError
from protocol.settings import SettingsError
from protocol.transport import AddressError, TransportError

SETTINGS = Path(__file__).parent.parent / "settings.toml"

EXPECTED = (
    NotFound,  # the application's own
    OutOfStock,
    NotAllowed,
    CallError,  # what else can become of a call
    ConnectError,  # the server refuses this client, or is another one
    TransportError,  # it cannot be reached
    CertificatesError,  # it cannot be trusted, or a file of the Resources folder cannot be used
    SettingsError,
    AddressError,
    OSError,  # a file of the user's
)
"""Failures that are answers, one sentence each, rather than bugs."""

Command: TypeAlias = Callable[[OrderDesk, argparse.Namespace], Awaitable[None]]


def add_connection_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what says how to connect."""
    parser.add_argument("--address", help="appserver://host:port/?pin=..., or host:port")
    parser.add_argument("--resources", type=Path, help="folder with the certificates to trust")
    parser.add_argument("--settings", type=Path, default=SETTINGS, help="the settings shared with the server")


@asynccontextmanager
async def open_client(arguments: argparse.Namespace) -> AsyncIterator[Client]:
    """Connect as the arguments say."""
    async with connect(
        arguments.address,
        resources=arguments.resources,
        settings=arguments.settings,
        application="order terminal",
    ) as client:
        yield client


async def show_products(desk: OrderDesk, arguments: argparse.Namespace) -> None:
    """products: what can be ordered."""
    for product in await desk.products(arguments.search):
        print(f"{product.code:<10} {product.price:>9} {product.stock:>6}  {product.name}")


async def show_customers(desk: OrderDesk, arguments: argparse.Namespace) -> None:
    """customers: who orders."""
    for customer in await desk.customers(arguments.search):
        print(f"{customer.number:>5}  {customer.name}")


async def show_list(desk: OrderDesk, arguments: argparse.Namespace) -> None:
    """list: the newest orders."""
    status = Status(arguments.status) if arguments.status else None
    for order in await desk.latest(status=status, limit=arguments.limit):
        print(one_line(order))


async def show_order(desk: OrderDesk, arguments: argparse.Namespace) -> None:
    """find: one order in full."""
    order = await desk.find(arguments.number)
    print(one_line(order))
    for line in order.lines:
        print(f"       {line.quantity:>5} x {line.product:<10} {line.price:>9} {line.total:>10}  {line.name}")
    for attachment in order.attachments:
        print(f"       {attachment.name} ({attachment.size} bytes, SHA-256 {attachment.sha256[:16]}...)")


async def add_order(desk: OrderDesk, arguments: argparse.Namespace) -> None:
    """add: place an order."""
    lines = tuple(NewLine(code, quantity) for code, quantity in arguments.lines)
    order = NewOrder(arguments.customer, lines, note=arguments.note)
    number = await place(desk, order, urgent=arguments.urgent)
    await show_order(desk, argparse.Namespace(number=number))


async def place(desk: OrderDesk, order: NewOrder, *, urgent: bool = False) -> int:
    """Place an order once, whatever becomes of the connection meanwhile.

    A call that the connection takes with it may have been executed or not, and only the application knows
    what that means. This one's order bears a key, so asking again is safe; the call waits for the next
    connection, as long as `timeouts.reconnect_wait` says.
    """
    while True:
        try:
            return await desk.add(order, urgent=urgent)
        except ConnectionLost:
            continue


async def move_order(desk: OrderDesk, arguments: argparse.Namespace) -> None:
    """move: say that an order is packed or shipped."""
    print(one_line(await desk.move(arguments.number, Status(arguments.status))))


async def follow(desk: OrderDesk, arguments: argparse.Namespace) -> None:
    """follow: show each order as it changes, until Ctrl+C."""
    async with desk.changed.subscribe(gaps=True) as changes:
        print("following; Ctrl+C ends it")
        async for change in changes:
            if isinstance(change, Gap):
                print("(changes were missed meanwhile)")
            else:
                print(one_line(await desk.find(change.number)))


async def export(desk: OrderDesk, arguments: argparse.Namespace) -> None:
    """export: write all orders since a day to a CSV file."""
    summary = await desk.summary()
    since = arguments.since.replace(tzinfo=UTC)
    with arguments.file.open("w", newline="", encoding="utf-8") as file, progress_bar("orders") as update:
        writer = csv.writer(file)
        writer.writerow(["number", "placed", "customer", "status", "total"])
        done = 0
        async with desk.export(since) as orders:
            async for order in orders:
                writer.writerow(
                    [order.number, order.placed, order.customer.name, order.status.value, order.total]
                )
                done += 1
                update(done, max(done, summary.orders))


async def load(desk: OrderDesk, orders: Sequence[NewOrder]) -> LoadReport:
    """Place many orders, each once: see `place`."""
    with progress_bar("orders") as update:
        while True:
            try:
                return await desk.load(Stream(_counted(orders, update)))
            except ConnectionLost:
                continue


async def _counted(
    orders: Sequence[NewOrder], update: Callable[[int, int | None], None]
) -> AsyncIterator[NewOrder]:
    for done, order in enumerate(orders, start=1):
        yield order
        update(done, len(orders))


async def attach_file(desk: OrderDesk, arguments: argparse.Namespace) -> None:
    """attach: add a file to an order."""
    attachment = await attach(desk, arguments.number, arguments.file)
    print(f"{attachment.name}: {attachment.size} bytes, SHA-256 {attachment.sha256}")


async def attach(desk: OrderDesk, number: int, file: Path) -> Attachment:
    """Send a file up, with a progress bar."""
    with progress_bar(f"{file.name} up", of_bytes=True) as update:
        return await desk.attach(number, Blob(file, name=file.name, progress=update))


async def fetch_file(desk: OrderDesk, arguments: argparse.Namespace) -> None:
    """fetch: write an order's attachment to a file."""
    order = await desk.find(arguments.number)
    found = [attachment for attachment in order.attachments if attachment.name == arguments.name]
    if not found:
        raise NotFound("attachment", f"{arguments.name} of order {arguments.number}")
    # The name comes from another user: only its last part is taken, never a folder.
    target = arguments.to or Path(Path(found[-1].name).name)
    await fetch(desk, found[-1], target)
    print(f"{target}: {found[-1].size} bytes, as they were sent")


async def fetch(desk: OrderDesk, attachment: Attachment, target: Path) -> None:
    """Fetch a file, with a progress bar; what an earlier attempt left is not fetched again.

    It appears under its name when it is complete and its SHA-256 is right.
    """
    with progress_bar(f"{target.name} down", of_bytes=True) as update:
        await desk.fetch(attachment.id).save(target, resume=True, progress=update)


def one_line(order: Order) -> str:
    """An order as a line of text."""
    urgent = "!" if order.urgent else " "
    files = f"  {len(order.attachments)} files" if order.attachments else ""
    return (
        f"{order.number:>6}{urgent} {order.placed:%Y-%m-%d %H:%M} {order.status.value:<8} "
        f"{order.total:>10}  {order.customer.name}{files}"
    )


def show_state(change: StateChange) -> None:
    """Tell of the connection's coming and going: calls wait meanwhile."""
    if change.state is not ConnectionState.CLOSED:
        print(f"[{change.state.value}] {change.reason}", file=sys.stderr)


def _line(text: str) -> tuple[str, int]:
    code, equals, quantity = text.partition("=")
    if not code or (equals and not quantity.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is not CODE=QUANTITY")
    return code, int(quantity) if equals else 1


def build_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="orders", description="The order desk's terminal.")
    add_connection_arguments(parser)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, function: Command) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=(function.__doc__ or "").partition(": ")[2].rstrip("."))
        added.set_defaults(command=function)
        return added

    statuses = [status.value for status in Status]
    command("products", show_products).add_argument("search", nargs="?", default="")
    command("customers", show_customers).add_argument("search", nargs="?", default="")
    newest = command("list", show_list)
    newest.add_argument("--status", choices=statuses)
    newest.add_argument("--limit", type=int, default=20)
    command("find", show_order).add_argument("number", type=int)
    add = command("add", add_order)
    add.add_argument("customer", type=int)
    add.add_argument("lines", type=_line, nargs="+", metavar="CODE=QUANTITY")
    add.add_argument("--note", default="")
    add.add_argument("--urgent", action="store_true")
    move = command("move", move_order)
    move.add_argument("number", type=int)
    move.add_argument("status", choices=statuses[1:])
    command("follow", follow)
    exporting = command("export", export)
    exporting.add_argument("file", type=Path)
    exporting.add_argument("--since", type=datetime.fromisoformat, default=datetime(2000, 1, 1))
    attaching = command("attach", attach_file)
    attaching.add_argument("number", type=int)
    attaching.add_argument("file", type=Path)
    fetching = command("fetch", fetch_file)
    fetching.add_argument("number", type=int)
    fetching.add_argument("name")
    fetching.add_argument("--to", type=Path)
    return parser


async def run(arguments: argparse.Namespace) -> None:
    """Connect and carry out a command."""
    async with open_client(arguments) as client:
        client.on_state(show_state)
        desk = client.use(OrderDesk)
        command: Command = arguments.command
        await command(desk, arguments)


def main() -> int:
    """Run the command line; returns the exit status."""
    try:
        trio.run(run, build_parser().parse_args())
    except EXPECTED as exc:
        print(f"orders: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
