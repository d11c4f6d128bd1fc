"""The application: what `appserver run orders.app:app` serves, and what the tests serve in one process."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from appserver import Application
from orders import records
from orders.database import Database
from orders.desk import Desk
from orders.files import AttachmentFolder
from orders.warehouse import StockRoom


def build_application(folder: Path) -> Application:
    """The order desk on a folder of its own.

    Args:
        folder: for the database and the attachments; made when the server starts.
    """
    database = Database(folder / "orders.sqlite3")
    files = AttachmentFolder(folder / "attachments")

    def open_data() -> None:
        database.open()
        files.open(database.read(records.attachment_ids))

    @asynccontextmanager
    async def lifespan() -> AsyncIterator[None]:
        await trio.to_thread.run_sync(open_data)
        try:
            yield
        finally:
            database.close()

    application = Application("orders", lifespan=lifespan)
    stock_room = StockRoom(database)
    application.register(stock_room)
    application.register(Desk(database, files, stock_room))
    return application


DATA = Path(__file__).parent.parent / "data"

app = build_application(Path(os.environ.get("ORDERS_DATA", DATA)))
