"""The parameters of a method, as its contract declares them.

What a call needs to know about them is here once; how they are converted is in
`protocol.interface.arguments`, how two versions of them compare in `protocol.interface.compatibility`.
"""

from __future__ import annotations

import enum
import inspect
from typing import Any, get_args, get_origin

import attrs

from protocol.interface.annotations import Compiler
from protocol.interface.blob import Blob
from protocol.interface.converter import Converter, Plain
from protocol.interface.errors import ContractError
from protocol.interface.stream import Stream


class Channel(enum.Enum):
    """What flows beside the body of a call, in one direction."""

    NONE = "none"
    VALUES = "values"
    """A `Stream`."""
    BYTES = "bytes"
    """A `Blob`."""


@attrs.frozen
class Parameter:
    """One parameter of a method.

    Attributes:
        name: its name.
        converter: of its values; None where it is the stream or blob.
        required: whether the contract gives it no default.
        positional: whether it may be given by position; it then has a place in the body's array.
        named: whether it may be given by name.
        default: the contract's default; `inspect.Parameter.empty` if required.
    """

    name: str
    converter: Converter | None
    required: bool
    positional: bool
    named: bool
    default: object = attrs.field(repr=False)

    def describe(self) -> dict[str, Any]:
        """Return the parameter as a description holds it."""
        description: dict[str, Any] = {
            "name": self.name,
            "type": None if self.converter is None else self.converter.description,
            "required": self.required,
            "positional": self.positional,
            "named": self.named,
        }
        if isinstance(self.default, (bool, int, float, str)) and not isinstance(self.default, enum.Enum):
            description["default"] = self.default
        return description


@attrs.frozen
class Flow:
    """What a method takes or gives beside its body.

    Attributes:
        channel: the kind.
        item: converter of the stream's values, whose error paths start with `item`; None for the other kinds.
    """

    channel: Channel = Channel.NONE
    item: Converter | None = None

    def describe(self) -> Plain:
        """Return it as a description holds it."""
        if self.item is not None:
            return {"stream": self.item.description}
        return "blob" if self.channel is Channel.BYTES else None


def flow_of(annotation: Any, compiler: Compiler, where: str) -> Flow:
    """Return what an annotation says about streams and blobs.

    Raises:
        ContractError: a stream without the type of its values, or of values that cannot travel.
    """
    if annotation is Blob:
        return Flow(Channel.BYTES)
    if annotation is Stream:
        raise ContractError(f"{where}: a Stream needs the type of its values: Stream[Order]")
    if get_origin(annotation) is Stream:
        (item,) = get_args(annotation)
        return Flow(Channel.VALUES, compiler.converter(item, where).rooted("item"))
    return Flow()


_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def read_parameters(
    signature: inspect.Signature, hints: dict[str, Any], compiler: Compiler, where: str
) -> tuple[list[Parameter], Flow]:
    """Return a method's parameters without `self`, and what it takes beside its body.

    Args:
        signature: of the function in the contract class.
        hints: its resolved annotations.
        compiler: of the contract.
        where: the method's qualified name, for messages.

    Raises:
        ContractError: a parameter that cannot be part of a contract.
    """
    declared = list(signature.parameters.values())
    if not declared or declared[0].kind not in _POSITIONAL:
        raise ContractError(f"{where}: a method needs `self` as its first parameter")
    parameters, takes = [], Flow()
    for declaration in declared[1:]:
        here = f"{where}: parameter {declaration.name!r}"
        if declaration.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            raise ContractError(f"{here}: *args and **kwargs have no form on the wire: use a list or a dict")
        if declaration.name.startswith("_"):
            raise ContractError(f"{here}: a name that starts with an underscore is private")
        if declaration.name not in hints:
            raise ContractError(f"{here} has no annotation")
        flow = flow_of(hints[declaration.name], compiler, here)
        if flow.channel is not Channel.NONE:
            if takes.channel is not Channel.NONE:
                raise ContractError(f"{here}: a method takes at most one Stream or Blob")
            if declaration.default is not declaration.empty:
                raise ContractError(f"{here}: a Stream or Blob has no default")
            takes = flow
            converter = None
        else:
            converter = compiler.converter(hints[declaration.name], here)
        parameters.append(
            Parameter(
                declaration.name,
                converter,
                required=declaration.default is declaration.empty,
                positional=declaration.kind in _POSITIONAL,
                named=declaration.kind is not inspect.Parameter.POSITIONAL_ONLY,
                default=declaration.default,
            )
        )
    return parameters, takes
