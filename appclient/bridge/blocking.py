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

import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, cast

import trio

from appclient.asking import TrustMode
from appclient.bridge.asking import BlockingAsk, Questions
from appclient.bridge.iterating import BlockingBlob, BlockingStream, BlockingSubscription
from appclient.bridge.outcome import Outcome
from appclient.bridge.portal import Job, Portal, PortalClosed
from appclient.client import Client, ClientStatistics
from appclient.errors import Closed
from appclient.joining import join as join_async
from appclient.opening import connect as connect_async
from appclient.state import ConnectionState, StateChange
from protocol.certs import Joined
from protocol.interface import Channel, Event, EventSpec, Gap, Interface, Method, make_proxy
from protocol.peer.calling import NOT_HERE, call_outside
from protocol.settings import Settings
from protocol.transport import Address, Security

T = TypeVar("T")
InterfaceT = TypeVar("InterfaceT", bound=Interface)

logger = logging.getLogger("appclient")

_timeout: ContextVar[float | None] = ContextVar("appclient_timeout", default=None)


class _Life:
    """The async client's context, held open in the loop's thread."""

    def __init__(self, manager: AbstractAsyncContextManager[Client]) -> None:
        self._manager = manager
        self._closing = trio.Event()
        self.opened: Outcome[Client] = Outcome()

    async def run(self) -> None:
        try:
            async with self._manager as client:
                self.opened.set_result(client)
                await self._closing.wait()
        except BaseException as exc:
            if self.opened.done:
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
        self._client = life.opened.wait()

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
            raise self.closed() from exc

    def call_here(self, method: Method, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Make a plain call in this thread alone; `NOT_HERE` where the loop has to make it.

        Raises:
            TimeoutError: it took longer than `fail_after` allows.
        """
        peer = self._client.peer_nowait()
        if peer is None or not peer.reading.is_free or self._portal.is_elsewhere:
            return NOT_HERE
        return call_outside(self._portal.outside, peer, method, args, kwargs, timeout=_timeout.get())

    def start(self, function: Callable[..., Any], *args: Any) -> Job[Any]:
        """Run an async function in the client's thread without waiting for it.

        Raises:
            Closed: the client was closed.
        """
        self._portal.check_thread()
        try:
            return self._portal.start(function, *args)
        except PortalClosed as exc:
            raise self.closed() from exc

    def closed(self) -> Closed:
        """What says that this client was closed."""
        return Closed(str(self._client.address), "this client was closed", "Connect again")

    @property
    def timeout(self) -> float | None:
        """Seconds that each call may take now, as `fail_after` says; None for no bound."""
        return _timeout.get()

    def post(self, function: Callable[..., object], *args: Any) -> None:
        """Have a function called in the client's thread soon."""
        self._portal.post(function, *args)

    @contextmanager
    def fail_after(self, seconds: float) -> Iterator[None]:
        """Bound each call in the body; the time travels with the call, and the server stops in time too.

        Args:
            seconds: for each call; `math.inf` for no bound. With 0 or less, none is made.
        """
        if math.isnan(seconds):
            raise ValueError("fail_after: seconds must not be NaN")
        token = _timeout.set(None if seconds == math.inf else seconds)
        try:
            yield
        finally:
            _timeout.reset(token)

    def listen(
        self,
        event: Event[T],
        callback: Callable[[T], object],
        *,
        on_gap: Callable[[Gap], object] | None = None,
    ) -> Callable[[], None]:
        """Have a function called with every event, in the client's thread.

        Args:
            event: of a proxy, `orders.changed`.
            callback: must be quick and must not call the server: a desktop app posts to its own loop. What it
                raises is logged, and the next event comes all the same.
            on_gap: called where events were lost; without it that is logged as a warning.

        Returns:
            What ends it.
        """
        subscription = event.subscribe(gaps=True)
        assert isinstance(subscription, BlockingSubscription)
        subscription.__enter__()

        def take(item: object) -> None:
            try:
                if not isinstance(item, Gap):
                    callback(cast(T, item))
                elif on_gap is not None:
                    on_gap(item)
                else:
                    logger.warning("events were lost", extra={"lost": item.lost, "next": item.sequence})
            except Exception:
                logger.exception("a callback for events failed")

        async def deliver() -> None:
            async for item in subscription.asynchronous:
                take(item)

        try:
            job = self._portal.start(deliver)
        except BaseException:
            subscription.__exit__(None, None, None)
            raise

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
        if self._portal.waits_for_this:  # it ends once this function has returned
            self._running.outcome.on_done(self._portal.close)
            return
        try:
            self._running.wait()
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
    interfaces: Sequence[Callable[..., Interface]] = (),
    serve: Sequence[object] = (),
    on_state: Callable[[StateChange], object] | None = None,
    trust: TrustMode = "verify",
    ask: BlockingAsk | None = None,
) -> BlockingClient:
    """Connect to an application server; arguments and errors as `appclient.connect`.

    `ask` is a plain function and is called in the thread that calls this: it may show a dialog.

    Returns:
        The client; use it in a `with` statement, or `close` it.
    """
    portal = Portal("appclient")
    questions = Questions(ask, portal.post) if ask is not None else None
    manager = connect_async(
        address,
        resources=resources,
        settings=settings,
        application=application,
        credentials=credentials,
        interfaces=interfaces,
        serve=serve,
        on_state=on_state,
        trust=trust,
        ask=questions.ask if questions is not None else None,
    )
    life = _Life(manager)
    try:
        portal.__enter__()  # in here, for Ctrl+C may come as soon as the thread has begun
        running = portal.start(life.run)
        if questions is not None:
            questions.answer_until(life.opened)
        life.opened.wait()
    except BaseException:
        portal.close()
        raise
    return BlockingClient(portal, life, running)


def join(
    code: str,
    *,
    resources: Path | str | None = None,
    settings: Settings | Path | str | None = None,
    replace: bool = False,
) -> Joined:
    """Join a server by the code of an invitation; arguments, result and errors as `appclient.join`."""
    with Portal("appclient") as portal:
        return portal.call(partial(join_async, code, resources=resources, settings=settings, replace=replace))


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
        if method.takes is Channel.NONE:
            result = self._client.call_here(method, args, kwargs)
            if result is not NOT_HERE:
                return result
        return self._client.run(partial(function, *args, **kwargs))

    def subscribe(self, event: EventSpec, **options: Any) -> Any:
        """A blocking subscription, not begun yet."""
        return BlockingSubscription(self._client, getattr(self._asynchronous, event.name), **options)
