"""A running server's certificate: renewed in time where it is its own, and warned about where it is not."""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

import trio

from appserver.reloading import Reloader
from protocol.certs import ServerIdentity, next_renewal

logger = logging.getLogger("appserver.certificates")

LOOK = 3600.0
"""Seconds between two looks at the certificate's end."""

WARNINGS = (30, 14, 7, 1)
"""Days before the end at which it is said."""


async def keep_certificate(reloader: Reloader, *, pause: float = LOOK) -> None:
    """Renew and warn until cancelled.

    A renewal takes the way of every reload, which issues the certificate anew with the same key. It comes before the
    warnings: they are for a certificate that somebody has to look after.

    Args:
        reloader: whose clock is asked.
        pause: seconds between two looks.
    """
    warnings = ExpiryWarnings()
    while True:
        await look_after(reloader, warnings)
        await trio.sleep(pause)


async def look_after(reloader: Reloader, warnings: ExpiryWarnings) -> None:
    """Look at the certificate once.

    Args:
        reloader: renews it.
        warnings: those that were given.
    """
    server = reloader.server
    identity = server.identity
    if identity is None:
        return
    if server.settings.tls.auto_certificate and await _is_due(identity, reloader.now()):
        await reloader.reload(asked=False)
    warnings.tell(server.identity or identity, reloader.now())


async def _is_due(identity: ServerIdentity, now: datetime) -> bool:
    due = await trio.to_thread.run_sync(next_renewal, identity.resources)
    return due is not None and now >= due


class ExpiryWarnings:
    """Says 30, 14, 7 and 1 days before a certificate's end that it ends, and once that it has ended."""

    def __init__(self) -> None:
        self._certificate: bytes = b""
        self._said: float = WARNINGS[0] + 1

    def tell(self, identity: ServerIdentity, now: datetime) -> None:
        """Log what has become due since the last time, the nearest alone.

        Args:
            identity: what is served; another certificate begins anew.
            now: the present time, UTC.
        """
        if identity.chain[0] != self._certificate:
            self._certificate, self._said = identity.chain[0], WARNINGS[0] + 1
        left = identity.not_after - now
        due = [days for days in (*WARNINGS, 0) if left <= timedelta(days=days) and days < self._said]
        if not due:
            return
        self._said = due[-1]
        logger.warning(
            "the certificate ends soon" if due[-1] else "the certificate has ended: clients refuse it",
            extra={
                "file": str(identity.cert_file),
                "finding": f"it is valid until {identity.not_after:%Y-%m-%d %H:%M} UTC, {_in_words(left)}",
                "remedy": "Put a new certificate into Resources; it is taken over without a restart",
            },
        )


def _in_words(left: timedelta) -> str:
    days = max(left.days, 0)
    return f"{days} days from now" if days != 1 else "1 day from now"
