"""`Reading`: whether what one side sends of a type can be read by the other as its version of it.

Structures may contain themselves, so a pair of structures that is being compared further up counts
as readable. Types are in the form of `protocol.interface.description`; one side's are not trusted,
which is why nothing here is cleverer than a walk over both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from protocol.interface.description import type_text

_WIDER = {"int": ("float", "complex"), "float": ("complex",), "str": ("Path",), "Path": ("str",)}
"""What else a scalar can be read as."""
_ARRAYS = ("list", "distinct")


@attrs.define
class Reading:
    """One direction: the words for both sides and their named types."""

    sender: str
    sender_types: Mapping[str, Any]
    receiver: str
    receiver_types: Mapping[str, Any]
    _pairs: dict[tuple[str, str], list[str]] = attrs.field(factory=dict, init=False)

    def problems(self, sent: Any, read: Any, where: str) -> list[str]:
        """Return a sentence for each reason why values cannot be read.

        Args:
            sent: the type as its sender describes it.
            read: the type as its receiver describes it.
            where: what the sentences start with.
        """
        if read == "any":
            return []
        found: list[str] = []
        targets = _alternatives(read)
        for alternative in _alternatives(sent):
            attempts = [self._one(alternative, target, where) for target in targets]
            if all(attempts):
                # With one target of the same kind its own reasons say more than "expects A | B".
                alike = [
                    attempt
                    for attempt, target in zip(attempts, targets, strict=True)
                    if _kind(target) == _kind(alternative)
                ]
                found += alike[0] if len(alike) == 1 else [self._sentence(alternative, read, where)]
        return found

    def _sentence(self, sent: Any, read: Any, where: str) -> str:
        sends, expects = type_text(sent), type_text(read)
        return f"{where}: the {self.sender} sends {sends}, the {self.receiver} expects {expects}"

    def _one(self, sent: Any, read: Any, where: str) -> list[str]:
        """Compare two types neither of which is a union."""
        sent_values, read_values = _values(sent, self.sender_types), _values(read, self.receiver_types)
        if sent_values is not None or read_values is not None:
            return self._compare_values(sent, sent_values, read, read_values, where)
        kind, other = _kind(sent), _kind(read)
        if kind == other == "ref":
            return self._structures(sent["ref"], read["ref"], where)
        if kind == other == "scalar":
            return [] if sent == read or read in _WIDER.get(sent, ()) else [self._sentence(sent, read, where)]
        if kind == other == "tuple" and len(sent["tuple"]) == len(read["tuple"]):
            pairs = enumerate(zip(sent["tuple"], read["tuple"], strict=True))
            return [text for index, (a, b) in pairs for text in self.problems(a, b, f"{where}[{index}]")]
        if kind == "tuple" and other in _ARRAYS:
            return [
                text
                for index, member in enumerate(sent["tuple"])
                for text in self.problems(member, read[other], f"{where}[{index}]")
            ]
        if kind == other == "pairs":
            keys = self.problems(sent["pairs"][0], read["pairs"][0], f"{where} keys")
            return keys + self.problems(sent["pairs"][1], read["pairs"][1], f"{where}[]")
        if kind == other == "tagged":
            return self._tagged(sent["tagged"], read["tagged"], where)
        if (kind == other and kind in ("set", "map", *_ARRAYS)) or (kind in _ARRAYS and other in _ARRAYS):
            return self.problems(sent[kind], read[other], f"{where}[]")
        return [self._sentence(sent, read, where)]

    def _compare_values(
        self, sent: Any, sent_values: list[Any] | None, read: Any, read_values: list[Any] | None, where: str
    ) -> list[str]:
        """Compare where one side or both are an enum, a flag or a Literal: a set of values."""
        if sent_values is None:
            return [self._sentence(sent, read, where)]
        if read_values is None:
            names = {"None" if value is None else type(value).__name__ for value in sent_values}
            readable = all(name == read or read in _WIDER.get(name, ()) for name in names)
            return [] if readable else [self._sentence(sent, read, where)]
        if _is_flag(sent, self.sender_types) and not _is_flag(read, self.receiver_types):
            return [self._sentence(sent, read, where)]
        known = [(type(value), value) for value in read_values]  # True is not 1
        unknown = [value for value in sent_values if (type(value), value) not in known]
        if not unknown:
            return []
        values = ", ".join(repr(value) for value in unknown)
        return [f"{where}: the {self.sender} may send {values}, which the {self.receiver} does not know"]

    def _tagged(self, sent: Mapping[str, Any], read: Mapping[str, Any], where: str) -> list[str]:
        found: list[str] = []
        for tag, described in sent.items():
            if tag in read:
                found += self.problems(described, read[tag], where)
            else:
                known = " | ".join(read)
                found.append(
                    f"{where}: the {self.sender} may send {tag}, the {self.receiver} expects {known}"
                )
        return found

    def _structures(self, sent: str, read: str, where: str) -> list[str]:
        known = self._pairs.get((sent, read))
        if known is not None:
            return known
        self._pairs[sent, read] = []  # while it is being compared, see the head of the module
        fields = {field["name"]: field for field in self.sender_types[sent]["fields"]}
        found: list[str] = []
        for field in self.receiver_types[read]["fields"]:
            name = field["name"]
            if name in fields:
                found += self.problems(fields[name]["type"], field["type"], f"{where}.{name}")
            elif field["required"]:
                here = f"{where}.{name}"
                found.append(
                    f"{here}: the {self.receiver} needs this field, the {self.sender} does not send it"
                )
        self._pairs[sent, read] = found
        return found


def _alternatives(described: Any) -> list[Any]:
    """Return the members of a union, of which None is one; a type that is none is its own only member."""
    if isinstance(described, Mapping):
        if "optional" in described:
            return [*_alternatives(described["optional"]), "None"]
        if "union" in described:
            return [member for union in described["union"] for member in _alternatives(union)]
    return [described]


def _kind(described: Any) -> str:
    if isinstance(described, str):
        return "scalar"
    (kind,) = described
    return str(kind)


def _values(described: Any, types: Mapping[str, Any]) -> list[Any] | None:
    """Return the values of a Literal, an enum or a flag, None for all other types."""
    kind = _kind(described)
    if kind == "literal":
        return list(described["literal"])
    if kind == "ref" and types[described["ref"]]["kind"] in ("enum", "flag"):
        return list(types[described["ref"]]["members"].values())
    return None


def _is_flag(described: Any, types: Mapping[str, Any]) -> bool:
    return _kind(described) == "ref" and types[described["ref"]]["kind"] == "flag"
