"""Where callers find their connection: the client's, which come and go, or the one that a handler's call came by."""

from __future__ import annotations

from typing import Protocol

from protocol.interface import EventSpec, Method
from protocol.peer.peer import Peer
from protocol.peer.subscriptions import EventQueue


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
