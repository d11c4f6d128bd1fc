"""Validators and converters of settings' values, for `schema`'s fields.

A validator refuses by `InvalidSetting`, which names the key: the section's name stands on the
section class, the rest is the attribute's own name. Types are exact, so that `port = true` and
`encrypt = "no"` are refused and not read as 1 and true.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import attrs

from protocol.settings.errors import InvalidSetting


class Section(Protocol):
    """A class of settings: what the validators need to know of it."""

    SECTION: str


Validator = Callable[[Any, "attrs.Attribute[Any]", Any], None]

_HOST_NAME = re.compile(
    r"(\*\.)?[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?"
)
_ADDRESS = re.compile(r"[0-9A-Fa-f:.]+(%[A-Za-z0-9_.-]+)?")


def check(expected: str, accepts: Callable[[Any], bool]) -> Validator:
    """Make a validator from a predicate.

    Args:
        expected: what `accepts` accepts, in words: it ends up in the error's text.
        accepts: tells whether a value is acceptable; it is given values of any type.

    Returns:
        A validator for `attrs.field`, which raises `InvalidSetting`.
    """

    def validate(section: Section, attribute: attrs.Attribute[Any], value: Any) -> None:
        if not accepts(value):
            raise InvalidSetting(f"{section.SECTION}.{attribute.name}", expected, value)

    return validate


def boolean() -> Validator:
    """Accept true and false alone."""
    return check("true or false", lambda value: type(value) is bool)


def integer(low: int, high: int) -> Validator:
    """Accept whole numbers from `low` to `high`, both included."""
    return check(
        f"a whole number from {low} to {high}", lambda value: type(value) is int and low <= value <= high
    )


def seconds(low: float, high: float) -> Validator:
    """Accept finite numbers from `low` to `high`, both included; `as_float` has made them floats."""
    return number(low, high, f"seconds from {low:g} to {high:g}")


def number(low: float, high: float, expected: str | None = None) -> Validator:
    """Accept finite numbers from `low` to `high`, both included."""
    return check(
        expected or f"a number from {low:g} to {high:g}",
        lambda value: type(value) is float and math.isfinite(value) and low <= value <= high,
    )


def one_of(*choices: str) -> Validator:
    """Accept the given words alone."""
    return check(" or ".join(f'"{choice}"' for choice in choices), lambda value: value in choices)


def text(expected: str, pattern: str) -> Validator:
    """Accept text that matches a regular expression as a whole."""
    compiled = re.compile(pattern)
    return check(expected, lambda value: isinstance(value, str) and compiled.fullmatch(value) is not None)


def path() -> Validator:
    """Accept a path that is not empty."""
    return check("a path", lambda value: isinstance(value, Path))


def host() -> Validator:
    """Accept one host name or IP address."""
    return check("a host name or IP address", is_host)


def hosts() -> Validator:
    """Accept a tuple of host names and IP addresses."""
    return check(
        "a list of host names and IP addresses",
        lambda value: type(value) is tuple and all(is_host(name) for name in value),
    )


def optional(validate: Validator) -> Validator:
    """Accept None as well as what another validator accepts."""

    def validate_unless_none(section: Section, attribute: attrs.Attribute[Any], value: Any) -> None:
        if value is not None:
            validate(section, attribute, value)

    return validate_unless_none


def is_host(value: object) -> bool:
    """Tell whether a value looks like a host name or an IP address; nothing is looked up."""
    if not isinstance(value, str) or not 0 < len(value) <= 253:
        return False
    return (_ADDRESS if ":" in value else _HOST_NAME).fullmatch(value) is not None


def as_float(value: Any) -> Any:
    """Make a whole number a float: TOML's `ping = 30` means 30 seconds. All else stays for the validator."""
    return float(value) if type(value) is int else value


def as_tuple(value: Any) -> Any:
    """Make a list a tuple, so that settings cannot change. All else stays for the validator."""
    return tuple(value) if isinstance(value, list) else value


def as_path(value: Any) -> Any:
    """Make text a path. All else, the empty text included, stays for the validator."""
    return Path(value) if isinstance(value, str) and value else value
