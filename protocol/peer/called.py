"""Streams and blobs that a call gives: the call is made when they are entered, or first asked for something."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Self, TypeVar

import trio

from protocol.interface import Blob, Method, Stream
from protocol.interface.blob import PathLike
from protocol.peer.blobs import ReceivedBlob
from protocol.peer.connections import Connections
from protocol.peer.incoming import Incoming
from protocol.peer.items import ReceivedStream, iterate_in_thread
from protocol.peer.outgoing import open_call, sending
from protocol.peer.peer import Peer
from protocol.wire import codes
from protocol.wire.errors import LocalProtocolError

T = TypeVar("T")


class CalledStream(Stream[T]):
    """The stream that a call gives: the call is made when it is entered or first iterated."""

    def __init__(
        self, connections: Connections, method: Method, body: list[Any], channel: Stream[Any] | Blob | None
    ) -> None:
        super().__init__(())
        self._connections = connections
        self._method = method
        self._body = body
        self._channel = channel
        self._peer: Peer | None = None
        self._stream = 0
        self._items: ReceivedStream[T] | None = None
        self._left = False
        self._sending: AbstractAsyncContextManager[None] | None = None

    async def __aenter__(self) -> Self:
        await self._open()
        if self._channel is not None:
            assert self._peer is not None
            self._sending = sending(self._peer, self._method, self._stream, self._channel)
            await self._sending.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()
        if self._sending is not None:
            await self._sending.__aexit__(kind, error, traceback)

    async def _open(self) -> None:
        if self._items is not None:
            raise _received_already(self._method)
        await trio.lowlevel.checkpoint_if_cancelled()
        self._peer = await self._connections.wait_peer(self._method)
        await self._peer.wait_slot()
        incoming = Incoming(self._method.qualified, self._consumed)
        assert self._method.give_item is not None
        self._items = ReceivedStream(
            incoming, self._method.give_item, self._peer, wrong_item=codes.INVALID_RESULT
        )
        self._stream = open_call(self._peer, incoming, self._body)

    def _consumed(self, size: int) -> None:
        assert self._peer is not None
        self._peer.credit.consume(self._stream, size)

    @property
    def source(self) -> AsyncIterable[T]:
        """The stream itself: passed on to another call, it is sent as it arrives."""
        return self

    def __aiter__(self) -> AsyncIterator[T]:
        if self._left:
            raise _received_already(self._method)
        if self._items is not None:
            return self._items
        if self._channel is not None:
            raise LocalProtocolError(
                f"{self._method.qualified} takes a stream too: open it with `async with`"
            )
        return self._iterate()

    def __iter__(self) -> Iterator[T]:
        return iterate_in_thread(self)

    async def _iterate(self) -> AsyncIterator[T]:
        async with self:
            assert self._items is not None
            async for item in self._items:
                yield item

    async def aclose(self) -> None:
        """End the stream; where the other side still sends, it is told to stop."""
        self._left = True
        if self._peer is not None:
            self._peer.abandon(self._stream)


class CalledBlob(ReceivedBlob):
    """The blob that a call gives: the call is made when its head or content is first asked for."""

    def __init__(
        self, connections: Connections, method: Method, body: list[Any], channel: Stream[Any] | Blob | None
    ) -> None:
        if channel is not None:
            raise LocalProtocolError(
                f"{method.qualified}: a method that gives a Blob takes no stream or blob"
            )
        self._called = Incoming(method.qualified, self._consumed)
        super().__init__(self._called, None)  # type: ignore[arg-type]  # until the call is made
        self._connections = connections
        self._method = method
        self._body = body
        self._stream = 0
        self._left = False

    async def __aenter__(self) -> Self:
        try:
            await self.open_at(0)
        except BaseException:
            await self.aclose()
            raise
        return self

    def __aiter__(self) -> AsyncIterator[bytes]:
        return super().__aiter__() if self._stream else self._iterate()

    async def _iterate(self) -> AsyncIterator[bytes]:
        async with self:
            async for piece in super().__aiter__():
                yield piece

    async def open_at(self, offset: int) -> None:  # noqa: D102 - as ReceivedBlob's
        if self._left:
            raise _received_already(self._method)
        if not self._stream:
            await trio.lowlevel.checkpoint_if_cancelled()
            self._peer = await self._connections.wait_peer(self._method)
            await self._peer.wait_slot()
            extra: dict[str, object] | None = {"offset": offset} if offset else None
            self._stream = open_call(self._peer, self._called, self._body, extra=extra)
        await self._called.wait_head()

    def _consumed(self, size: int) -> None:
        self._peer.credit.consume(self._stream, size)

    async def save(self, path: str | PathLike, **options: Any) -> None:  # noqa: D102 - as ReceivedBlob's
        try:
            await super().save(path, **options)
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """Stop receiving; where the other side still sends, it is told to stop."""
        self._left = True
        if self._stream:
            self._peer.abandon(self._stream)


def _received_already(method: Method) -> LocalProtocolError:
    return LocalProtocolError(f"{method.qualified}: this was received already; call again for another")
