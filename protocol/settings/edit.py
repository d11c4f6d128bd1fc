"""Changing one setting in `settings.toml`: the one door to tomlkit.

Comments, order and spelling of everything else stay as they were. The new value is checked before
anything is written, and the file is replaced in one step, so a server that watches it never reads
half of it.

tomlkit belongs to the server's extra and is imported in the call.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

from protocol.settings.atomic import replace_file
from protocol.settings.errors import InvalidSetting, SettingsError
from protocol.settings.options import Option, explain_unknown, find_option

if TYPE_CHECKING:
    import tomlkit


def set_value(path: Path, key: str, text: str) -> object:
    """Set one setting in the file.

    Args:
        path: the settings file; it is made where its folder exists.
        key: dotted name, as "client_server.encrypt".
        text: the value as plain text, as `Option.parse` reads it; empty text removes an optional
            setting from the file.

    Returns:
        The value as it was set, None where it was removed.

    Raises:
        SettingsError: the key is unknown, the value is not one it can have, the file is not TOML or
            cannot be read or written; the file is as before.
    """
    option = _option(path, key)
    try:
        value = option.parse(text)
    except InvalidSetting as problem:
        raise SettingsError(path, (f"{path}: {problem}",)) from problem
    if value is None:
        unset_value(path, key)
    else:
        _change(path, option, _as_toml(value))
    return value


def unset_value(path: Path, key: str) -> bool:
    """Remove one setting from the file, so that its default holds.

    Args:
        path: the settings file.
        key: dotted name.

    Returns:
        Whether the file had it.

    Raises:
        SettingsError: as `set_value`.
    """
    return _change(path, _option(path, key), None)


def _option(path: Path, key: str) -> Option:
    try:
        return find_option(key)
    except KeyError:
        raise SettingsError(path, (f"{path}: {explain_unknown(key)}",)) from None


def _as_toml(value: object) -> object:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)  # written as people write it: `ping = 30`
    return list(value) if isinstance(value, tuple) else value


def _change(path: Path, option: Option, value: object) -> bool:
    import tomlkit
    import tomlkit.exceptions

    try:
        before = path.read_bytes() if path.exists() else b""
        document = tomlkit.parse(before.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise SettingsError(path, (f"{path}: the file is not UTF-8 text; save it as UTF-8",)) from None
    except tomlkit.exceptions.TOMLKitError as error:
        raise SettingsError(path, (f"{path}: the file is not TOML: {error}",)) from error
    except OSError as error:
        raise SettingsError(path, (f"{path}: {error.strerror or error}",)) from error
    changed = _change_document(path, document, option, value)
    if changed:
        try:
            replace_file(path, tomlkit.dumps(document).encode())
        except OSError as error:
            raise SettingsError(path, (f"{path}: cannot be written: {error.strerror or error}",)) from error
    return changed


def _change_document(path: Path, document: tomlkit.TOMLDocument, option: Option, value: object) -> bool:
    import tomlkit

    section = option.key.partition(".")[0]
    table = document.get(section)
    if table is None:
        if value is None:
            return False
        if document.as_string().strip():
            document.add(tomlkit.nl())
        document[section] = tomlkit.table()
        table = document[section]
    if not isinstance(table, MutableMapping):
        raise SettingsError(path, (f"{path}: {section}: expected a section, [{section}]",))
    entries = cast("MutableMapping[str, object]", table)
    if value is None:
        return entries.pop(option.name, None) is not None
    entries[option.name] = value
    return True
