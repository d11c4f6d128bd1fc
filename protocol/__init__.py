"""What server and client share. An interface is written with the names from here."""

from typing import TYPE_CHECKING

from protocol.lazy import lazy_names

if TYPE_CHECKING:
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
else:
    __getattr__, __dir__ = lazy_names(
        __name__,
        {
            "protocol.interface": (
                "Blob ContractError Event EventsLost Gap Interface InvalidValue Stream Subscription event"
            ),
        },
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
