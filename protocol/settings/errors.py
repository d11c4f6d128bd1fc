"""What can be wrong with settings: one value, or the file as a whole."""

from __future__ import annotations

from pathlib import Path


class InvalidSetting(ValueError):
    """One setting has a value that it cannot have.

    It knows the key and not the file: the schema raises it, whoever read the value adds where from.

    Attributes:
        key: dotted name, `section.name`.
        expected: what the setting accepts, in words.
        got: the value as it was given.
    """

    def __init__(self, key: str, expected: str, got: object) -> None:
        super().__init__(f"{key}: expected {expected}, got {got!r}")
        self.key = key
        self.expected = expected
        self.got = got


class SettingsError(Exception):
    """The settings cannot be used; the text names every file and key concerned, one a line.

    Attributes:
        path: the settings file, or None where only the environment was read.
        problems: one sentence for each thing found, each naming its own file or variable.
    """

    def __init__(self, path: Path | None, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.path = path
        self.problems = problems
