"""`contract_of`: a class read into a `Contract`, the form that everything else works with.

Theory of operation. The class is read once, when first needed, and the result kept on it. Methods
are its public functions, events its attributes annotated `Event[...]`. From the same reading comes
the description: plain values that say the whole contract, which `describe` prints, which two versions
are compared by, and whose hash is the fingerprint that two sides exchange.

Whether a method is `async def` or `def` is not part of the contract: the first is the flavour of an
event loop, the second of blocking clients and handlers that run in worker threads.
"""

from __future__ import annotations

import inspect
import operator
import types
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, get_args, get_origin

import attrs

from protocol.interface.annotations import Compiler
from protocol.interface.arguments import arguments_decoder, arguments_encoder
from protocol.interface.blob import Blob
from protocol.interface.converter import Converter, Plain
from protocol.interface.description import fingerprint_of
from protocol.interface.errors import ContractError
from protocol.interface.event import Event, EventDeclaration, EventPolicy
from protocol.interface.failures import ErrorSpec, read_errors
from protocol.interface.generics import resolved_hints
from protocol.interface.interface import Declaration, Interface, contract_classes
from protocol.interface.parameters import Channel, Flow, Parameter, flow_of, read_parameters
from protocol.interface.stream import Stream


@attrs.frozen
class Method:
    """One method of a contract.

    Attributes:
        name: `find`.
        qualified: `Orders.find`, its name on the wire.
        interface: `Orders`.
        takes: what the caller sends beside the arguments.
        gives: what the callee sends instead of a value, or NONE.
        encode_arguments: `(args, kwargs)` to `(body, stream or blob or None)`; raises `TypeError` where they
            do not fit the signature and `InvalidValue`.
        decode_arguments: `(body, stream or blob or None)` to `(args, kwargs)`; raises `InvalidValue`.
        encode_result: value to plain value; raises `InvalidValue`, path from `result`.
        decode_result: plain value to value; likewise.
        take_item: converter of the values of the stream that is taken, path from `item`, or None.
        give_item: converter of the values of the stream that is given, likewise.
        parameters: in order, without `self`.
        signature: of the function in the contract class, without `self`.
        doc: its docstring, or None.
    """

    name: str
    qualified: str
    interface: str
    takes: Channel
    gives: Channel
    encode_arguments: Callable[
        [tuple[Any, ...], Mapping[str, Any]], tuple[list[Any], Stream[Any] | Blob | None]
    ]
    decode_arguments: Callable[[object, object], tuple[list[Any], dict[str, Any]]]
    encode_result: Callable[[Any], Any]
    decode_result: Callable[[Any], Any]
    take_item: Converter | None
    give_item: Converter | None
    parameters: tuple[Parameter, ...] = attrs.field(repr=False)
    signature: inspect.Signature = attrs.field(repr=False)
    doc: str | None = attrs.field(repr=False)


@attrs.frozen
class EventSpec:
    """One event of a contract.

    Attributes:
        name: `changed`.
        qualified: `Orders.changed`, its name on the wire.
        interface: `Orders`.
        policy: how slow subscribers are treated.
        item: converter of the values, path from `event`.
        key: gives the key of a value under the policy `latest`, otherwise None.
    """

    name: str
    qualified: str
    interface: str
    policy: EventPolicy
    item: Converter
    key: Callable[[Any], Any] | None


@attrs.frozen
class Contract:
    """A contract class, read.

    Attributes:
        name: of the interface on the wire.
        version: major and minor number.
        cls: the class.
        methods: by name.
        events: by name.
        errors: registered exception classes by code.
        description: the whole contract as plain values, see `docs/protocol.md`.
        fingerprint: 32 hexadecimal digits; equal exactly where the description without its texts is.
        doc: the class's docstring, or None.
    """

    name: str
    version: tuple[int, int]
    cls: type[Interface]
    methods: Mapping[str, Method]
    events: Mapping[str, EventSpec]
    errors: Mapping[str, ErrorSpec]
    description: Mapping[str, Any] = attrs.field(repr=False)
    fingerprint: str
    doc: str | None = attrs.field(repr=False)

    def error_for(self, error: BaseException) -> ErrorSpec | None:
        """Return the registered class nearest to an exception's, None if there is none."""
        by_kind = {spec.kind: spec for spec in self.errors.values()}
        return next((by_kind[base] for base in type(error).__mro__ if base in by_kind), None)


def contract_of(cls: type) -> Contract:
    """Return the contract that a class declares, read at the first call and kept.

    Args:
        cls: a direct subclass of `Interface` with a version.

    Raises:
        ContractError: the class is no contract, or something in it cannot be one; names class, method and
            parameter.
    """
    kept = vars(cls).get("_interface_contract")
    if isinstance(kept, Contract):
        return kept
    declaration = vars(cls).get("_interface_declaration")
    if not isinstance(declaration, Declaration):
        names = " or ".join(base.__name__ for base in contract_classes(cls))
        hint = f"implements {names}, use that" if names else "is not a subclass of Interface with a version"
        raise ContractError(f"{cls.__qualname__} is not a contract: it {hint}")
    contract = _read(cls, declaration)
    cls._interface_contract = contract  # type: ignore[attr-defined]
    return contract


def _read(cls: type[Interface], declaration: Declaration) -> Contract:
    compiler = Compiler()
    name = declaration.name
    methods: dict[str, Method] = {}
    described: dict[str, Any] = {}
    for attribute, value in vars(cls).items():
        if attribute.startswith("_") or isinstance(value, EventDeclaration):
            continue
        if isinstance(value, (property, classmethod, staticmethod)):
            raise ContractError(f"{name}.{attribute}: a {type(value).__name__} cannot be part of a contract")
        if isinstance(value, types.FunctionType):
            methods[attribute], described[attribute] = _read_method(name, attribute, value, compiler)
    events = _read_events(cls, name, compiler)
    errors = read_errors(name, declaration.errors, compiler)
    description: dict[str, Any] = {
        "name": name,
        "version": list(declaration.version),
        "doc": _doc(cls),
        "methods": described,
        "events": {
            spec.name: {
                "type": spec.item.description,
                "policy": {"kind": spec.policy.kind, "key": spec.policy.key, "limit": spec.policy.limit},
            }
            for spec in events.values()
        },
        "errors": {
            spec.code: {"name": spec.kind.__name__, "type": spec.description} for spec in errors.values()
        },
        "types": compiler.types,
    }
    return Contract(
        name,
        declaration.version,
        cls,
        types.MappingProxyType(methods),
        types.MappingProxyType(events),
        types.MappingProxyType(errors),
        description,
        fingerprint_of(description),
        _doc(cls),
    )


def _read_method(
    interface: str, name: str, function: types.FunctionType, compiler: Compiler
) -> tuple[Method, dict[str, Any]]:
    qualified = f"{interface}.{name}"
    signature = inspect.signature(function)
    hints = resolved_hints(function, qualified)
    parameters, takes = read_parameters(signature, hints, compiler, qualified)
    if "return" not in hints:
        raise ContractError(f"{qualified}: the result has no annotation (`-> None` if there is none)")
    gives = flow_of(hints["return"], compiler, f"{qualified}: result")
    if gives.channel is Channel.NONE:
        result = compiler.converter(hints["return"], f"{qualified}: result").rooted("result")
        returns: Plain = result.description
    elif inspect.iscoroutinefunction(function):
        raise ContractError(f"{qualified}: a {_kind(gives)} opens when used: write `def`, not `async def`")
    else:
        result = compiler.converter(None, qualified).rooted("result")
        returns = None
    method = Method(
        name,
        qualified,
        interface,
        takes.channel,
        gives.channel,
        arguments_encoder(qualified, parameters, takes),
        arguments_decoder(qualified, parameters),
        result.encode,
        result.decode,
        takes.item,
        gives.item,
        tuple(parameters),
        signature.replace(parameters=list(signature.parameters.values())[1:]),
        _doc(function),
    )
    description = {
        "parameters": [parameter.describe() for parameter in parameters if parameter.converter is not None],
        "takes": takes.describe(),
        "gives": gives.describe(),
        "returns": returns,
        "doc": method.doc,
    }
    return method, description


def _kind(flow: Flow) -> str:
    return "Stream" if flow.channel is Channel.VALUES else "Blob"


def _read_events(cls: type[Interface], interface: str, compiler: Compiler) -> dict[str, EventSpec]:
    events: dict[str, EventSpec] = {}
    annotated = vars(cls).get("__annotations__", {})
    hints = resolved_hints(cls, interface) if annotated else {}
    for name, value in vars(cls).items():
        if isinstance(value, EventDeclaration) and name not in annotated:
            raise ContractError(f"{interface}.{name} has no annotation: {name}: Event[...] = event()")
    for name in annotated:
        annotation = hints[name]
        if name.startswith("_") or get_origin(annotation) is ClassVar:
            continue
        qualified = f"{interface}.{name}"
        if get_origin(annotation) is not Event:
            raise ContractError(
                f"{qualified}: a contract's attributes are events, Event[...], not {annotation}"
            )
        declared = vars(cls).get(name, EventDeclaration(EventPolicy()))
        if not isinstance(declared, EventDeclaration):
            raise ContractError(f"{qualified}: an event is declared with event(), not {declared!r}")
        (item,) = get_args(annotation)
        converter = compiler.converter(item, qualified).rooted("event")
        key = declared.policy.key
        if key is not None and key not in {field.name for field in getattr(item, "__attrs_attrs__", ())}:
            raise ContractError(f"{qualified}: {converter.name} has no field {key!r} to be the key")
        getter = operator.attrgetter(key) if key is not None else None
        events[name] = EventSpec(name, qualified, interface, declared.policy, converter, getter)
    return events


def _doc(thing: Any) -> str | None:
    """Return a docstring of its own, cleaned; not that of a base class."""
    doc = thing.__doc__
    return inspect.cleandoc(doc) if isinstance(doc, str) else None
