"""An interface with every kind of type, for the tests of what works from its description alone."""

from __future__ import annotations

import enum
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import PurePosixPath
from typing import Generic, Literal, Protocol, TypeVar
from uuid import UUID

import attrs

from protocol import Blob, Event, Interface, Stream, event

T = TypeVar("T")


class Colour(enum.Enum):
    RED = "red"
    DARK_BLUE = "dark blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


@attrs.frozen
class Line:
    product: str
    price: Decimal
    count: int = 1


@attrs.frozen
class Order:
    number: int
    lines: list[Line]
    due: date | None = None
    parent: Order | None = None


@attrs.frozen
class Circle:
    radius: float


@attrs.frozen
class Square:
    side: float


@attrs.frozen
class Page(Generic[T]):
    items: list[T]
    more: bool


@attrs.define
class OutOfStock(Exception):
    product: str
    left: int


class Closed(Exception):
    pass


class Desk(Interface, Protocol, version=(1, 3), errors=[OutOfStock, Closed]):
    """The desk. It says \"\"\"hello\"\"\" and C:\\new."""

    async def find(self, number: int) -> Order:
        """Return an order.

        Second paragraph, ending in a quote: "
        """
        ...

    async def add(self, order: Order, *, urgent: bool = False, colour: Colour = Colour.RED) -> int: ...

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
    ) -> str: ...

    async def later(
        self, first: int, second: int = 2, third: str | None = None, fourth: date = date.min
    ) -> int: ...

    async def containers(
        self,
        numbers: set[int],
        pairs: dict[int, str],
        table: dict[str, list[float]],
        place: tuple[int, str],
        keys: frozenset[tuple[int, ...]],
    ) -> Page[Order]: ...

    async def choices(
        self,
        shape: Circle | Square,
        level: Level,
        rights: Rights,
        mode: Literal["fast", "slow", 3],
        either: int | str | None,
        anything: object,
    ) -> Circle | Square: ...

    async def attach(self, number: int, file: Blob, *, note: str = "") -> int: ...

    def fetch(self, number: int, /) -> Blob: ...

    def follow(self, since: datetime) -> Stream[Order]: ...

    async def load(self, rows: Stream[Line], *, strict: bool = True) -> int: ...

    def exchange(self, rows: Stream[int]) -> Stream[Line]: ...

    async def nothing(self) -> None: ...

    changed: Event[Order] = event(policy="latest", key="number", limit=50)
    said: Event[str] = event()
