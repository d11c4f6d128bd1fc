"""The server that the load programs drive: `appserver run` would serve it as well."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

from appserver import Application
from protocol import Blob, Interface
from tests.system.processes import resident


class Load(Interface, version=(1, 0)):
    """Small calls, files of any size, and a look at the server's memory."""

    async def add(self, left: int, right: int) -> int:  # type: ignore[empty-body]
        """Add two numbers."""
        ...

    async def put(self, name: str, file: Blob) -> int:  # type: ignore[empty-body]
        """Store a file."""
        ...

    def get(self, name: str) -> Blob:  # type: ignore[empty-body]
        """Fetch a file."""
        ...

    def zeros(self, size: int) -> Blob:  # type: ignore[empty-body]
        """Send that many bytes that are on no disk."""
        ...

    async def memory(self) -> int:  # type: ignore[empty-body]
        """Resident bytes of the server."""
        ...


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
        async def content() -> AsyncIterator[bytes]:
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
