"""Values that are extension types on the wire: what each one's octets are, and back.

docs/protocol.md, "Values", has them. A set is one as well, but its members are packed: see `protocol.wire.codec`.
"""

from __future__ import annotations

import enum
import struct
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, NoReturn
from uuid import UUID, SafeUUID

import msgpack

from protocol.wire.errors import CodecError


class Extension(enum.IntEnum):
    """The numbers of our msgpack extension types."""

    TIMESTAMP = -1
    DATE = 1
    TIME = 2
    TIMEDELTA = 3
    DECIMAL = 4
    UUID = 5
    INTEGER = 6
    COMPLEX = 7
    SET = 8


MAX_INTEGER = 8 * 1024
"""Bytes of a big integer: arithmetic on larger ones would hold the loop."""
MAX_DECIMAL = 4 * 1024
"""Characters of a Decimal."""

_DATE = struct.Struct(">HBB")
_TIME = struct.Struct(">BBBI")
_TIMEDELTA = struct.Struct(">iII")
_COMPLEX = struct.Struct(">dd")

# Looked up once: each is needed for every extension in a message.
DATE_CODE, DECIMAL_CODE, UUID_CODE = int(Extension.DATE), int(Extension.DECIMAL), int(Extension.UUID)
_ExtType = msgpack.ExtType
_new_tuple = tuple.__new__
_new = object.__new__
_set_int, _set_safety = UUID.__dict__["int"].__set__, UUID.__dict__["is_safe"].__set__
_SAFETY = SafeUUID.unknown
_int_from = int.from_bytes
_pack_date, _unpack_date = _DATE.pack, _DATE.unpack


def extension(code: int, content: bytes) -> msgpack.ExtType:
    """Make the form of one value, for msgpack to pack.

    Args:
        code: of `Extension`.
        content: its octets.
    """
    # As ExtType makes itself, without the checks of what is known here: a third of the time.
    return _new_tuple(_ExtType, (code, content))


def _decimal_form(value: Decimal) -> msgpack.ExtType:
    text = str(value).encode("ascii")
    if len(text) > MAX_DECIMAL:
        raise CodecError(f"a Decimal of {len(text)} characters, at most {MAX_DECIMAL}")
    return _new_tuple(_ExtType, (DECIMAL_CODE, text))


def _uuid_form(value: UUID) -> msgpack.ExtType:
    return _new_tuple(_ExtType, (UUID_CODE, value.int.to_bytes(16, "big")))


def _refuse_datetime(value: datetime) -> NoReturn:  # an aware one is msgpack's own timestamp
    raise CodecError("a datetime without a time zone: add one, for example tzinfo=timezone.utc")


def _date_form(value: date) -> msgpack.ExtType:
    return _new_tuple(_ExtType, (DATE_CODE, _pack_date(value.year, value.month, value.day)))


def _time_form(value: time) -> msgpack.ExtType:
    if value.tzinfo is not None:
        raise CodecError("a time with a time zone: send a datetime, or the time without its zone")
    return extension(Extension.TIME, _TIME.pack(value.hour, value.minute, value.second, value.microsecond))


def _timedelta_form(value: timedelta) -> msgpack.ExtType:
    return extension(Extension.TIMEDELTA, _TIMEDELTA.pack(value.days, value.seconds, value.microseconds))


def _integer_form(value: int) -> msgpack.ExtType:
    """One that is too large for msgpack's 64 bits."""
    size = value.bit_length() // 8 + 1
    if size > MAX_INTEGER:
        raise CodecError(f"an integer of {size} bytes, at most {MAX_INTEGER}")
    return extension(Extension.INTEGER, value.to_bytes(size, "big", signed=True))


def _complex_form(value: complex) -> msgpack.ExtType:
    return extension(Extension.COMPLEX, _COMPLEX.pack(value.real, value.imag))


FORMS: dict[type, Callable[[Any], msgpack.ExtType]] = {
    Decimal: _decimal_form,
    UUID: _uuid_form,
    date: _date_form,
    time: _time_form,
    timedelta: _timedelta_form,
    complex: _complex_form,
}
"""What makes the forms of values that are extensions whatever they are, by their class; raises CodecError.

A value that was given its form already spares msgpack the question for it, which takes as long again.
"""
OTHER_FORMS: dict[type, Callable[[Any], msgpack.ExtType]] = {
    datetime: _refuse_datetime,
    **FORMS,
    int: _integer_form,
}
"""The same for subclasses and for what msgpack has no form for itself, more special classes first."""


def date_of(data: bytes) -> object:
    """A date of its octets; raises struct.error or ValueError."""
    return date(*_unpack_date(data))


def _time_of(data: bytes) -> object:
    return time(*_TIME.unpack(data))


def _timedelta_of(data: bytes) -> object:
    days, seconds, microseconds = _TIMEDELTA.unpack(data)
    return timedelta(days, seconds, microseconds)


def decimal_of(data: bytes) -> object:
    """A Decimal of its octets; raises CodecError, ValueError or InvalidOperation."""
    if len(data) > MAX_DECIMAL:
        raise CodecError(f"a Decimal of {len(data)} characters, at most {MAX_DECIMAL}")
    return Decimal(data.decode("ascii"))


def uuid_of(data: bytes) -> object:
    """A UUID of its octets; raises CodecError."""
    # As UUID's own __setstate__ makes one: its __init__ takes six forms, and three times as long.
    if len(data) != 16:
        raise CodecError(f"a UUID of {len(data)} bytes, not 16")
    value = _new(UUID)
    _set_int(value, _int_from(data, "big"))
    _set_safety(value, _SAFETY)
    return value


def _integer_of(data: bytes) -> object:
    if not 1 <= len(data) <= MAX_INTEGER:
        raise CodecError(f"an integer of {len(data)} bytes, from 1 to {MAX_INTEGER}")
    return int.from_bytes(data, "big", signed=True)


def _complex_of(data: bytes) -> object:
    return complex(*_COMPLEX.unpack(data))


SCALARS: dict[int, Callable[[bytes], object]] = {
    Extension.DATE: date_of,
    Extension.TIME: _time_of,
    Extension.TIMEDELTA: _timedelta_of,
    Extension.DECIMAL: decimal_of,
    Extension.UUID: uuid_of,
    Extension.INTEGER: _integer_of,
    Extension.COMPLEX: _complex_of,
}
"""What makes values of their octets, by `Extension`; raises CodecError, or what Python raises on such content."""
