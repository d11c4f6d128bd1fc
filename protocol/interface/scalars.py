"""Converters of single values: numbers, texts, times, enums, literals, paths.

The codec takes these as they are, so a scalar converter only checks, and where a value is of a
subclass makes it the exact type. A bool is not an int, a datetime is not a date, and a datetime
without a time zone is no moment at all.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from contextlib import suppress
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from types import NoneType
from typing import Any
from uuid import UUID

from protocol.interface.converter import Conversion, Converter
from protocol.interface.errors import ContractError, mismatch, shown, unacceptable
from protocol.wire.extensions import FORMS


def _name(kind: type) -> str:
    return "None" if kind is NoneType else kind.__name__


def _exactly(kind: type, *, refuse: type | None = None, normal: Conversion) -> Conversion:
    """Return the check for one type; `normal` makes the exact type of a subclass's value."""

    def check(value: Any) -> Any:
        if type(value) is kind:
            return value
        if isinstance(value, kind) and (refuse is None or not isinstance(value, refuse)):
            return normal(value)
        raise mismatch(_name(kind), value)

    return check


def _float(value: Any) -> float:
    kind = type(value)
    if kind is float:
        return value  # type: ignore[no-any-return]
    if isinstance(value, (float, int)) and kind is not bool:
        try:
            return float(value)
        except OverflowError:
            raise unacceptable("float", value) from None
    raise mismatch("float", value)


def _complex(value: Any) -> complex:
    if type(value) is complex:
        return value
    if isinstance(value, (complex, float, int)) and type(value) is not bool:
        try:
            return complex(value)
        except OverflowError:
            raise unacceptable("complex", value) from None
    raise mismatch("complex", value)


def _datetime(value: Any) -> datetime:
    if not isinstance(value, datetime):
        raise mismatch("datetime", value)
    if value.utcoffset() is None:
        error = mismatch("datetime with a time zone", value)
        error.got = "one without"
        raise error
    return value


def _time(value: Any) -> time:
    if not isinstance(value, time):
        raise mismatch("time", value)
    if value.tzinfo is not None:  # its offset may depend on the day, which is not there
        error = mismatch("time without a time zone", value)
        error.got = "one with"
        raise error
    return value


def _plain_date(value: date) -> date:
    return date(value.year, value.month, value.day)


def _plain_timedelta(value: timedelta) -> timedelta:
    return timedelta(value.days, value.seconds, value.microseconds)


_CHECKS: dict[type, Conversion] = {
    NoneType: _exactly(NoneType, normal=lambda value: value),
    bool: _exactly(bool, normal=bool),
    int: _exactly(int, refuse=bool, normal=int.__index__),
    float: _float,
    complex: _complex,
    str: _exactly(str, normal=str.__str__),
    bytes: _exactly(bytes, normal=lambda value: bytes(memoryview(value))),
    datetime: _datetime,
    date: _exactly(date, refuse=datetime, normal=_plain_date),
    time: _time,
    timedelta: _exactly(timedelta, normal=_plain_timedelta),
    Decimal: _exactly(Decimal, normal=Decimal),
    UUID: _exactly(UUID, normal=lambda value: UUID(int=value.int)),
}
_ALSO: dict[type, tuple[type, ...]] = {float: (int,), complex: (float, int)}
_CONDITIONAL = (datetime, time)
"""Types of which a value of the exact type may still be refused."""


def _scalar(kind: type) -> Converter:
    name = _name(kind)
    check = _CHECKS[kind]
    also = _ALSO.get(kind, ())
    passes = () if kind in _CONDITIONAL else (kind,)
    form = FORMS.get(kind)
    return Converter(name, check, check, name, (kind, *also), (kind,), also, passes, key=True, form=form)


SCALARS: dict[type, Callable[[], Converter]] = {kind: (lambda kind=kind: _scalar(kind)) for kind in _CHECKS}  # type: ignore[misc]
"""Builders of the converters of single values, by type."""


def path_converter(kind: type) -> Converter:
    """Return the converter of a path class: text with forward slashes, which Windows reads as well."""

    def encode(value: Any) -> str:
        if not isinstance(value, kind):
            raise mismatch(kind.__name__, value)
        text: str = value.as_posix()  # type: ignore[attr-defined]
        return text

    def decode(value: Any) -> Any:
        if type(value) is not str:
            raise mismatch(kind.__name__, value)
        return kind(value)

    return Converter(kind.__name__, encode, decode, "Path", (kind,), (str,), key=True)


def enum_converter(kind: type[enum.Enum], name: str) -> Converter:
    """Return the converter of an enum, whose members travel as their values.

    Args:
        kind: the class; its values are str or int.
        name: the name under which its description is kept.

    Raises:
        ContractError: a value is neither str nor int.
    """
    values = {member.value: member for member in kind}
    wrong = [member for member in kind if type(member.value) not in (str, int)]
    if wrong:
        raise ContractError(f"{wrong[0]} is {wrong[0].value!r}: an enum travels by str or int values")
    flag = issubclass(kind, enum.Flag)
    wire = tuple(dict.fromkeys(type(value) for value in values)) or (str,)

    def encode(value: Any) -> Any:
        if isinstance(value, kind):
            return value._value_
        raise mismatch(name, value)

    def decode(value: Any) -> Any:
        if type(value) not in wire:  # before the look-up: True would find 1
            raise mismatch(name, value)
        member = values.get(value)
        if member is not None:
            return member
        if flag:
            with suppress(ValueError):
                combined = kind(value)
                if isinstance(combined, kind):  # a flag of boundary EJECT gives an int instead
                    return combined
        raise unacceptable(f"a value of {name}", value)

    return Converter(name, encode, decode, {"ref": name}, (kind,), wire, key=True)


def enum_description(kind: type[enum.Enum]) -> dict[str, Any]:
    """Return the description of an enum: its members' names and values."""
    return {
        "kind": "flag" if issubclass(kind, enum.Flag) else "enum",
        "members": {member.name: member.value for member in kind},
    }


def literal_converter(allowed: tuple[object, ...]) -> Converter:
    """Return the converter of `Literal[...]`.

    Args:
        allowed: the values: None, bool, int, str, bytes or members of an enum with such values.
    """
    plain = [value.value if isinstance(value, enum.Enum) else value for value in allowed]
    to_wire = {(type(value), value): wire for value, wire in zip(allowed, plain, strict=True)}
    to_python = {(type(wire), wire): value for value, wire in zip(allowed, plain, strict=True)}
    python = tuple(dict.fromkeys(type(value) for value in allowed))
    wire = tuple(dict.fromkeys(type(value) for value in plain))
    name = " | ".join(shown(value) for value in plain)

    def encode(value: Any) -> Any:
        if type(value) in python and (type(value), value) in to_wire:
            return to_wire[type(value), value]
        raise unacceptable(name, value) if type(value) in python else mismatch(name, value)

    def decode(value: Any) -> Any:
        if type(value) in wire and (type(value), value) in to_python:
            return to_python[type(value), value]
        raise unacceptable(name, value) if type(value) in wire else mismatch(name, value)

    values: Any = [repr(value) if isinstance(value, bytes) else value for value in sorted(plain, key=repr)]
    return Converter(name, encode, decode, {"literal": values}, python, wire, key=True)
