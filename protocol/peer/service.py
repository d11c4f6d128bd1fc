"""What one side offers the other: handlers by method name, events, exception classes.

A server's application has one for all its connections, a client one for what it lets the server
call. It knows nothing of connections.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

import attrs

from protocol.interface import Bound, Channel, Contract, ContractError, Method, bind_implementation
from protocol.peer.replies import ErrorTable
from protocol.peer.topics import TopicTable
from protocol.wire.envelope import InterfaceOffer


@attrs.frozen
class Handler:
    """One method and what implements it.

    Attributes:
        method: of the contract.
        function: the bound method of the implementation.
        asynchronous: `async def`: it runs on the event loop, in the task that read the call while it does
            not wait. Otherwise it runs in a worker thread.
        is_plain: it is asynchronous and neither gives a stream nor moves a blob: calling it is all there is to do.
    """

    method: Method
    function: Callable[..., Any]
    asynchronous: bool
    is_plain: bool


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
        self._offers: dict[str, InterfaceOffer] = {}
        self.handlers: Mapping[str, Handler] = MappingProxyType(self._handlers)
        self.contracts: Mapping[str, Contract] = MappingProxyType(self._contracts)
        self.errors = ErrorTable()
        self.topics = TopicTable()

    def add(self, implementation: object, *, listed: bool = True) -> None:
        """Offer an object's interfaces.

        Args:
            implementation: an instance of a class that derives from one or more contracts.
            listed: whether the other side is told of them; what is built in is served without a word.

        Raises:
            ContractError: it does not implement them, or one of them is offered already.
        """
        for bound in bind_implementation(implementation, self.topics.publish):
            self._add(bound, listed)

    def _add(self, bound: Bound, listed: bool) -> None:
        contract = bound.contract
        if contract.name in self._contracts:
            raise ContractError(f"the interface {contract.name} is served already")
        if listed:
            self._contracts[contract.name] = contract
            self._offers[contract.name] = InterfaceOffer((contract.version,), contract.fingerprint, None)
        self.errors.add(contract)
        for name, method in contract.methods.items():
            function = bound.handlers[name]
            asynchronous = name in bound.asynchronous
            is_plain = asynchronous and method.gives is Channel.NONE and method.takes is not Channel.BYTES
            self._handlers[method.qualified] = Handler(method, function, asynchronous, is_plain)
        for spec in contract.events.values():
            self.topics.add(spec)

    def offers(self, wanted: Mapping[str, InterfaceOffer]) -> dict[str, InterfaceOffer]:
        """The interfaces for WELCOME; with the description where the client knows another one.

        Args:
            wanted: what the client's HELLO named.
        """
        others = [
            name
            for name, offer in wanted.items()
            if name in self._offers and offer.fingerprint != self._offers[name].fingerprint
        ]
        if not others:
            return self._offers
        described = {
            name: attrs.evolve(self._offers[name], description=self._contracts[name].description)
            for name in others
        }
        return self._offers | described

    def describe(self, names: Iterable[str] | None = None) -> dict[str, Any]:
        """The descriptions of the named interfaces, of all without names."""
        return {
            name: dict(contract.description)
            for name, contract in self._contracts.items()
            if names is None or name in names
        }
