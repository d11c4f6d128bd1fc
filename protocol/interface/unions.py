"""Converters of unions: which member a value belongs to, on both sides.

Attrs classes in a union carry their class's name, `["Circle", {...}]`, as soon as there are two of
them. All other members must differ in their form on the wire (`int | str` does, `list[int] | set[int]`
does, `str | Path` does not), so that no tag is needed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import NoneType
from typing import Any

from protocol.interface.converter import Conversion, Converter
from protocol.interface.description import type_text
from protocol.interface.errors import ContractError, InvalidValue, mismatch, unacceptable


def optional_converter(item: Converter) -> Converter:
    """Return the converter of `T | None`."""

    def nullable(convert: Conversion) -> Conversion:
        def convert_nullable(value: Any) -> Any:
            if value is None:
                return None
            try:
                return convert(value)
            except InvalidValue as error:
                if not error.path and not error.expected.endswith(" or None"):
                    error.expected += " or None"
                raise

        return convert_nullable

    return Converter(
        f"{item.name} | None",
        nullable(item.encode),
        nullable(item.decode),
        {"optional": item.description},
        (*item.python, NoneType),
        (*item.wire, NoneType),
        item.wire_also,
        (*item.passes, NoneType) if item.passes else (),
        key=item.key,
    )


def tagged_converter(members: Mapping[str, Converter]) -> Converter:
    """Return the converter of a union of attrs classes.

    Args:
        members: the classes' converters by tag, which is the class's name.
    """
    name = " | ".join(members)
    # The most derived class first: its instances are instances of its bases, too.
    ordered = sorted(members.items(), key=lambda entry: -len(entry[1].python[0].__mro__))
    by_type = {converter.python[0]: (tag, converter.encode) for tag, converter in ordered}
    by_tag = {tag: converter.decode for tag, converter in members.items()}

    def encode(value: Any) -> list[Any]:
        entry = by_type.get(type(value))
        if entry is None:
            entry = next((found for kind, found in by_type.items() if isinstance(value, kind)), None)
        if entry is None:
            raise mismatch(name, value)
        tag, convert = entry
        return [tag, convert(value)]

    def decode(value: Any) -> Any:
        if type(value) is not list or len(value) != 2 or type(value[0]) is not str:
            raise mismatch(name, value)
        convert = by_tag.get(value[0])
        if convert is None:
            raise unacceptable(name, value[0])
        return convert(value[1])

    description: Any = {"tagged": {tag: converter.description for tag, converter in members.items()}}
    key = all(converter.key for converter in members.values())
    return Converter(name, encode, decode, description, tuple(by_type), (list,), key=key)


def union_converter(members: Sequence[Converter]) -> Converter:
    """Return the converter of a union whose members differ on the wire.

    Args:
        members: two or more, None not among them.

    Raises:
        ContractError: two members look the same on the wire.
    """
    name = " | ".join(member.name for member in members)
    by_wire: dict[type, Converter] = {}
    for member in members:
        for kind in member.wire:
            other = by_wire.setdefault(kind, member)
            if other is not member:
                raise ContractError(
                    f"{other.name} and {member.name} look the same on the wire ({kind.__name__})"
                )
    for member in members:
        for kind in member.wire_also:
            by_wire.setdefault(kind, member)
    by_type: dict[type, Converter] = {}
    for member in members:
        other = by_type.setdefault(member.python[0], member)
        if other is not member:
            raise ContractError(f"{other.name} and {member.name} cannot be told apart when they are sent")
    for member in members:
        for kind in member.python:
            by_type.setdefault(kind, member)
    encodes = {kind: member.encode for kind, member in by_type.items()}
    decodes = {kind: member.decode for kind, member in by_wire.items()}

    def encode(value: Any) -> Any:
        convert = encodes.get(type(value))
        if convert is None:
            convert = next((found for kind, found in encodes.items() if isinstance(value, kind)), None)
        if convert is None:
            raise mismatch(name, value)
        return convert(value)

    def decode(value: Any) -> Any:
        convert = decodes.get(type(value))
        if convert is None:
            raise mismatch(name, value)
        return convert(value)

    return Converter(
        name,
        encode,
        decode,
        # Sorted: typing's caches may hand out `Union[int, str]` where another module once wrote it so.
        {"union": sorted((member.description for member in members), key=type_text)},
        tuple(by_type),
        tuple(by_wire),
        (),
        tuple(kind for member in members for kind in member.passes),
        key=all(member.key for member in members),
    )
