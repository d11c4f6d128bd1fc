"""Sending a connection away: it no longer meets the server's settings, and its client is to come back.

The client learns why (GOAWAY), makes a new connection at once and leaves this one when its open
calls have ended. One that does not is ended when its patience is over.
"""

from __future__ import annotations

import logging

import trio

from appserver.encryption import Objection
from appserver.sessions import Session

logger = logging.getLogger("appserver.connections")

SPREAD = 0.005
"""Seconds between two clients' returns: a handshake takes a processor a few milliseconds."""


PATIENCE = 20.0
"""Seconds, at most, for the open calls of a client that is no longer known to be who it was."""


def send_away(
    session: Session, objection: Objection, nursery: trio.Nursery, *, ahead: int, patience: float
) -> None:
    """Tell a client to come back on another connection.

    Args:
        session: its session, whose place has been left; it takes no new calls from now on.
        objection: why.
        nursery: where the end is waited for.
        ahead: clients that were told just before: they come back first.
        patience: seconds for its open calls; the connection is ended then.
    """
    peer = session.peer
    if objection.urgent:
        patience = min(patience, PATIENCE)
    peer.connection.goaway(objection.code, objection.text, reconnect_after=ahead * SPREAD)
    peer.wake()
    facts = {"session": session.id, "peer": session.peer_address, "reason": objection.text}
    if session.certificate is not None:
        facts["serial"] = session.certificate.serial
    logger.info("client sent away", extra=facts)
    nursery.start_soon(_end_later, session, objection, patience)


async def _end_later(session: Session, objection: Objection, patience: float) -> None:
    with trio.move_on_after(patience):
        await session.gone.wait()
    if not session.peer.ended:
        session.peer.leave(objection.code, objection.text)
