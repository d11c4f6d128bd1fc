"""The server that the load programs drive: `appserver run` would serve it as well."""

from __future__ import annotations

import os
from pathlib import Path

from appserver import Application
from protocol import Blob, Interface


class Load(Interface, version=(1, 0)):
    """Small calls, files of any size, and a look at the server's memory."""

    async def add(self, left: int, right: int) -> int:
        """Add two numbers."""
        ...

    async def put(self, name: str, file: Blob) -> int:
        """Store a file."""
        ...

    def get(self, name: str) -> Blob:
        """Fetch a file."""
        ...

    def zeros(self, size: int) -> Blob:
        """Send that many bytes that are on no disk."""
        ...

    async def memory(self) -> int:
        """Resident bytes of the server."""
        ...


def resident() -> int:
    """Bytes of this process that are in memory now (Linux)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


class Loaded(Load):
    """Keeps files in a folder, under numbers of their own: a name is a label, never a path."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, Path] = {}

    async def add(self, left: int, right: int) -> int:
        return left + right

    async def put(self, name: str, file: Blob) -> int:
        path = self._files.setdefault(name, self._folder / str(len(self._files)))
        await file.save(path)
        return path.stat().st_size

    def get(self, name: str) -> Blob:
        return Blob(self._files[name])

    def zeros(self, size: int) -> Blob:
        async def content():  # type: ignore[no-untyped-def]
            piece = bytes(256 * 1024)
            left = size
            while left > 0:
                yield piece[:left]
                left -= len(piece)

        return Blob(content(), size=size)

    async def memory(self) -> int:
        return resident()


def make_app(folder: Path) -> Application:
    """The application, with its files in a folder."""
    app = Application("load")
    app.register(Loaded(folder))
    return app
