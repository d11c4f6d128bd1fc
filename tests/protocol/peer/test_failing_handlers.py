"""Handlers that raise: what the caller sees, what the log keeps, and that nobody else notices."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing

from protocol.interface import Stream
from protocol.peer import CallError, InternalError
from protocol.wire.errors import Executed
from tests.conftest import ErrorLog
from tests.protocol.peer.desk import OutOfStock
from tests.protocol.peer.rig import Rig, open_rig

Clock = trio.testing.MockClock


class Unreadable(Exception):
    """Cannot even say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


class Odd(BaseException):
    """Not an Exception."""


def raising(error: BaseException, *, later: bool) -> Callable[[], Awaitable[int]]:
    """A plan that raises, before or after it has suspended."""

    async def plan() -> int:
        if later:
            await trio.sleep(0.01)
        raise error

    return plan


SECRET = "password=hunter2"
UNEXPECTED = [
    ValueError(SECRET),
    MemoryError(SECRET),
    RecursionError(SECRET),
    SystemExit(3),
    StopIteration(SECRET),
    StopAsyncIteration(SECRET),
    GeneratorExit(SECRET),
    AssertionError(SECRET),
    trio.TooSlowError(SECRET),
    trio.ClosedResourceError(SECRET),
    UnicodeDecodeError("utf-8", b"\xff", 0, 1, SECRET),
    OSError(5, SECRET),
    Unreadable(),
    Odd(SECRET),
]


async def take(stream: Stream[int], into: list[int]) -> None:
    """Take all of a stream."""
    async for number in stream:
        into.append(number)


async def fine(rig: Rig, session: str) -> None:
    """The connection lives, and is the same."""
    assert await rig.desk.echo(1) == 1
    assert rig.client.session == session


@pytest.mark.parametrize("later", [False, True], ids=["at once", "later"])
@pytest.mark.parametrize("error", UNEXPECTED, ids=lambda error: type(error).__name__)
async def test_an_unexpected_exception_has_a_trace_and_says_nothing_else(
    error: BaseException, later: bool, autojump_clock: Clock, error_log: ErrorLog
) -> None:
    async with open_rig() as rig:
        session = rig.client.session
        rig.counter.plans["raise"] = raising(error, later=later)
        with pytest.raises(InternalError) as caught:
            await rig.desk.run("raise")
        assert caught.value.executed is Executed.YES
        assert caught.value.trace
        assert SECRET not in str(caught.value)
        (record,) = error_log.take("handler failed")
        assert record.trace == caught.value.trace  # type: ignore[attr-defined]
        assert record.method == "Desk.run"  # type: ignore[attr-defined]
        assert record.exc_info is not None
        await fine(rig, session)


@pytest.mark.parametrize("later", [False, True], ids=["at once", "later"])
async def test_a_registered_exception_arrives_as_itself_and_is_not_logged(
    later: bool, autojump_clock: Clock
) -> None:
    async with open_rig() as rig:
        rig.counter.plans["raise"] = raising(OutOfStock(7, left=2), later=later)
        with pytest.raises(OutOfStock) as caught:
            await rig.desk.run("raise")
        assert (caught.value.number, caught.value.left) == (7, 2)
        await fine(rig, rig.client.session)


async def test_a_registered_exception_with_a_wrong_attribute_is_an_internal_error(
    autojump_clock: Clock, error_log: ErrorLog
) -> None:
    async with open_rig() as rig:
        session = rig.client.session
        rig.counter.plans["raise"] = raising(OutOfStock("seven"), later=False)  # type: ignore[arg-type]
        with pytest.raises(InternalError):
            await rig.desk.run("raise")
        assert len(error_log.take("handler failed")) == 1
        await fine(rig, session)


@pytest.mark.parametrize("later", [False, True], ids=["at once", "later"])
async def test_an_exception_group_keeps_its_structure(
    later: bool, autojump_clock: Clock, error_log: ErrorLog
) -> None:
    group = ExceptionGroup("both", [OutOfStock(1), ExceptionGroup("inner", [ValueError(SECRET)])])
    async with open_rig() as rig:
        session = rig.client.session
        rig.counter.plans["raise"] = raising(group, later=later)
        with pytest.raises(ExceptionGroup) as caught:
            await rig.desk.run("raise")
        first, inner = caught.value.exceptions
        assert isinstance(first, OutOfStock)
        assert first.number == 1
        assert isinstance(inner, ExceptionGroup)
        assert isinstance(inner.exceptions[0], InternalError)
        assert len(error_log.take("handler failed")) == 1
        await fine(rig, session)


async def test_a_child_task_that_exits_is_the_handlers_failure_alone(
    autojump_clock: Clock, error_log: ErrorLog
) -> None:
    async def with_children() -> int:
        async def leave() -> None:
            raise SystemExit(1)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(leave)
            nursery.start_soon(trio.sleep_forever)
        return 1

    async with open_rig() as rig:
        session = rig.client.session
        rig.counter.plans["raise"] = with_children
        with pytest.raises(BaseExceptionGroup):
            await rig.desk.run("raise")
        assert len(error_log.take("handler failed")) == 1
        await fine(rig, session)


@pytest.mark.parametrize(
    "error",
    [
        ExceptionGroup("\ud800", [OutOfStock(1)]),
        ExceptionGroup("x" * 5_000_000, [OutOfStock(1)]),
        ExceptionGroup("many", [OutOfStock(number) for number in range(5000)]),
    ],
    ids=["surrogate", "long", "many"],
)
async def test_a_group_that_cannot_travel_fails_its_call_alone(
    error: Exception, autojump_clock: Clock, error_log: ErrorLog
) -> None:
    async with open_rig() as rig:
        session = rig.client.session
        rig.counter.plans["raise"] = raising(error, later=False)
        with pytest.raises((CallError, ExceptionGroup)):
            await rig.desk.run("raise")
        error_log.take("handler failed")
        await fine(rig, session)


async def test_a_group_of_great_depth_fails_its_call_alone(
    autojump_clock: Clock, error_log: ErrorLog
) -> None:
    error: Exception = OutOfStock(1)
    for level in range(300):
        error = ExceptionGroup(str(level), [error])
    async with open_rig() as rig:
        session = rig.client.session
        rig.counter.plans["raise"] = raising(error, later=False)
        with pytest.raises((CallError, ExceptionGroup)):
            await rig.desk.run("raise")
        error_log.take("handler failed")
        await fine(rig, session)


async def test_ctrl_c_in_a_handler_is_the_servers(autojump_clock: Clock) -> None:
    interrupted = False
    try:
        async with open_rig() as rig:
            rig.counter.plans["raise"] = raising(KeyboardInterrupt(), later=False)
            await rig.desk.run("raise")
    except* KeyboardInterrupt:
        interrupted = True
    assert interrupted


async def test_a_handler_in_a_thread_runs_there_and_fails_alone(
    patient_clock: Clock, error_log: ErrorLog
) -> None:
    async with open_rig() as rig:
        session = rig.client.session
        assert await rig.desk.blocking(3) == 3
        assert rig.counter.threads[0] != "MainThread"
        rig.counter.threads = None  # type: ignore[assignment]
        with pytest.raises(InternalError):
            await rig.desk.blocking(3)
        assert len(error_log.take("handler failed")) == 1
        await fine(rig, session)


async def test_the_source_of_a_stream_that_fails_ends_it_with_its_error(
    autojump_clock: Clock, error_log: ErrorLog
) -> None:
    async with open_rig() as rig:
        session = rig.client.session

        def two() -> object:
            yield 1
            yield 2
            raise OutOfStock(3)

        def bad() -> object:
            yield 1
            yield "two"

        rig.counter.sources.update(two=two, bad=bad)  # type: ignore[arg-type]
        got: list[int] = []
        with pytest.raises(OutOfStock):
            await take(rig.desk.follow("two"), got)
        assert got == [1, 2]
        with pytest.raises(CallError, match="item: expected int, got str"):
            await take(rig.desk.follow("bad"), got)
        assert got == [1, 2, 1]
        error_log.take("handler")
        await fine(rig, session)
