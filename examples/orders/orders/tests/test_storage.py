"""What lies on the disk: nothing is lost, nothing is half there."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest

from appserver.testing import loopback
from orders import records
from orders.app import build_application
from orders.contract import NewLine, NewOrder, OrderDesk, OutOfStock
from orders.database import Database, DatabaseTooNew
from orders.schema import MIGRATIONS
from protocol import Blob

FOLDER = Path(__file__).parents[2]

WRITER = """
import sys
from pathlib import Path
from orders import records
from orders.contract import NewLine, NewOrder
from orders.database import Database

database = Database(Path(sys.argv[1]))
database.open()
while True:
    placed = database.write(records.place, NewOrder(1, (NewLine("LABEL-A6", 1),)))
    print(placed.number, flush=True)
"""


@pytest.fixture
def database(tmp_path: Path) -> Database:
    database = Database(tmp_path / "orders.sqlite3")
    database.open()
    return database


def test_what_was_answered_is_there_after_kill_9(tmp_path: Path) -> None:
    file = tmp_path / "orders.sqlite3"
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(FOLDER), *filter(None, [os.environ.get("PYTHONPATH")])])
    }
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(file)], stdout=subprocess.PIPE, text=True, env=environment
    ) as writer:
        assert writer.stdout is not None
        answered = [int(writer.stdout.readline()) for _ in range(25)]
        writer.kill()
        answered += [int(line) for line in writer.stdout.read().splitlines()]
    database = Database(file)
    database.open()
    orders = database.read(records.latest_orders, None, 10_000)
    assert {order.number for order in orders} >= set(answered)
    assert all(len(order.lines) == 1 for order in orders)
    (labels,) = database.read(records.find_products, "LABEL-A6")
    assert labels.stock == 100_000 - len(orders)
    database.close()


async def test_a_restarted_server_has_the_orders_and_their_files(tmp_path: Path) -> None:
    async with loopback(build_application(tmp_path)) as client:
        desk = client.use(OrderDesk)
        number = await desk.add(NewOrder(1, (NewLine("TAPE-50", 1),)))
        attachment = await desk.attach(number, Blob(b"content", name="note.txt"))
        order = await desk.find(number)
    (tmp_path / "attachments" / str(uuid4())).write_bytes(b"received, and the server was killed")
    (tmp_path / "attachments" / f"{uuid4()}.part").write_bytes(b"hal")
    async with loopback(build_application(tmp_path)) as client:
        desk = client.use(OrderDesk)
        assert await desk.find(number) == order
        assert await desk.fetch(attachment.id).read() == b"content"
    assert [file.name for file in (tmp_path / "attachments").iterdir()] == [str(attachment.id)]


def test_a_transaction_that_fails_changes_nothing(database: Database) -> None:
    with pytest.raises(OutOfStock):
        database.write(
            records.place_all,
            [NewOrder(1, (NewLine("TAPE-50", 1),)), NewOrder(1, (NewLine("TAPE-50", 10_000),))],
        )
    assert database.read(records.count_orders) == 0
    (product,) = database.read(records.find_products, "TAPE-50")
    assert product.stock == 900
    database.close()


def test_every_commit_reaches_the_disk_before_it_is_answered(database: Database) -> None:
    def settings(connection: sqlite3.Connection) -> tuple[object, ...]:
        return tuple(
            connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "foreign_keys")
        )

    assert database.read(settings) == ("wal", 2, 1)
    database.close()


@pytest.mark.parametrize("version", range(len(MIGRATIONS)))
def test_an_older_database_is_brought_up_to_date(tmp_path: Path, version: int) -> None:
    file = tmp_path / "old.sqlite3"
    connection = sqlite3.connect(file)
    for script in MIGRATIONS[:version]:
        connection.executescript(script)
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
    database = Database(file)
    database.open()
    database.open()  # a second start finds nothing to do
    assert len(database.read(records.find_products, "")) == 6
    database.close()


def test_a_database_of_a_newer_program_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "new.sqlite3"
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    database = Database(file)
    with pytest.raises(DatabaseTooNew, match="version 99"):
        database.open()
    database.close()
