"""`appserver settings show|get|set`: the settings, where each comes from, and changing one in the file."""

from __future__ import annotations

import os
import ssl
import sys
from pathlib import Path

from appserver.changes import needs_restart
from protocol.certs import PolicyError
from protocol.certs.ciphers import KEY as CIPHERS_KEY
from protocol.certs.ciphers import set_ciphers
from protocol.settings import (
    LoadedSettings,
    SettingsError,
    all_options,
    find_option,
    load_settings,
    set_value,
    value_at,
)
from protocol.settings.load import find_settings_file
from protocol.settings.options import explain_unknown

Row = dict[str, object]


def setting_rows(loaded: LoadedSettings, section: str | None = None) -> list[Row]:
    """Every setting with its value and where that comes from.

    Args:
        loaded: the settings.
        section: only this one's, where it is given.

    Raises:
        SettingsError: there is no such section.
    """
    rows: list[Row] = [
        {"key": key, "value": plain(value_at(loaded.settings, key)), "origin": loaded.origins[key]}
        for key in all_options()
        if section is None or key.startswith(f"{section}.")
    ]
    if not rows:
        known = ", ".join(dict.fromkeys(key.partition(".")[0] for key in all_options()))
        raise SettingsError(loaded.path, (f"there is no section {section}; there are {known}",))
    return rows


def plain(value: object) -> object:
    """A setting's value as JSON has it."""
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value


def value_text(value: object) -> str:
    """A setting's value as `settings set` takes it; empty where it is not set."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ",".join(str(member) for member in value)
    if isinstance(value, float):
        return f"{value:g}"
    return "" if value is None else str(value)


def print_rows(rows: list[Row]) -> None:
    """Print settings: a table on a terminal, elsewhere one line each with tabs between."""
    texts = [(str(row["key"]), value_text(row["value"]), str(row["origin"])) for row in rows]
    if not sys.stdout.isatty():
        for key, value, origin in texts:
            print(key, value, origin, sep="\t")
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("setting", "value", "from", box=None, header_style="bold", pad_edge=False)
    for key, value, origin in texts:
        style = "dim" if origin == "default" else ""
        table.add_row(key, Text(value), Text(origin), style=style)
    Console().print(table)


def get_setting(loaded: LoadedSettings, key: str) -> object:
    """The value of one setting, as JSON has it.

    Raises:
        SettingsError: there is no such setting.
    """
    try:
        return plain(value_at(loaded.settings, key))
    except KeyError:
        raise SettingsError(loaded.path, (explain_unknown(key),)) from None


def change_setting(path: Path | None, key: str, text: str) -> list[str]:
    """Set one setting in the file.

    Args:
        path: the settings file; `settings.toml` in the working folder without.
        key: dotted name.
        text: the value; empty takes an optional setting out.

    Returns:
        Lines that say what happened.

    Raises:
        SettingsError: there is no such file, key or value; nothing changed.
    """
    file = find_settings_file(path, os.environ)
    if file is None:
        raise SettingsError(
            None,
            (
                "there is no settings.toml in this folder; name one with --settings, or begin with appserver init",
            ),
        )
    if key == CIPHERS_KEY and text:
        try:
            set_ciphers(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), text)
        except PolicyError as exc:  # nothing that reads this file would start
            raise SettingsError(file, (f"{file}: {exc}",)) from exc
    value = plain(set_value(file, key, text))
    lines = [
        f"{file}: {key} = {value_text(value)}" if value is not None else f"{file}: {key} is not set any more"
    ]
    option = find_option(key)
    if option.variable in os.environ:
        lines.append(f"the environment variable {option.variable} overrides it")
    restart = needs_restart(option.key)
    lines.append(
        f"it takes effect when the server starts again{'' if restart else ', or at once where it runs'}"
    )
    return lines


def load(path: Path | None) -> LoadedSettings:
    """Read the settings as the server does."""
    return load_settings(path)
