"""The client for code without an event loop: calls are plain functions, streams plain iterators.

For example::

    from appclient.bridge import blocking

    with blocking.connect("orders.example") as server:
        orders = server.use(Orders)
        print(orders.find(7))
        for order in orders.follow(since):
            print(order)

The same interface serves. Written with `async def`, its proxies work here all the same, but a type
checker believes the annotation; written with `def`, it is the same contract on the wire and types
this client exactly.

The connection lives in a thread of its own, so it is kept alive, and comes back, whatever the program
does meanwhile. The client may be used from several threads.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from contextlib import AbstractAsyncContextManager, contextmanager
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast

import trio

from appclient.bridge.portal import Job, Portal, PortalClosed
from appclient.client import Client, ClientStatistics
from appclient.client import connect as connect_async
from appclient.errors import Closed
from appclient.state import ConnectionState, StateChange
from protocol.interface import Blob, Channel, Event, EventSpec, Gap, Interface, Method, Stream, make_proxy
from protocol.interface.blob import DEFAULT_READ, PathLike, Progress
from protocol.settings import Settings
from protocol.transport import Address, Security
from protocol.wire.errors import LocalProtocolError

T = TypeVar("T")
InterfaceT = TypeVar("InterfaceT", bound=Interface)

BATCH = 256
"""Items that one visit to the client's thread takes, where so many have arrived."""

_timeout: ContextVar[float | None] = ContextVar("appclient_timeout", default=None)


class _Life:
    """The async client's context, held open in the loop's thread."""

    def __init__(self, manager: AbstractAsyncContextManager[Client]) -> None:
        self._manager = manager
        self._closing = trio.Event()
        self.opened: Future[Client] = Future()

    async def run(self) -> None:
        try:
            async with self._manager as client:
                self.opened.set_result(client)
                await self._closing.wait()
        except BaseException as exc:
            if self.opened.done():
                raise
            self.opened.set_exception(exc)

    def close(self) -> None:
        self._closing.set()


class BlockingClient:
    """A connection to an application server, for blocking code; `connect` makes one."""

    def __init__(self, portal: Portal, life: _Life, running: Job[None]) -> None:
        self._portal = portal
        self._life = life
        self._running = running
        self._client = life.opened.result()

    def use(self, cls: Callable[..., InterfaceT]) -> InterfaceT:
        """A proxy of one of the server's interfaces, whose methods are plain functions.

        Args:
            cls: the contract class.

        Raises:
            InterfaceMismatch: the server does not have it, or in another major version.
        """

        async def register() -> InterfaceT:
            return self._client.use(cls)

        asynchronous = self.run(register)
        return make_proxy(cls, _BlockingCaller(self, asynchronous))

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """Run an async function in the client's loop and wait for it, under `fail_after`'s timeout.

        Raises:
            Closed: the client was closed.
            TimeoutError: it took longer than `fail_after` allows.
        """
        try:
            return self._portal.call(function, *args, timeout=_timeout.get())
        except PortalClosed as exc:
            raise Closed(str(self._client.address), "this client was closed", "Connect again") from exc

    def start(self, function: Callable[..., Any], *args: Any) -> Job[Any]:
        """Run an async function in the client's thread without waiting for it."""
        return self._portal.start(function, *args)

    def post(self, function: Callable[..., object], *args: Any) -> None:
        """Have a function called in the client's thread soon."""
        self._portal.post(function, *args)

    @contextmanager
    def fail_after(self, seconds: float) -> Iterator[None]:
        """Bound each call in the body; the time travels with the call, and the server stops in time too.

        Args:
            seconds: for each call.
        """
        token = _timeout.set(seconds)
        try:
            yield
        finally:
            _timeout.reset(token)

    def listen(self, event: Event[T], callback: Callable[[T], object]) -> Callable[[], None]:
        """Have a function called with every event, in the client's thread.

        Args:
            event: of a proxy, `orders.changed`.
            callback: must be quick and must not call the server: a desktop app posts to its own loop.

        Returns:
            What ends it. Lost events end it too, unless the callback takes `Gap` values, which come
            in their place.
        """
        subscription = event.subscribe(gaps=True)
        assert isinstance(subscription, BlockingSubscription)
        subscription.__enter__()

        async def deliver() -> None:
            async for item in subscription.asynchronous:
                callback(cast(T, item))

        job = self._portal.start(deliver)

        def stop() -> None:
            job.cancel()
            subscription.__exit__(None, None, None)

        return stop

    @property
    def state(self) -> ConnectionState:
        """How the connection is."""
        return self._client.state

    @property
    def last_change(self) -> StateChange:
        """The last change of the state, with its reason."""
        return self._client.last_change

    def on_state(self, listener: Callable[[StateChange], object]) -> None:
        """Have a function called with every change of the state, in the client's thread."""
        self._portal.post(self._client.on_state, listener)

    def wait_state(self, *states: ConnectionState) -> StateChange:
        """Wait until the state is one of those given."""
        return cast(StateChange, self.run(self._client.wait_state, *states))

    @property
    def security(self) -> Security | None:
        """What the connection negotiated; None without one."""
        return self._client.security

    def describe(self, interface: str | None = None) -> dict[str, Any]:
        """The server's interfaces as plain values."""
        return cast(dict[str, Any], self.run(self._client.describe, interface))

    def ping(self) -> float:
        """Ask the server for a sign of life; returns the seconds it took."""
        return cast(float, self.run(self._client.ping))

    def statistics(self) -> ClientStatistics:
        """A snapshot."""
        return self._client.statistics()

    def close(self) -> None:
        """End the connection; may be called twice. Calls that wait in other threads fail."""
        self._portal.post(self._life.close)
        try:
            with contextlib.suppress(PortalClosed):
                self._running.result.result()
        finally:
            self._portal.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def connect(
    address: str | Address | None = None,
    *,
    resources: Path | str | None = None,
    settings: Settings | Path | str | None = None,
    application: str = "",
    credentials: Mapping[str, object] | None = None,
    interfaces: Sequence[type[Interface]] = (),
    serve: Sequence[object] = (),
) -> BlockingClient:
    """Connect to an application server; arguments and errors as `appclient.connect`.

    Returns:
        The client; use it in a `with` statement, or `close` it.
    """
    portal = Portal("appclient")
    portal.__enter__()
    manager = connect_async(
        address,
        resources=resources,
        settings=settings,
        application=application,
        credentials=credentials,
        interfaces=interfaces,
        serve=serve,
    )
    life = _Life(manager)
    try:
        running = portal.start(life.run)
        life.opened.result()
    except BaseException:
        portal.close()
        raise
    return BlockingClient(portal, life, running)


class _BlockingCaller:
    """Carries out the calls of blocking proxies, through an async proxy of the same interface."""

    def __init__(self, client: BlockingClient, asynchronous: object) -> None:
        self._client = client
        self._asynchronous = asynchronous

    def call(self, method: Method, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """The result itself, or a blocking stream or blob."""
        function = getattr(self._asynchronous, method.name)
        match method.gives:
            case Channel.VALUES:
                return BlockingStream(self._client, function(*args, **kwargs))
            case Channel.BYTES:
                return BlockingBlob(self._client, function(*args, **kwargs))
        return self._client.run(partial(function, *args, **kwargs))

    def subscribe(self, event: EventSpec, **options: Any) -> Any:
        """A blocking subscription, not begun yet."""
        return BlockingSubscription(self._client, getattr(self._asynchronous, event.name), **options)


class BlockingStream(Stream[T]):
    """A stream as a plain iterator; `with` ends it early."""

    def __init__(self, client: BlockingClient, asynchronous: Stream[T]) -> None:
        super().__init__(())
        self._client = client
        self._asynchronous = asynchronous
        self._held = _Held(client, asynchronous)
        self._items: AsyncIterator[T] | None = None

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

    def __init__(self, client: BlockingClient, asynchronous: Blob) -> None:
        super().__init__(b"")
        self._client = client
        self._asynchronous = asynchronous

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

    def __init__(self, client: BlockingClient, event: Event[T], *, gaps: bool) -> None:
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

    def __init__(self, client: BlockingClient, manager: AbstractAsyncContextManager[object]) -> None:
        self._client = client
        self._manager = manager
        self._leaving: trio.Event | None = None
        self._job: Job[None] | None = None

    def enter(self) -> None:
        """Enter the manager; raises what entering raised."""
        if self._job is not None:
            raise LocalProtocolError("this was opened already; call again for another")
        entered: Future[None] = Future()
        leaving = self._leaving = trio.Event()

        async def hold() -> None:
            try:
                async with self._manager:
                    entered.set_result(None)
                    await leaving.wait()
            except BaseException as exc:
                if entered.done():
                    raise
                entered.set_exception(exc)

        self._job = self._client.start(hold)
        try:
            entered.result(_timeout.get())
        except FutureTimeout as exc:
            self._job.cancel()
            raise TimeoutError("it could not be opened in time") from exc
        except BaseException:
            self._job.cancel()
            raise

    def leave(self) -> None:
        """Leave it; may be called twice."""
        job, self._job = self._job, None
        if job is not None and self._leaving is not None:
            self._client.post(self._leaving.set)
            with contextlib.suppress(PortalClosed):
                job.result.result()


_END = object()


async def _next_or_end(items: AsyncIterator[T]) -> T | object:
    try:
        return await anext(items)
    except StopAsyncIteration:
        return _END
