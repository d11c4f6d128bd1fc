"""From the settings' limits to those of a connection."""

from __future__ import annotations

from protocol.settings import LimitSettings
from protocol.wire.limits import Limits


def connection_limits(settings: LimitSettings) -> Limits:
    """What one connection accepts, as `[limits]` in the settings says."""
    return Limits(
        frame=settings.frame,
        message=settings.message,
        open_calls=settings.open_calls,
        subscriptions=settings.subscriptions,
        stream_credit=settings.stream_credit,
        connection_credit=settings.connection_credit,
        pending_output=settings.pending_output,
    )
