"""Converters of lists, tuples, sets and maps, and of values that are any plain value.

A container of values that pass untouched is itself passed untouched, after one pass over the types
of its members that runs in C. Where a member fails, its index is read off the list's iterator, so
that the loop itself carries no counter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from operator import length_hint
from types import NoneType
from typing import Any, cast
from uuid import UUID

from protocol.interface.converter import Conversion, Converter
from protocol.interface.errors import ContractError, InvalidValue, mismatch, shown, unacceptable

_TEXTS = (str, bytes, bytearray, memoryview)
"""Sequences that nobody means who asks for a sequence."""


def _each(item: Converter, convert: Conversion) -> Callable[[Sequence[Any]], list[Any]]:
    """Return what converts every member of a list or tuple into a list."""
    passes = frozenset(item.passes)

    def convert_each(values: Sequence[Any]) -> list[Any]:
        if passes and passes.issuperset(map(type, values)):
            return values if type(values) is list else list(values)
        rest = iter(values)
        try:
            return [convert(value) for value in rest]
        except InvalidValue as error:
            error.within(f"[{len(values) - length_hint(rest) - 1}]")
            raise

    return convert_each


def list_converter(item: Converter, *, kind: type = list) -> Converter:
    """Return the converter of `list[T]`, `Sequence[T]` (which decodes to a list) or `tuple[T, ...]`."""
    name = f"{kind.__name__}[{item.name}{', ...' if kind is tuple else ''}]"
    encode_each, decode_each = _each(item, item.encode), _each(item, item.decode)
    make: Callable[[list[Any]], Any] | None = tuple if kind is tuple else None

    def encode(value: Any) -> list[Any]:
        if type(value) is not kind:
            if not isinstance(value, kind) or isinstance(value, _TEXTS):
                raise mismatch(name, value)
            if not isinstance(value, (list, tuple)):
                value = list(cast(Iterable[Any], value))
        return encode_each(value)

    def decode(value: Any) -> Any:
        if type(value) is not list:
            raise mismatch(name, value)
        return decode_each(value) if make is None else make(decode_each(value))

    key = kind is tuple and item.key
    return Converter(name, encode, decode, {"list": item.description}, (kind,), (list,), key=key)


def tuple_converter(items: Sequence[Converter]) -> Converter:
    """Return the converter of a tuple of fixed length, `tuple[int, str]`."""
    name = f"tuple[{', '.join(item.name for item in items) or '()'}]"
    length = len(items)
    expected = f"{name} of {length} values"

    def each(value: Sequence[Any], conversions: list[Conversion]) -> list[Any]:
        if len(value) != length:
            raise InvalidValue("", expected, str(len(value)))
        result: list[Any] = []
        try:
            for convert, member in zip(conversions, value, strict=True):
                result.append(convert(member))  # its length is the index of what failed
        except InvalidValue as error:
            error.within(f"[{len(result)}]")
            raise
        return result

    encodes, decodes = [item.encode for item in items], [item.decode for item in items]

    def encode(value: Any) -> list[Any]:
        if not isinstance(value, tuple):
            raise mismatch(name, value)
        return each(value, encodes)

    def decode(value: Any) -> tuple[Any, ...]:
        if type(value) is not list:
            raise mismatch(name, value)
        return tuple(each(value, decodes))

    description: Any = {"tuple": [item.description for item in items]}
    return Converter(name, encode, decode, description, (tuple,), (list,), key=all(i.key for i in items))


def set_converter(item: Converter, *, kind: type) -> Converter:
    """Return the converter of a set.

    Members that are scalars on the wire travel as a set, others (structures, tuples) as an array, since what
    they become on the wire is not hashable.

    Args:
        item: the members' converter.
        kind: `set`, `frozenset`, or the abstract `Set`, which decodes to a frozenset.

    Raises:
        ContractError: the members are not hashable.
    """
    if not item.key:
        raise ContractError(f"{item.name} is not hashable, so it cannot be in a set")
    name = f"{kind.__name__}[{item.name}]"
    make: Callable[[Iterable[Any]], Any] = set if kind is set else frozenset
    native = not {list, dict}.intersection(item.wire)
    passes = frozenset(item.passes)

    def members(value: Iterable[Any], convert: Conversion) -> list[Any]:
        try:
            return [convert(member) for member in value]
        except InvalidValue as error:
            error.within("[*]")
            raise

    def encode(value: Any) -> Any:
        if not isinstance(value, kind):
            raise mismatch(name, value)
        if native and passes.issuperset(map(type, value)):  # type: ignore[call-overload]
            return value if isinstance(value, (set, frozenset)) else set(value)  # type: ignore[call-overload]
        encoded = members(value, item.encode)  # type: ignore[arg-type]
        return set(encoded) if native else encoded

    wire: tuple[type, ...] = (set, frozenset) if native else (list,)

    def decode(value: Any) -> Any:
        if type(value) not in wire:
            raise mismatch(name, value)
        decoded = members(value, item.decode)
        try:
            return make(decoded)
        except TypeError:  # a signalling NaN, or a frozen structure that holds a list
            raise unacceptable(f"{name} of hashable members", decoded) from None

    description: Any = {"set" if native else "distinct": item.description}
    return Converter(name, encode, decode, description, (kind,), wire, key=kind is not set)


def map_converter(key: Converter, value: Converter, *, kind: type) -> Converter:
    """Return the converter of a map: with str keys a map, with others an array of pairs.

    Raises:
        ContractError: the keys are not hashable.
    """
    if not key.key:
        raise ContractError(f"{key.name} is not hashable, so it cannot be a key")
    name = f"{kind.__name__}[{key.name}, {value.name}]"
    if key.passes == (str,):
        return _string_map(name, value, kind)
    return _pairs(name, key, value, kind)


def _string_map(name: str, item: Converter, kind: type) -> Converter:
    passes = frozenset(item.passes)
    strings = frozenset([str])

    def each(values: Mapping[Any, Any], convert: Conversion) -> dict[str, Any]:
        if not strings.issuperset(map(type, values)):
            wrong = next(key for key in values if type(key) is not str)
            error = mismatch("str", wrong)
            error.within(f"[key {shown(wrong)}]")
            raise error
        if passes and passes.issuperset(map(type, values.values())):
            return values if type(values) is dict else dict(values)
        key = ""
        result = {}
        try:
            for key, value in values.items():
                result[key] = convert(value)
        except InvalidValue as error:
            error.within(f"[{shown(key)}]")
            raise
        return result

    def encode(value: Any) -> dict[str, Any]:
        if not isinstance(value, kind):
            raise mismatch(name, value)
        return each(value, item.encode)  # type: ignore[arg-type]

    def decode(value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise mismatch(name, value)
        return each(value, item.decode)

    return Converter(name, encode, decode, {"map": item.description}, (kind,), (dict,))


def _pairs(name: str, key: Converter, item: Converter, kind: type) -> Converter:
    def pair(at: Any, value: Any, key_convert: Conversion, item_convert: Conversion) -> tuple[Any, Any]:
        try:
            converted = key_convert(at)
        except InvalidValue as error:
            error.within(f"[key {shown(at)}]")
            raise
        try:
            return converted, item_convert(value)
        except InvalidValue as error:
            error.within(f"[{shown(at)}]")
            raise

    def encode(value: Any) -> list[Any]:
        if not isinstance(value, kind):
            raise mismatch(name, value)
        pairs = value.items()  # type: ignore[attr-defined]
        return [list(pair(at, member, key.encode, item.encode)) for at, member in pairs]

    def decode(value: Any) -> dict[Any, Any]:
        if type(value) is not list:
            raise mismatch(name, value)
        result = {}
        for index, entry in enumerate(value):
            if type(entry) is not list or len(entry) != 2:
                error = mismatch("[key, value]", entry)
                error.within(f"[{index}]")
                raise error
            at, member = pair(entry[0], entry[1], key.decode, item.decode)
            try:
                known = at in result
            except TypeError:  # a signalling NaN, or a frozen structure that holds a list
                raise unacceptable(f"{name} with hashable keys", at) from None
            if known:
                raise unacceptable(f"{name} with each key once", entry[0])
            result[at] = member
        return result

    return Converter(name, encode, decode, {"pairs": [key.description, item.description]}, (kind,), (list,))


_PLAIN_SCALARS = frozenset((NoneType, bool, int, float, complex, str, bytes, date, timedelta, Decimal, UUID))


def _check_plain(value: Any) -> Any:
    """Check that a value travels without an annotation; exact types, since none says what else to make."""
    kind = type(value)
    if kind in _PLAIN_SCALARS:
        return value
    if (kind is datetime and value.utcoffset() is not None) or (kind is time and value.tzinfo is None):
        return value
    if kind is dict:
        for key, member in value.items():
            if type(key) is not str:
                error = mismatch("str", key)
                error.within(f"[key {shown(key)}]")
                raise error
            if type(member) not in _PLAIN_SCALARS:
                _check_member(member, shown(key))
        return value
    if kind in (list, tuple):
        for index, member in enumerate(value):
            if type(member) not in _PLAIN_SCALARS:
                _check_member(member, str(index))
        return value
    if kind in (set, frozenset):
        for member in value:
            if type(member) not in _PLAIN_SCALARS:
                _check_member(member, "*")
        return value
    raise mismatch("a plain value", value)


def _check_member(value: Any, at: str) -> None:
    try:
        _check_plain(value)
    except InvalidValue as error:
        error.within(f"[{at}]")
        raise


def plain_converter() -> Converter:
    """Return the converter of `object` and `Any`: any plain value, as it is."""
    name = "a plain value"
    return Converter(name, _check_plain, _check_plain, "any", (object,), (object,))
