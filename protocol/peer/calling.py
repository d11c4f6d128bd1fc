"""What a proxy's methods return: calls, streams and blobs on whatever connection there is.

`PeerCaller` is the `Caller` behind every async proxy. It asks for a connection each time it needs one, so
that the client, whose connections come and go, and a handler that calls back on the one it has, use the same.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

import trio

from protocol.interface import Blob, Channel, EventSpec, InvalidValue, Method, Stream
from protocol.interface.blob import PathLike
from protocol.peer.background import open_background
from protocol.peer.blobs import ReceivedBlob, send_blob
from protocol.peer.errors import CallTooLarge
from protocol.peer.incoming import Incoming
from protocol.peer.items import ReceivedStream, iterate_in_thread, send_items
from protocol.peer.leaving import is_invitation
from protocol.peer.outside import OutsideCaller
from protocol.peer.peer import Peer
from protocol.peer.pending import PendingCall
from protocol.peer.subscriptions import EventQueue, RemoteSubscription
from protocol.wire import codes
from protocol.wire.codec import pack, unpack
from protocol.wire.errors import CodecError, ErrorInfo, Executed, LocalProtocolError, MessageTooLarge

T = TypeVar("T")


class Connections(Protocol):
    """Where a caller finds its connection."""

    def peer_nowait(self) -> Peer | None:
        """The connection, where there is one that takes calls."""
        ...

    async def wait_peer(self, method: Method | EventSpec) -> Peer:
        """Wait for one; raises what says why there will be none."""
        ...

    async def subscribe(self, queue: EventQueue) -> None:
        """Attach a subscription to this connection and all later ones."""
        ...

    def unsubscribe(self, queue: EventQueue) -> None:
        """End it."""
        ...


class PeerCaller:
    """Carries out the calls of proxies.

    Args:
        connections: where the connection comes from.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def call(self, method: Method, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """A coroutine, a stream or a blob, by the method's form."""
        body, channel = method.encode_arguments(args, kwargs)
        match method.gives:
            case Channel.VALUES:
                return CalledStream(self._connections, method, body, channel)
            case Channel.BYTES:
                return CalledBlob(self._connections, method, body, channel)
        peer = self._connections.peer_nowait()
        if channel is not None:
            return self._call_sending(method, body, channel)
        if peer is None:
            return self._call_later(method, body)
        return call_on(peer, method, body, self._connections)

    def subscribe(self, event: EventSpec, **options: Any) -> Any:
        """A subscription, not begun yet."""
        queue = EventQueue(event)
        connections = self._connections
        return RemoteSubscription(queue, connections.subscribe, connections.unsubscribe, **options)

    async def _call_later(self, method: Method, body: list[Any]) -> Any:
        return await call_on(await self._connections.wait_peer(method), method, body, self._connections)

    async def _call_sending(self, method: Method, body: list[Any], channel: Stream[Any] | Blob) -> Any:
        """A call with a stream or blob among its arguments."""
        await trio.lowlevel.checkpoint_if_cancelled()
        peer = await self._connections.wait_peer(method)
        await peer.wait_slot()
        pending = PendingCall(method.qualified)
        stream = _open(peer, pending, body)
        async with _sending(peer, method, stream, channel):
            outcome = await pending.wait()
        return _decode(peer, method, outcome)


async def call_on(peer: Peer, method: Method, body: list[Any], connections: Connections) -> Any:
    """Make a plain call on a connection and wait for its result.

    A call that met the announcement of the connection's end, and so was not executed, goes to the next one.
    """
    await trio.lowlevel.checkpoint_if_cancelled()  # what nobody waits for any more must not run
    if not peer.takes_calls:
        await peer.wait_slot()
    if peer.goaway is not None and is_invitation(peer.goaway):
        return await call_on(await connections.wait_peer(method), method, body, connections)
    pending = PendingCall(method.qualified)
    stream = _open(peer, pending, body, reads=True)
    try:
        outcome = await (peer.reading.wait(pending) if peer.reading.is_free else pending.wait())
    except trio.Cancelled:
        peer.abandon(stream)
        raise
    if _goes_on(peer, outcome):
        return await call_on(await connections.wait_peer(method), method, body, connections)
    return _decode(peer, method, outcome)


def _goes_on(peer: Peer, outcome: bytes | ErrorInfo) -> bool:
    """Whether a call is to be made on the next connection, for this one's announced end met it."""
    return isinstance(outcome, ErrorInfo) and outcome.code == codes.DRAINING and is_invitation(peer.goaway)


NOT_HERE = object()
"""What `call_outside` gives where the loop has to make a call."""


def call_outside(
    caller: OutsideCaller,
    peer: Peer,
    method: Method,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    *,
    timeout: float | None,
) -> Any:
    """Make a plain call in a thread outside of the loop.

    Raises:
        TimeoutError: it took longer than `timeout` seconds.
    """
    body, _ = method.encode_arguments(args, kwargs)
    try:
        outcome = caller.call(peer, method.qualified, pack(body), timeout)
    except (MessageTooLarge, CodecError) as exc:
        raise _unsendable(exc, method.qualified, "args", Executed.NO) from exc
    if outcome is None or _goes_on(peer, outcome):
        return NOT_HERE
    return _decode(peer, method, outcome)


def _open(
    peer: Peer,
    owner: PendingCall | Incoming,
    body: list[Any],
    *,
    extra: dict[str, object] | None = None,
    reads: bool = False,
) -> int:
    try:
        return peer.open(owner, pack(body), extra=extra, reads=reads)
    except (MessageTooLarge, CodecError) as exc:
        peer.batch_done()  # the slot that this call waited for is another's
        raise _unsendable(exc, owner.method, "args", Executed.NO) from exc


def _unsendable(
    error: MessageTooLarge | CodecError, method: str, place: str, executed: Executed
) -> CallTooLarge | InvalidValue:
    """What the caller sees where something of its own cannot be sent."""
    if isinstance(error, MessageTooLarge):
        return CallTooLarge(ErrorInfo(codes.MESSAGE_TOO_LARGE, str(error), executed), method)
    return InvalidValue(place, "a value that can be sent", str(error))


def _decode(peer: Peer, method: Method, outcome: bytes | ErrorInfo) -> Any:
    if type(outcome) is not bytes:
        assert isinstance(outcome, ErrorInfo)
        raise peer.to_exception(outcome, method.qualified)
    try:
        return method.decode_result(unpack(outcome, peer.connection.limits))
    except (InvalidValue, CodecError, RecursionError) as exc:
        info = ErrorInfo(codes.INVALID_RESULT, str(exc), Executed.YES)
        raise peer.to_exception(info, method.qualified) from exc


@asynccontextmanager
async def _sending(
    peer: Peer, method: Method, stream: int, channel: Stream[Any] | Blob
) -> AsyncIterator[None]:
    """Send a call's stream or blob while the body runs, which usually waits for the outcome.

    Should the source fail, the call is cancelled and the source's own exception is what the caller sees.
    """
    failure: Exception | None = None

    async def send(nursery: trio.Nursery) -> None:
        nonlocal failure
        try:
            if isinstance(channel, Blob):
                await send_blob(peer, stream, channel)
            else:
                assert method.take_item is not None
                await send_items(peer, stream, channel, method.take_item)
                peer.connection.send_end(stream)
                peer.wake()
        except Exception as exc:
            if not peer.ended:  # otherwise the call's own outcome says it
                failure = exc
                if isinstance(exc, MessageTooLarge | CodecError):
                    failure = _unsendable(exc, method.qualified, "item", Executed.MAYBE)
                nursery.cancel_scope.cancel()

    try:
        async with open_background() as nursery:
            nursery.start_soon(send, nursery)
            yield
    finally:
        peer.abandon(stream)  # nothing happens where the call has its outcome
    if failure is not None:
        raise failure


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
            self._sending = _sending(self._peer, self._method, self._stream, self._channel)
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
        self._stream = _open(self._peer, incoming, self._body)

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
            self._stream = _open(self._peer, self._called, self._body, extra=extra)
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


class OnePeer:
    """The one connection of a handler that calls back to its caller."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    def peer_nowait(self) -> Peer | None:
        """The connection."""
        return self._peer

    async def wait_peer(self, method: Method | EventSpec) -> Peer:
        """The connection; raises where it has ended."""
        self._peer.check_open(method.qualified)
        return self._peer

    async def subscribe(self, queue: EventQueue) -> None:
        """Subscribe on it."""
        self._peer.check_open(queue.spec.qualified)
        queue.lasting = False
        queue.attach(self._peer)

    def unsubscribe(self, queue: EventQueue) -> None:
        """End the subscription."""
        queue.detach()
