"""The application that the servers of these tests serve; `appserver run tests.system.application` runs it.

`DESK_FOLDER` names the folder of its ledger and files, `DESK_PASSWORD` what clients must know, if anything.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import attrs
import trio

from appserver import Application, NotAuthenticated
from protocol import Blob, Event, Interface, Stream, event


@attrs.define
class Rejected(Exception):
    """An error of the application, with attributes."""

    why: str
    number: int


@attrs.frozen
class Note:
    """What events and streams carry."""

    text: str


class Desk(Interface, version=(1, 0), errors=[Rejected]):
    """One method for each way in which something travels."""

    async def echo(self, text: str) -> str: ...  # type: ignore[empty-body]
    async def enter(self, number: int, *, wait: bool = False) -> int: ...  # type: ignore[empty-body]
    async def reject(self, why: str) -> None: ...
    async def canary_of_method(self) -> None: ...
    def notes(self, text: str, count: int) -> Stream[Note]: ...  # type: ignore[empty-body]
    async def collect(self, notes: Stream[Note]) -> int: ...  # type: ignore[empty-body]
    async def put(self, name: str, file: Blob) -> int: ...  # type: ignore[empty-body]
    def get(self, name: str) -> Blob: ...  # type: ignore[empty-body]
    def zeros(self, size: int) -> Blob: ...  # type: ignore[empty-body]
    async def publish(self, text: str) -> None: ...

    noted: Event[Note] = event(policy="queue", limit=1000)


class DeskImplementation(Desk):
    """Writes every entry into a ledger before it does anything else, so that what ran can be proved."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._ledger = os.open(folder / "ledger", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._files: dict[str, Path] = {}

    async def echo(self, text: str) -> str:
        return text

    async def enter(self, number: int, *, wait: bool = False) -> int:
        os.write(self._ledger, f"{number}\n".encode())
        if wait:
            while not (self._folder / "go").exists():  # noqa: ASYNC110 - another process makes it
                await trio.sleep(0.02)
        return number

    async def reject(self, why: str) -> None:
        raise Rejected(why, 7)

    async def canary_of_method(self) -> None:
        pass

    def notes(self, text: str, count: int) -> Stream[Note]:
        async def source() -> AsyncIterator[Note]:
            for _ in range(count):
                yield Note(text)
            if not count:
                yield Note(text)
                await trio.sleep_forever()

        return Stream(source())

    async def collect(self, notes: Stream[Note]) -> int:
        count = 0
        async for note in notes:
            count += 1
            if note.text == "enter":
                os.write(self._ledger, b"collected\n")
        return count

    async def put(self, name: str, file: Blob) -> int:
        path = self._files.setdefault(name, self._folder / f"file-{len(self._files)}")
        await file.save(path)
        return path.stat().st_size

    def get(self, name: str) -> Blob:
        return Blob(self._files[name], name=name)

    def zeros(self, size: int) -> Blob:
        async def content() -> AsyncIterator[bytes]:
            for _ in range(size // 65536):
                yield bytes(65536)

        return Blob(content(), size=size)

    async def publish(self, text: str) -> None:
        self.noted.publish(Note(text))


def _make_app() -> Application:
    password = os.environ.get("DESK_PASSWORD")

    async def authenticate(credentials: Mapping[str, object], address: str) -> str:
        if password is not None and credentials.get("password") != password:
            raise NotAuthenticated
        return str(credentials.get("user", ""))

    application = Application("desk", authenticate=authenticate)
    folder = os.environ.get("DESK_FOLDER")
    if folder is not None:  # the clients of the tests import this module for its contract alone
        application.register(DeskImplementation(Path(folder)))
    return application


app = _make_app()
