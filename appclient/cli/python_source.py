"""A described interface as Python source: the contract class, with the structures and enums it names.

The result is a module of its own, to be kept in a client's repository. Names come from the server and
are not trusted: every one must be an identifier, and texts are written as literals.

What a description does not tell: the default of a structure's field, and of a parameter whose default
is not a plain value. Such a field is keyword-only and must be given (the other side reads it all the
same); such a parameter has `...` for a default, which is never sent.
"""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterator, Mapping
from typing import Any

from appclient.cli.described import (
    NO_DEFAULT,
    DescribedError,
    DescribedEvent,
    DescribedInterface,
    DescribedMethod,
    DescribedParameter,
    UnreadableDescription,
)
from protocol.interface import Channel
from protocol.interface.event import DEFAULT_LIMIT

_SCALARS = {
    "any": "object",
    "datetime": "datetime.datetime",
    "date": "datetime.date",
    "time": "datetime.time",
    "timedelta": "datetime.timedelta",
    "Decimal": "decimal.Decimal",
    "UUID": "uuid.UUID",
    "Path": "pathlib.PurePosixPath",
}
_PLAIN = ("None", "bool", "int", "float", "complex", "str", "bytes")
_MODULES = ("datetime", "decimal", "enum", "pathlib", "uuid")
_PROTOCOL = ("Blob", "Event", "Interface", "Stream", "event")
_TYPING = ("Literal", "Protocol")
_WORD = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def contract_source(interface: DescribedInterface, *, blocking: bool = False) -> str:
    """Write an interface as a Python module.

    Args:
        interface: as the server describes it.
        blocking: write `def` for the blocking client in place of `async def`.

    Raises:
        UnreadableDescription: a name in it cannot be a name in Python, or a type is not known.
    """
    try:
        return _Writer(interface, blocking=blocking).module()
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as exc:
        raise UnreadableDescription(interface.name, f"{type(exc).__name__}: {exc}") from exc


class _Writer:
    def __init__(self, interface: DescribedInterface, *, blocking: bool) -> None:
        self._interface = interface
        self._blocking = blocking
        self._classes = _class_names(interface)

    def module(self) -> str:
        interface = self._interface
        errors = {
            e.type["ref"]: e
            for e in interface.errors.values()
            if isinstance(e.type, dict) and "ref" in e.type
        }
        blocks = [
            "\n".join(self._type(name, body)) for name, body in interface.types.items() if name not in errors
        ]
        blocks += ["\n".join(self._error(error)) for error in interface.errors.values()]
        blocks.append("\n".join(self._contract()))
        body = "\n\n\n".join(blocks)
        return f"{_head(interface, body)}\n\n\n{body}"

    def _type(self, name: str, body: Mapping[str, Any]) -> Iterator[str]:
        if body["kind"] == "structure":
            yield "@attrs.frozen"
            yield f"class {self._classes[name]}:"
            yield from self._fields(body["fields"])
            return
        numbers = all(type(value) is int for value in body["members"].values())
        kind = "Flag" if body["kind"] == "flag" else "IntEnum" if numbers else "Enum"
        yield f"class {self._classes[name]}(enum.{kind}):"
        for member, value in body["members"].items():
            yield f"    {_identifier(member)} = {_literal(value)}"
        if not body["members"]:
            yield "    pass"

    def _fields(self, fields: list[Mapping[str, Any]]) -> Iterator[str]:
        for field in fields:
            text = f"    {_identifier(field['name'])}: {self._annotation(field['type'])}"
            if field["required"]:
                yield text
            else:
                yield f"{text} = attrs.field(kw_only=True)  # has a default on the server"
        if not fields:
            yield "    pass"

    def _error(self, error: DescribedError) -> Iterator[str]:
        name = _identifier(error.name)
        reference = error.type.get("ref") if isinstance(error.type, dict) else None
        if reference is not None:
            yield "@attrs.define"
        yield f"class {name}(Exception):"
        expected = f"{self._interface.name.lower()}.{_WORD.sub('_', name).lower()}"
        code = [f"    code = {_literal(error.code)}"] if error.code != expected else []
        yield from code
        if reference is not None:
            yield from self._fields(self._interface.types[reference]["fields"])
        elif not code:
            yield "    pass"

    def _contract(self) -> Iterator[str]:
        interface = self._interface
        errors = ", ".join(_identifier(error.name) for error in interface.errors.values())
        arguments = f"version=({interface.version[0]}, {interface.version[1]})"
        arguments += f", errors=[{errors}]" if errors else ""
        yield f"class {_identifier(interface.name)}(Interface, Protocol, {arguments}):"
        yield from _docstring(interface.doc, 4)
        for method in interface.methods.values():
            yield ""
            yield from self._method(method)
        if interface.events:
            yield ""
        for event in interface.events.values():
            yield f"    {_identifier(event.name)}: Event[{self._annotation(event.type)}] = {_event(event)}"
        if not (interface.methods or interface.events or interface.doc):
            yield "    pass"

    def _method(self, method: DescribedMethod) -> Iterator[str]:
        word = "def" if self._blocking or method.gives is not Channel.NONE else "async def"
        signature = f"{_identifier(method.name)}({', '.join(self._parameters(method))})"
        line = f"    {word} {signature} -> {self._result(method)}:"
        if method.doc is None:
            yield f"{line} ..."
            return
        yield line
        yield from _docstring(method.doc, 8)
        yield "        ..."

    def _parameters(self, method: DescribedMethod) -> Iterator[str]:
        yield "self"
        positional = [parameter for parameter in method.parameters if parameter.positional]
        only = [parameter for parameter in positional if not parameter.named]
        required = [parameter for parameter in positional if parameter.required]
        channel = self._channel(method)
        for parameter in positional:
            # The stream or blob has no default, so it stands before those that have one.
            if channel and not parameter.required:
                yield channel
                channel = ""
            yield self._parameter(parameter)
            if only and parameter is only[-1]:
                yield "/"
        if channel:
            yield channel
        assert positional[: len(required)] == required, "a required parameter after an optional one"
        keywords = [parameter for parameter in method.parameters if not parameter.positional]
        if keywords:
            yield "*"
        for parameter in keywords:
            yield self._parameter(parameter)

    def _parameter(self, parameter: DescribedParameter) -> str:
        text = f"{_identifier(parameter.name)}: {self._annotation(parameter.type)}"
        if parameter.required:
            return text
        if parameter.default is not NO_DEFAULT:
            return f"{text} = {_literal(parameter.default)}"
        optional = isinstance(parameter.type, dict) and "optional" in parameter.type
        return f"{text} = {'None' if optional else '...'}"

    def _channel(self, method: DescribedMethod) -> str:
        taken = {parameter.name for parameter in method.parameters}
        if method.takes is Channel.NONE:
            return ""
        word = "items" if method.takes is Channel.VALUES else "file"
        name = next(name for name in (word, f"{word}_", f"{word}__") if name not in taken)
        kind = f"Stream[{self._annotation(method.take_item)}]" if method.takes is Channel.VALUES else "Blob"
        return f"{name}: {kind}"

    def _result(self, method: DescribedMethod) -> str:
        match method.gives:
            case Channel.VALUES:
                return f"Stream[{self._annotation(method.give_item)}]"
            case Channel.BYTES:
                return "Blob"
            case Channel.NONE:
                return self._annotation(method.returns)

    def _annotation(self, described: Any, *, key: bool = False) -> str:
        """A described type as an annotation; `key`: it has to be hashable."""
        if isinstance(described, str):
            if described not in _SCALARS and described not in _PLAIN:
                raise ValueError(f"the type {described!r} is not known")
            return _SCALARS.get(described, described)
        ((kind, inner),) = described.items()
        match kind:
            case "ref":
                return self._classes[inner]
            case "optional":
                return f"{self._annotation(inner, key=key)} | None"
            case "union":
                return " | ".join(self._annotation(member, key=key) for member in inner)
            case "tagged":
                return " | ".join(self._annotation(member, key=key) for member in inner.values())
            case "literal":
                return f"Literal[{', '.join(_literal(value) for value in inner)}]"
            case "tuple":
                return f"tuple[{', '.join(self._annotation(member, key=key) for member in inner) or '()'}]"
            case "list":
                item = self._annotation(inner, key=key)
                return f"tuple[{item}, ...]" if key else f"list[{item}]"
            case "set" | "distinct":
                return f"{'frozenset' if key else 'set'}[{self._annotation(inner, key=True)}]"
            case "map":
                return f"dict[str, {self._annotation(inner)}]"
            case "pairs":
                return f"dict[{self._annotation(inner[0], key=True)}, {self._annotation(inner[1])}]"
        raise ValueError(f"the type {kind!r} is not known")


def _head(interface: DescribedInterface, body: str) -> str:
    """The module's docstring and the imports that its body needs."""
    major, minor = interface.version
    used = [name for name in _MODULES if re.search(rf"\b{name}\.", body)]
    lines = [f'"""The interface {interface.name} {major}.{minor}, as its server describes it."""', ""]
    lines += [f"import {name}" for name in used]
    typing = [name for name in _TYPING if re.search(rf"\b{name}\b", body)]
    lines += [f"from typing import {', '.join(typing)}", ""]
    lines += ["import attrs", ""] if "attrs." in body else []
    names = [name for name in _PROTOCOL if re.search(rf"\b{name}\b", body)]
    lines.append(f"from protocol import {', '.join(names)}")
    return "\n".join(lines)


def _class_names(interface: DescribedInterface) -> dict[str, str]:
    """The name of each described type as a class: `Page[Order]` becomes `Page_Order`.

    A member of a tagged union keeps its tag, by which it travels.
    """
    names = {described["ref"]: tag for tag, described in _tags(interface)}
    taken = set(names.values()) | {interface.name}
    for name in interface.types:
        if name in names:
            continue
        wished = re.sub(r"\W+", "_", name).strip("_")
        free = next(
            each for each in (wished, *(f"{wished}_{n}" for n in range(2, 1000))) if each not in taken
        )
        names[name] = _identifier(free)
        taken.add(free)
    return names


def _tags(interface: DescribedInterface) -> Iterator[tuple[str, Any]]:
    """Every member of a tagged union in the interface, with its tag."""
    rest: list[Any] = [event.type for event in interface.events.values()]
    for method in interface.methods.values():
        rest += [method.returns, method.take_item, method.give_item]
        rest += [parameter.type for parameter in method.parameters]
    for body in interface.types.values():
        rest += [field["type"] for field in body.get("fields", ())]
    while rest:
        described = rest.pop()
        if isinstance(described, list):
            rest += described
        elif isinstance(described, dict):
            for kind, inner in described.items():
                if kind == "tagged":
                    yield from ((_identifier(tag), member) for tag, member in inner.items())
                elif kind not in ("ref", "literal"):
                    rest.append(inner)


def _event(event: DescribedEvent) -> str:
    arguments = [f"policy={_literal(event.policy)}"] if event.policy != "queue" else []
    arguments += [f"key={_literal(event.key)}"] if event.key is not None else []
    arguments += [f"limit={event.limit}"] if event.limit != DEFAULT_LIMIT else []
    return f"event({', '.join(arguments)})"


def _docstring(doc: str | None, width: int) -> Iterator[str]:
    """A docstring's lines, which no text of the server's can end early."""
    if not doc:
        return
    escaped = doc.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    if escaped.endswith('"'):
        escaped = f'{escaped[:-1]}\\"'
    indent = " " * width
    first, *others = escaped.splitlines()
    yield f'{indent}"""{first}' + ("" if others else '"""')
    for line in others:
        yield f"{indent}{line}".rstrip()
    if others:
        yield f'{indent}"""'


def _identifier(name: str) -> str:
    if not name.isidentifier() or keyword.iskeyword(name):
        raise ValueError(f"{name!r} cannot be a name in Python")
    return name


def _literal(value: object) -> str:
    """A value as source text; a number, a text or None, whatever the server says."""
    if value is None or type(value) in (bool, int, str):
        return repr(value) if not isinstance(value, str) else _quoted(value)
    if type(value) is float:
        return repr(value) if value == value and abs(value) != float("inf") else f"float({str(value)!r})"
    raise ValueError(f"{value!r} is no plain value")


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"' if text.isprintable() else ascii(text)
