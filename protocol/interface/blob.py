"""`Blob`: bytes of any size as one parameter or one result.

The class here describes bytes that are to be sent: it keeps what the application gave and reads
nothing. The blobs that arrive are subclasses made by the room that runs calls, which override the
receiving methods. This module opens no file and knows no event loop.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from types import TracebackType
from typing import Protocol, Self, TypeAlias, runtime_checkable

from protocol.wire.errors import LocalProtocolError

Progress: TypeAlias = Callable[[int, int | None], object]
"""Called with the bytes moved so far and the whole size, None where that is not known."""

DEFAULT_READ = 16 * 1024 * 1024
"""Bytes that `Blob.read` takes into memory at most unless told otherwise: four whole messages."""


@runtime_checkable
class PathLike(Protocol):
    """What names a file: `pathlib.Path` and anything else that `open` takes (here without `os`)."""

    def __fspath__(self) -> str:
        """Return the path as text."""


@runtime_checkable
class BinaryReader(Protocol):
    """A file opened for reading bytes; its `read` may block, so it is called in a worker thread."""

    def read(self, size: int = -1, /) -> bytes:
        """Return at most `size` bytes; none at the end."""


BlobSource: TypeAlias = str | PathLike | bytes | bytearray | memoryview | BinaryReader | AsyncIterable[bytes]


class Blob:
    """A file or other bytes, sent in pieces at the lowest priority, with a SHA-256 at the end.

    Args:
        source: a path (`str` or path object), bytes, a file opened for reading bytes, or an async iterable
            of bytes.
        size: bytes of the whole content, where the source does not tell; bytes and files do.
        offset: position of the first byte that is sent, to resume an earlier transfer. The source still gives
            the whole content: what lies before is hashed and not sent.
        name: a name for the receiver, a label without meaning for the transfer; never a path to write to.
        progress: called as bytes are moved, with the bytes so far and the size or None.
    """

    def __init__(
        self,
        source: BlobSource,
        *,
        size: int | None = None,
        offset: int = 0,
        name: str | None = None,
        progress: Progress | None = None,
    ) -> None:
        if not isinstance(source, (str, PathLike, bytes, bytearray, memoryview, BinaryReader, AsyncIterable)):
            raise TypeError(
                "a Blob is made from a path, bytes, a binary file or an async iterable of bytes, "
                f"not {type(source).__name__}"
            )
        if offset < 0 or (size is not None and size < 0):
            raise ValueError(f"a Blob's size and offset are not negative: size={size}, offset={offset}")
        if size is None and isinstance(source, (bytes, bytearray, memoryview)):
            size = memoryview(source).nbytes
        self._source = source
        self._size = size
        self._offset = offset
        self._name = name
        self._progress = progress

    @property
    def source(self) -> BlobSource:
        """What the bytes are read from, as given; a received blob has none.

        Raises:
            LocalProtocolError: the blob was received.
        """
        return self._source

    @property
    def size(self) -> int | None:
        """Bytes of the whole content, None where that is not known."""
        return self._size

    @property
    def offset(self) -> int:
        """Position of the first byte that is moved."""
        return self._offset

    @property
    def name(self) -> str | None:
        """The sender's label; a received one is not trusted, least of all as a path."""
        return self._name

    @property
    def progress(self) -> Progress | None:
        """What is called as bytes are moved."""
        return self._progress

    async def read(self, limit: int = DEFAULT_READ) -> bytes:
        """Take the whole of a received blob into memory.

        Args:
            limit: bytes at most; a larger blob is an error and not read to its end.

        Raises:
            LocalProtocolError: the blob is one to be sent.
        """
        raise _to_be_sent()

    async def save(
        self, path: str | PathLike, *, resume: bool = False, progress: Progress | None = None
    ) -> None:
        """Write a received blob to a file, which appears whole or not at all.

        Args:
            path: the file.
            resume: go on where an earlier, broken transfer ended.
            progress: called as bytes arrive.

        Raises:
            LocalProtocolError: the blob is one to be sent.
        """
        raise _to_be_sent()

    async def aclose(self) -> None:
        """Stop receiving; nothing happens to a blob that is to be sent or has ended."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Iterate over the pieces of a received blob as they arrive."""
        raise _to_be_sent()

    def close(self) -> None:
        """Stop receiving, in blocking code."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[bytes]:
        """Iterate over the pieces of a received blob, in blocking code."""
        raise _to_be_sent()


def _to_be_sent() -> LocalProtocolError:
    return LocalProtocolError("this blob is one to be sent: only a received blob can be read")
