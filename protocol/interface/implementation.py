"""`bind_implementation`: an object checked against the contracts that its class names.

Everything that could fail at the first call fails here instead: a method that is not there, a
parameter that a call would not fit. How handlers are run is not known here.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

import attrs

from protocol.interface.contract import Contract, EventSpec, Method, contract_of
from protocol.interface.errors import ContractError
from protocol.interface.event import Event
from protocol.interface.interface import contract_classes
from protocol.interface.parameters import Parameter

Publish: TypeAlias = Callable[[EventSpec, Any], object]
"""Called with an event and a value, which is not yet checked."""


@attrs.frozen
class Bound:
    """One contract and the object that implements it.

    Attributes:
        contract: the contract.
        implementation: the object.
        handlers: its bound methods by name.
        asynchronous: names of the handlers that are `async def`; all others block or return at once.
    """

    contract: Contract
    implementation: object
    handlers: Mapping[str, Callable[..., Any]]
    asynchronous: frozenset[str]


def bind_implementation(implementation: object, publish: Publish) -> list[Bound]:
    """Check an object against its contracts and give it its events.

    Args:
        implementation: an instance of a class that derives from one or more contracts.
        publish: what the events of the object publish with.

    Returns:
        One binding per contract.

    Raises:
        ContractError: the class derives from no contract, lacks methods, or has one that calls do not fit.
    """
    cls = type(implementation)
    contracts = [contract_of(base) for base in contract_classes(cls)]
    if not contracts:
        raise ContractError(f"{cls.__qualname__} implements no contract: derive it from one")
    bound = [_bind(implementation, contract) for contract in contracts]
    for contract in contracts:
        for spec in contract.events.values():
            # Past a __setattr__ of its own: the object may be frozen. It has a __dict__, since contracts do.
            event: Event[Any] = Event(spec.qualified, publish=_publishing(spec, publish))
            object.__setattr__(implementation, spec.name, event)
    return bound


def _publishing(spec: EventSpec, publish: Publish) -> Callable[[Any], object]:
    def publishing(value: Any) -> object:
        return publish(spec, value)

    return publishing


def _bind(implementation: object, contract: Contract) -> Bound:
    cls = type(implementation)
    missing = [
        name for name in contract.methods if inspect.getattr_static(cls, name) is vars(contract.cls)[name]
    ]
    if missing:
        names = ", ".join(missing)
        raise ContractError(f"{cls.__qualname__} does not implement {contract.name}: {names} missing")
    handlers = {}
    for name, method in contract.methods.items():
        handler = getattr(implementation, name)
        if not callable(handler):
            raise ContractError(f"{cls.__qualname__}.{name} is not a method")
        _check_handler(f"{cls.__qualname__}.{name}", handler, method)
        handlers[name] = handler
    asynchronous = frozenset(
        name for name, handler in handlers.items() if inspect.iscoroutinefunction(handler)
    )
    return Bound(contract, implementation, MappingProxyType(handlers), asynchronous)


def _check_handler(where: str, handler: Callable[..., Any], method: Method) -> None:
    """Check that every call that the contract allows fits a handler.

    Raises:
        ContractError: one does not.
    """
    if inspect.isasyncgenfunction(handler) or inspect.isgeneratorfunction(handler):
        raise ContractError(f"{where} is a generator: return Stream(generator()) from a plain `def` instead")
    declared = list(inspect.signature(handler).parameters.values())
    kinds = {parameter.kind for parameter in declared}
    positional = [found for found in declared if found.kind in _POSITIONAL]
    named = {found.name: found for found in declared if found.kind in _NAMED}
    served: set[str] = set()
    for index, parameter in enumerate(method.parameters):
        found = None
        if parameter.positional and index < len(positional):
            found = positional[index]
            if parameter.named and found.name != parameter.name:
                raise ContractError(
                    f"{where}: parameter {index + 1} is named {found.name!r}, but {parameter.name!r} in "
                    f"{method.qualified}"
                )
        elif not parameter.positional:
            found = named.get(parameter.name)
        if found is None and not _takes_rest(parameter, kinds):
            raise ContractError(
                f"{where} does not take the parameter {parameter.name!r} of {method.qualified}"
            )
        if found is not None:
            _check_parameter(where, found, parameter, method)
            served.add(found.name)
    for extra in declared:
        if extra.name not in served and extra.default is extra.empty and extra.kind not in _REST:
            raise ContractError(
                f"{where}: {method.qualified} has no parameter {extra.name!r}: give it a default"
            )


_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_NAMED = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
_REST = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _takes_rest(parameter: Parameter, kinds: set[Any]) -> bool:
    """Whether `*args` and `**kwargs` of a handler take the parameter in every way in which it may come."""
    by_position = not parameter.positional or inspect.Parameter.VAR_POSITIONAL in kinds
    by_name = not parameter.named or inspect.Parameter.VAR_KEYWORD in kinds
    return by_position and by_name


def _check_parameter(where: str, found: inspect.Parameter, parameter: Parameter, method: Method) -> None:
    if not parameter.required and found.default is found.empty:
        raise ContractError(
            f"{where}: {parameter.name!r} needs a default: {method.qualified} lets callers leave it out"
        )
    if parameter.positional and parameter.named and found.kind is inspect.Parameter.POSITIONAL_ONLY:
        raise ContractError(f"{where}: {parameter.name!r} may come by name: it cannot be positional-only")
