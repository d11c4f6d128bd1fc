"""The annotations of an attrs class's fields, with type variables replaced.

`Page[Order]` has the fields of `Page`, in which `T` means `Order`; `class OrderPage(Page[Order])` has
them, too. The standard library resolves names but leaves type variables alone.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

import attrs

from protocol.interface.errors import ContractError
from protocol.interface.structures import structure_fields

Bindings = dict[Any, Any]
"""What each type variable of one class stands for."""


def field_annotations(cls: type, arguments: tuple[Any, ...]) -> dict[str, Any]:
    """Return the annotation of each field that travels.

    Args:
        cls: an attrs class.
        arguments: what stands in brackets behind it; empty for a class that is not generic.

    Raises:
        ContractError: a name cannot be resolved, a field has no annotation, or a type variable no meaning.
    """
    hints = resolved_hints(cls, cls.__qualname__)
    bindings: dict[type, Bindings] = {}
    _bind(cls, arguments, bindings)
    result = {}
    for field in structure_fields(cls):
        annotation = hints.get(field.name, field.type)
        if annotation is None:
            raise ContractError(f"{cls.__qualname__}.{field.name} has no annotation")
        result[field.name] = substitute(annotation, bindings.get(_owner(cls, field), {}))
    return result


def resolved_hints(thing: Any, where: str) -> dict[str, Any]:
    """Return the annotations of a class or function with names written as text looked up.

    Raises:
        ContractError: a name is not visible from the module that uses it.
    """
    try:
        return typing.get_type_hints(thing, include_extras=True)
    except NameError as exc:
        raise ContractError(
            f"{where}: the name {exc.name!r} in an annotation is not defined in module {thing.__module__} at "
            "run time (imported under TYPE_CHECKING only, or defined inside a function?)"
        ) from exc
    except (TypeError, SyntaxError, AttributeError) as exc:
        raise ContractError(f"{where}: an annotation cannot be read: {exc}") from exc


def substitute(annotation: Any, bindings: Mapping[Any, Any]) -> Any:
    """Replace the type variables in an annotation.

    Raises:
        ContractError: one of them stands for nothing.
    """
    if isinstance(annotation, TypeVar):
        return _meaning(annotation, bindings)
    parameters = () if isinstance(annotation, type) else getattr(annotation, "__parameters__", ())
    if not parameters:
        return annotation
    return annotation[tuple(_meaning(parameter, bindings) for parameter in parameters)]


def _meaning(variable: Any, bindings: Mapping[Any, Any]) -> Any:
    try:
        return bindings[variable]
    except KeyError:
        raise ContractError(
            f"the type variable {variable} stands for no type: give one in brackets"
        ) from None


def _owner(cls: type, field: attrs.Attribute[Any]) -> type:
    """Return the class whose body annotates the field."""
    for base in cls.__mro__:
        if field.name in inspect.get_annotations(base):
            return base
    return cls


def _bind(cls: type, arguments: tuple[Any, ...], bindings: dict[type, Bindings]) -> None:
    """Note what the type variables of a class and of all its bases stand for."""
    own = dict(zip(getattr(cls, "__parameters__", ()), arguments, strict=False))
    bindings[cls] = own
    for base in cls.__dict__.get("__orig_bases__", cls.__bases__):
        origin = typing.get_origin(base) or base
        if origin is typing.Generic or origin is object or not isinstance(origin, type):
            continue
        try:
            base_arguments = tuple(substitute(argument, own) for argument in typing.get_args(base))
        except ContractError:  # a class used without brackets: an error only where a field needs it
            base_arguments = ()
        _bind(origin, base_arguments, bindings)
