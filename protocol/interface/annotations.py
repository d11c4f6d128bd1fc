"""Annotations to converters: the one place that knows which types can travel.

Theory of operation. A `Compiler` serves one contract. It walks an annotation and builds converters
bottom-up; structures and enums are built once and listed in `types`, the contract's dictionary of
descriptions, so that a class may contain itself: while a structure is being built, its converter
stands in the table as a placeholder whose functions look the real ones up when called.
"""

from __future__ import annotations

import collections.abc as abc
import enum
import itertools
import types
import typing
from typing import Annotated, Any, Literal, TypeVar

import attrs

from protocol.interface.blob import Blob
from protocol.interface.containers import (
    list_converter,
    map_converter,
    plain_converter,
    set_converter,
    tuple_converter,
)
from protocol.interface.converter import Converter, Plain
from protocol.interface.description import type_text
from protocol.interface.errors import ContractError
from protocol.interface.event import Event
from protocol.interface.generics import field_annotations, substitute
from protocol.interface.scalars import (
    SCALARS,
    enum_converter,
    enum_description,
    literal_converter,
    path_converter,
)
from protocol.interface.stream import Stream
from protocol.interface.structures import structure_converter, structure_description
from protocol.interface.unions import optional_converter, tagged_converter, union_converter

SUPPORTED = (
    "None, bool, int, float, complex, str, bytes, datetime, date, time, timedelta, Decimal, UUID, Path, "
    "enums with str or int values, Literal, list, Sequence, tuple, set, frozenset, dict, Mapping, "
    "attrs classes, unions of these, and object for any plain value"
)

_SEQUENCES = (list, abc.Sequence)
_SETS = (set, frozenset, abc.Set)
_MAPS = (dict, abc.Mapping)
_ALIASES: dict[Any, Any] = {abc.MutableSequence: list, abc.MutableSet: set, abc.MutableMapping: dict}


class Compiler:
    """Builds the converters of one contract.

    Attributes:
        types: descriptions of the structures and enums seen so far, by the name that refers to them.
    """

    def __init__(self) -> None:
        self.types: dict[str, Plain] = {}
        self._built: dict[Any, Converter] = {}

    def converter(self, annotation: Any, where: str) -> Converter:
        """Return the converter of an annotation.

        Args:
            annotation: a type, resolved (no text).
            where: what a message names, `Orders.find: parameter 'number'`.

        Raises:
            ContractError: the type cannot travel.
        """
        try:
            return self._compile(annotation)
        except ContractError as exc:
            raise ContractError(f"{where}: {exc}") from exc

    def _compile(self, annotation: Any) -> Converter:
        annotation = _unwrap(annotation)
        if annotation is Any or annotation is object:
            return plain_converter()
        origin = typing.get_origin(annotation)
        if origin is None:
            return self._compile_class(annotation, ())
        arguments = typing.get_args(annotation)
        if origin in (typing.Union, types.UnionType):
            return self._compile_union(arguments)
        if origin is Literal:
            return literal_converter(arguments)
        if origin is tuple:
            return self._compile_tuple(arguments)
        return self._compile_class(origin, arguments)

    def _compile_class(self, cls: Any, arguments: tuple[Any, ...]) -> Converter:
        if not isinstance(cls, abc.Hashable):
            raise ContractError(f"{cls!r} is not a type")
        cls = types.NoneType if cls is None else _ALIASES.get(cls, cls)
        if cls in SCALARS:
            return SCALARS[cls]()
        if cls in _SEQUENCES:
            return list_converter(self._compile(*arguments or (object,)), kind=cls)
        if cls is tuple:
            return list_converter(plain_converter(), kind=tuple)
        if cls in _SETS:
            return set_converter(self._compile(*arguments or (_no_members(cls),)), kind=cls)
        if cls in _MAPS:
            key, value = arguments or (str, object)
            return map_converter(self._compile(key), self._compile(value), kind=cls)
        if isinstance(cls, type):
            if attrs.has(cls):
                return self._structure(cls, arguments)
            if issubclass(cls, enum.Enum):
                return self._enum(cls)
            if _is_path(cls):
                return path_converter(cls)
        raise ContractError(_refusal(cls))

    def _compile_tuple(self, arguments: tuple[Any, ...]) -> Converter:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return list_converter(self._compile(arguments[0]), kind=tuple)
        return tuple_converter([self._compile(argument) for argument in arguments])

    def _compile_union(self, arguments: tuple[Any, ...]) -> Converter:
        members = [_unwrap(argument) for argument in arguments]
        if any(member is Any or member is object for member in members):
            return plain_converter()
        optional = types.NoneType in members
        members = _merge_literals([member for member in members if member is not types.NoneType])
        structures = [member for member in members if attrs.has(typing.get_origin(member) or member)]
        converters = [self._compile(member) for member in members if member not in structures]
        if len(structures) == 1:
            converters.append(self._compile(structures[0]))
        elif structures:
            converters.append(self._tagged(structures))
        converter = converters[0] if len(converters) == 1 else union_converter(converters)
        return optional_converter(converter) if optional else converter

    def _tagged(self, structures: list[Any]) -> Converter:
        tagged: dict[str, Converter] = {}
        for annotation in structures:
            tag = (typing.get_origin(annotation) or annotation).__name__
            if tag in tagged:
                raise ContractError(f"two classes of a union are named {tag}: their names tell them apart")
            tagged[tag] = self._compile(annotation)
        return tagged_converter(tagged)

    def _enum(self, cls: type[enum.Enum]) -> Converter:
        if cls not in self._built:
            name = self._name(cls.__name__, cls)
            self._built[cls] = enum_converter(cls, name)
            self.types[name] = enum_description(cls)
        return self._built[cls]

    def _structure(self, cls: type, arguments: tuple[Any, ...]) -> Converter:
        key = (cls, arguments)
        if key in self._built:
            return self._built[key]
        # Not the text of the annotation: `int | str` and `Union[str, int]` are one type and have one name.
        inner = ", ".join(type_text(self._compile(argument).description) for argument in arguments)
        name = self._name(f"{cls.__name__}[{inner}]" if inner else cls.__name__, cls)
        self.types[name] = None  # taken, until the description is known
        self._built[key] = placeholder = _placeholder(cls, name)
        try:
            converters = {
                field: self.converter(annotation, f"{cls.__name__}.{field}")
                for field, annotation in field_annotations(cls, arguments).items()
            }
            built = structure_converter(cls, name, converters)
        except ContractError:
            del self._built[key], self.types[name]
            raise
        placeholder.encode, placeholder.decode = built.encode, built.decode
        self._built[key] = built
        self.types[name] = structure_description(cls, converters)
        return built

    def _name(self, name: str, cls: type) -> str:
        """Return a name for a class's description; the second class of a name gets its module's, too."""
        if name not in self.types:
            return name
        name = f"{cls.__module__}.{name}"
        numbered = (f"{name}#{number}" for number in itertools.count(2))
        return name if name not in self.types else next(free for free in numbered if free not in self.types)


def _placeholder(cls: type, name: str) -> Converter:
    """Return a converter to stand for a structure inside itself."""

    def encode(value: Any) -> Any:
        return placeholder.encode(value)

    def decode(value: Any) -> Any:
        return placeholder.decode(value)

    hashable = cls.__hash__ is not None
    placeholder = Converter(name, encode, decode, {"ref": name}, (cls,), (dict,), key=hashable)
    # Who is built meanwhile keeps `encode` and `decode`; these look up what replaces them in the end.
    return placeholder


def _unwrap(annotation: Any) -> Any:
    """Take off what says nothing about the values: Annotated, NewType, `type X = ...`."""
    while True:
        if typing.get_origin(annotation) is Annotated:
            annotation = annotation.__origin__
        elif isinstance(annotation, typing.NewType):
            annotation = annotation.__supertype__
        elif type(annotation).__name__ == "TypeAliasType":  # Python 3.12
            annotation = annotation.__value__
        elif type(typing.get_origin(annotation)).__name__ == "TypeAliasType":
            alias = typing.get_origin(annotation)
            bindings = dict(zip(alias.__type_params__, typing.get_args(annotation), strict=True))
            annotation = substitute(alias.__value__, bindings)
        else:
            return annotation


def _merge_literals(members: list[Any]) -> list[Any]:
    """Make one Literal of several, as `Literal["a"] | Literal["b"]` means."""
    literals = [member for member in members if typing.get_origin(member) is Literal]
    if len(literals) < 2:
        return members
    values = tuple(value for literal in literals for value in typing.get_args(literal))
    return [member for member in members if member not in literals] + [Literal[values]]


def _is_path(cls: type) -> bool:
    """Recognise pathlib's classes without importing the module, which has to do with files."""
    return any(base.__name__ == "PurePath" and base.__module__.startswith("pathlib") for base in cls.__mro__)


def _no_members(cls: type) -> Any:
    raise ContractError(f"{cls.__name__} needs the type of its members: {cls.__name__}[str]")


def _shown(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) else str(annotation).replace("typing.", "")


_ADVICE: dict[Any, str] = {
    Stream: "a Stream stands alone, as a parameter or as the result",
    Blob: "a Blob stands alone, as a parameter or as the result",
    Event: "an Event is an attribute of the interface",
    abc.AsyncIterator: "many values are a Stream",
    abc.AsyncIterable: "many values are a Stream",
    abc.AsyncGenerator: "many values are a Stream",
    abc.Iterator: "many values are a Stream",
    abc.Iterable: "use list or Sequence, or a Stream",
    abc.Generator: "many values are a Stream",
}


def _refusal(cls: Any) -> str:
    if isinstance(cls, TypeVar):
        return f"the type variable {cls} stands for no type: give one in brackets"
    advice = _ADVICE.get(cls)
    if advice is None and hasattr(cls, "__dataclass_fields__"):
        advice = "make the dataclass an attrs class"
    return f"{_shown(cls)} cannot travel ({advice or 'supported are ' + SUPPORTED})"
