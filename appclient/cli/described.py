"""A server's description of its interfaces, read into classes at the border.

The description comes from the server and is not trusted: what does not have the expected form is an
`UnreadableDescription`. Types stay the plain values that `protocol.interface.description` defines;
who walks over one (`values`, `python_source`) matches its form.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from protocol.interface import Channel, fingerprint_of, type_text


class UnreadableDescription(Exception):
    """A server describes an interface in a form that this client does not know."""

    def __init__(self, interface: str, finding: object) -> None:
        super().__init__(
            f"the server's description of {interface} cannot be read ({finding}): update the client"
        )


class NoSuchInterface(Exception):
    """The server does not serve what was asked for."""


NO_DEFAULT = object()
"""The default of a parameter that has none, or one that the description does not tell."""


@attrs.frozen
class DescribedParameter:
    """One parameter of a method; `type` is a described type, the rest as in `protocol.interface.Parameter`."""

    name: str
    type: Any
    required: bool
    positional: bool
    named: bool
    default: object = NO_DEFAULT

    @property
    def text(self) -> str:
        """The parameter as a person writes it."""
        text = f"{self.name}: {type_text(self.type)}"
        if self.default is not NO_DEFAULT:
            return f"{text} = {self.default!r}"
        return text if self.required else f"{text} = ..."


@attrs.frozen
class DescribedMethod:
    """One method.

    Attributes:
        name: `find`.
        parameters: in order, without the stream or blob.
        takes: what the caller sends beside the arguments.
        take_item: described type of the values of the stream that is taken.
        gives: what comes instead of a value.
        give_item: described type of the values of the stream that is given.
        returns: described type of the result; "None" where a stream or blob comes instead.
        doc: docstring, or None.
    """

    name: str
    parameters: tuple[DescribedParameter, ...]
    takes: Channel
    take_item: Any
    gives: Channel
    give_item: Any
    returns: Any
    doc: str | None

    @property
    def signature(self) -> str:
        """The method as a person writes it: `add(order: NewOrder, *, urgent: bool = False) -> int`."""
        texts = [parameter.text for parameter in self.parameters if parameter.positional]
        if self.takes is not Channel.NONE:
            texts.append(flow_text(self.takes, self.take_item))
        keywords = [parameter.text for parameter in self.parameters if not parameter.positional]
        texts += ["*", *keywords] if keywords else []
        return f"{self.name}({', '.join(texts)}) -> {self.result}"

    @property
    def result(self) -> str:
        """What comes back, as a person writes it."""
        return (
            type_text(self.returns) if self.gives is Channel.NONE else flow_text(self.gives, self.give_item)
        )


@attrs.frozen
class DescribedEvent:
    """One event: described type of its values, and how slow subscribers are treated."""

    name: str
    type: Any
    policy: str
    key: str | None
    limit: int


@attrs.frozen
class DescribedError:
    """One registered exception class: its code, its name, the described type of its data."""

    code: str
    name: str
    type: Any


@attrs.frozen
class DescribedInterface:
    """One interface.

    Attributes:
        name: of the interface.
        version: major and minor number.
        doc: docstring, or None.
        methods: by name.
        events: by name.
        errors: by code.
        types: structures and enums by the name that refers to them, as described.
        fingerprint: of the contract.
    """

    name: str
    version: tuple[int, int]
    doc: str | None
    methods: Mapping[str, DescribedMethod]
    events: Mapping[str, DescribedEvent]
    errors: Mapping[str, DescribedError]
    types: Mapping[str, Any]
    fingerprint: str


def read_interface(name: str, description: Mapping[str, Any]) -> DescribedInterface:
    """Read one interface's description.

    Args:
        name: of the interface, for messages.
        description: as received; untrusted.

    Raises:
        UnreadableDescription: it is not one.
    """
    try:
        major, minor = description["version"]
        return DescribedInterface(
            _text(description["name"]),
            (int(major), int(minor)),
            _doc(description),
            {key: _method(key, value) for key, value in description["methods"].items()},
            {key: _event(key, value) for key, value in description["events"].items()},
            {
                key: DescribedError(_text(key), _text(value["name"]), value["type"])
                for key, value in description["errors"].items()
            },
            dict(description["types"]),
            fingerprint_of(description),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as exc:
        raise UnreadableDescription(name, f"{type(exc).__name__}: {exc}") from exc


def choose(described: Mapping[str, Any], name: str) -> DescribedInterface:
    """Pick one interface out of what the server describes.

    Args:
        described: descriptions by name, all that the server has.
        name: as given on the command line.

    Raises:
        NoSuchInterface: the server does not have it; the text names those that it has.
        UnreadableDescription: see `read_interface`.
    """
    if name not in described:
        served = ", ".join(described) or "none"
        raise NoSuchInterface(f"this server has no interface {name}; it has {served}")
    return read_interface(name, described[name])


def flow_text(channel: Channel, item: Any) -> str:
    """A stream or blob as a person writes it."""
    return f"Stream[{type_text(item)}]" if channel is Channel.VALUES else "Blob"


def _method(name: str, description: Mapping[str, Any]) -> DescribedMethod:
    takes, take_item = _flow(description["takes"])
    gives, give_item = _flow(description["gives"])
    return DescribedMethod(
        _text(name),
        tuple(_parameter(parameter) for parameter in description["parameters"]),
        takes,
        take_item,
        gives,
        give_item,
        "None" if description["returns"] is None else description["returns"],
        _doc(description),
    )


def _parameter(description: Mapping[str, Any]) -> DescribedParameter:
    return DescribedParameter(
        _text(description["name"]),
        description["type"],
        required=bool(description["required"]),
        positional=bool(description["positional"]),
        named=bool(description["named"]),
        default=description.get("default", NO_DEFAULT),
    )


def _event(name: str, description: Mapping[str, Any]) -> DescribedEvent:
    policy = description["policy"]
    key = None if policy["key"] is None else _text(policy["key"])
    return DescribedEvent(_text(name), description["type"], _text(policy["kind"]), key, int(policy["limit"]))


def _flow(description: Any) -> tuple[Channel, Any]:
    if description is None:
        return Channel.NONE, None
    if description == "blob":
        return Channel.BYTES, None
    return Channel.VALUES, description["stream"]


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"expected a text, got {type(value).__name__}")
    return value


def _doc(description: Mapping[str, Any]) -> str | None:
    doc = description.get("doc")
    return None if doc is None else _text(doc)
