"""Descriptions: a contract as plain values, its fingerprint, and its types as text.

A description is what travels, in answer to `describe`, and what JSON can hold. Types are a name
(`"int"`, `"any"`) or a map with one entry: `{"list": T}`, `{"tuple": [T, ...]}`, `{"set": T}`,
`{"distinct": T}` (a set sent as an array), `{"map": T}`, `{"pairs": [K, V]}`, `{"optional": T}`,
`{"union": [T, ...]}`, `{"tagged": {tag: T}}`, `{"literal": [value, ...]}`, and `{"ref": name}` for the
structures, enums and flags listed under `types`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def fingerprint_of(description: Mapping[str, Any]) -> str:
    """Return the fingerprint of a description: SHA-256 of its JSON with sorted keys, 32 hexadecimal digits.

    Args:
        description: of a contract; its texts (`doc`) do not count.
    """
    canonical = json.dumps(_without_docs(description), sort_keys=True, separators=(",", ":"))  # all ASCII
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()[:32]


def _without_docs(description: Mapping[str, Any]) -> dict[str, Any]:
    methods = {
        name: {key: value for key, value in method.items() if key != "doc"}
        for name, method in description["methods"].items()
    }
    return {key: value for key, value in description.items() if key != "doc"} | {"methods": methods}


def type_text(described: Any) -> str:
    """Return a described type as a person writes it: `list[Order] | None`."""
    if isinstance(described, str):
        return described
    ((kind, inner),) = described.items()
    match kind:
        case "ref":
            return str(inner)
        case "optional":
            return f"{type_text(inner)} | None"
        case "union":
            return " | ".join(type_text(member) for member in inner)
        case "tagged":
            return " | ".join(inner)
        case "literal":
            return f"Literal[{', '.join(repr(value) for value in inner)}]"
        case "tuple":
            return f"tuple[{', '.join(type_text(member) for member in inner) or '()'}]"
        case "pairs":
            return f"dict[{type_text(inner[0])}, {type_text(inner[1])}]"
        case "map":
            return f"dict[str, {type_text(inner)}]"
        case "distinct":
            return f"set[{type_text(inner)}]"
        case _:
            return f"{kind}[{type_text(inner)}]"
