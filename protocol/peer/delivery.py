"""What was published, on its way to many connections: all of them are written to from one place.

The loop is asked once, and what was published until then leaves together: a handler that publishes a hundred
events at once causes one write a connection. It is asked in the way that finalizers and signal handlers may use, which
publish in the midst of trio's own work; the connections' flusher (`protocol.peer.flusher`) is for tasks alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from protocol.peer.peer import Peer

WRITES_IN_A_ROW = 128
"""Connections that are written to before other tasks have their turn."""


class Delivery:
    """The connections that have something to be written."""

    def __init__(self) -> None:
        self._token: trio.lowlevel.TrioToken | None = None
        self._peers: dict[Peer, None] = {}

    def bind_loop(self, token: trio.lowlevel.TrioToken) -> None:
        """Begin in a loop; one that ended before may have left something."""
        self._token = token
        self._peers.clear()

    def add(self, peer: Peer) -> None:
        """Have what waits for a connection written, soon; from the loop's thread."""
        if self._token is None:
            peer.wake()
            return
        if not self._peers:
            self._token.run_sync_soon(self._write)
        self._peers[peer] = None

    def _write(self) -> None:
        peers = list(self._peers)
        for peer in peers[:WRITES_IN_A_ROW]:
            del self._peers[peer]
            try:
                peer.write()
            except Exception:  # the writing task meets it again, where it ends that connection alone
                peer.wake()
        if self._peers and self._token is not None:
            self._token.run_sync_soon(self._write)
