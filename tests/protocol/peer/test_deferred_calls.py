"""Calls that wait because their caller does not read: what is sent with them is not lost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import trio.testing

from protocol.peer.dispatch import Dispatcher
from protocol.settings import LimitSettings, Settings
from protocol.wire.codec import pack, unpack
from protocol.wire.events import CreditReceived, ErrorReceived, Event, ResultReceived, WelcomeReceived
from tests.protocol.peer.desk import Counter
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
