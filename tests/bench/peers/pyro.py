"""Pyro5 with TLS, its msgpack serializer and its class hooks for rows."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import Any
from uuid import UUID

import Pyro5.api

from tests.bench import loads
from tests.bench.sides import HOST, Life, Load
from tests.bench.values import Row, sample_rows

config: Any = Pyro5.api.config


def _configure() -> None:
    config.SSL = True
    config.SERIALIZER = "msgpack"
    config.SOCK_NODELAY = True


def _row_to_dict(row: Row) -> dict[str, object]:
    return {
        "__class__": "Row",
        "number": row.number,
        "article": row.article,
        "price": row.price,  # Decimal and UUID travel as texts
        "due": row.due,
        "key": row.key,
        "paid": row.paid,
    }


def _dict_to_row(_: str, values: dict[str, Any]) -> Row:
    due: date = values["due"]
    return Row(
        values["number"],
        values["article"],
        Decimal(values["price"]),
        due,
        UUID(values["key"]),
        values["paid"],
    )


class Service:
    """The handlers."""

    def __init__(self) -> None:
        self._rows = sample_rows()

    @Pyro5.api.expose  # type: ignore[untyped-decorator, unused-ignore]
    def add(self, left: int, right: int) -> int:
        """The small call."""
        return left + right

    @Pyro5.api.expose  # type: ignore[untyped-decorator, unused-ignore]
    def rows(self) -> list[Row]:
        """A hundred rows."""
        return self._rows


def serve(life: Life) -> None:
    """Serve until the process ends."""
    _configure()
    config.SSL_SERVERCERT = str(life.files.certificate)
    config.SSL_SERVERKEY = str(life.files.key)
    Pyro5.api.register_class_to_dict(Row, _row_to_dict)
    daemon = Pyro5.api.Daemon(host="127.0.0.1", port=0)
    daemon.register(Service(), "bench")
    life.announce(int(daemon.locationStr.rpartition(":")[2]))
    daemon.requestLoop()


def load(load: Load) -> None:
    """Take orders."""
    _configure()
    config.SSL_CACERTS = str(load.files.authority)
    Pyro5.api.register_dict_to_class("Row", _dict_to_row)
    with Pyro5.api.Proxy(f"PYRO:bench@{HOST}:{load.port}") as proxy:
        proxy._pyroBind()
        call = getattr(proxy, load.work)
        for order in load.orders():
            with load.meter() as meter:
                count = (loads.rows_blocking if load.work == "rows" else loads.add_blocking)(call, order)
            meter.report(count)
