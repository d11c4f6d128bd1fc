"""Reading the settings from `settings.toml` and the environment.

Lowest to highest: the schema's default, the file, the environment. Unknown keys are errors, and all
problems are reported at once, each with the file or variable and the key that it is about.
"""

from __future__ import annotations

import os
import tomllib
import types
from collections.abc import Iterable, Mapping
from pathlib import Path

import attrs

from protocol.settings.errors import InvalidSetting, SettingsError
from protocol.settings.options import (
    all_options,
    explain_bad_variable,
    explain_unknown,
    find_option,
    with_values,
)
from protocol.settings.schema import Settings

FILE_NAME = "settings.toml"
PATH_VARIABLE = "APPSERVER_SETTINGS"
"""The environment variable that names the settings file."""

DEFAULT = "default"


@attrs.frozen
class LoadedSettings:
    """Settings, and where each of them comes from.

    Attributes:
        settings: the settings.
        origins: for every key "default", "file PATH" or "environment VARIABLE".
        path: the file that was read, or None where there was none.
        folder: the application folder: where the file is, or the current folder.
    """

    settings: Settings
    origins: Mapping[str, str]
    path: Path | None
    folder: Path


def load_settings(path: Path | None = None, *, environ: Mapping[str, str] | None = None) -> LoadedSettings:
    """Read the settings.

    Args:
        path: the settings file, or the folder that holds `settings.toml`; it has to exist. None takes
            what the variable APPSERVER_SETTINGS names, or else `settings.toml` in the current folder,
            or else no file.
        environ: environment variables; None takes the process's own.

    Returns:
        The settings. Relative paths are made absolute: those of the file from the file's folder,
        those of the environment from the current folder.

    Raises:
        SettingsError: the file is missing, unreadable or not TOML, or keys or values are wrong.
    """
    variables = os.environ if environ is None else environ
    found = find_settings_file(path, variables)
    from_file, problems = ({}, []) if found is None else check_values(_parse(found), found)
    from_environment, more_problems = _environment_values(variables)
    if problems or more_problems:
        raise SettingsError(found, (*problems, *more_problems))
    folder = Path.cwd() if found is None else found.parent
    values = {**_absolute(from_file, folder), **_absolute(from_environment, Path.cwd())}
    origins = {key: _origin(key, found, from_file, from_environment) for key in all_options()}
    return LoadedSettings(with_values(Settings(), values), types.MappingProxyType(origins), found, folder)


def settings_from_environment(environ: Mapping[str, str] | None = None) -> Settings:
    """The defaults and what the environment overrides; no file is read.

    Args:
        environ: environment variables; None takes the process's own.

    Raises:
        SettingsError: a variable names no setting, or its value is wrong.
    """
    values, problems = _environment_values(os.environ if environ is None else environ)
    if problems:
        raise SettingsError(None, tuple(problems))
    return with_values(Settings(), _absolute(values, Path.cwd()))


def find_settings_file(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    """Find the settings file, as `load_settings` does.

    Raises:
        SettingsError: a file was named, by the argument or the environment, and does not exist.
    """
    named = path or (Path(environ[PATH_VARIABLE]) if environ.get(PATH_VARIABLE) else None)
    found = Path.cwd() / (named or FILE_NAME)
    if found.is_dir() and named is not None:
        found = found / FILE_NAME
    if found.exists():
        return found
    if named is None:
        return None
    by = "" if path else f" (named by the environment variable {PATH_VARIABLE})"
    raise SettingsError(found, (f"{found}: there is no such settings file{by}",))


def check_values(document: Mapping[str, object], path: Path) -> tuple[dict[str, object], list[str]]:
    """Check a parsed settings file.

    Args:
        document: what the TOML file holds, as plain values.
        path: the file, for the texts.

    Returns:
        The values by key, and the problems found, each naming file and key.
    """
    values: dict[str, object] = {}
    problems: list[str] = []
    for key, value in _flatten(document):
        try:
            values[key] = find_option(key).check(value)
        except KeyError:
            problems.append(f"{path}: {explain_unknown(key)}")
        except InvalidSetting as problem:
            problems.append(f"{path}: {problem}")
    return values, problems


def _flatten(document: Mapping[str, object]) -> Iterable[tuple[str, object]]:
    sections = {attribute.name for attribute in attrs.fields(Settings)}
    for name, section in document.items():
        if isinstance(section, dict):
            # An unknown section is reported even when it is empty: it is misspelt all the same.
            yield from ((f"{name}.{key}", value) for key, value in section.items())
            if name not in sections and not section:
                yield name, section
        else:
            yield name, section


def _parse(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except UnicodeDecodeError:
        problem = "the file is not UTF-8 text; save it as UTF-8"
    except tomllib.TOMLDecodeError as error:
        problem = f"the file is not TOML: {error}"
    except OSError as error:
        problem = f"the file cannot be read: {error.strerror or error}"
    raise SettingsError(path, (f"{path}: {problem}",))


def _environment_values(environ: Mapping[str, str]) -> tuple[dict[str, object], list[str]]:
    values: dict[str, object] = {}
    problems: list[str] = []
    for key, option in all_options().items():
        if option.variable not in environ:
            continue
        try:
            values[key] = option.parse(environ[option.variable])
        except InvalidSetting as problem:
            problems.append(f"environment {option.variable}: {problem}")
    for variable in environ:
        if explanation := explain_bad_variable(variable):
            problems.append(f"environment {variable}: {explanation}")
    return values, problems


def _absolute(values: Mapping[str, object], folder: Path) -> dict[str, object]:
    # Joined and not resolved: a symbolic link stays as the administrator wrote it, and named it.
    return {key: folder / value if isinstance(value, Path) else value for key, value in values.items()}


def _origin(
    key: str, path: Path | None, file: Mapping[str, object], environment: Mapping[str, object]
) -> str:
    if key in environment:
        return f"environment {find_option(key).variable}"
    return f"file {path}" if key in file else DEFAULT
