"""Calls that wait because their caller does not read: what is sent with them is not lost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import trio
import trio.testing

from appserver import current_call
from appserver.testing import loopback_server
from protocol.interface import Stream
from protocol.peer.dispatch import Dispatcher
from protocol.settings import LimitSettings, Settings
from protocol.wire.codec import pack, unpack
from protocol.wire.errors import Executed
from protocol.wire.events import CreditReceived, ErrorReceived, Event, ResultReceived, WelcomeReceived
from tests.protocol.peer.desk import Bell, Counter, Desk, Ringer, new_desk
from tests.protocol.peer.rig import RawClient, open_raw, open_rig

Clock = trio.testing.MockClock
NO_ARGUMENTS = pack([{}])


class Talkative(Counter):
    """Its answers are long."""

    async def say(self, text: str) -> str:
        """Sixty kilobytes, whatever was said."""
        return "x" * 60_000


@asynccontextmanager
async def open_full() -> AsyncIterator[tuple[RawClient, Dispatcher]]:
    """A client that has called for more than the server lets wait, and reads nothing yet."""
    settings = Settings(limits=LimitSettings(pending_output=65_536, stream_credit=1000))
    async with open_rig(settings=settings, counter=Talkative()) as rig, open_raw(rig.server) as raw:
        await raw.receive_of(WelcomeReceived)
        for _ in range(12):
            raw.connection.open_call("say", "Desk.say", pack(["", {}]))
        await raw.send()
        await trio.sleep(0.1)
        (session,) = [session for session in rig.server.server.sessions if session.application == "raw"]
        yield raw, session.peer._dispatcher


async def outcome(raw: RawClient, name: str) -> object:
    """The result of a call."""

    def ends(event: Event) -> bool:
        return isinstance(event, ResultReceived | ErrorReceived) and event.owner == name

    result = await raw.receive(ends)
    assert isinstance(result, ResultReceived), result
    return unpack(result.body)


async def test_items_and_content_arrive(autojump_clock: Clock) -> None:
    async with open_full() as (raw, dispatcher):
        connection = raw.connection
        total = connection.open_call("total", "Desk.total", NO_ARGUMENTS)
        for number in (1, 2, 3):
            connection.send_data(total, pack(number))
        connection.send_end(total)
        keep = connection.open_call("keep", "Desk.keep", NO_ARGUMENTS)
        connection.send_head(keep, {"size": 5, "offset": 0})
        connection.send_data(keep, b"abcde")
        digest = bytes.fromhex("36bbe50ed96841d10443bcb670d6554f0a34b761be67ec9c4a8ad2c0c44ca42c")
        connection.send_end(keep, {"size": 5, "sha256": digest})
        await raw.send()
        await trio.sleep(0.1)
        assert len(dispatcher._deferred) > 2, "they wait"
        assert await outcome(raw, "total") == 6
        assert await outcome(raw, "keep") == 5


async def test_a_large_item_that_was_announced_is_let_in(autojump_clock: Clock) -> None:
    item = pack((1 << 64_000) - 1)
    async with open_full() as (raw, dispatcher):
        stream = raw.connection.open_call("total", "Desk.total", NO_ARGUMENTS)
        raw.connection.announce_data(stream, len(item))
        await raw.send()
        await trio.sleep(0.1)
        assert dispatcher._deferred
        while raw.connection.credit_of(stream) < len(item):
            await raw.receive_of(CreditReceived)
        raw.connection.send_data(stream, item)
        raw.connection.send_end(stream)
        await raw.send()
        assert await outcome(raw, "total") == unpack(item)


class Busy(Talkative):
    """Its handlers wait: for each other, for the caller, or for ever."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = trio.Event()

    async def run(self, name: str) -> int:
        """One opens the gate that the others wait at; or call back to the caller."""
        match name:
            case "wait":
                await self.gate.wait()
            case "open":
                self.gate.set()
            case "back":
                return await current_call().session.use(Bell).ring(1)
        return 1

    async def follow(self, name: str) -> Stream[int]:  # type: ignore[override]  # on the loop
        """Never give anything."""
        await trio.sleep_forever()


class Reentrant(Ringer):
    """A client whose handler calls the server again."""

    def __init__(self) -> None:
        super().__init__()
        self.desk: Desk | None = None

    async def ring(self, times: int) -> int:
        """Ask back."""
        assert self.desk is not None
        return await self.desk.echo(times)


@pytest.mark.parametrize("what", ["each other", "the caller", "nothing that ever comes"])
async def test_none_waits_for_another_ones_handler(what: str, autojump_clock: Clock) -> None:
    """The handlers of calls that were deferred suspend: the calls behind them begin all the same."""
    settings = Settings(limits=LimitSettings(pending_output=65_536))
    application, _ = new_desk(Busy())
    ringer = Reentrant()
    outcomes: list[int] = []
    with trio.fail_after(100):
        async with (
            loopback_server(application, settings=settings) as server,
            server.connect(serve=[ringer]) as client,
            trio.open_nursery() as nursery,
        ):
            desk = ringer.desk = client.use(Desk)

            async def run(name: str) -> None:
                outcomes.append(await desk.run(name))

            async def follow() -> None:
                async with desk.follow("") as numbers:
                    async for _ in numbers:
                        pass

            for _ in range(40):
                nursery.start_soon(desk.say, "")
            await trio.lowlevel.checkpoint()
            match what:
                case "each other":
                    for name in ("wait", "wait", "open"):
                        nursery.start_soon(run, name)
                case "the caller":
                    for _ in range(3):
                        nursery.start_soon(run, "back")
                case _:
                    nursery.start_soon(follow)
                    nursery.start_soon(run, "now")
                    nursery.start_soon(run, "now")
                    nursery.start_soon(run, "now")
            await trio.sleep(10)
            outcomes.append(await desk.echo(1))
            assert outcomes == [1, 1, 1, 1]
            nursery.cancel_scope.cancel()


async def test_one_whose_deadline_is_over_is_not_begun(autojump_clock: Clock) -> None:
    async with open_full() as (raw, dispatcher):
        raw.connection.open_call("late", "Desk.say", pack(["", {}]), deadline=0.5)
        raw.connection.open_call("later", "Desk.say", pack(["", {}]), deadline=30)
        await raw.send()
        await trio.sleep(0.7)
        assert dispatcher._deferred
        error = await raw.receive(lambda event: isinstance(event, ErrorReceived))
        assert isinstance(error, ErrorReceived)
        assert (error.owner, error.error.code, error.error.executed) == (
            "late",
            "rpc.deadline_exceeded",
            Executed.NO,
        )
        assert await outcome(raw, "later") == "x" * 60_000


async def test_one_that_is_cancelled_leaves_nothing_behind(autojump_clock: Clock) -> None:
    async with open_full() as (raw, dispatcher):
        stream = raw.connection.open_call("total", "Desk.total", NO_ARGUMENTS)
        raw.connection.send_data(stream, pack(1))
        await raw.send()
        await trio.sleep(0.1)
        assert stream in dispatcher.incoming
        raw.connection.cancel(stream)
        await raw.send()
        error = await raw.receive(lambda event: isinstance(event, ErrorReceived) and event.owner == "total")
        assert isinstance(error, ErrorReceived)
        assert error.error.code == "rpc.cancelled"
        assert not dispatcher.incoming
