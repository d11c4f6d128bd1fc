"""grpc.aio on uvloop, on which it is faster, with generic handlers and msgpack for the messages, on TLS."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import msgpack
import uvloop

from tests.bench import loads
from tests.bench.peers.grpc_sync import OPTIONS, channel_credentials, server_credentials
from tests.bench.sides import HOST, Life, Load


async def _add(request: list[int], _: Any) -> int:
    return request[0] + request[1]


async def _add_later(request: list[int], _: Any) -> int:
    await asyncio.sleep(0)
    return request[0] + request[1]


def serve(life: Life) -> None:
    """Serve until the process ends."""

    async def main() -> None:
        server = grpc.aio.server(options=OPTIONS)
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(
                handler, request_deserializer=msgpack.unpackb, response_serializer=msgpack.packb
            )
            for name, handler in (("add", _add), ("add_later", _add_later))
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("Bench", handlers),))
        port = server.add_secure_port("127.0.0.1:0", server_credentials(life.files))
        await server.start()
        life.announce(port)
        await server.wait_for_termination()

    uvloop.run(main())


def load(load: Load) -> None:
    """Take orders."""
    uvloop.run(_load(load))


async def _load(load: Load) -> None:
    channels = [
        grpc.aio.secure_channel(
            f"{HOST}:{load.port}",
            channel_credentials(load.files),
            # Channels of the same target would share one connection otherwise.
            options=[*OPTIONS, ("grpc.use_local_subchannel_pool", 1)],
        )
        for _ in range(load.connections)
    ]
    callers = []
    for channel in channels:
        await channel.channel_ready()
        method = channel.unary_unary(
            f"/Bench/{load.work}", request_serializer=msgpack.packb, response_deserializer=msgpack.unpackb
        )

        async def add(left: int, right: int, method: Any = method) -> int:
            return await method((left, right))  # type: ignore[no-any-return]

        callers += [add] * load.callers
    for order in load.orders():
        with load.meter() as meter:
            counts = await asyncio.gather(*(loads.add(caller, order) for caller in callers))
        meter.report(sum(counts))
    for channel in channels:
        await channel.close()
