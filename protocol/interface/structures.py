"""Converters of attrs classes: a map of field name to value.

For each class two functions are generated. For `Order(number: int, customer: str | None = None)`::

    def encode(_value):
        if _type(_value) is not _cls:
            _check(_value)
        _at = ""
        try:
            _v_number = _value.number
            if _type(_v_number) is not _int:
                _at = ".number"
                _v_number = _convert_v_number(_v_number)
            ...
            _v_due = _form_v_due(_v_due)  # a date: as the codec would
        except _InvalidValue as _error:
            _error.within(_at)
            raise
        except _CodecError as _error:
            raise _InvalidValue(_at, "a value that can be sent", str(_error)) from None
        return {"number": _v_number, "customer": _v_customer}

Compatibility. Fields that the receiver does not know are ignored, fields that did not come take their
default: a structure may grow fields with defaults without breaking the other side.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import attrs

from protocol.interface.converter import Conversion, Converter
from protocol.interface.errors import ContractError, InvalidValue, mismatch
from protocol.interface.source import Source
from protocol.wire.errors import CodecError


def structure_fields(cls: type) -> list[attrs.Attribute[Any]]:
    """Return the fields that travel: those that the class's `__init__` takes."""
    return [field for field in attrs.fields(cls) if field.init]


def check_constructible(cls: type, name: str) -> None:
    """Check that the class can be made from its fields.

    Raises:
        ContractError: its `__init__` does not take what its fields say.
    """
    fields = structure_fields(cls)
    signature = inspect.signature(cls)
    try:
        signature.bind(
            *(None for field in fields if not field.kw_only),
            **{str(field.alias): None for field in fields if field.kw_only},
        )
    except TypeError as exc:
        takes = signature.replace(return_annotation=inspect.Signature.empty)
        raise ContractError(f"{name} cannot be made from its fields: its __init__ takes {takes}") from exc


def structure_converter(cls: type, name: str, converters: Mapping[str, Converter]) -> Converter:
    """Return the converter of an attrs class.

    Args:
        cls: the class.
        name: the name under which its description is kept, `Page[Order]`.
        converters: of the fields' types, by the fields' names.

    Raises:
        ContractError: the class cannot be made from its fields.
    """
    check_constructible(cls, name)
    fields = structure_fields(cls)

    def check(value: object) -> None:
        if not isinstance(value, cls):
            raise mismatch(name, value)

    encode = _encoder(cls, name, fields, converters, check)
    decode = _decoder(cls, name, fields, converters)
    hashable = cls.__hash__ is not None  # attrs clears it where instances are mutable
    return Converter(name, encode, decode, {"ref": name}, (cls,), (dict,), key=hashable)


def structure_description(cls: type, converters: Mapping[str, Converter]) -> dict[str, Any]:
    """Return the description of an attrs class: its fields in order."""
    return {
        "kind": "structure",
        "fields": [
            {
                "name": field.name,
                "type": converters[field.name].description,
                "required": field.default is attrs.NOTHING,
            }
            for field in structure_fields(cls)
        ],
    }


def _encoder(
    cls: type,
    name: str,
    fields: list[attrs.Attribute[Any]],
    converters: Mapping[str, Converter],
    check: Conversion,
) -> Conversion:
    source = Source(f"{name} encode")
    source.bind("cls", cls)
    source.bind("check", check)
    source.bind("InvalidValue", InvalidValue)
    source.bind("CodecError", CodecError)
    source.line(0, "def encode(_value):")
    source.line(1, "if _type(_value) is not _cls:")
    source.line(2, "_check(_value)")
    source.line(1, "_at = ''")
    source.line(1, "try:")
    for field in fields:
        variable = f"_v_{field.name}"
        converter = converters[field.name]
        source.line(2, f"{variable} = _value.{field.name}")
        source.convert(2, variable, f".{field.name}", converter, converter.encode)
        if converter.form is not None:
            source.line(2, f"_at = {f'.{field.name}'!r}")
            source.line(2, f"{variable} = {source.bind(f'form{variable}', converter.form)}({variable})")
    source.line(2, "pass")
    _add_failure_path(source)
    source.line(1, "except _CodecError as _error:")
    source.line(2, "raise _InvalidValue(_at, 'a value that can be sent', str(_error)) from None")
    entries = ", ".join(f"{field.name!r}: _v_{field.name}" for field in fields)
    source.line(1, f"return {{{entries}}}")
    return source.build("encode")


def _decoder(
    cls: type, name: str, fields: list[attrs.Attribute[Any]], converters: Mapping[str, Converter]
) -> Conversion:
    def absent(missing: KeyError) -> InvalidValue:
        field = missing.args[0]
        return InvalidValue(f".{field}", converters[field].name, "nothing")

    def refused(error: Exception) -> InvalidValue:
        return InvalidValue("", f"a valid {name}", f"{type(error).__name__}: {error}")

    source = Source(f"{name} decode")
    for helper, value in (
        ("cls", cls),
        ("name", name),
        ("mismatch", mismatch),
        ("absent", absent),
        ("refused", refused),
        ("InvalidValue", InvalidValue),
        ("dict", dict),
        ("NOTHING", attrs.NOTHING),
    ):
        source.bind(helper, value)
    source.line(0, "def decode(_value):")
    source.line(1, "if _type(_value) is not _dict:")
    source.line(2, "raise _mismatch(_name, _value)")
    source.line(1, "_at = ''")
    source.line(1, "try:")
    for field in fields:
        _add_field(source, field, converters[field.name])
    source.line(2, "pass")
    _add_failure_path(source)
    source.line(1, "except KeyError as _missing:")
    source.line(2, "raise _absent(_missing) from None")
    arguments = [
        f"{field.alias}=_v_{field.name}" if field.kw_only else f"_v_{field.name}" for field in fields
    ]
    arguments.sort(key=lambda text: "=" in text)  # positional ones first
    source.line(1, "try:")
    source.line(2, f"return _cls({', '.join(arguments)})")
    source.line(1, "except Exception as _error:  # a validator or converter of the class says no")
    source.line(2, "raise _refused(_error) from _error")
    return source.build("decode")


def _add_field(source: Source, field: attrs.Attribute[Any], converter: Converter) -> None:
    """Take one field out of the map; what is absent has a default or is a KeyError."""
    variable = f"_v_{field.name}"
    if field.default is attrs.NOTHING:
        source.line(2, f"{variable} = _value[{field.name!r}]")
        source.convert(2, variable, f".{field.name}", converter, converter.decode)
        return
    # An __init__ made by attrs takes NOTHING for a field whose default a factory makes.
    factory = isinstance(field.default, attrs.Factory)  # type: ignore[arg-type]
    default = "_NOTHING" if factory else source.bind(f"default_{field.name}", field.default)
    source.line(2, f"{variable} = _value.get({field.name!r}, _NOTHING)")
    source.line(2, f"if {variable} is _NOTHING:")
    source.line(3, f"{variable} = {default}")
    source.line(2, "else:")
    source.convert(3, variable, f".{field.name}", converter, converter.decode)


def _add_failure_path(source: Source) -> None:
    source.line(1, "except _InvalidValue as _error:")
    source.line(2, "_error.within(_at)")
    source.line(2, "raise")
