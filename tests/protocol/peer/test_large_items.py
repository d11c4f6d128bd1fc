"""Items and events larger than their stream's window: they come when they are waited for, and stall nobody."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator

import attrs
import pytest
import trio
import trio.testing

from protocol.interface import Stream
from protocol.peer import CallCancelled
from protocol.settings import LimitSettings, Settings
from protocol.wire.codec import pack
from protocol.wire.events import CreditReceived, ErrorReceived, WelcomeReceived
from tests.protocol.peer.desk import Counter
from tests.protocol.peer.rig import TRANSPORT_IDS, TRANSPORTS, open_raw, open_rig

Clock = trio.testing.MockClock
LITTLE = Settings(limits=LimitSettings(stream_credit=1000, connection_credit=1, message=20_000))
"""Windows of 1,000 octets that do not grow, and room for one message of 20,000."""


NARROW = Settings(limits=LimitSettings(stream_credit=1000, connection_credit=1, message=9_000))
"""Room for one large number alone."""


def large(number: int) -> int:
    """A number that takes 8,000 octets."""
    return (1 << 63_900) + number


LARGE = pack(large(1))


@pytest.mark.parametrize(("encrypted", "version"), TRANSPORTS, ids=TRANSPORT_IDS)
async def test_they_arrive_in_order_among_small_ones_either_way(
    encrypted: bool, version: object, autojump_clock: Clock
) -> None:
    items = [large(number) if number % 3 else number for number in range(60)]
    async with open_rig(encrypted=encrypted, tls_version=version, settings=LITTLE) as rig:  # type: ignore[arg-type]
        rig.counter.sources["items"] = lambda: iter(items)
        assert [number async for number in rig.desk.follow("items")] == items
        assert await rig.desk.total(Stream(items)) == sum(items)
        async with rig.desk.doubled(Stream(items)) as doubled:
            assert [number async for number in doubled] == [2 * number for number in items]
        async with rig.desk.queued.subscribe() as events:
            for item in items:
                rig.counter.queued.publish(item)
                assert await anext(aiter(events)) == item


async def test_streams_read_one_inside_the_other_go_on(autojump_clock: Clock) -> None:
    """The outer stream's next item is not let in, and so takes no room, while the inner ones are read."""
    async with open_rig(settings=LITTLE) as rig:
        rig.counter.sources["items"] = lambda: map(large, range(5))
        seen = 0
        async with rig.desk.follow("items") as outer:
            async for _ in outer:
                async with rig.desk.follow("items") as inner:
                    async for _ in inner:
                        seen += 1
        assert seen == 25


async def test_a_consumer_that_gave_up_waiting_stalls_no_other(autojump_clock: Clock) -> None:
    async with open_rig(settings=LITTLE) as rig:

        async def late() -> AsyncIterator[int]:
            await trio.sleep(10)
            yield large(1)

        rig.counter.sources["late"] = late
        rig.counter.sources["items"] = lambda: map(large, range(5))
        async with rig.desk.follow("late") as idle:
            with trio.move_on_after(1):
                await anext(aiter(idle))
            await trio.sleep(20)  # its item is let in and lies there
            assert [number async for number in rig.desk.follow("items")] == list(map(large, range(5)))
            assert await anext(aiter(idle)) == large(1)


async def test_a_consumer_that_gave_up_waiting_lets_nothing_in(autojump_clock: Clock) -> None:
    """Twenty handlers do something else by now, and the client announces an item to each."""

    class Impatient(Counter):
        async def total(self, numbers: Stream[int]) -> int:
            with trio.move_on_after(1):
                await anext(aiter(numbers))
            await trio.sleep(10)
            return sum([number async for number in numbers])

    async with open_rig(settings=NARROW, counter=Impatient()) as rig, open_raw(rig.server) as raw:
        await raw.receive_of(WelcomeReceived)
        streams = [raw.connection.open_call("total", "Desk.total", b"\x91\x80") for _ in range(20)]
        for stream in streams[:2]:  # which are waited for: the first comes, the second has no room yet
            raw.connection.announce_data(stream, len(LARGE))
        await raw.send()
        await raw.receive_of(CreditReceived)
        await trio.sleep(3)
        for stream in streams[2:]:  # which are not any more
            raw.connection.announce_data(stream, len(LARGE))
        raw.connection.send_data(streams[0], LARGE)
        await raw.send()
        with trio.move_on_after(5):
            await raw.receive(lambda event: False)
        assert not any(raw.connection.credit_of(stream) >= len(LARGE) for stream in streams)
        with trio.move_on_after(10):
            await raw.receive(lambda event: False)
        granted = [stream for stream in streams if raw.connection.credit_of(stream) >= len(LARGE)]
        assert len(granted) == 1, "they wait again, and one comes at a time"


async def test_content_without_a_head_is_not_let_in_and_fails_the_blob(autojump_clock: Clock) -> None:
    async with open_rig(settings=NARROW) as rig, open_raw(rig.server) as raw:
        await raw.receive_of(WelcomeReceived)
        stream = raw.connection.open_call("keep", "Desk.keep", b"\x91\x80")
        raw.connection.announce_data(stream, len(LARGE))
        await raw.send()
        with trio.move_on_after(5):
            await raw.receive_of(CreditReceived)
        assert raw.connection.credit_of(stream) <= 1001
        other = raw.connection.open_call("keep", "Desk.keep", b"\x91\x80")
        raw.connection.send_data(other, b"content")
        await raw.send()
        failed = await raw.receive(lambda event: isinstance(event, ErrorReceived))
        assert isinstance(failed, ErrorReceived)
        assert failed.error.code == "rpc.blob_damaged"
        assert "before its head" in failed.error.message


async def test_a_cancelled_handler_that_takes_its_time_keeps_nothing_from_others(
    autojump_clock: Clock,
) -> None:
    found: list[BaseException] = []

    class Slow(Counter):
        async def total(self, numbers: Stream[int]) -> int:
            try:
                return sum([number async for number in numbers])
            finally:
                with trio.CancelScope(shield=True):
                    try:
                        await anext(aiter(numbers))
                    except Exception as exc:
                        found.append(exc)
                    await trio.sleep(100)

    async with open_rig(settings=NARROW, counter=Slow()) as rig, open_raw(rig.server) as raw:
        await raw.receive_of(WelcomeReceived)
        first = raw.connection.open_call("total", "Desk.total", b"\x91\x80")
        raw.connection.announce_data(first, len(LARGE))
        await raw.send()
        await raw.receive_of(CreditReceived)
        raw.connection.cancel(first)
        raw.connection.send_data(first, LARGE)  # it was on its way
        second = raw.connection.open_call("total", "Desk.total", b"\x91\x80")
        raw.connection.announce_data(second, len(LARGE))
        await raw.send()
        with trio.fail_after(1):
            while raw.connection.credit_of(second) < len(LARGE):
                await raw.receive_of(CreditReceived)
        (error,) = found
        assert isinstance(error, CallCancelled)
        (session,) = [session for session in rig.server.server.sessions if session.application == "raw"]
        assert not session.peer._dispatcher.incoming[first]._items, "nobody will read it"


async def test_a_hundred_streams_at_once_get_on(autojump_clock: Clock) -> None:
    async with open_rig(settings=LITTLE) as rig, trio.open_nursery() as nursery:
        rig.counter.sources["items"] = lambda: map(large, range(5))

        async def follow() -> None:
            assert [number async for number in rig.desk.follow("items")] == list(map(large, range(5)))

        for _ in range(100):
            nursery.start_soon(follow)


async def test_a_consumer_that_does_not_read_holds_one_at_most(autojump_clock: Clock) -> None:
    given = 0

    def source() -> Iterator[int]:
        nonlocal given
        for given in itertools.count(1):
            yield large(given)

    async with open_rig(settings=LITTLE) as rig:
        rig.counter.sources["endless"] = source
        async with rig.desk.follow("endless") as numbers:
            await trio.sleep(100)
            assert given == 1, "the first has not left yet"
            iterator = aiter(numbers)
            assert [await anext(iterator) for _ in range(5)] == list(map(large, range(1, 6)))


async def test_a_cancelled_call_gives_back_what_its_item_was_granted(autojump_clock: Clock) -> None:
    async with open_rig(settings=LITTLE) as rig:
        rig.network.link.to_client.hold()  # the grant is on its way
        with trio.move_on_after(1):
            await rig.desk.total(Stream([large(1)]))
        rig.network.link.to_client.release()
        items = list(map(large, range(9)))
        assert await rig.desk.total(Stream(items)) == sum(items)


async def test_a_client_that_announces_much_is_granted_little(autojump_clock: Clock) -> None:
    """A hundred uploads whose handlers wait, and a client that announces the largest item for each."""
    async with open_rig(settings=LITTLE) as rig, open_raw(rig.server) as raw:

        async def read(numbers: Stream[int]) -> int:
            return sum([number async for number in numbers])

        handlers = rig.server.server.application.service._handlers
        handlers["Desk.total"] = attrs.evolve(handlers["Desk.total"], function=read)
        await raw.receive_of(WelcomeReceived)
        streams = [raw.connection.open_call("total", "Desk.total", b"\x91\x80") for _ in range(90)]
        for stream in streams:
            raw.connection.announce_data(stream, 20_000)
        await raw.send()
        await raw.receive_of(CreditReceived)
        with trio.move_on_after(5):
            await raw.receive(lambda event: False)
        granted = sum(raw.connection.credit_of(stream) - 1000 for stream in streams)
        assert granted <= 20_000
