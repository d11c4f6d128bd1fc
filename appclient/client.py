"""The client: one server, over one connection after another.

`connect` makes the first connection, or says why it cannot; from then on the client keeps one. A call
that is open when the connection is lost fails, saying whether it may have run; a call that is made while
there is none waits for the next one. Proxies and subscriptions go on over all of them.
"""

from __future__ import annotations

import logging
import random
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any, TypeVar

import attrs
import trio

from appclient.backoff import Backoff
from appclient.busy import watching_answers
from appclient.connecting import Connector, Established
from appclient.errors import (
    Closed,
    ConnectError,
    HandshakeIncomplete,
    InterfaceMismatch,
    NotConnected,
    Refused,
)
from appclient.state import ConnectionState, StateBoard, StateChange
from protocol.certs import HandshakeFailed
from protocol.interface import EventSpec, Interface, Method, contract_of, make_proxy
from protocol.peer import EventQueue, Peer, PeerCaller, Service
from protocol.peer.leaving import is_invitation
from protocol.settings import Settings
from protocol.transport import EncryptionRequired, Security, ServerNotEncrypted, TransportError
from protocol.wire.envelope import Goaway, Welcome
from protocol.wire.errors import GoawayCode
from protocol.wire.events import Event

logger = logging.getLogger("appclient")

InterfaceT = TypeVar("InterfaceT", bound=Interface)


@attrs.frozen
class ClientStatistics:
    """A snapshot of one client.

    Attributes:
        state: of the connection.
        session: id of the session, empty without a connection.
        connections: connections made so far.
        calls: calls that are open.
    """

    state: ConnectionState
    session: str
    connections: int
    calls: int


class Client:
    """A connection to an application server; `connect` makes one.

    Attributes:
        address: of the server.
    """

    def __init__(self, connector: Connector, service: Service, *, settings: Settings) -> None:
        self.address = connector.address
        self._connector = connector
        self._service = service
        self._settings = settings
        self._board = StateBoard()
        self._backoff = Backoff(settings.timeouts, random.Random())
        self._caller = PeerCaller(self)
        self._limiter = trio.CapacityLimiter(settings.limits.worker_threads)
        self._subscriptions: list[EventQueue] = []
        self._peer: Peer | None = None  # the newest connection
        self._peers: set[Peer] = set()  # and those that the server has sent away and that go on
        self._welcome: Welcome | None = None
        self._mismatches: dict[str, InterfaceMismatch] = {}
        self._unchecked: set[str] = set()  # interfaces whose description the server was not asked for yet
        self._connections = 0
        self._failure: Exception | None = None
        self._closing = False
        self._retrying: trio.CancelScope | None = None

    # What an application does with it

    def use(self, cls: Callable[..., InterfaceT]) -> InterfaceT:
        """A proxy of one of the server's interfaces.

        Args:
            cls: the contract class.

        Raises:
            InterfaceMismatch: the server does not have it, or in another major version.
        """
        contract = contract_of(cls)  # type: ignore[arg-type]
        if self._welcome is not None:
            offer = self._connector.check_offered(contract, self._welcome)
            if offer.fingerprint != contract.fingerprint:
                self._unchecked.add(contract.name)  # the first call asks what differs
        self._connector.interfaces[contract.name] = contract  # for the next HELLO, which it must not spoil
        self._service.errors.add(contract)
        return make_proxy(cls, self._caller)

    @property
    def state(self) -> ConnectionState:
        """How the connection is."""
        return self._board.current.state

    @property
    def last_change(self) -> StateChange:
        """The last change of the state, with its reason."""
        return self._board.current

    async def wait_state(self, *states: ConnectionState) -> StateChange:
        """Wait until the state is one of those given."""
        return await self._board.wait(*states)

    async def states(self) -> AsyncIterator[StateChange]:
        """Iterate over the states, beginning with the present one.

        Whoever is slow misses what came between, never the newest.
        """
        while True:
            change = self._board.current
            yield change
            if self._board.current is change:
                await self._board.wait_change()

    def on_state(self, listener: Callable[[StateChange], object], *, now: bool = False) -> None:
        """Have a function called with every change of the state; what it raises is logged.

        Args:
            listener: called in the client's loop.
            now: call it with the present state too, at once.
        """
        self._board.listen(listener, now=now)

    @property
    def security(self) -> Security | None:
        """What the connection negotiated; None without one."""
        return self._peer.transport.security if self._peer is not None else None

    @property
    def session(self) -> str:
        """The session's id, which the server's log names; empty before the first connection."""
        return self._welcome.session if self._welcome is not None else ""

    @property
    def application(self) -> str:
        """The name of the server's application."""
        return self._welcome.application if self._welcome is not None else ""

    async def describe(self, interface: str | None = None) -> dict[str, Any]:
        """The server's interfaces as plain values: methods, parameters, types, events, errors.

        Args:
            interface: name of one; all without it.
        """
        peer = await self._wait_peer("rpc.describe")
        return await self._connector.describe(peer, interface)

    async def ping(self) -> float:
        """Ask the server for a sign of life; returns the seconds it took."""
        return await (await self._wait_peer("ping")).ping()

    def statistics(self) -> ClientStatistics:
        """A snapshot."""
        calls = sum(len(peer.connection.streams.opened) for peer in self._peers)
        return ClientStatistics(self.state, self.session, self._connections, calls)

    # What proxies ask of it: `protocol.peer.calling.Connections`

    def peer_nowait(self) -> Peer | None:
        """The connection, where it takes calls now."""
        return None if self._mismatches or self._unchecked else self.peer_taking_calls

    @property
    def peer_taking_calls(self) -> Peer | None:
        """The newest connection, unless it has ended or the server has sent it away."""
        peer = self._peer
        return None if peer is None or peer.ended or peer.goaway is not None else peer

    async def wait_peer(self, method: Method | EventSpec) -> Peer:
        """Wait for a connection that takes calls."""
        peer = await self._wait_peer(method.qualified)
        if method.interface in self._unchecked:
            contract = self._connector.interfaces[method.interface]
            described = await self._connector.describe(peer, method.interface)
            mismatch = self._connector.compare(contract, described.get(method.interface))
            if mismatch is not None:
                self._mismatches[method.interface] = mismatch
            self._unchecked.discard(method.interface)
        if method.interface in self._mismatches:
            raise self._mismatches[method.interface]
        return peer

    async def _wait_peer(self, what: str) -> Peer:
        limit = self._settings.timeouts.reconnect_wait
        with trio.move_on_after(limit):
            while True:
                if self._failure is not None:
                    raise self._failure
                if self._closing:
                    raise Closed(str(self.address), "this client was closed", "Connect again")
                if (peer := self.peer_taking_calls) is not None:
                    return peer
                await self._board.wait_change()
        raise NotConnected(
            str(self.address),
            f"{what} waited {limit:g} s for a connection (timeouts.reconnect_wait); {self.last_change.reason}",
            "It was not executed: try again when the server can be reached",
        )

    async def subscribe(self, queue: EventQueue) -> None:
        """Attach a subscription to this connection and all later ones."""
        peer = await self.wait_peer(queue.spec)
        peer.check_open(queue.spec.qualified)
        queue.attach(peer)
        queue.on_failed = self._forget
        self._subscriptions.append(queue)

    def unsubscribe(self, queue: EventQueue) -> None:
        """End a subscription."""
        self._forget(queue)
        queue.detach()

    def _forget(self, queue: EventQueue) -> None:
        if queue in self._subscriptions:
            self._subscriptions.remove(queue)

    # The life of the connection

    async def open(self) -> Established:
        """Make the first connection.

        Raises:
            TransportError: the network or TLS failed.
            ConnectError: the server cannot be worked with.
        """
        established = await self._connector.establish()
        self._connections += 1
        return established

    async def keep(self, established: Established) -> None:
        """Serve one connection after another, until the client is closed or refused.

        One that the server sends away (GOAWAY) goes on beside the next, until what is open on it has ended.
        """
        following: Established | None = established
        async with trio.open_nursery() as nursery:
            while following is not None:
                over = trio.Event()
                peer = self._take_connection(following, over)
                nursery.start_soon(self._serve, peer, following.events, over)
                await over.wait()
                if self._closing or self._failure is not None:
                    return
                following = await self._reconnect(peer)

    def _take_connection(self, established: Established, over: trio.Event) -> Peer:
        """Send what is called from now on over a new connection.

        Args:
            established: the connection.
            over: set once it takes no more calls.
        """
        peer = Peer(
            established.transport,
            established.connection,
            self._service,
            limiter=self._limiter,
            timeouts=self._settings.timeouts,
            owner=self,
        )
        self._welcome = established.welcome
        self._mismatches = established.mismatches
        self._unchecked.clear()
        self._peer = peer
        self._peers.add(peer)
        peer.on_goaway = partial(self._take_goaway, peer, over, trio.current_time())
        for queue in list(self._subscriptions):
            queue.reattach(peer)
        self._board.set(ConnectionState.CONNECTED)
        return peer

    async def _serve(self, peer: Peer, events: list[Event], over: trio.Event) -> None:
        started = trio.current_time()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_leave_when_answered, peer, over)
                with watching_answers(peer, self._board, lambda: peer is self.peer_taking_calls, nursery):
                    await peer.run(events)
                nursery.cancel_scope.cancel()
        finally:
            self._peers.discard(peer)
            if self._peer is peer:
                self._peer = None
            if not over.is_set():
                self._backoff.lasted(trio.current_time() - started)
                over.set()
            with trio.CancelScope(shield=True):
                await peer.transport.aclose(self._settings.timeouts.close)

    def _take_goaway(self, peer: Peer, over: trio.Event, started: float, goaway: Goaway) -> None:
        """The server ends the connection: open calls go on, the next ones wait for the next connection."""
        if goaway.code is GoawayCode.KICKED:
            self._fail(
                ConnectError(str(self.address), goaway.text, "Ask the administrator, then connect again")
            )
        elif not over.is_set():
            self._backoff.lasted(trio.current_time() - started)
            self._board.set(ConnectionState.RECONNECTING, goaway.text)
            over.set()

    def _fail(self, error: Exception) -> None:
        """Give up for good."""
        logger.warning("the client gives up", extra={"address": str(self.address), "finding": str(error)})
        self._failure = error
        for queue in list(self._subscriptions):
            queue.fail(error)
        self._board.set(ConnectionState.REFUSED, str(error))

    async def _reconnect(self, last: Peer) -> Established | None:
        """Try until a server welcomes the client again; None where it must not try further.

        Args:
            last: the connection that ended, or that the server sent away.
        """
        goaway = last.goaway
        reason = last.reason if goaway is None else goaway.text
        hint = None if goaway is None else goaway.reconnect_after
        invited = is_invitation(goaway)
        with trio.CancelScope() as scope:
            self._retrying = scope
            while not self._closing:
                delay = self._backoff.invited(hint) if invited else self._backoff.next(hint)
                hint, invited = None, False
                self._board.set(ConnectionState.RECONNECTING, reason, retry_in=delay)
                logger.info(
                    "reconnecting", extra={"address": str(self.address), "reason": reason, "delay": delay}
                )
                await trio.sleep(delay)
                try:
                    established = await self.open()
                except Refused as exc:
                    if exc.retry_after is None:
                        self._fail(exc)
                        return None
                    reason, hint = str(exc), exc.retry_after
                except (EncryptionRequired, ServerNotEncrypted) as exc:
                    self._fail(exc)
                    return None
                except HandshakeIncomplete as exc:
                    reason, hint = str(exc), exc.retry_after
                except (TransportError, HandshakeFailed) as exc:
                    reason = str(exc)
                except Exception as exc:  # the certificate or the interface: trying again will not help
                    self._fail(exc)
                    return None
                else:
                    if not scope.cancel_called:
                        return established
                    established.transport.abort()  # closed in the moment in which the server said welcome
        return None

    def close(self) -> None:
        """End the connection; open calls fail."""
        self._closing = True
        if self._retrying is not None:
            self._retrying.cancel()
        error = Closed(str(self.address), "this client was closed", "Connect again")
        for queue in list(self._subscriptions):
            queue.fail(error)
        for peer in list(self._peers):
            peer.end("this client was closed")
        self._board.set(ConnectionState.CLOSED)


async def _leave_when_answered(peer: Peer, over: trio.Event) -> None:
    """End a connection that was sent away: the server may not close one that it only wants to be made anew."""
    await over.wait()
    await peer.wait_answered()
    peer.end(peer.goaway.text if peer.goaway is not None else "the server was left")
