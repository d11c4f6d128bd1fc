"""The warehouse's methods: handlers that are plain functions.

Each call runs in a worker thread, of which there are as many as `limits.worker_threads` allows, so a
handler may simply block. An event may be published from there too.
"""

# ruff: noqa: D102 - what the methods do stands in the contract

from __future__ import annotations

from collections.abc import Iterable

from orders import records
from orders.contract import LOW, Product, Warehouse
from orders.database import Database


class StockRoom(Warehouse):
    """Serves `Warehouse`.

    Args:
        database: open while the server runs.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def stock(self, code: str) -> Product:
        return self._database.read(records.find_product, code)

    def deliver(self, code: str, quantity: int) -> Product:
        return self._database.write(records.add_stock, code, quantity)

    def ordered(self, products: Iterable[Product]) -> None:
        """Say which of the products that were just ordered run low."""
        for product in products:
            if product.stock < LOW:
                self.low.publish(product)
