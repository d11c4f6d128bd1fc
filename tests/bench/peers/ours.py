"""appserver and its async client, as an application uses them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from time import perf_counter

import attrs
import trio

from appclient import Client, connect
from appserver import open_server
from protocol.peer import reading
from protocol.settings import ClientServerSettings, LimitSettings, Settings, TimeoutSettings
from protocol.transport import Address
from tests.bench import loads
from tests.bench.contract import Bench, app
from tests.bench.sides import EVENT_TEXT, HOST, REPLAY_EVENTS, REPLAY_TEXT, Life, Load

CONNECTING = 16
"""Connections that are made at once; the server takes 32 of one source that have not signed in."""


def settings_for(words: tuple[str, ...]) -> Settings:
    """The defaults, but for the words: "plain" is without encryption, "no-replay" keeps no events.

    "patient" is for a debugger or valgrind.
    """
    settings = Settings(client_server=ClientServerSettings(encrypt="plain" not in words, port=0))
    if "no-replay" in words:
        settings = attrs.evolve(settings, limits=LimitSettings(event_replay=0))
    if "patient" in words:
        patient = TimeoutSettings(handshake=600, first_frame=600, write=600)
        settings = attrs.evolve(settings, timeouts=patient)
        reading.TICK = reading.CLOSE = (
            600.0  # calls that take as long as these look as if they came far apart
        )
    return settings


def serve(life: Life) -> None:
    """Serve until the process ends."""

    async def main() -> None:
        resources = life.files.folder / "Resources"
        async with open_server(app, settings=settings_for(life.words), resources=resources) as server:
            life.announce(server.port)
            await trio.sleep_forever()

    trio.run(main)


async def connect_many(load: Load, nursery: trio.Nursery) -> list[Client]:
    """All connections of a load, each kept open by a task of its own until the nursery is cancelled."""
    clients: list[Client] = []
    folder = load.files.folder / "client"
    left = load.connections

    async def keep(*, task_status: trio.TaskStatus[None]) -> None:
        async with connect(
            Address(HOST, load.port), resources=folder, settings=settings_for(load.words)
        ) as client:
            clients.append(client)
            task_status.started()
            await trio.sleep_forever()

    async def connect_one_after_another() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await nursery.start(keep)

    async with trio.open_nursery() as connecting:
        for _ in range(min(CONNECTING, load.connections)):
            connecting.start_soon(connect_one_after_another)
    return clients


def load(load: Load) -> None:
    """Take orders."""
    trio.run(_load, load)


async def _load(load: Load) -> None:
    async with trio.open_nursery() as nursery:
        clients = await connect_many(load, nursery)
        await {"events": _events, "replay": _replay}.get(load.work, _calls)(load, clients)
        nursery.cancel_scope.cancel()


async def _calls(load: Load, clients: list[Client]) -> None:
    asking = loads.rows if load.work in ("rows", "plain_rows") else loads.add
    calls = [getattr(client.use(Bench), load.work) for client in clients for _ in range(load.callers)]
    for order in load.orders():
        with load.meter() as meter:
            count = await _together([partial(asking, call, order) for call in calls])
        meter.report(count)


async def _together(callers: Iterable[Callable[[], Awaitable[int]]]) -> int:
    """Let callers call at the same time; returns how many calls they made."""
    counts: list[int] = []

    async def run(caller: Callable[[], Awaitable[int]]) -> None:
        counts.append(await caller())

    async with trio.open_nursery() as nursery:
        for caller in callers:
            nursery.start_soon(run, caller)
    return sum(counts)


async def _events(load: Load, clients: list[Client]) -> None:
    arrived = 0
    everywhere = trio.Event()

    async def follow(client: Client, *, task_status: trio.TaskStatus[None]) -> None:
        nonlocal arrived
        async with client.use(Bench).changed.subscribe() as changes:
            task_status.started()
            async for _ in changes:
                arrived += 1
                if arrived == len(clients):
                    everywhere.set()

    async with trio.open_nursery() as nursery:
        for client in clients:
            await nursery.start(partial(follow, client))
        bench = clients[0].use(Bench)
        for order in load.orders():
            number, end = 0, order.end
            with load.meter() as meter:
                while perf_counter() < end:
                    arrived, everywhere = 0, trio.Event()
                    await bench.publish(number, EVENT_TEXT)
                    await everywhere.wait()
                    number += 1
            meter.report(number * len(clients))
        nursery.cancel_scope.cancel()


async def _replay(load: Load, clients: list[Client]) -> None:
    """Callers on the first connection, whose calls publish an event each; the second one subscribes."""
    caller, subscriber = clients
    publish = caller.use(Bench).publish
    arrived = 0

    async def follow(*, task_status: trio.TaskStatus[None]) -> None:
        nonlocal arrived
        async with subscriber.use(Bench).changed.subscribe(gaps=True) as changes:
            task_status.started()
            async for _ in changes:
                arrived += 1

    async with trio.open_nursery() as nursery:
        await nursery.start(follow)
        for number in range(REPLAY_EVENTS):
            await publish(number, REPLAY_TEXT)
        for order in load.orders():
            arrived = 0
            with load.meter() as meter:
                count = await _together(
                    partial(loads.publish, publish, order, REPLAY_TEXT) for _ in range(load.callers)
                )
            if not arrived:
                raise loads.WrongAnswer("no event has come")
            meter.report(count)
        nursery.cancel_scope.cancel()
