"""Once through everything, against a server that runs: `python -m orders.demo`.

It shows what the product does and says what it sees; a step that goes wrong ends it with an exception.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import trio

from appclient import Client
from orders.client import (
    EXPECTED,
    add_connection_arguments,
    attach,
    fetch,
    load,
    one_line,
    open_client,
    place,
)
from orders.contract import NewLine, NewOrder, OrderDesk, OutOfStock, Status
from orders.progress import progress_bar
from protocol import Stream

MEBIBYTE = 1024 * 1024
FILE_SIZE = 32 * MEBIBYTE
LOADED = 1000
NOT_TOLD = "not told (Python 3.15 and later tell it)"


def say(title: str, text: str = "") -> None:
    """Print one finding."""
    print(f"{title:<10} {text}", flush=True)


async def show_connection(client: Client) -> None:
    """What was negotiated."""
    security = client.security
    assert security is not None
    say("connected", f"{client.address.location}, application {client.application!r}")
    if security.encrypted:
        say("", f"protocol {security.version}, cipher {security.cipher}, group {security.group or NOT_TOLD}")
        say("", f"server's key {security.fingerprint}")
    else:
        say("", "not encrypted: client_server.encrypt is off")
    say("", f"round trip {await client.ping() * 1000:.1f} ms")


async def show_calls(desk: OrderDesk) -> int:
    """Plain calls, typed on both sides, and an exception that arrives as itself."""
    products = await desk.products()
    say("calls", f"{len(products)} products, the first {products[0].name} at {products[0].price}")
    number = await place(
        desk, NewOrder(1, (NewLine("GEAR-24", 2), NewLine("TAPE-50", 1)), note="ring twice"), urgent=True
    )
    order = await desk.find(number)
    assert order.total == Decimal("83.05")
    say("", f"placed {one_line(order).strip()}")
    try:
        await desk.add(NewOrder(2, (NewLine("SAW-300", 1000),)))
    except OutOfStock as exc:
        say("", f"refused with {type(exc).__name__}: {exc}")
    async with desk.quote(Stream([NewLine("BOLT-M8", 3), NewLine("LAMP-E27", 9999)])) as quotes:
        async for quote in quotes:
            there = "in stock" if quote.available else "not in stock"
            say("", f"quoted {quote.line.quantity} x {quote.line.product}: {quote.price}, {there}")
    return number


async def show_streams(desk: OrderDesk) -> None:
    """A thousand orders up, and all of them down again."""
    rows = [NewOrder(1 + index % 3, (NewLine("LABEL-A6", 1),)) for index in range(LOADED)]
    report = await load(desk, rows)
    say("streams", f"{report.added} orders sent up and placed; the same again places")
    again = await desk.load(Stream(rows))
    say("", f"{again.added}, for {again.known} were known by their keys")
    expected = (await desk.summary()).orders
    total = Decimal(0)
    done = 0
    with progress_bar("orders") as update:
        async with desk.export(datetime.now(UTC) - timedelta(days=1)) as orders:
            async for order in orders:
                total += order.total
                done += 1
                update(done, expected)
    say("", f"{done} orders came down, worth {total}")


async def show_event(desk: OrderDesk, number: int) -> None:
    """A change that the server announces."""
    async with desk.changed.subscribe() as changes, trio.open_nursery() as nursery:
        nursery.start_soon(desk.move, number, Status.PACKED)
        async for change in changes:
            say("event", f"order {change.number} is {change.status.value}")
            break


async def show_files(desk: OrderDesk, number: int, folder: Path) -> None:
    """A file up and down again, the same to the last bit."""
    sent = folder / "drawing.bin"
    sent.write_bytes(os.urandom(FILE_SIZE))
    attachment = await attach(desk, number, sent)
    received = folder / "fetched.bin"
    await fetch(desk, attachment, received)
    digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in (sent, received)]
    assert digests == [attachment.sha256, attachment.sha256]
    say(
        "file",
        f"{attachment.size // MEBIBYTE} MiB up and down, SHA-256 on both sides {attachment.sha256}",
    )


async def show_cancelled_call(desk: OrderDesk, number: int) -> None:
    """A call that is given up here ends there too."""
    with trio.move_on_after(0.3) as scope:
        await desk.wait_for(number, Status.SHIPPED)
    assert scope.cancelled_caught
    with trio.fail_after(5):
        while True:
            summary = await desk.summary()
            if not summary.waiting:
                break
            await trio.sleep(0.01)
    say("cancelled", "a call was given up after 0.3 s, and its handler on the server has ended")


async def tour(arguments: argparse.Namespace) -> None:
    """Go through everything once."""
    with tempfile.TemporaryDirectory(prefix="orders-demo-") as folder:
        async with open_client(arguments) as client:
            desk = client.use(OrderDesk)
            await show_connection(client)
            number = await show_calls(desk)
            await show_streams(desk)
            await show_event(desk, number)
            await show_files(desk, number, Path(folder))
            await show_cancelled_call(desk, number)
    say("done", "connection closed")


def main() -> int:
    """Run the tour; returns the exit status."""
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    add_connection_arguments(parser)
    try:
        trio.run(tour, parser.parse_args())
    except EXPECTED as exc:
        print(f"demo: {type(exc).__name__}: {exc}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
