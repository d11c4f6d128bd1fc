"""Which side of a connection one is, and how far the connection has come."""

from __future__ import annotations

import enum


class Role(enum.Enum):
    """Which side of the connection this is."""

    CLIENT = "client"
    SERVER = "server"


class State(enum.Enum):
    """How far the connection has come."""

    HANDSHAKE = "handshake"
    OPEN = "open"
    CLOSED = "closed"
    """Nothing is received any more; what waits may still be sent."""
