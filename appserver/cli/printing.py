"""Texts that may come from elsewhere, made harmless to a terminal."""

from __future__ import annotations

import unicodedata

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


def printable(text: str) -> str:
    """A text without the characters that a terminal obeys or that hide what it says; lines and tabs stay."""
    return text.translate(_Escapes())
