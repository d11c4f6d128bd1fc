"""Streams, blobs and subscriptions of the blocking client: plain iterators over asynchronous ones.

Each step runs in the client's thread. A context that must be entered and left by one task, for there may
be a nursery inside, is held open by a job there.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar, cast

import trio

from appclient.bridge.outcome import Outcome
from appclient.bridge.portal import Job, PortalClosed
from protocol.interface import Blob, Event, Gap, Stream
from protocol.interface.blob import DEFAULT_READ, PathLike, Progress
from protocol.peer.outside import Late
from protocol.wire.errors import LocalProtocolError

T = TypeVar("T")


class Runner(Protocol):
    """What runs async functions for blocking code: the blocking client."""

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run an async function and wait for it."""
        ...

    def start(self, function: Callable[..., Any], *args: Any) -> Job[Any]:
        """Run an async function without waiting for it."""
        ...

    def post(self, function: Callable[..., object], *args: Any) -> None:
        """Have a function called in the loop."""
        ...

    def closed(self) -> Exception:
        """What says that the client was closed."""
        ...

    @property
    def timeout(self) -> float | None:
        """Seconds that each step may take now."""
        ...


class BlockingStream(Stream[T]):
    """A stream as a plain iterator; `with` ends it early."""

    def __init__(self, client: Runner, asynchronous: Stream[T]) -> None:
        super().__init__(())
        self._client = client
        self._asynchronous = asynchronous
        self._held = _Held(client, asynchronous)
        self._items: AsyncIterator[T] | None = None

    @property
    def source(self) -> AsyncIterable[T]:
        """The asynchronous stream: passed on to another call, it is sent as it arrives."""
        return self._asynchronous

    def __enter__(self) -> Self:
        self._held.enter()
        self._items = aiter(self._asynchronous)
        return self

    def close(self) -> None:
        """End the stream; where the server still sends, it is told to stop."""
        self._held.leave()

    def __iter__(self) -> Iterator[T]:
        if self._items is not None:
            return self
        return self._iterate()

    def _iterate(self) -> Iterator[T]:
        with self:
            yield from self

    def __next__(self) -> T:
        if self._items is None:
            raise LocalProtocolError("open the stream with `with`, or iterate over it with `for`")
        item = self._client.run(_next_or_end, self._items)
        if item is _END:
            raise StopIteration
        return cast(T, item)


class BlockingBlob(Blob):
    """A blob that a call gives, for blocking code: `read` and `save` return when they are done."""

    def __init__(self, client: Runner, asynchronous: Blob) -> None:
        super().__init__(b"")
        self._client = client
        self._asynchronous = asynchronous

    @property
    def source(self) -> AsyncIterable[bytes]:
        """The asynchronous blob: passed on to another call, it is sent as it arrives."""
        return self._asynchronous

    @property
    def size(self) -> int | None:
        """Bytes of the whole content; None before it is opened, or where the server does not know."""
        return self._asynchronous.size

    @property
    def name(self) -> str | None:
        """The server's label for it."""
        return self._asynchronous.name

    def read(self, limit: int = DEFAULT_READ) -> bytes:  # type: ignore[override]  # plain, as the module says
        """Take the whole content into memory; see `Blob.read`."""
        return cast(bytes, self._client.run(self._asynchronous.read, limit))

    def save(  # type: ignore[override]
        self, path: str | PathLike, *, resume: bool = False, progress: Progress | None = None
    ) -> None:
        """Write the content to a file; see `Blob.save`. `progress` is called in the client's thread."""
        self._client.run(partial(self._asynchronous.save, path, resume=resume, progress=progress))

    def __enter__(self) -> Self:
        self._client.run(self._asynchronous.__aenter__)
        return self

    def close(self) -> None:
        """Stop receiving."""
        self._client.run(self._asynchronous.aclose)

    def __iter__(self) -> Iterator[bytes]:
        pieces = aiter(self._asynchronous)
        while (piece := self._client.run(_next_or_end, pieces)) is not _END:
            yield cast(bytes, piece)


class BlockingSubscription(Generic[T]):
    """A subscription as a plain iterator inside `with`."""

    def __init__(self, client: Runner, event: Event[T], *, gaps: bool) -> None:
        self._client = client
        self.asynchronous = event.subscribe(gaps=True) if gaps else event.subscribe()
        self._held = _Held(client, self.asynchronous)

    def __enter__(self) -> Self:
        self._held.enter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        self._held.leave()

    def __iter__(self) -> Iterator[T | Gap]:
        return self

    def __next__(self) -> T | Gap:
        item = self._client.run(_next_or_end, aiter(self.asynchronous))
        if item is _END:
            raise StopIteration
        return cast(T, item)


class _Held:
    """An async context manager that one task of the loop holds open for a blocking one.

    Entering and leaving must happen in one task, for there may be a nursery inside.
    """

    def __init__(self, client: Runner, manager: AbstractAsyncContextManager[object]) -> None:
        self._client = client
        self._manager = manager
        self._leaving: trio.Event | None = None
        self._job: Job[None] | None = None

    def enter(self) -> None:
        """Enter the manager; raises what entering raised."""
        if self._job is not None:
            raise LocalProtocolError("this was opened already; call again for another")
        timeout = self._client.timeout
        entered: Outcome[None] = Outcome()
        leaving = self._leaving = trio.Event()

        async def hold() -> None:
            try:
                async with self._manager:
                    entered.set_result(None)
                    await leaving.wait()
            except BaseException as exc:
                if entered.done:
                    raise
                if isinstance(exc, trio.Cancelled):
                    entered.set_exception(PortalClosed("the client was closed"))
                    raise
                entered.set_exception(exc)

        def not_begun() -> None:  # the loop has ended before this job's turn came
            entered.set_exception(PortalClosed("the client was closed"))

        try:
            if timeout is not None and timeout <= 0:  # it must not begin at all
                raise Late
            self._job = self._client.start(hold)
            self._job.outcome.on_done(not_begun)
            entered.wait(timeout)
        except PortalClosed as exc:
            raise self._client.closed() from exc
        except BaseException as exc:
            self._client.post(leaving.set)  # Ctrl+C may have come before the job had a name here
            if self._job is not None:
                self._job.cancel()
            if isinstance(exc, Late):
                raise TimeoutError("it could not be opened in time") from None
            raise

    def leave(self) -> None:
        """Leave it; may be called twice."""
        job, leaving = self._job, self._leaving
        if job is None or leaving is None:
            return
        try:
            self._client.post(leaving.set)
            self._job = None
            job.wait()
        except BaseException:
            self._client.post(leaving.set)  # Ctrl+C may have come before the first
            raise


_END = object()


async def _next_or_end(items: AsyncIterator[T]) -> T | object:
    try:
        return await anext(items)
    except StopAsyncIteration:
        return _END
