"""Sending a connection away: it no longer meets the server's settings, and its client is to come back.

The client learns why (GOAWAY `policy`), makes a new connection at once and leaves this one when its open
calls have ended. One that does not is ended when its patience is over.
"""

from __future__ import annotations

import logging

import trio

from appserver.sessions import Session
from protocol.wire.errors import GoawayCode

logger = logging.getLogger("appserver.connections")

SPREAD = 0.005
"""Seconds between two clients' returns: a handshake takes a processor a few milliseconds."""


def send_away(session: Session, text: str, nursery: trio.Nursery, *, ahead: int, patience: float) -> None:
    """Tell a client to come back on another connection.

    Args:
        session: its session, whose place has been left; it takes no new calls from now on.
        text: why, as a sentence for its user.
        nursery: where the end is waited for.
        ahead: clients that were told just before: they come back first.
        patience: seconds for its open calls; the connection is ended then.
    """
    peer = session.peer
    peer.connection.goaway(GoawayCode.POLICY, text, reconnect_after=ahead * SPREAD)
    peer.wake()
    logger.info(
        "client sent away", extra={"session": session.id, "peer": session.peer_address, "reason": text}
    )
    nursery.start_soon(_end_later, session, text, patience)


async def _end_later(session: Session, text: str, patience: float) -> None:
    with trio.move_on_after(patience):
        await session.gone.wait()
    if not session.peer.ended:
        session.peer.leave(GoawayCode.POLICY, text)
