"""`Stream`, `Blob` and `Event` as application code builds them."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from protocol.interface import Blob, ContractError, Event, EventPolicy, EventsLost, Gap, Stream, event
from protocol.interface.event import EventDeclaration
from protocol.wire.errors import LocalProtocolError


class Source:
    """A generator's owner that notes when its generator ends."""

    def __init__(self) -> None:
        self.closed = False

    async def asynchronous(self) -> AsyncIterator[int]:
        try:
            for number in range(3):
                yield number
        finally:
            self.closed = True

    def blocking(self) -> Iterator[int]:
        try:
            yield from range(3)
        finally:
            self.closed = True


async def test_a_stream_of_either_source_is_iterated_asynchronously() -> None:
    assert [item async for item in Stream([1, 2])] == [1, 2]
    assert [item async for item in Stream(Source().blocking())] == [0, 1, 2]
    assert [item async for item in Stream(Source().asynchronous())] == [0, 1, 2]


def test_a_stream_of_an_iterable_is_iterated_in_blocking_code() -> None:
    with Stream([1, 2]) as stream:
        assert list(stream) == [1, 2]


def test_an_asynchronous_stream_says_so_in_blocking_code() -> None:
    stream = Stream(Source().asynchronous())
    with pytest.raises(LocalProtocolError, match="this stream is asynchronous: iterate it with `async for`"):
        iter(stream)
    with pytest.raises(LocalProtocolError, match="this stream is asynchronous: leave it with `async with`"):
        stream.close()


async def test_leaving_a_stream_early_closes_its_generator() -> None:
    source = Source()
    async with Stream(source.asynchronous()) as stream:
        async for _ in stream:
            break
    assert source.closed
    source = Source()
    async with Stream(source.blocking()) as stream:
        async for _ in stream:
            break
    assert source.closed
    source = Source()
    with Stream(source.blocking()) as blocking:
        next(iter(blocking))
    assert source.closed


async def test_a_stream_may_be_passed_on() -> None:
    assert [item async for item in Stream(Stream([1]))] == [1]


def test_a_stream_of_something_else_is_refused() -> None:
    with pytest.raises(TypeError, match="a Stream wraps an iterable or an async iterable, not int"):
        Stream(7)  # type: ignore[arg-type]


async def chunks() -> AsyncIterator[bytes]:
    yield b"x"


@pytest.mark.parametrize(
    ("source", "size"),
    [
        (b"abc", 3),
        (bytearray(b"abc"), 3),
        (memoryview(b"abcd").cast("H"), 4),
        ("file.pdf", None),
        (Path("file.pdf"), None),
        (io.BytesIO(b"abc"), None),
        (chunks(), None),
        (Blob(b"abc"), None),
    ],
)
def test_a_blob_keeps_its_source_and_knows_the_size_of_bytes(source: Any, size: int | None) -> None:
    blob = Blob(source)
    assert blob.source is source
    assert (blob.size, blob.offset, blob.name, blob.progress) == (size, 0, None, None)


def test_a_blob_has_what_it_was_given() -> None:
    def progress(done: int, size: int | None) -> None:
        """Show nothing."""

    blob = Blob("a", size=10, offset=5, name="a.pdf", progress=progress)
    assert (blob.size, blob.offset, blob.name, blob.progress) == (10, 5, "a.pdf", progress)
    assert Blob(b"abc", offset=1).size == 3


@pytest.mark.parametrize("source", [7, None, ["a"]])
def test_a_blob_of_something_else_is_refused(source: Any) -> None:
    with pytest.raises(TypeError) as error:
        Blob(source)
    assert str(error.value) == (
        "a Blob is made from a path, bytes, a binary file or an async iterable of bytes, "
        f"not {type(source).__name__}"
    )


@pytest.mark.parametrize("position", [{"offset": -1}, {"size": -1}])
def test_a_blob_has_no_negative_place(position: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="a Blob's size and offset are not negative"):
        Blob(b"", **position)  # type: ignore[arg-type]


async def test_a_blob_to_be_sent_is_not_read() -> None:
    message = "this blob is one to be sent: only a received blob can be read"
    async with Blob(b"abc") as blob:
        with pytest.raises(LocalProtocolError, match=message):
            await blob.read()
        with pytest.raises(LocalProtocolError, match=message):
            await blob.save("a")
        with pytest.raises(LocalProtocolError, match=message):
            aiter(blob)
    with Blob(b"abc") as blob, pytest.raises(LocalProtocolError, match=message):
        iter(blob)


def test_an_event_is_declared_with_its_policy() -> None:
    declared = event(policy="latest", key="number", limit=5)
    assert isinstance(declared, EventDeclaration)
    assert declared.policy == EventPolicy("latest", "number", 5)
    assert event().policy == EventPolicy("queue", None, 1000)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"policy": "drop"}, "an event's policy is one of queue, latest, disconnect, not 'drop'"),
        ({"policy": "latest"}, 'policy "latest" needs key="<field>", and no other policy takes one'),
        ({"key": "number"}, 'policy "latest" needs key="<field>", and no other policy takes one'),
        ({"limit": 0}, "an event's limit is at least 1, not 0"),
        ({"limit": True}, "an event's limit is at least 1, not True"),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ContractError) as error:
        event(**options)
    assert str(error.value) == message


def test_an_event_by_itself_neither_publishes_nor_is_subscribed_to() -> None:
    alone: Event[int] = Event("Orders.changed")
    with pytest.raises(LocalProtocolError, match=r"^Orders\.changed cannot be published"):
        alone.publish(1)
    with pytest.raises(LocalProtocolError, match=r"^Orders\.changed cannot be subscribed to"):
        alone.subscribe()


def test_lost_events_are_counted() -> None:
    lost = EventsLost(3, 17)
    assert (lost.lost, lost.sequence, str(lost)) == (3, 17, "3 events were lost before number 17")
    assert Gap(3, 17) == Gap(lost=3, sequence=17)
