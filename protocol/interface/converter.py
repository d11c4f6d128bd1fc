"""`Converter`: the compiled form of one annotation.

A converter turns a Python value into the plain value that the codec packs (`encode`), and what the
codec unpacked into a Python value (`decode`); both check. It is built once per type by
`protocol.interface.annotations`. This module knows no type in particular.

Speed. Most values pass through untouched: an int is an int on both sides. Such converters say so in
`passes`, and whoever holds one (a list, a generated function) may check `type(value)` itself and skip
the call.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import attrs

from protocol.interface.errors import InvalidValue

Plain: TypeAlias = "bool | int | float | str | list[Plain] | dict[str, Plain] | None"
"""Values of a description: what JSON can hold."""

Conversion: TypeAlias = Callable[[Any], Any]


@attrs.define(eq=False)
class Converter:
    """Encodes and decodes the values of one type.

    Attributes:
        name: the type as a message names it, `list[Order]`.
        encode: Python value to plain value; raises `InvalidValue` with a path from the value inwards.
        decode: plain value to Python value; raises likewise. Its input is untrusted.
        description: the type as a description holds it.
        python: types that `encode` takes, by which a union chooses among its members.
        wire: types that `decode` takes, likewise; no two members of a union share one.
        wire_also: types that `decode` takes where no other member of the union claims them.
        passes: exact types whose values both directions return untouched.
        key: whether its values, plain and Python, are hashable: members of sets, keys of maps.
        form: where all encoded values are of one type that msgpack has no form for, what makes theirs: the codec
            would be asked for it otherwise. Only generated functions use it.
    """

    name: str
    encode: Conversion
    decode: Conversion
    description: Plain
    python: tuple[type, ...]
    wire: tuple[type, ...]
    wire_also: tuple[type, ...] = ()
    passes: tuple[type, ...] = ()
    key: bool = False
    form: Conversion | None = None

    def __repr__(self) -> str:
        return f"<Converter {self.name}>"

    def rooted(self, root: str) -> Converter:
        """Return this converter as the outermost one, whose paths start with `root`."""
        return attrs.evolve(self, encode=_rooted(self.encode, root), decode=_rooted(self.decode, root))


def _rooted(convert: Conversion, root: str) -> Conversion:
    def convert_rooted(value: Any) -> Any:
        try:
            return convert(value)
        except InvalidValue as error:
            error.within(root)
            raise
        except RecursionError:
            raise too_deep(root) from None

    return convert_rooted


def too_deep(root: str) -> InvalidValue:
    """Return the error for a value, one that contains itself for example, that exhausts the stack."""
    return InvalidValue(root, "a value", "a deeper one", problem="nested too deeply")
