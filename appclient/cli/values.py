"""JSON values to the plain values of the wire and back, following described types.

The command line has no Python classes of an interface, only its description. A structure is a JSON
object, an enum its value or its member's name, a datetime, date, time, UUID or path a text, a Decimal
a number or a text, bytes are Base64, a timedelta is a number of seconds, and maps whose keys are not
texts are arrays of pairs. What comes out is what the codec packs, so a value that the server would
refuse is refused here, by the same kind of message.
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from appclient.cli.scalars import read_scalar, shape
from protocol.interface import InvalidValue, type_text
from protocol.interface.errors import shown, unacceptable


def read_json(text: str) -> Any:
    """Read JSON; numbers with a fraction become Decimals, so that none of their digits is lost.

    Raises:
        ValueError: the text is not JSON.
    """
    return json.loads(text, parse_float=Decimal)


class ValueReader:
    """Turns JSON values into plain values.

    Args:
        types: structures and enums of the interface, as described.
    """

    def __init__(self, types: Mapping[str, Any]) -> None:
        self._types = types

    def read_token(self, token: str, described: Any) -> Any:
        """Read one argument of a command line: JSON, or a bare word where it is not JSON.

        Where a text is asked for, `7` and `true` are texts, too.

        Args:
            token: as typed.
            described: the type.

        Raises:
            InvalidValue: it is no such value; the path starts empty.
        """
        try:
            value = read_json(token)
        except ValueError:
            return self.read(token, described)
        try:
            return self.read(value, described)
        except InvalidValue:
            if not isinstance(value, str):
                try:
                    return self.read(token, described)
                except InvalidValue:
                    pass
            raise

    def read(self, value: Any, described: Any) -> Any:
        """Read one JSON value.

        Args:
            value: as `read_json` returns it.
            described: the type.

        Raises:
            InvalidValue: it is no such value; the path starts empty.
        """
        if isinstance(described, str):
            return read_scalar(value, described)
        match described:
            case {"ref": name}:
                return self._named(value, name)
            case {"optional": inner}:
                return None if value is None else self.read(value, inner)
            case {"list": item} | {"distinct": item}:
                return self._items(value, item, described)
            case {"set": item}:
                return _as_set(self._items(value, item, described), described)
            case {"tuple": items}:
                return self._tuple(value, items, described)
            case {"map": item}:
                return {
                    key: self._at(f"[{key!r}]", member, item) for key, member in _object(value, described)
                }
            case {"pairs": [key, item]}:
                return self._pairs(value, key, item, described)
            case {"union": members}:
                return self._union(value, members, described)
            case {"tagged": members}:
                return self._tagged(value, members, described)
            case {"literal": allowed}:
                return _literal(value, allowed)
        raise InvalidValue("", type_text(described), "a type that this client does not know")

    def _at(self, step: str, value: Any, described: Any) -> Any:
        try:
            return self.read(value, described)
        except InvalidValue as error:
            error.within(step)
            raise

    def _items(self, value: Any, item: Any, described: Any) -> list[Any]:
        if not isinstance(value, list):
            raise _wrong(type_text(described), value)
        return [self._at(f"[{index}]", member, item) for index, member in enumerate(value)]

    def _tuple(self, value: Any, items: list[Any], described: Any) -> list[Any]:
        if not isinstance(value, list):
            raise _wrong(type_text(described), value)
        if len(value) != len(items):
            raise InvalidValue("", f"{type_text(described)} of {len(items)} values", str(len(value)))
        return [self._at(f"[{index}]", member, items[index]) for index, member in enumerate(value)]

    def _pairs(self, value: Any, key: Any, item: Any, described: Any) -> list[Any]:
        if isinstance(value, dict):  # keys are texts in JSON, so each is read like an argument
            return [
                [self._key(name, key), self._at(f"[{shown(name)}]", member, item)]
                for name, member in value.items()
            ]
        pairs = value if isinstance(value, list) else None
        if pairs is None or any(not isinstance(pair, list) or len(pair) != 2 for pair in pairs):
            raise InvalidValue(
                "", f"{type_text(described)} as an object or a list of [key, value]", shown(value)
            )
        return [
            [self._at(f"[{index}][0]", name, key), self._at(f"[{index}][1]", member, item)]
            for index, (name, member) in enumerate(pairs)
        ]

    def _key(self, name: str, described: Any) -> Any:
        try:
            return self.read_token(name, described)
        except InvalidValue as error:
            error.within(f"[key {shown(name)}]")
            raise

    def _union(self, value: Any, members: list[Any], described: Any) -> Any:
        # A text last: everything that has a form in JSON fits a text as well.
        for member in sorted(members, key=lambda member: member in ("str", "Path", "any")):
            try:
                return self.read(value, member)
            except InvalidValue as error:
                if error.path:  # the right member, and something inside it is wrong
                    raise
        raise _wrong(type_text(described), value)

    def _tagged(self, value: Any, members: Mapping[str, Any], described: Any) -> list[Any]:
        match value:
            case [str(tag), dict(content)] if tag in members:
                return [tag, self._at("", content, members[tag])]
            case [str(tag), _]:
                raise unacceptable(" or ".join(members), tag)
        raise InvalidValue("", f'["{next(iter(members))}", {{...}}] ({type_text(described)})', shape(value))

    def _named(self, value: Any, name: str) -> Any:
        described = self._types.get(name)
        match described:
            case {"kind": "structure", "fields": fields}:
                return self._structure(value, name, fields)
            case {"kind": "enum", "members": members}:
                return _enum(value, name, members)
            case {"kind": "flag", "members": members}:
                return _flag(value, name, members)
        raise InvalidValue("", name, "a type that the server does not describe")

    def _structure(self, value: Any, name: str, fields: list[Any]) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise InvalidValue("", f"{name} as an object", shape(value))
        known = {field["name"]: field for field in fields}
        for key in value:
            if key not in known:
                problem = f"unknown field; {name} has {', '.join(known)}"
                raise InvalidValue(f".{key}", name, key, problem=problem)
        result = {}
        for key, field in known.items():
            if key in value:
                result[key] = self._at(f".{key}", value[key], field["type"])
            elif field["required"]:
                raise InvalidValue(f".{key}", type_text(field["type"]), "nothing")
        return result


def to_json(value: Any) -> Any:
    """A plain value as JSON has it.

    Args:
        value: as the codec unpacked it.
    """
    kind = type(value)
    if kind in (bool, int, str, type(None)):
        return value
    if kind is float:
        return value if math.isfinite(value) else str(value)
    if kind is dict:
        return {key: to_json(member) for key, member in value.items()}
    if kind in (list, tuple):
        return [to_json(member) for member in value]
    if kind in (set, frozenset):
        return sorted(
            (to_json(member) for member in value), key=lambda member: (str(type(member)), str(member))
        )
    if kind in (datetime, date, time):
        return value.isoformat()
    if kind is timedelta:
        return value.total_seconds()
    if kind is bytes:
        return base64.b64encode(value).decode("ascii")
    return str(value)  # Decimal, UUID, complex


def _wrong(expected: str, value: Any) -> InvalidValue:
    return InvalidValue("", expected, shape(value))


def _object(value: Any, described: Any) -> list[tuple[str, Any]]:
    if not isinstance(value, dict):
        raise _wrong(type_text(described), value)
    return list(value.items())


def _as_set(members: list[Any], described: Any) -> set[Any]:
    try:
        return set(members)
    except TypeError:
        raise InvalidValue("", type_text(described), "members that are not hashable") from None


def _literal(value: Any, allowed: list[Any]) -> Any:
    for choice in allowed:
        if type(choice) is type(value) and choice == value:
            return choice
    raise InvalidValue("", " or ".join(json.dumps(choice) for choice in allowed), shape(value))


def _enum(value: Any, name: str, members: Mapping[str, Any]) -> Any:
    for member in members.values():
        if type(member) is type(value) and member == value:
            return member
    if isinstance(value, str) and value in members:
        return members[value]
    choices = ", ".join(json.dumps(member) for member in members.values())
    raise InvalidValue("", f"{name} ({choices})", shape(value))


def _flag(value: Any, name: str, members: Mapping[str, Any]) -> Any:
    if type(value) is int:
        return value
    names = value.split("|") if isinstance(value, str) else value
    if not isinstance(names, list) or any(part not in members for part in names):
        raise InvalidValue("", f"{name} (a number, or {'|'.join(members)})", shape(value))
    combined = 0
    for part in names:
        combined |= members[part]
    return combined
