"""What one side offers the other: handlers by method name, events, exception classes.

A server's application has one for all its connections, a client one for what it lets the server
call. It knows nothing of connections.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

import attrs

from protocol.interface import Bound, Channel, Contract, Interface, Method, bind_implementation
from protocol.peer.replies import ErrorTable
from protocol.peer.topics import Topic, TopicTable
from protocol.wire.envelope import InterfaceOffer


class Runs(enum.Enum):
    """How a handler runs."""

    ON_LOOP = "on_loop"
    """`async def`: on the event loop, in the task that read the call while it does not wait."""
    IN_THREAD = "in_thread"
    """`def`: in a worker thread."""
    AS_SOURCE = "as_source"
    """`def` that returns a Stream or a Blob: on the loop, for it only builds it; its source does the work."""


@attrs.frozen
class Handler:
    """One method and what implements it."""

    method: Method
    function: Callable[..., Any]
    runs: Runs


class Service:
    """The implementations of one side.

    Attributes:
        handlers: by qualified method name.
        errors: the registered exception classes.
        topics: the events.
        contracts: by interface name.
    """

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}
        self._contracts: dict[str, Contract] = {}
        self.handlers: Mapping[str, Handler] = MappingProxyType(self._handlers)
        self.contracts: Mapping[str, Contract] = MappingProxyType(self._contracts)
        self.errors = ErrorTable()
        self.topics = TopicTable()

    def add(self, implementation: object) -> None:
        """Offer an object's interfaces.

        Args:
            implementation: an instance of a class that derives from one or more contracts.

        Raises:
            ContractError: it does not implement them, or one of them is offered already.
        """
        for bound in bind_implementation(implementation, self.topics.publish):
            self._add(bound)

    def _add(self, bound: Bound) -> None:
        contract = bound.contract
        if contract.name in self._contracts:
            raise ValueError(f"the interface {contract.name} is served already")
        self._contracts[contract.name] = contract
        self.errors.add(contract)
        for name, method in contract.methods.items():
            function = bound.handlers[name]
            if name in bound.asynchronous:
                runs = Runs.ON_LOOP
            elif method.gives is Channel.NONE:
                runs = Runs.IN_THREAD
            else:
                runs = Runs.AS_SOURCE
            self._handlers[method.qualified] = Handler(method, function, runs)
        for spec in contract.events.values():
            self.topics.add(Topic(spec))

    def offers(self, wanted: Mapping[str, InterfaceOffer]) -> dict[str, InterfaceOffer]:
        """The interfaces for WELCOME; with the description where the client knows another one.

        Args:
            wanted: what the client's HELLO named.
        """
        return {
            name: InterfaceOffer(
                (contract.version,),
                contract.fingerprint,
                contract.description
                if name in wanted and wanted[name].fingerprint != contract.fingerprint
                else None,
            )
            for name, contract in self._contracts.items()
        }

    def describe(self, names: Iterable[str] | None = None) -> dict[str, Any]:
        """The descriptions of the named interfaces, of all without names."""
        return {
            name: dict(contract.description)
            for name, contract in self._contracts.items()
            if names is None or name in names
        }


def offer_of(cls: type[Interface]) -> tuple[str, InterfaceOffer]:
    """The name and offer of an interface for HELLO."""
    from protocol.interface import contract_of

    contract = contract_of(cls)
    return contract.name, InterfaceOffer((contract.version,), contract.fingerprint)
