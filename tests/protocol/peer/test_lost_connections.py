"""Connections that are lost: every open call has one outcome, soon, and says whether it may have run."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio
import trio.testing

from appclient import Closed, ConnectionState
from appserver.testing import Cut
from protocol.interface import Blob, Stream
from protocol.peer import CallError, ConnectionLost, Peer
from protocol.settings import LimitSettings, Settings, TimeoutSettings
from protocol.transport import TransportError
from protocol.wire.codec import pack
from protocol.wire.errors import Executed
from protocol.wire.events import WelcomeReceived
from tests.protocol.peer.desk import Counter, content
from tests.protocol.peer.rig import Rig, open_raw, open_rig

Clock = trio.testing.MockClock
PINGS = Settings(timeouts=TimeoutSettings(ping=1.0))
HOW = pytest.mark.parametrize("how", [Cut.RST, Cut.FIN, None], ids=["rst", "fin", "silence"])


def lose(rig: Rig, how: Cut | None) -> None:
    """Cut the connection, or let nothing through any more."""
    if how is None:
        rig.network.link.to_client.hold()
        rig.network.link.to_server.hold()
    else:
        rig.network.link.cut(how)


@HOW
async def test_every_kind_of_open_call_has_one_outcome(how: Cut | None, autojump_clock: Clock) -> None:
    outcomes: list[tuple[str, Executed]] = []

    async def slowly() -> AsyncIterator[bytes]:
        while True:
            yield content(1000)
            await trio.sleep(0.1)

    async def numbers() -> AsyncIterator[int]:
        for number in range(1_000_000):
            yield number
            await trio.sleep(0.1)

    async with open_rig(settings=PINGS) as rig:
        desk = rig.desk
        rig.counter.plans["wait"] = trio.sleep_forever
        rig.counter.sources["numbers"] = numbers

        async def follow() -> None:
            async with desk.follow("numbers") as stream:
                async for _ in stream:
                    pass

        async def both() -> None:
            async with desk.doubled(Stream(numbers())) as stream:
                async for _ in stream:
                    pass

        async def call(name: str, function: object, *args: object) -> None:
            try:
                await function(*args)  # type: ignore[operator]
            except ConnectionLost as exc:
                outcomes.append((name, exc.executed))

        rig.network.link.to_client.slow(10_000)
        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(call, "run", desk.run, "wait")
                nursery.start_soon(call, "total", desk.total, Stream(numbers()))
                nursery.start_soon(call, "keep", desk.keep, Blob(slowly()))
                nursery.start_soon(call, "follow", follow)
                nursery.start_soon(call, "both", both)
                nursery.start_soon(call, "give", desk.give(10_000_000).read)
                await trio.sleep(0.5)
                lost = trio.current_time()
                lose(rig, how)
        took = trio.current_time() - lost
        assert took < (2 if how is not None else 2 * 1.0 + 5)
        names = ("run", "total", "keep", "follow", "both", "give")
        assert sorted(name for name, _ in outcomes) == sorted(names)
        assert dict(outcomes) == dict.fromkeys(names, Executed.MAYBE)
        assert len(outcomes) == len(names)
        await trio.sleep(10)
        assert {"wait", "numbers", "total", "doubled"} <= set(rig.counter.ended)
        assert len(rig.server.server.sessions) == 1
        assert await desk.echo(1) == 1


async def test_what_is_said_not_to_have_run_does_not_leave_with_the_goodbye(autojump_clock: Clock) -> None:
    said_no = 0
    for _ in range(15):
        async with open_rig() as rig:
            outcomes: dict[int, Executed] = {}

            async def call(rig: Rig, number: int, outcomes: dict[int, Executed]) -> None:
                try:
                    await rig.desk.echo(number)
                except (CallError, Closed) as exc:
                    outcomes[number] = exc.executed if isinstance(exc, CallError) else Executed.NO

            async with trio.open_nursery() as nursery:
                for number in range(10):
                    nursery.start_soon(call, rig, number, outcomes)
                await trio.lowlevel.checkpoint()
                rig.client.close()
            await trio.testing.wait_all_tasks_blocked()
            no = {number for number, executed in outcomes.items() if executed is Executed.NO}
            said_no += len(no)
            assert not no & set(rig.counter.ran)
    assert said_no


async def test_calls_that_could_not_leave_are_said_not_to_have_run(autojump_clock: Clock) -> None:
    async with open_rig(settings=PINGS) as rig:
        outcomes: list[Executed] = []

        async def say(size: int) -> None:
            try:
                await rig.desk.say("x" * size)
            except ConnectionLost as exc:
                outcomes.append(exc.executed)

        rig.network.link.to_server.hold()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(say, 3_000_000)
            await trio.testing.wait_all_tasks_blocked()
            for _ in range(5):
                nursery.start_soon(say, 10)
            await trio.testing.wait_all_tasks_blocked()
            rig.network.link.cut()
        assert len(outcomes) == 6
        assert outcomes.count(Executed.NO) >= 1


@pytest.mark.parametrize("ping", [1.0, 30.0])
async def test_silence_is_noticed_by_both_sides_after_two_pings(ping: float, autojump_clock: Clock) -> None:
    async with open_rig(settings=Settings(timeouts=TimeoutSettings(ping=ping)), seconds=1000) as rig:
        await trio.sleep(10 * ping)  # silence alone is nothing: pings are answered
        assert await rig.desk.echo(1) == 1
        lost = trio.current_time()
        rig.network.link.to_client.hold()
        rig.network.link.to_server.hold()
        with trio.fail_after(2 * ping + 5):
            await rig.client.wait_state(ConnectionState.RECONNECTING)
            while rig.server.server.sessions:  # noqa: ASYNC110
                await trio.sleep(0.1)
        assert trio.current_time() - lost > ping


async def test_a_handler_that_shields_itself_is_not_left_waiting_for_an_upload(autojump_clock: Clock) -> None:
    ended: list[BaseException] = []

    class Shielding(Counter):
        async def total(self, numbers: Stream[int]) -> int:
            with trio.CancelScope(shield=True):
                try:
                    async for _ in numbers:
                        pass
                except ConnectionLost as exc:
                    ended.append(exc)
            return 0

    async with open_rig(counter=Shielding()) as rig:
        async with trio.open_nursery() as nursery:

            async def call() -> None:
                with pytest.raises(ConnectionLost):
                    await rig.desk.total(Stream(numbers()))

            async def numbers() -> AsyncIterator[int]:
                for number in range(1000):
                    yield number
                    await trio.sleep(1)

            nursery.start_soon(call)
            await trio.sleep(3)
            rig.network.link.cut()
        await trio.sleep(3)
        assert len(ended) == 1


@pytest.mark.parametrize("how", ["holds", "reads slowly"])
async def test_a_client_that_does_not_read_its_results_costs_no_memory(
    how: str, autojump_clock: Clock
) -> None:
    """Its further calls wait; one that reads nothing at all is dropped."""
    settings = Settings(limits=LimitSettings(pending_output=200_000), timeouts=TimeoutSettings(ping=60))
    async with open_rig(settings=settings) as rig, open_raw(rig.server) as raw:
        await raw.receive_of(WelcomeReceived)
        link = rig.network.link
        if how == "holds":
            link.to_client.hold()
        else:
            link.to_client.slow(2000)
        most = 0
        for _ in range(90):
            raw.connection.open_call("say", "Desk.say", pack(["x" * 100_000, {}]))
            try:
                await raw.send()
                raw.transport.receive_nowait(1000)
            except TransportError:
                break
            await trio.sleep(0.2)
            for info in rig.server.server.session_list():
                most = max(most, info.connection.pending_output)
        assert most < 500_000
        assert len(rig.server.server.sessions) == (1 if how == "holds" else 2)
        assert await rig.desk.echo(1) == 1


async def test_nothing_written_for_timeouts_write_ends_the_connection(autojump_clock: Clock) -> None:
    settings = Settings(timeouts=TimeoutSettings(ping=600, write=3))
    async with open_rig(settings=settings) as rig:
        rig.network.link.to_client.hold()
        lost = trio.current_time()
        async with trio.open_nursery() as nursery:

            async def call() -> None:
                with pytest.raises(ConnectionLost):
                    await rig.desk.say("x" * 300_000)

            nursery.start_soon(call)
            while rig.server.server.sessions:  # noqa: ASYNC110
                await trio.sleep(0.1)
            assert trio.current_time() - lost == pytest.approx(3, abs=1.5)
            rig.network.link.to_client.release()


async def test_a_ping_of_a_lost_connection_fails_and_a_late_answer_is_not_the_next_ones(
    autojump_clock: Clock,
) -> None:
    async with open_rig() as rig:
        rig.network.link.to_client.delay(2)
        with trio.move_on_after(1):
            await rig.client.ping()
        assert await rig.client.ping() >= 1
        rig.network.link.to_client.delay(0)
        await trio.sleep(5)
        rig.network.link.to_client.hold()
        async with trio.open_nursery() as nursery:

            async def ping() -> None:
                with pytest.raises(ConnectionLost):
                    await rig.client.ping()

            nursery.start_soon(ping)
            await trio.sleep(0.1)
            rig.network.link.to_client.release()
            rig.network.link.to_client.hold()
            rig.client._peer.end("test")  # type: ignore[union-attr]


async def test_calls_whose_answers_have_no_room_wait_and_are_all_answered(autojump_clock: Clock) -> None:
    settings = Settings(limits=LimitSettings(pending_output=100_000))
    answered = 0
    with trio.fail_after(60):
        async with open_rig(settings=settings) as rig:
            rig.network.link.to_client.slow(1_000_000)

            async def call() -> None:
                nonlocal answered
                assert await rig.desk.say("x" * 50_000) == "x" * 50_000
                answered += 1

            async with trio.open_nursery() as nursery:
                for _ in range(80):
                    nursery.start_soon(call)
    assert answered == 80


@pytest.mark.parametrize("passes", range(6))
@pytest.mark.parametrize("side", ["client", "server"])
@pytest.mark.parametrize("how", [Cut.RST, None], ids=["rst", "ended here"])
async def test_who_writes_while_a_connection_ends_has_no_part_in_that(
    how: Cut | None, side: str, passes: int
) -> None:
    async def write(peer: Peer) -> None:
        while not peer.ended:
            await trio.lowlevel.checkpoint()
        for _ in range(passes):
            await trio.lowlevel.checkpoint()
        peer.wake()

    for _ in range(10):  # who runs first in a pass of the loop is left to chance
        async with open_rig() as rig:
            (session,) = rig.server.server.sessions
            peer = session.peer if side == "server" else rig.client.peer_nowait()
            assert peer is not None
            async with trio.open_nursery() as nursery:
                nursery.start_soon(write, peer)
                await trio.lowlevel.checkpoint()
                if how is None:
                    peer.end("test")
                else:
                    rig.network.link.cut(how)


async def test_nobody_waits_for_a_sign_of_life_of_a_connection_that_has_ended(autojump_clock: Clock) -> None:
    async with open_rig() as rig:
        peer = rig.client.peer_nowait()
        assert peer is not None
        peer.end("test")
        with trio.fail_after(5), pytest.raises(ConnectionLost):
            await peer.ping()
