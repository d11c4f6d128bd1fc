"""The settings as a flat list of dotted keys, derived from the schema.

Whatever speaks of a setting by name stands on this: the file's keys, the environment's variables,
`settings get` and `set`, and the nearest known key in an error about an unknown one.
"""

from __future__ import annotations

import difflib
import functools
import types
import typing
from collections.abc import Mapping
from pathlib import Path

import attrs

from protocol.settings.schema import Settings

ENVIRONMENT_PREFIX = "APPSERVER_"

_TRUE = {"true", "yes", "on", "1"}
_FALSE = {"false", "no", "off", "0"}


@attrs.frozen
class Option:
    """One setting.

    Attributes:
        key: dotted name, `section.name`.
        variable: the environment variable that overrides it.
        section: the class that holds it.
        type: the type of its value, without None.
        optional: whether it may be None, that is: not set.
        default: its value where nobody sets it.
    """

    key: str
    variable: str
    section: type
    type: type
    optional: bool
    default: object

    @property
    def name(self) -> str:
        """The key without its section."""
        return self.key.partition(".")[2]

    def check(self, value: object) -> object:
        """Check a value as the file gives it, and convert it.

        Args:
            value: any value.

        Returns:
            The value as the section will hold it.

        Raises:
            InvalidSetting: the setting cannot have this value.
        """
        return getattr(self.section(**{self.name: value}), self.name)

    def parse(self, text: str) -> object:
        """Read a value from plain text, as an environment variable or a command line gives it.

        Args:
            text: "true" or "false" (also yes/no, on/off, 1/0), a number, text, or for a list its
                members with commas between. Empty text unsets what may be unset.

        Returns:
            The checked value, as `check` returns it.

        Raises:
            InvalidSetting: the text is not such a value.
        """
        if not text and self.optional:
            return None
        return self.check(self._native(text.strip()))

    def _native(self, text: str) -> object:
        if self.type is bool:
            word = text.lower()
            return word in _TRUE if word in _TRUE | _FALSE else text
        if self.type in (int, float):
            try:
                return self.type(text)
            except ValueError:
                return text  # the validator refuses it, in words that name the range
        if self.type is tuple:
            return tuple(member.strip() for member in text.split(",") if member.strip())
        return text


@functools.cache
def all_options() -> Mapping[str, Option]:
    """List every setting, by its key, in the order of the schema."""
    found: dict[str, Option] = {}
    for name, section in typing.get_type_hints(Settings).items():
        hints = typing.get_type_hints(section)
        for attribute in attrs.fields(section):
            key = f"{name}.{attribute.name}"
            plain, optional = _plain_type(hints[attribute.name])
            variable = ENVIRONMENT_PREFIX + key.replace(".", "_").upper()
            found[key] = Option(key, variable, section, plain, optional, attribute.default)
    return types.MappingProxyType(found)


def find_option(key: str) -> Option:
    """Find a setting by its key.

    Raises:
        KeyError: there is none; `explain_unknown` says so in words.
    """
    return all_options()[key]


def explain_unknown(key: str) -> str:
    """Say that a key is unknown, and which known key comes nearest."""
    nearest = _nearest(key)
    return f"{key}: unknown key" + (f"; did you mean {nearest}?" if nearest else "")


def explain_bad_variable(variable: str) -> str | None:
    """Say that an environment variable looks like a misspelt setting; None where it does not.

    Other programs' variables may begin with the same prefix (Kubernetes makes some for a service of
    this name), so only what nearly names a setting is a mistake.
    """
    known = {option.variable for option in all_options().values()}
    if variable in known or not variable.startswith(ENVIRONMENT_PREFIX):
        return None
    nearest = difflib.get_close_matches(variable, known, n=1, cutoff=0.88)
    return f"unknown variable; did you mean {nearest[0]}?" if nearest else None


def value_at(settings: Settings, key: str) -> object:
    """Read a setting by its key.

    Raises:
        KeyError: there is no such setting.
    """
    option = find_option(key)
    section = getattr(settings, key.partition(".")[0])
    return getattr(section, option.name)


def with_values(settings: Settings, values: Mapping[str, object]) -> Settings:
    """Make settings in which some values are others.

    Args:
        settings: the settings to start with.
        values: new values by key; checked.

    Returns:
        New settings.

    Raises:
        KeyError: there is no such setting.
        InvalidSetting: a setting cannot have such a value.
    """
    for key, value in values.items():
        option = find_option(key)
        section = key.partition(".")[0]
        changed = attrs.evolve(getattr(settings, section), **{option.name: value})
        settings = attrs.evolve(settings, **{section: changed})
    return settings


def _nearest(key: str) -> str | None:
    options = all_options()
    name = key.rpartition(".")[2]
    same_name = [known for known in options if known.endswith(f".{name}")]
    matches = same_name or difflib.get_close_matches(key, options, n=1, cutoff=0.6)
    return matches[0] if matches else None


def _plain_type(hint: object) -> tuple[type, bool]:
    members = typing.get_args(hint) if isinstance(hint, types.UnionType) or _is_union(hint) else (hint,)
    plain = [member for member in members if member is not type(None)]
    origin = typing.get_origin(plain[0]) or plain[0]
    found = str if origin is typing.Literal else origin
    assert found in (bool, int, float, str, tuple, Path), f"the schema has a new type: {hint}"
    return typing.cast(type, found), len(plain) < len(members)


def _is_union(hint: object) -> bool:
    return typing.get_origin(hint) is typing.Union
