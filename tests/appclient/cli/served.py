"""The application behind the tests of `appclient`; `appserver run` serves it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import trio

from appserver import Application
from protocol import Blob, Stream
from tests.appclient.cli.interface_for_tests import (
    Circle,
    Closed,
    Colour,
    Desk,
    Level,
    Line,
    Order,
    OutOfStock,
    Page,
    Rights,
    Square,
)

PEN = Line("pen", Decimal("2.50"), 3)
CONTENT = bytes(range(256)) * 1000


class ServedDesk(Desk):
    async def find(self, number: int) -> Order:
        if number == 404:
            raise OutOfStock("pen\x1b[2J", 4)
        if number == 500:
            raise RuntimeError("a secret")
        if number == 0:
            await trio.sleep_forever()
        return Order(number, [PEN], date(2030, 1, 31))

    async def add(self, order: Order, *, urgent: bool = False, colour: Colour = Colour.RED) -> int:
        if colour is Colour.DARK_BLUE:
            raise Closed("we are closed")
        return order.number * (100 if urgent else 1)

    async def scalars(
        self,
        decimal: Decimal,
        day: date,
        moment: datetime,
        clock: time,
        span: timedelta,
        key: UUID,
        path: PurePosixPath,
        raw: bytes,
        number: float,
        text: str,
    ) -> str:
        return repr((decimal, day, moment, clock, span, key, path, raw, number, text))

    async def later(
        self, first: int, second: int = 2, third: str | None = None, fourth: date = date.min
    ) -> int:
        return first + second

    async def containers(
        self,
        numbers: set[int],
        pairs: dict[int, str],
        table: dict[str, list[float]],
        place: tuple[int, str],
        keys: frozenset[tuple[int, ...]],
    ) -> Page[Order]:
        return Page([Order(number, []) for number in sorted(numbers)], more=bool(pairs))

    async def choices(
        self,
        shape: Circle | Square,
        level: Level,
        rights: Rights,
        mode: Any,
        either: int | str | None,
        anything: object,
    ) -> Circle | Square:
        return Square(4.0) if isinstance(shape, Circle) else Circle(2.0)

    async def attach(self, number: int, file: Blob, *, note: str = "") -> int:
        return len(await file.read())

    def fetch(self, number: int, /) -> Blob:
        return Blob(CONTENT[:number])

    def follow(self, since: datetime) -> Stream[Order]:
        return Stream([Order(number, [PEN]) for number in (1, 2, 3)])

    async def load(self, rows: Stream[Line], *, strict: bool = True) -> int:
        return sum([line.count async for line in rows])

    def exchange(self, rows: Stream[int]) -> Stream[Line]:
        async def answer() -> AsyncIterator[Line]:
            async for row in rows:
                yield Line("x", Decimal(row))

        return Stream(answer())

    async def nothing(self) -> None:
        return


app = Application("desk")
app.register(ServedDesk())
