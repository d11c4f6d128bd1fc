"""Texts that may come from elsewhere, made harmless to a terminal."""

from __future__ import annotations

_ESCAPED = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


def printable(text: str) -> str:
    """A text without the control characters that a terminal obeys; lines and tabs stay."""
    return text.translate(_ESCAPED)
