"""The two ways in which an interface and its use can be wrong.

`ContractError` is for the developer, when a contract is first looked at; `InvalidValue` is for one
call, when a value is not what was annotated. Neither knows about frames or error replies: the room
that runs calls turns an `InvalidValue` into the reply that the caller sees.
"""

from __future__ import annotations

from enum import Enum

MAX_SHOWN = 60
"""Characters of a value that appear in a message: the value may be an attacker's."""


class ContractError(TypeError):
    """A class cannot serve as an interface, or an object does not implement one."""


class InvalidValue(ValueError):
    """A value is not what the interface says it is.

    The path is built from the inside out and only on failure: whoever converts a container adds its own
    step with `within` and lets the exception fly on.

    Attributes:
        path: where, for example `args.order.lines[3].price`.
        expected: what the annotation asks for, for example `Decimal`.
        got: the type of what was there, or the value where the type was right and the value was not.
        problem: a text that replaces "expected ..., got ..." where that would not be a sentence.
    """

    def __init__(self, path: str, expected: str, got: str, *, problem: str | None = None) -> None:
        super().__init__(path, expected, got)
        self.path = path
        self.expected = expected
        self.got = got
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.path}: {self.problem or f'expected {self.expected}, got {self.got}'}"

    def within(self, step: str) -> None:
        """Put one step before the path.

        Args:
            step: `.price`, `[3]`, or at the outermost level the root, `args`.
        """
        self.path = step + self.path


def mismatch(expected: str, value: object) -> InvalidValue:
    """Return the error for a value of the wrong type; its path starts empty."""
    return InvalidValue("", expected, "None" if value is None else type(value).__name__)


def unacceptable(expected: str, value: object) -> InvalidValue:
    """Return the error for a value of the right type that is not one of the allowed ones."""
    return InvalidValue("", expected, shown(value))


def shown(value: object) -> str:
    """Return a value as it may appear in a message, cut to `MAX_SHOWN` characters."""
    if isinstance(value, (str, bytes)):
        value = value[:MAX_SHOWN]
    elif isinstance(value, int) and not isinstance(value, Enum) and value.bit_length() > MAX_SHOWN * 3:
        return "a large int"  # repr of a huge integer is slow, and refused beyond 4300 digits
    text = repr(value)
    return text if len(text) <= MAX_SHOWN else text[: MAX_SHOWN - 3] + "..."
