"""What goes to standard output: plain values for people, or one JSON value a line for programs.

What a server sends is not trusted by the terminal: control characters, with which a text could rewrite
the screen, are shown as escapes.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from appclient.cli.values import to_json

_ESCAPED = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


def printable(text: str) -> str:
    """A text without the control characters that a terminal obeys; lines and tabs stay."""
    return text.translate(_ESCAPED)


def dumped(value: Any, *, indent: int | None = None) -> str:
    """A JSON value as text, readable in any script and harmless to a terminal."""
    return printable(json.dumps(value, ensure_ascii=False, indent=indent))


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
