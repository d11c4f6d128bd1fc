"""The call that is being handled: what a handler may ask for beside its arguments."""

from __future__ import annotations

import math
from contextvars import ContextVar
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from protocol.peer.peer import Peer


class Call:
    """One call of the other side, while its handler runs.

    Attributes:
        method: qualified name, `Orders.find`.
        peer: the connection it came on.
        stream: its stream's id.
        scope_taken: the handler has had its hands on the cancel scope, which serves no other call then.
    """

    __slots__ = ("_cancel_scope", "method", "peer", "scope_taken", "stream")

    def __init__(self, method: str, peer: Peer, stream: int, cancel_scope: trio.CancelScope) -> None:
        self.method = method
        self.peer = peer
        self.stream = stream
        self.scope_taken = False
        self._cancel_scope: trio.CancelScope | None = cancel_scope

    def end(self) -> None:
        """The handler has ended: what it leaves behind must not cancel the calls that its scope serves next."""
        if not self.scope_taken:  # otherwise it serves none
            self._cancel_scope = None

    @property
    def cancel_scope(self) -> trio.CancelScope:
        """Cancelled when the caller cancels or its deadline passes; the handler may cancel it too."""
        self.scope_taken = True
        if self._cancel_scope is None:
            self._cancel_scope = trio.CancelScope()
        return self._cancel_scope

    @property
    def deadline(self) -> float:
        """When the caller stops waiting, on trio's clock; infinity where it waits for ever, or no more."""
        return math.inf if self._cancel_scope is None else self._cancel_scope.deadline


current: ContextVar[Call] = ContextVar("appserver_call")
"""The call of the running handler; it follows into worker threads and nurseries."""
