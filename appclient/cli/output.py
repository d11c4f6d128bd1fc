"""What goes to standard output: plain values for people, or one JSON value a line for programs.

What a server sends is not trusted by the terminal: control characters, with which a text could rewrite
the screen, are shown as escapes.
"""

from __future__ import annotations

import json
import sys
import unicodedata
from typing import Any

from appclient.cli.values import to_json

_KEPT = "\n\t"
_HARMFUL = ("Cc", "Cf", "Zl", "Zp")
"""Categories: controls, invisible formats (which turn the direction of a text around), line and paragraph ends."""


class _Escapes(dict[int, str]):
    """A table for `str.translate` that looks each character up when it is met."""

    def __missing__(self, code: int) -> str:
        character = chr(code)
        if character in _KEPT or unicodedata.category(character) not in _HARMFUL:
            raise LookupError(code)  # the character stays
        return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


class _JsonEscapes(_Escapes):
    """The same, as JSON escapes them: what a program reads is the value that was sent."""

    def __missing__(self, code: int) -> str:
        super().__missing__(code)
        return json.dumps(chr(code))[1:-1] if code != 0x7F else "\\u007f"


def printable(text: str) -> str:
    """A text without the characters that a terminal obeys or that hide what it says; lines and tabs stay."""
    return text.translate(_Escapes())


def dumped(value: Any, *, indent: int | None = None) -> str:
    """A JSON value as text, readable in any script and harmless to a terminal."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return text.translate(_JsonEscapes())


def print_result(value: Any, *, as_json: bool) -> None:
    """Print a call's result.

    Args:
        value: plain, as the codec unpacked it.
        as_json: JSON in one line. Otherwise a text stands bare, nothing is printed of None, and
            structures have lines of their own.
    """
    if as_json:
        _print(dumped(to_json(value)))
    elif isinstance(value, str):
        _print(printable(value))
    elif value is not None:
        _print(dumped(to_json(value), indent=2))


def print_item(value: Any) -> None:
    """Print one value of a stream, in one line, at once."""
    _print(dumped(to_json(value)))


def print_json(value: Any) -> None:
    """Print what is JSON already, in one line."""
    _print(dumped(value))


def print_text(text: str) -> None:
    """Print lines for people."""
    _print(printable(text))


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
