# mypy: disable-error-code="empty-body"
"""A contract with every kind of method, and an implementation that the tests can look into."""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import attrs
import trio

from appserver import Application, current_call
from protocol.interface import Blob, Event, Interface, Stream, event


@attrs.define
class OutOfStock(Exception):
    """A registered error with attributes."""

    number: int
    left: int = 0


class Declined(Exception):
    """A registered error of the client's interface."""


@attrs.frozen
class Line:
    """A structure with something to get wrong in it."""

    number: int
    text: str = ""


class Bell(Interface, version=(1, 0), errors=[Declined]):
    """What a client serves to the server."""

    async def ring(self, times: int) -> int:
        """Return the same number."""
        ...

    async def decline(self) -> None:
        """Raise `Declined`."""
        ...

    async def ring_slowly(self) -> int:
        """Run in a thread."""
        ...

    def chimes(self, count: int) -> Stream[int]:
        """Count."""
        ...

    async def collect(self, numbers: Stream[int]) -> int:
        """Add up."""
        ...

    async def weigh(self, blob: Blob) -> int:
        """Return the size."""
        ...

    def picture(self, size: int) -> Blob:
        """Return a blob."""
        ...

    rung: Event[int]


class Desk(Interface, version=(1, 2), errors=[OutOfStock]):
    """One method of each kind."""

    async def echo(self, number: int) -> int:
        """Return it, without suspending."""
        ...

    async def say(self, text: str) -> str:
        """Return it, without suspending."""
        ...

    async def swap(self, line: Line, *, loud: bool = False) -> Line:
        """Return a changed line."""
        ...

    async def run(self, name: str) -> int:
        """Await what the test has put into `Counter.plans`."""
        ...

    async def wrong_result(self, what: str) -> Line:
        """Return what the interface does not say."""
        ...

    async def blocking(self, number: int) -> int:
        """Run in a worker thread."""
        ...

    def count(self, first: int, many: int) -> Stream[int]:
        """Give numbers, from a list."""
        ...

    def follow(self, name: str) -> Stream[int]:
        """Give what the generator that the test has put into `Counter.sources` gives."""
        ...

    async def total(self, numbers: Stream[int]) -> int:
        """Add up what the caller sends."""
        ...

    async def first_only(self, numbers: Stream[int]) -> int:
        """Return the first number and ignore the rest."""
        ...

    def doubled(self, numbers: Stream[int]) -> Stream[int]:
        """Both ways."""
        ...

    async def keep(self, blob: Blob) -> int:
        """Take a blob into memory."""
        ...

    def give(self, size: int) -> Blob:
        """Give `content(size)`."""
        ...

    changed: Event[Line] = event(policy="latest", key="number")
    queued: Event[int] = event(policy="queue", limit=5)
    strict: Event[int] = event(policy="disconnect", limit=5)


def content(size: int) -> bytes:
    """Bytes that differ from place to place."""
    return (bytes(range(256)) * (size // 256 + 1))[:size]


class Ringer(Bell):
    """The client's implementation of `Bell`."""

    def __init__(self) -> None:
        self.rings: list[int] = []
        self.release = threading.Event()

    async def ring(self, times: int) -> int:
        """See `Bell`."""
        self.rings.append(times)
        return times

    async def decline(self) -> None:
        """See `Bell`."""
        raise Declined("not now")

    def ring_slowly(self) -> int:  # type: ignore[override]  # in a thread
        """Wait for the test."""
        self.release.wait(10)
        return 1

    async def chimes(self, count: int) -> Stream[int]:  # type: ignore[override]  # on the loop
        """See `Bell`."""
        return Stream(list(range(count)))

    async def collect(self, numbers: Stream[int]) -> int:
        """See `Bell`."""
        return sum([number async for number in numbers])

    async def weigh(self, blob: Blob) -> int:
        """See `Bell`."""
        return len(await blob.read())

    async def picture(self, size: int) -> Blob:  # type: ignore[override]  # on the loop
        """See `Bell`."""
        return Blob(content(size))


class Counter(Desk):
    """The server's implementation of `Desk`.

    Attributes:
        ran: the numbers that `echo` was called with, in order.
        plans: by name, what `run` awaits and returns.
        sources: by name, what `follow` sends.
        blobs: what `keep` took.
        ended: names of generators and plans that have ended.
        threads: names of the threads that `blocking` ran in.
    """

    def __init__(self) -> None:
        self.ran: list[int] = []
        self.plans: dict[str, Callable[[], Awaitable[int]]] = {}
        self.sources: dict[str, Callable[[], AsyncIterator[int] | Iterator[int]]] = {}
        self.blobs: list[bytes] = []
        self.ended: list[str] = []
        self.threads: list[str] = []

    async def echo(self, number: int) -> int:
        """See `Desk`."""
        self.ran.append(number)
        return number

    async def say(self, text: str) -> str:
        """See `Desk`."""
        return text

    async def swap(self, line: Line, *, loud: bool = False) -> Line:
        """See `Desk`."""
        return Line(-line.number, line.text.upper() if loud else line.text)

    async def run(self, name: str) -> int:
        """See `Desk`."""
        try:
            return await self.plans[name]()
        finally:
            self.ended.append(name)

    async def wrong_result(self, what: str) -> Line:
        """See `Desk`."""
        return {"none": None, "field": Line("seven")}[what]  # type: ignore[arg-type, return-value]

    def blocking(self, number: int) -> int:  # type: ignore[override]  # in a thread
        """See `Desk`."""
        self.threads.append(threading.current_thread().name)
        assert current_call().method == "Desk.blocking"
        return number

    async def count(self, first: int, many: int) -> Stream[int]:  # type: ignore[override]  # on the loop
        """See `Desk`."""
        return Stream(range(first, first + many))

    async def follow(self, name: str) -> Stream[int]:  # type: ignore[override]  # on the loop
        """See `Desk`."""
        return Stream(self._source(name))

    async def _source(self, name: str) -> AsyncIterator[int]:
        source = self.sources[name]()
        try:
            if isinstance(source, AsyncIterator):
                async for number in source:
                    yield number
            else:
                for number in source:
                    yield number
        finally:
            self.ended.append(name)

    async def total(self, numbers: Stream[int]) -> int:
        """See `Desk`."""
        total = 0
        try:
            async for number in numbers:
                total += number
        finally:
            self.ended.append("total")
        return total

    async def first_only(self, numbers: Stream[int]) -> int:
        """See `Desk`."""
        return await anext(aiter(numbers))

    async def doubled(self, numbers: Stream[int]) -> Stream[int]:  # type: ignore[override]  # on the loop
        """See `Desk`."""

        async def double() -> AsyncIterator[int]:
            try:
                async for number in numbers:
                    yield 2 * number
            finally:
                self.ended.append("doubled")

        return Stream(double())

    async def keep(self, blob: Blob) -> int:
        """See `Desk`."""
        self.blobs.append(await blob.read())
        return len(self.blobs[-1])

    async def give(self, size: int) -> Blob:  # type: ignore[override]  # on the loop
        """See `Desk`."""
        return Blob(content(size), name="numbers.bin")


async def endless() -> AsyncIterator[int]:
    """Count for ever, letting others run."""
    number = 0
    while True:
        yield number
        number += 1
        await trio.lowlevel.checkpoint()


def new_desk(counter: Counter | None = None) -> tuple[Application, Counter]:
    """An application with one desk, and the desk."""
    application = Application("desk")
    counter = counter or Counter()
    application.register(counter)
    return application, counter
