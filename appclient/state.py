"""The state of a client's connection, for everyone who wants to show it."""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable

import attrs
import trio

logger = logging.getLogger("appclient")


class ConnectionState(enum.Enum):
    """How the connection is."""

    CONNECTING = "connecting"
    """The first connection is being made."""
    CONNECTED = "connected"
    BUSY = "busy"
    """Connected, but the server has not answered for a while: it is slow, not gone."""
    RECONNECTING = "reconnecting"
    """The connection was lost; calls wait for the next one."""
    REFUSED = "refused"
    """The server, or this client's own policy, refuses; nothing is tried any more."""
    CLOSED = "closed"


@attrs.frozen
class StateChange:
    """One change.

    Attributes:
        state: the new one.
        reason: a sentence for people, empty where the state says it all.
        retry_in: seconds until the next try, while reconnecting.
    """

    state: ConnectionState
    reason: str = ""
    retry_in: float | None = None


class StateBoard:
    """Holds the state and tells of its changes."""

    def __init__(self) -> None:
        self.current = StateChange(ConnectionState.CONNECTING)
        self._changed = trio.Event()
        self._listeners: list[Callable[[StateChange], object]] = []

    def listen(self, listener: Callable[[StateChange], object], *, now: bool = False) -> None:
        """Call a function with every change, in the client's loop.

        Args:
            listener: what it raises is logged.
            now: call it with the present state too, at once.
        """
        self._listeners.append(listener)
        if now:
            self._tell(listener)

    def _tell(self, listener: Callable[[StateChange], object]) -> None:
        try:
            listener(self.current)
        except Exception:  # a screen's bug is no reason to lose the connection
            logger.exception("a listener for the state failed")

    def set(self, state: ConnectionState, reason: str = "", *, retry_in: float | None = None) -> None:
        """Change the state; the end is final."""
        if self.current.state is ConnectionState.CLOSED:
            return
        change = StateChange(state, reason, retry_in)
        if change == self.current:
            return
        self.current = change
        self._changed.set()
        self._changed = trio.Event()
        for listener in self._listeners:
            self._tell(listener)

    async def wait_change(self) -> StateChange:
        """Wait for the next change."""
        await self._changed.wait()
        return self.current

    async def wait(self, *states: ConnectionState) -> StateChange:
        """Wait until the state is one of those given."""
        while self.current.state not in states:
            await self._changed.wait()
        return self.current
