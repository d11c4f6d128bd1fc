"""Calls from a server to its client, from inside and outside of handlers."""

from __future__ import annotations

import pytest
import trio
import trio.lowlevel
import trio.testing

from appserver import current_call
from protocol.interface import Blob, Stream
from protocol.peer import ConnectionLost, UnknownMethod
from protocol.settings import LimitSettings, Settings
from protocol.wire.errors import Executed, LocalProtocolError
from tests.protocol.peer.desk import Bell, Declined, Desk, content
from tests.protocol.peer.rig import TRANSPORT_IDS, TRANSPORTS, open_rig

Clock = trio.testing.MockClock


@pytest.mark.parametrize(("encrypted", "version"), TRANSPORTS, ids=TRANSPORT_IDS)
async def test_a_handler_may_call_back_and_await_the_answer(
    encrypted: bool, version: object, autojump_clock: Clock
) -> None:
    async with open_rig(encrypted=encrypted, tls_version=version) as rig:  # type: ignore[arg-type]

        async def back() -> int:
            return await current_call().use(Bell).ring(3)

        rig.counter.plans["back"] = back
        assert await rig.desk.run("back") == 3
        async with trio.open_nursery() as nursery:
            for _ in range(200):
                nursery.start_soon(rig.desk.run, "back")
        assert len(rig.ringer.rings) == 201


async def test_call_backs_do_not_deadlock_at_the_limit_of_open_calls(autojump_clock: Clock) -> None:
    async with open_rig(settings=Settings(limits=LimitSettings(open_calls=2))) as rig:
        rig.counter.plans["back"] = lambda: current_call().use(Bell).ring(1)
        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(rig.desk.run, "back")
        assert rig.ringer.rings == [1] * 20


async def test_every_kind_of_method_works_towards_the_client(autojump_clock: Clock) -> None:
    async with open_rig() as rig:
        (session,) = rig.server.server.sessions
        bell = session.use(Bell)
        assert await bell.ring(2) == 2
        assert [number async for number in bell.chimes(3000)] == list(range(3000))
        assert await bell.collect(Stream(range(3000))) == sum(range(3000))
        assert await bell.weigh(Blob(content(200_000))) == 200_000
        assert await bell.picture(200_000).read() == content(200_000)


async def test_the_clients_registered_error_arrives_as_itself(autojump_clock: Clock) -> None:
    async with open_rig() as rig:
        seen: list[BaseException] = []

        async def back() -> int:
            try:
                await current_call().use(Bell).decline()
            except Exception as exc:
                seen.append(exc)
            return 0

        rig.counter.plans["back"] = back
        await rig.desk.run("back")
        assert isinstance(seen[0], Declined)


async def test_a_handler_in_a_thread_of_the_client_blocks_nobody(patient_clock: Clock) -> None:
    async with open_rig() as rig:
        (session,) = rig.server.server.sessions
        bell = session.use(Bell)
        results: list[int] = []

        async def ring_slowly() -> None:
            results.append(await bell.ring_slowly())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(ring_slowly)
            await trio.lowlevel.checkpoint()
            assert await bell.ring(1) == 1
            assert await rig.desk.echo(2) == 2
            rig.ringer.release.set()
        assert results == [1]


async def test_a_client_that_serves_nothing_says_so(autojump_clock: Clock) -> None:
    async with open_rig() as rig, rig.server.connect():
        plain = next(session for session in rig.server.server.sessions if session.id != rig.client.session)
        with pytest.raises(UnknownMethod) as caught:
            await plain.use(Bell).ring(1)
        assert caught.value.executed is Executed.NO


async def test_a_call_to_a_client_that_is_gone_fails(autojump_clock: Clock) -> None:
    async with open_rig() as rig:
        (session,) = rig.server.server.sessions
        bell = session.use(Bell)
        rig.network.link.cut()
        await trio.sleep(0.5)
        with pytest.raises(ConnectionLost) as caught:
            await bell.ring(1)
        assert caught.value.executed is Executed.NO
        with pytest.raises(ConnectionLost):
            await bell.rung.subscribe().__aenter__()
        assert rig.ringer.rings == []


async def test_a_call_of_the_client_fails_at_once_though_its_own_handler_is_stuck(
    patient_clock: Clock,
) -> None:
    async with open_rig() as rig:
        (session,) = rig.server.server.sessions
        outcome: list[BaseException] = []
        failed = trio.Event()

        async def wait() -> None:
            try:
                await rig.desk.run("wait")
            except ConnectionLost as exc:
                outcome.append(exc)
                failed.set()

        async def ring_slowly() -> None:
            with pytest.raises(ConnectionLost):
                await session.use(Bell).ring_slowly()

        rig.counter.plans["wait"] = trio.sleep_forever
        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            nursery.start_soon(ring_slowly)
            await trio.sleep(0.1)
            rig.network.link.cut()
            with trio.move_on_after(2):
                await failed.wait()
            rig.ringer.release.set()
            assert len(outcome) == 1


async def test_current_call_is_for_handlers(autojump_clock: Clock) -> None:
    with pytest.raises(LocalProtocolError, match="for handlers"):
        current_call()
    async with open_rig() as rig:
        seen: list[tuple[str, str]] = []

        async def look() -> int:
            call = current_call()
            seen.append((call.method, call.session.id))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(look_in_child)
            return 0

        async def look_in_child() -> None:
            call = current_call()
            seen.append((call.method, call.session.id))
            assert call.peer_address == "client (memory)"

        rig.counter.plans["look"] = look
        await rig.desk.run("look")
        assert seen == [("Desk.run", rig.client.session)] * 2
        assert Desk.__name__ == "Desk"
