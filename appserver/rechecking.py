"""Looking at clients' certificates again while their connections stand: a handshake verifies them once.

A change of files or settings is looked at when it is taken over (`Server.take_over`). Here the clock is what
changes: one loop for all sessions, which also says what becomes of the revocation lists.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from appserver.server import Server
    from protocol.certs import Revocations

logger = logging.getLogger("appserver.certificates")

LOOK = 30.0
"""Seconds between two looks: with `sending_away.PATIENCE` an identity that has ended is out within a minute."""

SOON = 1 / 4
"""The part of a revocation list's time that is left when it is said that the next one is wanted."""


async def keep_checking(server: Server, *, pause: float = LOOK) -> None:
    """Send those away whose certificate has ended, and warn about revocation lists, until cancelled.

    Args:
        server: which runs.
        pause: seconds between two looks.
    """
    warnings = ListWarnings()
    while True:
        await server.check_sessions()
        identity = server.identity
        if identity is not None:
            warnings.tell(identity.revocations, server.now())
        await trio.sleep(pause)


class ListWarnings:
    """Says once of each revocation list that it ends soon, has ended, or counts for nobody."""

    def __init__(self) -> None:
        self._said: frozenset[str] = frozenset()

    def tell(self, revocations: Revocations, now: datetime) -> None:
        """Log what is new since the last time.

        Args:
            revocations: the lists that count now.
            now: the present time, UTC.
        """
        due = dict(_due(revocations, now))
        for finding, (message, remedy) in due.items():
            if finding not in self._said:
                extra = {"file": str(revocations.file), "finding": finding, "remedy": remedy}
                logger.warning(message, extra=extra)
        self._said = frozenset(due)


def _due(revocations: Revocations, now: datetime) -> Iterator[tuple[str, tuple[str, str]]]:
    for error in revocations.findings(now):
        yield error.finding, ("a revocation list is not in order", error.remedy)
    for newest in revocations.newest_lists():
        if (
            newest.until is not None
            and newest.until - (newest.until - newest.issued) * SOON < now <= newest.until
        ):
            finding = f'the list of "{newest.issuer}" is to be followed by another on {newest.until:%Y-%m-%d %H:%M} UTC'
            remedy = "Put the next list there before; without it, new connections of its clients are refused"
            yield finding, ("a revocation list ends soon", remedy)
