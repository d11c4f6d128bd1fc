"""`make_proxy`: an object that looks like the interface and calls the other side.

What a call does is not known here: the proxy hands method and arguments to its `Caller`, and whatever
that returns (a coroutine, a stream, a blob; in blocking code the value) is what the method returns.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

from protocol.interface.contract import EventSpec, Method, contract_of
from protocol.interface.errors import ContractError
from protocol.interface.event import Event
from protocol.interface.interface import Interface

InterfaceT = TypeVar("InterfaceT", bound=Interface)


class Caller(Protocol):
    """What a proxy needs of the room that runs calls."""

    def call(self, method: Method, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Return what the method's caller gets; the arguments are not yet checked."""
        ...

    def subscribe(self, event: EventSpec, **options: Any) -> Any:
        """Return a `Subscription`; `options` are those of `Event.subscribe`."""
        ...


def make_proxy(cls: Callable[..., InterfaceT], caller: Caller) -> InterfaceT:
    """Return a proxy of an interface.

    Its methods are closures made here, so that a call costs no look-up of the method.

    Args:
        cls: the contract class. (Typed as a callable since mypy lets no abstract class pass as `type[T]`.)
        caller: what carries out the calls.

    Raises:
        ContractError: the class is no contract.
    """
    if not isinstance(cls, type):
        raise ContractError(f"{cls!r} is not a contract class")
    contract = contract_of(cls)
    proxy: Any = object.__new__(_proxy_class(cls))
    attributes = vars(proxy)
    for name, method in contract.methods.items():
        attributes[name] = _calling(method, caller.call)
    for name, spec in contract.events.items():
        attributes[name] = Event(spec.qualified, subscribe=_subscribing(spec, caller))
    return proxy  # type: ignore[no-any-return]


def _proxy_class(cls: type) -> type:
    """Return the class of the proxies of a contract, made once: it names itself in messages."""
    made: type | None = vars(cls).get("_interface_proxy")
    if made is None:
        name = f"{cls.__name__}Proxy"

        def represent(proxy: object) -> str:
            return f"<{name}>"

        body = {"__repr__": represent, "__module__": cls.__module__, "__doc__": cls.__doc__}
        made = type(cls)(name, (cls,), body)
        cls._interface_proxy = made  # type: ignore[attr-defined]
    return made


def _calling(method: Method, call: Callable[..., Any]) -> Callable[..., Any]:
    def calling(*args: Any, **kwargs: Any) -> Any:
        return call(method, args, kwargs)

    calling.__name__ = method.name
    calling.__qualname__ = method.qualified
    calling.__doc__ = method.doc
    calling.__signature__ = method.signature  # type: ignore[attr-defined]
    return calling


def _subscribing(spec: EventSpec, caller: Caller) -> Callable[..., Any]:
    def subscribing(**options: Any) -> Any:
        return caller.subscribe(spec, **options)

    return subscribing
