"""What server and client share. An interface is written with the names from here."""

from protocol.interface import (
    Blob,
    ContractError,
    Event,
    EventsLost,
    Gap,
    Interface,
    InvalidValue,
    Stream,
    Subscription,
    event,
)

__all__ = [
    "Blob",
    "ContractError",
    "Event",
    "EventsLost",
    "Gap",
    "Interface",
    "InvalidValue",
    "Stream",
    "Subscription",
    "event",
]
