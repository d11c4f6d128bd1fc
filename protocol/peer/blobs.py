"""Blobs between files and a connection, either way.

A blob travels as a head `{size, offset, name}`, pieces of bytes, and an end `{size, sha256}`. The hash is
that of the whole content, from its first byte: so a transfer that is taken up again in the middle is
checked against what lies on the disk already. Files are read, written and hashed in worker threads, a
quarter of a megabyte at a time.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Iterator
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

import trio

from protocol.interface import Blob, Progress
from protocol.interface.blob import DEFAULT_READ, BinaryReader, PathLike
from protocol.peer.errors import BlobDamaged
from protocol.peer.incoming import Incoming
from protocol.peer.items import iterate_in_thread
from protocol.peer.partial import CHUNK, PartialFile
from protocol.wire import codes
from protocol.wire.errors import ErrorInfo, Executed
from protocol.wire.framing import HEADER_SIZE

if TYPE_CHECKING:
    from protocol.peer.peer import Peer

PATIENCE = 2.0
"""Seconds that a transfer which goes on with a file waits for the one before it to leave it."""


class _Reader:
    """The content of a blob that is to be sent, hashed from its first byte, given from `offset` on."""

    def __init__(self, blob: Blob, offset: int) -> None:
        self._blob = blob
        self._offset = offset
        self._hash = hashlib.sha256()
        self.size = 0

    def digest(self) -> bytes:
        return self._hash.digest()

    async def chunks(self) -> AsyncGenerator[memoryview, None]:
        async with aclosing(self._whole()) as whole:
            async for chunk in whole:
                begin = self.size
                view = memoryview(chunk).cast("B")
                self.size += len(view)
                if self.size > self._offset:
                    yield view[max(0, self._offset - begin) :]

    async def _whole(self) -> AsyncGenerator[bytes, None]:
        """All of the content in chunks, each hashed before it is given."""
        source = self._blob.source
        match source:
            case bytes() | bytearray() | memoryview():
                view = memoryview(source).cast("B")
                for start in range(0, len(view), CHUNK):
                    chunk = bytes(view[start : start + CHUNK])
                    self._hash.update(chunk)
                    yield chunk
            case str() | PathLike():
                file = await trio.to_thread.run_sync(open, source, "rb")
                try:
                    while chunk := await trio.to_thread.run_sync(self._read, file):
                        yield chunk
                finally:
                    file.close()
            case AsyncIterable():
                try:
                    async for chunk in source:
                        self._hash.update(chunk)
                        yield chunk
                finally:
                    close = getattr(source, "aclose", None)  # told now, and not by the collector
                    if close is not None:
                        await close()
            case _:
                while chunk := await trio.to_thread.run_sync(self._read, source):
                    yield chunk

    def _read(self, file: BinaryReader) -> bytes:
        chunk = file.read(CHUNK)
        self._hash.update(chunk)
        return chunk


async def size_of(blob: Blob) -> int | None:
    """Bytes of a blob's whole content, None where nobody knows before the end."""
    if blob.size is not None:
        return blob.size
    source = blob.source
    if isinstance(source, (str, PathLike)):
        status = await trio.to_thread.run_sync(os.stat, source)
        return status.st_size
    return None


async def send_blob(peer: Peer, stream: int, blob: Blob, *, offset: int = 0) -> None:
    """Send a blob's head, content and end on a stream.

    Args:
        peer: the connection.
        stream: the call's.
        blob: what to send.
        offset: where the receiver wants it from, where the blob itself says nothing.

    Raises:
        OSError: the file cannot be read.
    """
    connection = peer.connection
    size = await size_of(blob)
    offset = blob.offset or offset
    if size is not None and offset > size:
        offset = 0
    head: dict[str, object] = {"size": size, "offset": offset}
    if blob.name is not None:
        head["name"] = blob.name
    connection.send_head(stream, head)
    peer.wake()
    reader = _Reader(blob, offset)
    outbox = connection.outbox
    piece_size = min(outbox.largest_frame - HEADER_SIZE, outbox.largest_message)  # whole TLS records
    done = offset
    chunks = reader.chunks()
    try:
        async for chunk in chunks:
            while chunk:
                room = min(piece_size, await peer.credit.wait(stream))
                piece, chunk = chunk[:room], chunk[room:]
                connection.send_data(stream, piece, bulk=True)
                peer.write()
                await peer.credit.wait_turn()
                done += len(piece)
            if blob.progress is not None:
                blob.progress(done, size)
            await trio.lowlevel.checkpoint()  # a transport that takes everything would never let others run
    finally:
        with trio.CancelScope(shield=True, deadline=trio.current_time() + 5):
            await chunks.aclose()
    connection.send_end(stream, {"sha256": reader.digest(), "size": reader.size}, bulk=True)
    peer.wake()


class ReceivedBlob(Blob):
    """A blob that arrives on a stream, in an upload's handler.

    Args:
        incoming: where its pieces arrive.
        peer: the connection, for errors.
    """

    def __init__(self, incoming: Incoming, peer: Peer) -> None:
        super().__init__(b"")
        self._incoming = incoming
        self._peer = peer

    @property
    def source(self) -> AsyncIterable[bytes]:
        """The blob itself: passed on to another call, it is sent as it arrives."""
        return self

    @property
    def size(self) -> int | None:
        """Bytes of the whole content; None where the sender did not know, or before the head came."""
        size = (self._incoming.head or {}).get("size")
        return size if type(size) is int else None

    @property
    def offset(self) -> int:
        """Position of the first byte that arrives."""
        offset = (self._incoming.head or {}).get("offset")
        return offset if type(offset) is int and offset >= 0 else 0

    @property
    def name(self) -> str | None:
        """The sender's label; not trusted, least of all as a path."""
        name = (self._incoming.head or {}).get("name")
        return name if type(name) is str else None

    def __aiter__(self) -> AsyncIterator[bytes]:
        """Iterate over the pieces as they arrive; a damaged or cut blob raises at its end."""
        return _CheckedPieces(self)

    def __iter__(self) -> Iterator[bytes]:
        """Iterate in a handler's worker thread; on the loop this raises LocalProtocolError."""
        return iterate_in_thread(self)

    async def read(self, limit: int = DEFAULT_READ) -> bytes:
        """Take the whole content into memory.

        Args:
            limit: bytes at most.

        Raises:
            BlobDamaged: it is larger than `limit`, or not what was sent.
        """
        pieces: list[bytes] = []
        size = 0
        try:
            async for piece in _CheckedPieces(self):
                size += len(piece)
                if size > limit:
                    raise self._damaged(f"it has more than {limit} bytes (the limit given to read)")
                pieces.append(piece)
        finally:
            await self.aclose()
        return b"".join(pieces)

    async def save(
        self, path: str | PathLike, *, resume: bool = False, progress: Progress | None = None
    ) -> None:
        """Write the content to a file, which appears whole and checked or not at all.

        Until then it lies beside it under a name of its own, and a transfer that broke leaves it under
        the name with `.part` added. `resume=True` goes on from the end of that, alone: it is locked.

        Args:
            path: the file; an existing one is replaced.
            resume: use what an earlier, broken transfer left.
            progress: called with the bytes so far and the size or None.

        Raises:
            BlobDamaged: the content is not what was sent, and what was written is deleted; or it begins
                behind the end of what is here.
            OSError: the file cannot be written; with `resume`, also while another transfer goes on with it for
                longer than one that was cancelled needs to end.
        """
        try:
            part = await _open_part(Path(path), resume=resume)
            end = part.leave
            try:
                offset = await self.begin(part.held)
                try:
                    await self._write(part, offset, progress)
                except BlobDamaged:
                    if self._incoming.trailer:  # complete and wrong: resuming would only repeat it
                        end = part.discard
                    raise
                await trio.to_thread.run_sync(part.keep)
            finally:
                with trio.CancelScope(shield=True):
                    await trio.to_thread.run_sync(end)
        finally:
            await self.aclose()

    async def _write(self, part: PartialFile, offset: int, progress: Progress | None) -> None:
        await trio.to_thread.run_sync(part.begin, offset)
        position = offset
        held: list[bytes] = []
        waiting = 0

        async def store() -> None:
            nonlocal waiting, held
            data, held, waiting = b"".join(held), [], 0
            await trio.to_thread.run_sync(part.append, data)

        try:
            while (piece := await self.next_piece()) is not None:
                held.append(piece)
                waiting += len(piece)
                position += len(piece)
                if waiting >= CHUNK:
                    await store()
                    if progress is not None:
                        progress(position, self.size)
        finally:
            if held:
                with trio.CancelScope(shield=True):
                    await store()
        self.check(part.digest(), position)
        await trio.to_thread.run_sync(part.synchronise)
        if progress is not None:
            progress(position, self.size)

    async def begin(self, held: int) -> int:
        """Have the head, and see that what comes begins where it can be checked.

        The hash is of the whole content. A sender that may begin where it likes could leave the receiver
        with a piece that nothing vouches for.

        Args:
            held: bytes that the receiver has; the transfer is to go on from there, or from before.

        Returns:
            Position of the first byte that comes.

        Raises:
            BlobDamaged: it begins elsewhere.
        """
        await self.open_at(held)
        offset = (self._incoming.head or {}).get("offset", 0)
        if type(offset) is not int or not 0 <= offset <= held:
            raise self._damaged(f"it does not begin within the {held} bytes that were here before")
        return offset

    async def open_at(self, offset: int) -> None:
        """Have the head; a download asks for its offset here."""
        await self._incoming.wait_head()

    async def next_piece(self) -> bytes | None:
        """The next piece as it arrived; None at the end, which says nothing of the content yet."""
        piece = await self._incoming.get()
        if piece is None and self._incoming.error is not None:
            raise self._peer.to_exception(self._incoming.error, self._incoming.method)
        return piece

    def check(self, digest: bytes, position: int) -> None:
        """Compare what arrived with what the sender says it sent.

        Args:
            digest: SHA-256 of the whole content.
            position: bytes of the whole content.

        Raises:
            BlobDamaged: they differ.
        """
        trailer = self._incoming.trailer
        if trailer.get("size") != position or trailer.get("sha256") != digest:
            raise self._damaged(f"{position} bytes arrived that are not what was sent")

    def _damaged(self, text: str) -> BlobDamaged:
        return BlobDamaged(ErrorInfo(codes.BLOB_DAMAGED, text, Executed.MAYBE), self._incoming.method)


async def _open_part(path: Path, *, resume: bool) -> PartialFile:
    """Have a file's partial one; a transfer that its caller has just cancelled may still be leaving it."""
    until = trio.current_time() + PATIENCE
    while True:
        try:
            return await trio.to_thread.run_sync(partial(PartialFile, path, resume=resume))
        except OSError as exc:
            if exc.errno != errno.EBUSY or trio.current_time() >= until:
                raise
        await trio.sleep(PATIENCE / 50)


class _CheckedPieces:
    """The iterator of a received blob. Not a generator, which somebody would have to close."""

    def __init__(self, blob: ReceivedBlob) -> None:
        self._blob = blob
        self._digest = hashlib.sha256()
        self._position: int | None = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        blob = self._blob
        if self._position is None:
            self._position = await blob.begin(0)
        piece = await blob.next_piece()
        if piece is None:
            blob.check(self._digest.digest(), self._position)
            raise StopAsyncIteration
        self._digest.update(piece)
        self._position += len(piece)
        return piece
