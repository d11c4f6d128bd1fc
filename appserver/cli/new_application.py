"""`appserver init`: an application folder that runs at once."""

from __future__ import annotations

import json
import shutil
import string
from importlib import resources
from pathlib import Path

from protocol.settings import ApplicationSettings, InvalidSetting

FOLDERS = ("Resources", "client/Resources")
FILES = {
    "settings.toml": "settings.toml",
    "contract.py": "contract.py",
    "app.py": "app.py",
    "client.py": "client.py",
    "README.txt": "README.txt",
    ".gitignore": "gitignore",
}
"""What is made, and the template it is made from."""


class CannotInitialize(Exception):
    """The folder cannot be made; nothing in it was changed."""


def make_application(folder: Path, name: str | None = None) -> list[Path]:
    """Make an application folder.

    Args:
        folder: to be made; it may exist, empty.
        name: of the application; the folder's name without.

    Returns:
        The files that were written.

    Raises:
        CannotInitialize: the folder is not empty or cannot be made, or the name is none.
    """
    title = name or folder.absolute().name
    try:
        ApplicationSettings(name=title)
    except InvalidSetting as exc:
        raise CannotInitialize(f"{exc}: give a name with --name") from exc
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise CannotInitialize(f"{folder}: it is there and not empty; name a folder that is new or empty")
        return _write(folder, title)
    except OSError as exc:
        raise CannotInitialize(f"{exc.filename or folder}: {exc.strerror or exc}") from exc


def _write(folder: Path, title: str) -> list[Path]:
    """Make the files, all of them or none."""
    was_there = folder.exists()
    try:
        return _make_files(folder, title)
    except OSError:
        for path in [folder] if not was_there else list(folder.iterdir()):
            shutil.rmtree(path, ignore_errors=True)
            path.unlink(missing_ok=True)
        raise


def _make_files(folder: Path, title: str) -> list[Path]:
    for part in FOLDERS:
        (folder / part).mkdir(parents=True)
    # The server's folder will hold its private key.
    (folder / FOLDERS[0]).chmod(0o700)
    templates = resources.files("appserver.cli") / "template"
    # A text in JSON's quotes is one in Python's and TOML's, too.
    values = {"name": title, "quoted": json.dumps(title, ensure_ascii=False)}
    written = []
    for target, source in FILES.items():
        text = string.Template((templates / f"{source}.template").read_text(encoding="utf-8"))
        path = folder / target
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text.substitute(values))
        written.append(path)
    return written
