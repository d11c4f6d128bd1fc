"""A described interface as text for people: methods with their signatures, events, errors, types."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from appclient.cli.described import DescribedEvent, DescribedInterface, UnreadableDescription
from protocol.interface import type_text


def interface_text(interface: DescribedInterface) -> str:
    """Write an interface for people.

    Raises:
        UnreadableDescription: a type in it has no form that this client knows.
    """
    try:
        return "\n".join(_lines(interface))
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise UnreadableDescription(interface.name, f"{type(exc).__name__}: {exc}") from exc


def _lines(interface: DescribedInterface) -> Iterator[str]:
    major, minor = interface.version
    yield f"interface {interface.name} {major}.{minor} (fingerprint {interface.fingerprint})"
    yield from _indented(interface.doc, 2)
    for method in interface.methods.values():
        yield ""
        yield f"  {method.signature}"
        yield from _indented(method.doc, 6)
    if interface.events:
        yield ""
        yield "  events"
    for event in interface.events.values():
        yield f"    {event.name}: Event[{type_text(event.type)}]  ({_policy(event)})"
    if interface.errors:
        yield ""
        yield "  errors"
    for error in interface.errors.values():
        data = f" with {_fields(interface.types, error.type)}" if _is_structure(error.type) else ""
        yield f"    {error.code}: {error.name}{data}"
    own = {error.type["ref"] for error in interface.errors.values() if _is_structure(error.type)}
    shown = [name for name in interface.types if name not in own]
    if shown:
        yield ""
        yield "  types"
    for name in shown:
        yield f"    {name}: {_fields(interface.types, {'ref': name})}"


def _indented(text: str | None, width: int) -> Iterator[str]:
    if text:
        yield textwrap.indent(text, " " * width)


def _policy(event: DescribedEvent) -> str:
    key = f" by {event.key}" if event.key is not None else ""
    return f"{event.policy}{key}, at most {event.limit} waiting"


def _is_structure(described: Any) -> bool:
    return isinstance(described, dict) and "ref" in described


def _fields(types: Mapping[str, Any], described: Any) -> str:
    """What stands in a structure or an enum, in one line."""
    body = types[described["ref"]]
    if body["kind"] != "structure":
        return (
            f"{body['kind']} of {', '.join(f'{name}={value!r}' for name, value in body['members'].items())}"
        )
    fields = [
        f"{field['name']}: {type_text(field['type'])}{'' if field['required'] else ' = ...'}"
        for field in body["fields"]
    ]
    return f"({', '.join(fields)})"
