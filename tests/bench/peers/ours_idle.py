"""Signed-in clients of appserver that do nothing but answer pings: what each costs the server."""

from __future__ import annotations

from dataclasses import replace

import trio

from tests.bench.peers.ours import connect_many
from tests.bench.sides import Load, resident

FIRST = 50
"""Connections that are made before memory is looked at: they load what all of them share."""


def load(load: Load) -> None:
    """Take orders."""
    trio.run(_load, load)


async def _load(load: Load) -> None:
    async with trio.open_nursery() as nursery:
        await connect_many(replace(load, connections=FIRST), nursery)
        before = resident(load.server)
        await connect_many(load, nursery)
        each = (resident(load.server) - before) / load.connections
        for order in load.orders():
            with load.meter() as meter:
                await trio.sleep(order.seconds)
            meter.report(load.connections, value=each / 1024, core_share=meter.server_share())
        nursery.cancel_scope.cancel()
