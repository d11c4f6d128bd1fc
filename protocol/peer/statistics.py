"""What a connection tells of itself: a frozen snapshot, for lists, metrics and tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import trio

if TYPE_CHECKING:
    from protocol.peer.peer import Peer


@attrs.frozen
class PeerStatistics:
    """A snapshot of one connection.

    Attributes:
        address: of the other side.
        calls_out: open calls of this side.
        calls_in: open calls of the other side.
        subscriptions: the other side's subscriptions.
        pending_output: bytes that wait to be sent.
        idle: seconds since the last received byte.
    """

    address: str
    calls_out: int
    calls_in: int
    subscriptions: int
    pending_output: int
    idle: float

    @classmethod
    def of(cls, peer: Peer) -> PeerStatistics:
        """Take one."""
        connection = peer.connection
        return cls(
            peer.transport.peer_address,
            len(connection.streams.opened),
            len(connection.streams.taken),
            len(connection.publications),
            connection.pending,
            trio.current_time() - connection.last_received,
        )
