"""Blobs between appserver and its async client, with nothing beside them or with small calls."""

from __future__ import annotations

from statistics import quantiles
from time import perf_counter

import trio

from appclient import connect
from protocol import Blob
from protocol.transport import Address
from tests.bench import loads
from tests.bench.contract import Bench, zeros
from tests.bench.peers.ours import settings_for
from tests.bench.sides import HOST, Load

PAUSE = 0.002
"""Seconds between two calls beside a blob."""


def load(load: Load) -> None:
    """Take orders."""
    trio.run(_load, load)


async def _load(load: Load) -> None:
    settings = settings_for(load.words)
    folder = load.files.folder / "client"
    async with connect(Address(HOST, load.port), resources=folder, settings=settings) as client:
        bench = client.use(Bench)
        await bench.add(1, 2)  # connected, and the interface compared
        for _ in load.orders():
            if load.work.endswith("_beside"):
                await _beside(load, bench)
                continue
            with load.meter() as meter:
                await _transfer(load, bench)
            meter.report(load.size / 2**20, **meter.growth())


async def _transfer(load: Load, bench: Bench) -> None:
    size = 0
    if load.work.startswith("down"):
        async for piece in bench.down(load.size):
            size += len(piece)
    else:
        size = await bench.up(Blob(zeros(load.size), size=load.size))
    if size != load.size:
        raise loads.WrongAnswer(size)


async def _beside(load: Load, bench: Bench) -> None:
    """Small calls, one after the other, for as long as the blob takes; the row's figure is their p99 in ms."""
    times: list[float] = []

    async def call() -> None:
        while True:
            begin = perf_counter()
            await bench.add(1, 2)
            times.append((perf_counter() - begin) * 1000)
            await trio.sleep(PAUSE)

    with load.meter() as meter:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(call)
            await _transfer(load, bench)
            nursery.cancel_scope.cancel()
    p99 = quantiles(times, n=100)[98] if len(times) > 1 else float("inf")
    meter.report(len(times), value=p99, calls=len(times), most=max(times, default=0.0))
