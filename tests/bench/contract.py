"""Our own side of the benchmark: the contract and what implements it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

import attrs
import trio

from appserver import Application
from protocol import Blob, Event, Interface, event
from tests.bench.sides import PIECE
from tests.bench.values import Row, sample_rows


@attrs.frozen
class Notice:
    """What the event carries."""

    number: int
    text: str


class Bench(Interface, Protocol, version=(1, 0)):
    """What every peer offers as well."""

    async def add(self, left: int, right: int) -> int:
        """The small call."""
        ...

    async def add_later(self, left: int, right: int) -> int:
        """The small call with a handler that waits once."""
        ...

    async def rows(self) -> list[Row]:
        """A hundred rows."""
        ...

    async def plain_rows(self) -> list[object]:
        """The same rows as plain lists, which nothing converts."""
        ...

    async def publish(self, number: int, text: str) -> None:
        """Have one event sent to all who subscribed."""
        ...

    def down(self, size: int) -> Blob:
        """So many bytes that are on no disk."""
        ...

    async def up(self, file: Blob) -> int:
        """Take a blob, and keep nothing but its size."""
        ...

    changed: Event[Notice] = event()


async def zeros(size: int) -> AsyncIterator[bytes]:
    """So many bytes, in pieces."""
    piece = bytes(PIECE)
    while size > 0:
        yield piece[:size] if size < PIECE else piece
        size -= PIECE


class Service(Bench):
    """The handlers."""

    def __init__(self) -> None:
        self._rows = sample_rows()
        self._plain: list[object] = [list(attrs.astuple(row)) for row in self._rows]

    async def add(self, left: int, right: int) -> int:
        return left + right

    async def add_later(self, left: int, right: int) -> int:
        await trio.lowlevel.checkpoint()
        return left + right

    async def rows(self) -> list[Row]:
        return self._rows

    async def plain_rows(self) -> list[object]:
        return self._plain

    async def publish(self, number: int, text: str) -> None:
        self.changed.publish(Notice(number, text))

    def down(self, size: int) -> Blob:
        return Blob(zeros(size), size=size)

    async def up(self, file: Blob) -> int:
        size = 0
        async for piece in file:
            size += len(piece)
        return size


app = Application("bench")
app.register(Service())
