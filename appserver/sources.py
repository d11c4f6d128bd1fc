"""Where a server's settings and certificates come from, and whether that has changed since."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import attrs

from protocol.certs import server_resources_folder
from protocol.certs.folders import RESOURCES
from protocol.settings import LoadedSettings, Settings, load_settings

Signature: TypeAlias = Mapping[str, tuple[int, ...]]
"""What the system says of each file; another one means that somebody has touched something."""


@attrs.frozen
class Source:
    """The settings, as given or as read from a file, and the server's Resources folder.

    Attributes:
        given: what the server was started with.
        resources: the folder that the caller named, which wins over the settings.
    """

    given: Settings | LoadedSettings
    resources: Path | None = None

    @property
    def first(self) -> Settings:
        """The settings of the start."""
        return self.given.settings if isinstance(self.given, LoadedSettings) else self.given

    @property
    def file(self) -> Path | None:
        """The settings file; None where settings were given as such."""
        if not isinstance(self.given, LoadedSettings):
            return None
        return self.given.path or self.given.folder / "settings.toml"

    def read(self) -> Settings:
        """Read the settings again.

        Raises:
            SettingsError: they cannot be used.
        """
        return (
            load_settings(self.given.path).settings if isinstance(self.given, LoadedSettings) else self.given
        )

    def folder(self, settings: Settings) -> Path:
        """The server's Resources folder; it need not exist."""
        if isinstance(self.given, LoadedSettings):
            return server_resources_folder(attrs.evolve(self.given, settings=settings), self.resources)
        return self.resources or settings.tls.resources or Path(RESOURCES)

    def signature(self, settings: Settings) -> Signature:
        """Look at all that is read: the settings file, and the files of the folder."""
        folder = self.folder(settings)
        paths = [folder, *_files_in(folder)]
        if self.file is not None:
            paths.append(self.file)
        found: dict[str, tuple[int, ...]] = {}
        for path in paths:
            with contextlib.suppress(OSError):  # what is not there has no signature
                status = path.stat()  # of what a link leads to: that is what is read
                marks = (status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns, status.st_size)
                # A folder's own times change with every temporary file in it; its permissions count.
                found[str(path)] = (
                    (*marks[:2], status.st_mode) if path == folder else (*marks, status.st_mode)
                )
        return found


def _files_in(folder: Path) -> Iterator[Path]:
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            # Editors' and our own temporary files begin with a dot; they are renamed when they are whole.
            if not entry.name.startswith(".") and not entry.is_dir():
                yield folder / entry.name
