"""JSON values to single plain values: numbers, texts, times, identifiers, by the name of their type."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

from protocol.interface import InvalidValue
from protocol.interface.errors import mismatch, shown, unacceptable

_JSON_NAMES = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}


def shape(value: Any) -> str:
    """What a JSON value is, as a message says it."""
    if isinstance(value, str):
        return shown(value)
    return _JSON_NAMES.get(type(value), str(value))


def read_scalar(value: Any, name: str) -> Any:
    """Read a JSON value as a scalar.

    Args:
        value: as `values.read_json` returns it.
        name: of the scalar's type, as a description has it.

    Raises:
        InvalidValue: it is no such value; the path is empty.
    """
    read = _SCALARS.get(name)
    if read is None:
        raise InvalidValue("", name, "a type that this client does not know")
    try:
        return read(value)
    except InvalidValue:
        raise
    except (ValueError, TypeError, ArithmeticError) as exc:
        hint = _HINTS.get(name)
        raise InvalidValue("", f"{name} ({hint})" if hint else name, shape(value)) from exc


def _exactly(kind: type) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if type(value) is not kind:
            raise TypeError
        return value

    return read


def _number(value: Any) -> int | Decimal | float:
    if type(value) not in (int, Decimal, float):
        raise TypeError
    return value  # type: ignore[no-any-return]


def _float(value: Any) -> float:
    if type(value) is str and value.lower().lstrip("+-") not in ("nan", "inf", "infinity"):
        raise TypeError
    if type(value) is str:
        return float(value)
    number = float(_number(value))
    if type(value) is not float and not math.isfinite(number):
        raise unacceptable("float", value)
    return number


def _complex(value: Any) -> complex:
    return complex(value.replace(" ", "")) if isinstance(value, str) else complex(_float(value))


def _text(value: Any) -> str:
    if type(value) is not str:
        raise TypeError
    return value


def _bytes(value: Any) -> bytes:
    try:
        return base64.b64decode(_text(value), validate=True)
    except binascii.Error as exc:
        raise ValueError(str(exc)) from exc


def _datetime(value: Any) -> datetime:
    read = datetime.fromisoformat(_text(value))
    if read.utcoffset() is None:
        raise InvalidValue("", "datetime with a time zone, such as 2030-01-31T12:00:00Z", shown(value))
    return read


def _time(value: Any) -> time:
    read = time.fromisoformat(_text(value))
    if read.tzinfo is not None:
        raise mismatch("time without a time zone", read)
    return read


def _timedelta(value: Any) -> timedelta:
    if not isinstance(value, str):
        return timedelta(seconds=float(_number(value)))
    days, _, rest = value.rpartition(" ")
    hours, minutes, seconds = rest.split(":")
    count = int(days.split()[0]) if days else 0
    return timedelta(days=count, hours=int(hours), minutes=int(minutes), seconds=float(seconds))


def _decimal(value: Any) -> Decimal:
    if type(value) is not str:
        return Decimal(_number(value))
    try:
        return Decimal(value)
    except InvalidOperation as exc:
        raise ValueError(value) from exc


def _any(value: Any) -> Any:
    if type(value) is Decimal:
        return float(value)
    if type(value) is list:
        return [_any(member) for member in value]
    if type(value) is dict:
        return {key: _any(member) for key, member in value.items()}
    return value


_SCALARS: dict[str, Callable[[Any], Any]] = {
    "None": _exactly(type(None)),
    "bool": _exactly(bool),
    "int": _exactly(int),
    "float": _float,
    "complex": _complex,
    "str": _text,
    "Path": _text,
    "bytes": _bytes,
    "datetime": _datetime,
    "date": lambda value: date.fromisoformat(_text(value)),
    "time": _time,
    "timedelta": _timedelta,
    "Decimal": _decimal,
    "UUID": lambda value: UUID(_text(value)),
    "any": _any,
}
_HINTS = {
    "bytes": "Base64",
    "datetime": "such as 2030-01-31T12:00:00Z",
    "date": "such as 2030-01-31",
    "time": "such as 12:30:00",
    "timedelta": "seconds, or such as 1:30:00",
    "bool": "true or false",
}
