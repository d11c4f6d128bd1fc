"""A Python class is the contract: methods, streams, blobs, events and errors of an interface.

`contract_of` reads a class, `make_proxy` and `bind_implementation` put the two ends on it, and
`differences` compares two versions. No I/O happens here.
"""

from protocol.interface.blob import Blob, BlobSource, Progress
from protocol.interface.compatibility import differences
from protocol.interface.contract import Contract, EventSpec, Method, contract_of
from protocol.interface.converter import Converter
from protocol.interface.description import fingerprint_of, type_text
from protocol.interface.errors import ContractError, InvalidValue
from protocol.interface.event import Event, EventPolicy, EventsLost, Gap, Subscription, event
from protocol.interface.failures import ErrorSpec
from protocol.interface.implementation import Bound, bind_implementation
from protocol.interface.interface import Interface
from protocol.interface.parameters import Channel, Parameter
from protocol.interface.proxy import Caller, InterfaceT, make_proxy
from protocol.interface.stream import Stream

__all__ = [
    "Blob",
    "BlobSource",
    "Bound",
    "Caller",
    "Channel",
    "Contract",
    "ContractError",
    "Converter",
    "ErrorSpec",
    "Event",
    "EventPolicy",
    "EventSpec",
    "EventsLost",
    "Gap",
    "Interface",
    "InterfaceT",
    "InvalidValue",
    "Method",
    "Parameter",
    "Progress",
    "Stream",
    "Subscription",
    "bind_implementation",
    "contract_of",
    "differences",
    "event",
    "fingerprint_of",
    "make_proxy",
    "type_text",
]
