"""Streams of values between a call and its connection, either way.

Sending takes one value at a time from the application's source, as fast as the other side consumes.
Receiving gives each packed item to the converter that its method's annotation made.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar

import trio

from protocol.interface import Converter, InvalidValue, Stream
from protocol.peer.incoming import Incoming
from protocol.wire import codes
from protocol.wire.codec import pack, unpack
from protocol.wire.errors import CodecError, ErrorInfo, Executed, LocalProtocolError

if TYPE_CHECKING:
    from protocol.peer.peer import Peer

T = TypeVar("T")

THREAD_BATCH = 64
THREAD_SECONDS = 0.005
"""A visit to a worker thread takes so many items of a blocking generator, or as many as come in this time."""


async def iterate(source: Iterable[T] | AsyncIterable[T]) -> AsyncIterator[T]:
    """Iterate over what a `Stream` was built from.

    A sync iterator may block (a database cursor, a file), so its items are taken in a worker thread, a
    batch at a time; containers are iterated in place.
    """
    if isinstance(source, AsyncIterable):
        async for item in source:
            yield item
    elif isinstance(source, Iterator):
        while batch := await trio.to_thread.run_sync(_take_batch, source):
            for item in batch:
                yield item
    else:
        for item in source:
            yield item


def _take_batch(source: Iterator[T]) -> list[T]:
    batch = []
    until = time.monotonic() + THREAD_SECONDS
    for item in islice(source, THREAD_BATCH):
        batch.append(item)
        if time.monotonic() > until:
            break
    return batch


async def send_items(peer: Peer, stream: int, source: Stream[object], converter: Converter) -> None:
    """Send all values of a source as items of a stream; the caller sends END or the error.

    Raises:
        InvalidValue: a value is not of the annotated type.
        MessageTooLarge: an item is larger than the other side accepts.
    """
    connection = peer.connection
    items = iterate(source.source)
    try:
        async for value in items:
            data = pack(converter.encode(value))
            await peer.credit.wait(stream, len(data))
            connection.send_data(stream, data)
            peer.wake()
    finally:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + 5):
            await items.aclose()  # type: ignore[attr-defined]
            await source.aclose()


class ReceivedStream(Stream[T]):
    """The values that arrive on a stream.

    Args:
        incoming: where they arrive.
        converter: of one value.
        peer: the connection, for limits and errors.
        wrong_item: code of the error for a value that is not of the annotated type: whose fault it is.
    """

    def __init__(
        self,
        incoming: Incoming,
        converter: Converter,
        peer: Peer,
        *,
        wrong_item: str = codes.INVALID_ARGUMENTS,
    ) -> None:
        super().__init__(())
        self._wrong_item = wrong_item
        self._incoming = incoming
        self._converter = converter
        self._peer = peer

    @property
    def source(self) -> AsyncIterable[T]:
        """The stream itself: passed on to another call, it is sent as it arrives."""
        return self

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        data = await self._incoming.get()
        if data is None:
            if self._incoming.error is not None:
                raise self._peer.to_exception(self._incoming.error, self._incoming.method)
            raise StopAsyncIteration
        try:
            value: T = self._converter.decode(unpack(data, self._peer.connection.limits))
        except (InvalidValue, CodecError, RecursionError) as exc:
            info = ErrorInfo(self._wrong_item, str(exc), Executed.MAYBE)
            raise self._peer.to_exception(info, self._incoming.method) from exc
        return value

    def __iter__(self) -> Iterator[T]:
        """Iterate in a handler's worker thread; on the loop this raises LocalProtocolError."""
        return iterate_in_thread(self)

    async def aclose(self) -> None:
        """Nothing to do: the call that the stream belongs to ends it."""


def iterate_in_thread(items: AsyncIterable[T]) -> Iterator[T]:
    """Iterate over what arrives on the loop from one of its worker threads, where `def` handlers run.

    Raises:
        LocalProtocolError: this is the loop's own thread, which `for` would block.
    """
    if trio.lowlevel.in_trio_run():
        raise LocalProtocolError("this is asynchronous: iterate over it with `async for`")
    return _iterate_in_thread(aiter(items))


def _iterate_in_thread(items: AsyncIterator[T]) -> Iterator[T]:
    while (item := trio.from_thread.run(_next_or_end, items)) is not _END:
        yield item


_END: Any = object()


async def _next_or_end(items: AsyncIterator[Any]) -> Any:
    return await anext(items, _END)
