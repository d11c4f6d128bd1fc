"""Streams of values: either way, both ways, ended early, and with a consumer that does not consume."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable, Iterator

import attrs
import pytest
import trio
import trio.testing

from protocol.interface import InvalidValue, Stream
from protocol.peer import CallTooLarge, InvalidResult
from protocol.settings import LimitSettings, Settings
from protocol.wire.codec import pack
from protocol.wire.errors import LocalProtocolError
from protocol.wire.events import ErrorReceived, WelcomeReceived
from tests.protocol.peer.desk import endless
from tests.protocol.peer.rig import TRANSPORT_IDS, TRANSPORTS, open_raw, open_rig

Clock = trio.testing.MockClock


@pytest.mark.parametrize(("encrypted", "version"), TRANSPORTS, ids=TRANSPORT_IDS)
async def test_streams_of_any_length_arrive_whole_in_order(
    encrypted: bool, version: object, autojump_clock: Clock
) -> None:
    async with open_rig(encrypted=encrypted, tls_version=version) as rig:  # type: ignore[arg-type]
        for many in (0, 1, 20_000):
            assert [number async for number in rig.desk.count(0, many)] == list(range(many))
            assert await rig.desk.total(Stream(range(many))) == sum(range(many))
        async with rig.desk.doubled(Stream(range(20_000))) as doubled:
            assert [number async for number in doubled] == list(range(0, 40_000, 2))
        await trio.testing.wait_all_tasks_blocked()
        assert rig.client.statistics().calls == 0


async def test_a_generator_that_blocks_is_iterated_in_a_thread(patient_clock: Clock) -> None:
    def numbers() -> Iterator[int]:
        yield from range(200)

    async with open_rig() as rig:
        assert await rig.desk.total(Stream(numbers())) == sum(range(200))


async def test_handlers_in_threads_send_and_receive_streams(patient_clock: Clock) -> None:
    async with open_rig() as rig:
        handlers = rig.server.server.application.service._handlers

        def count(first: int, many: int) -> Stream[int]:
            return Stream(range(first, first + many))

        def total(numbers: Stream[int]) -> int:
            return sum(numbers)

        functions: dict[str, Callable[..., object]] = {"Desk.count": count, "Desk.total": total}
        for name, function in functions.items():
            handlers[name] = attrs.evolve(
                handlers[name], function=function, asynchronous=False, is_plain=False
            )
        assert [number async for number in rig.desk.count(1, 3)] == [1, 2, 3]
        assert await rig.desk.total(Stream(range(300))) == sum(range(300))


async def test_leaving_a_stream_early_stops_its_source(autojump_clock: Clock) -> None:
    async with open_rig() as rig:
        rig.counter.sources["endless"] = endless
        async with rig.desk.follow("endless") as numbers:
            async for number in numbers:
                if number == 10:
                    break
        await trio.testing.wait_all_tasks_blocked()
        assert rig.counter.ended == ["endless"]
        assert rig.client.statistics().calls == 0


async def test_a_consumer_that_stops_reading_stops_the_source_and_nobody_else(autojump_clock: Clock) -> None:
    given: list[int] = []

    async def source() -> AsyncIterator[int]:
        for number in itertools.count():
            given.append(number)
            yield number
            await trio.lowlevel.checkpoint()

    async with open_rig() as rig:
        rig.counter.sources["endless"] = source
        async with rig.desk.follow("endless") as numbers:
            await trio.sleep(100)
            held = len(given)
            assert 1000 < held < 100_000
            await trio.sleep(100)
            assert len(given) == held
            assert await rig.desk.echo(1) == 1
            iterator = aiter(numbers)
            assert [await anext(iterator) for _ in range(30_000)] == list(range(30_000))


async def test_a_handler_that_stops_reading_stops_the_callers_source(autojump_clock: Clock) -> None:
    given: list[int] = []

    async def source() -> AsyncIterator[int]:
        for number in itertools.count():
            given.append(number)
            yield number
            await trio.lowlevel.checkpoint()

    async with open_rig() as rig:

        async def never_read(numbers: Stream[int]) -> int:
            await trio.sleep_forever()

        handlers = rig.server.server.application.service._handlers
        handlers["Desk.total"] = attrs.evolve(handlers["Desk.total"], function=never_read)
        with trio.move_on_after(50):
            await rig.desk.total(Stream(source()))
        assert len(given) < 100_000
        assert await rig.desk.echo(1) == 1


async def test_both_ways_left_early_ends_an_endless_source(autojump_clock: Clock) -> None:
    closed: list[str] = []

    async def source() -> AsyncIterator[int]:
        try:
            for number in itertools.count():
                yield number
                await trio.lowlevel.checkpoint()
        finally:
            closed.append("source")

    async with open_rig() as rig:
        with trio.fail_after(5):
            async with rig.desk.doubled(Stream(source())) as doubled:
                assert await anext(aiter(doubled)) == 0
        await trio.testing.wait_all_tasks_blocked()
        assert rig.counter.ended == ["doubled"]
        assert closed == ["source"]
        assert rig.client.statistics().calls == 0


async def test_a_handler_that_answers_before_the_end_stops_the_callers_source(autojump_clock: Clock) -> None:
    async with open_rig() as rig:
        with trio.fail_after(5):
            assert await rig.desk.first_only(Stream(endless())) == 0
        for _ in range(30):  # what was not consumed does not count against the connection
            assert await rig.desk.first_only(Stream(range(10_000))) == 0
        assert await rig.desk.total(Stream(range(10_000))) == sum(range(10_000))


async def test_a_source_of_the_caller_that_fails_is_the_callers_exception(autojump_clock: Clock) -> None:
    async def source() -> AsyncIterator[int]:
        yield 1
        raise KeyError("mine")

    async with open_rig() as rig:
        with pytest.raises(KeyError, match="mine"):
            await rig.desk.total(Stream(source()))
        await trio.testing.wait_all_tasks_blocked()
        assert rig.counter.ended == ["total"]
        with pytest.raises(InvalidValue, match="item: expected int, got str"):
            await rig.desk.total(Stream([1, "two"]))  # type: ignore[list-item]
        assert await rig.desk.echo(1) == 1


async def test_a_cancelled_upload_cancels_its_handler_and_closes_the_source(autojump_clock: Clock) -> None:
    closed: list[str] = []

    async def source() -> AsyncIterator[int]:
        try:
            yield 1
            await trio.sleep_forever()
        finally:
            closed.append("source")

    async with open_rig() as rig:
        with trio.move_on_after(2):
            await rig.desk.total(Stream(source()))
        await trio.testing.wait_all_tasks_blocked()
        assert closed == ["source"]
        assert rig.counter.ended == ["total"]
        assert rig.client.statistics().calls == 0


async def test_a_stream_is_opened_once(autojump_clock: Clock) -> None:
    async with open_rig() as rig:
        stream = rig.desk.count(0, 3)
        assert [number async for number in stream] == [0, 1, 2]
        with pytest.raises(LocalProtocolError, match="received already"):
            await stream.__aenter__()


async def test_an_item_over_the_limit_names_both_numbers(autojump_clock: Clock) -> None:
    settings = Settings(limits=LimitSettings(message=2_000))
    async with open_rig(settings=settings) as rig:
        session = rig.client.session
        huge = 1 << 40_000
        with pytest.raises(Exception, match=r"500\d.*2000|2000.*500\d"):
            await rig.desk.total(Stream([1, huge]))
        rig.counter.sources["huge"] = lambda: iter([1, huge])
        got: list[int] = []
        with pytest.raises(CallTooLarge, match=r"500\d.*2000|2000.*500\d"):
            await take(rig.desk.follow("huge"), got)
        assert got == [1]
        assert await rig.desk.echo(1) == 1
        assert rig.client.session == session


async def take(stream: Stream[int], into: list[int]) -> None:
    """Take all of a stream."""
    async for number in stream:
        into.append(number)


async def test_a_wrong_item_of_a_foreign_client_fails_its_call_and_is_no_error_of_the_server(
    autojump_clock: Clock,
) -> None:
    async with open_rig() as rig, open_raw(rig.server) as raw:
        await raw.receive_of(WelcomeReceived)
        stream = raw.connection.open_call("total", "Desk.total", pack([{}]))
        raw.connection.send_data(stream, pack("seven"))
        await raw.send()
        error = await raw.receive_of(ErrorReceived)
        assert isinstance(error, ErrorReceived)
        assert error.error.code == "rpc.invalid_arguments"
        assert error.error.message == "item: expected int, got str"


async def test_a_result_where_items_are_due_is_not_the_end_of_a_stream(autojump_clock: Clock) -> None:
    async with open_rig() as rig:
        service = rig.server.server.application.service
        service._handlers["Desk.follow"] = service._handlers["Desk.say"]  # as a server of another mind
        with pytest.raises(InvalidResult):
            await take(rig.desk.follow("x"), [])


@pytest.mark.parametrize(
    ("item", "error", "text"),
    [(1 << 63_900, CallTooLarge, "accepts 4096"), (1 << 100_000, InvalidValue, "12501 bytes")],
    ids=["larger than the other side takes", "that nobody can send"],
)
async def test_an_item_of_the_caller_that_cannot_be_sent_fails_its_call(
    item: int, error: type[Exception], text: str, autojump_clock: Clock
) -> None:
    async with open_rig(settings=Settings(limits=LimitSettings(message=4096))) as rig:
        with pytest.raises(error, match=text):
            await rig.desk.total(Stream([1, item]))
        assert await rig.desk.total(Stream([1, 2])) == 3
