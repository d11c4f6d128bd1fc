"""aiohttp's WebSocket on uvloop with msgpack, request ids and futures: what a good engineer writes by hand.

Handlers that cannot wait are answered in the task that reads, others get a task each. No compression, no
access log, packers reused, an event packed once for all subscribers.
"""

from __future__ import annotations

import asyncio
import itertools
from contextlib import AsyncExitStack
from time import perf_counter
from typing import Any

import aiohttp
import msgpack
import uvloop
from aiohttp import web

from tests.bench import loads
from tests.bench.sides import EVENT_TEXT, HOST, Life, Load


class Service:
    """The handlers, and who has subscribed."""

    def __init__(self) -> None:
        self._pack = msgpack.Packer().pack
        self._subscribers: set[web.WebSocketResponse] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        """Serve one connection."""
        socket = web.WebSocketResponse(compress=False, max_msg_size=0)
        await socket.prepare(request)
        try:
            async for message in socket:
                number, name, args = msgpack.unpackb(message.data)
                match name:
                    case "add":
                        await socket.send_bytes(self._pack((number, args[0] + args[1])))
                    case "add_later":
                        task = asyncio.create_task(self._add_later(socket, number, *args))
                        self._tasks.add(task)
                        task.add_done_callback(self._tasks.discard)
                    case "subscribe":
                        self._subscribers.add(socket)
                        await socket.send_bytes(self._pack((number, None)))
                    case "publish":
                        await self._publish(args)
                        await socket.send_bytes(self._pack((number, None)))
        finally:
            self._subscribers.discard(socket)
        return socket

    async def _add_later(self, socket: web.WebSocketResponse, number: int, left: int, right: int) -> None:
        await asyncio.sleep(0)
        await socket.send_bytes(self._pack((number, left + right)))

    async def _publish(self, args: list[object]) -> None:
        packed = self._pack((0, args))
        for socket in self._subscribers:
            await socket.send_bytes(packed)


class Connection:
    """A client's end: a task reads the answers and wakes who waits for them."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._pack = msgpack.Packer().pack
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._loop = asyncio.get_running_loop()
        self.on_event: Any = None
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for message in self._socket:
            number, value = msgpack.unpackb(message.data)
            if number:
                self._waiting.pop(number).set_result(value)
            else:
                self.on_event(value)

    async def _call(self, name: str, *args: object) -> Any:
        number = next(self._numbers)
        future = self._waiting[number] = self._loop.create_future()
        await self._socket.send_bytes(self._pack((number, name, args)))
        return await future

    async def add(self, left: int, right: int) -> int:
        """The small call."""
        return await self._call("add", left, right)  # type: ignore[no-any-return]

    async def add_later(self, left: int, right: int) -> int:
        """The small call with a handler that waits once."""
        return await self._call("add_later", left, right)  # type: ignore[no-any-return]

    async def subscribe(self) -> None:
        """Ask for the event."""
        await self._call("subscribe")

    async def publish(self, number: int) -> None:
        """Have one event sent to all who subscribed."""
        await self._call("publish", number, EVENT_TEXT)


def serve(life: Life) -> None:
    """Serve until the process ends."""

    async def main() -> None:
        application = web.Application()
        application.router.add_get("/", Service().handle)
        runner = web.AppRunner(application, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=life.files.server_context())
        await site.start()
        life.announce(runner.addresses[0][1])
        await asyncio.Event().wait()

    uvloop.run(main())


def load(load: Load) -> None:
    """Take orders."""
    uvloop.run(_load(load))


async def _load(load: Load) -> None:
    async with AsyncExitStack() as stack:
        connector = aiohttp.TCPConnector(ssl=load.files.client_context(), limit=0)
        session = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        connections = []
        for _ in range(load.connections):
            socket = await stack.enter_async_context(
                session.ws_connect(f"https://{HOST}:{load.port}/", max_msg_size=0)
            )
            connections.append(Connection(socket))
        if load.work == "events":
            await _events(load, connections)
            return
        calls = [getattr(connection, load.work) for connection in connections for _ in range(load.callers)]
        for order in load.orders():
            with load.meter() as meter:
                counts = await asyncio.gather(*(loads.add(call, order) for call in calls))
            meter.report(sum(counts))


async def _events(load: Load, connections: list[Connection]) -> None:
    arrived = 0
    everywhere = asyncio.Event()

    def arrive(_: object) -> None:
        nonlocal arrived
        arrived += 1
        if arrived == len(connections):
            everywhere.set()

    for connection in connections:
        connection.on_event = arrive
        await connection.subscribe()
    for order in load.orders():
        number, end = 0, order.end
        with load.meter() as meter:
            while perf_counter() < end:
                arrived = 0
                everywhere.clear()
                await connections[0].publish(number)
                await everywhere.wait()
                number += 1
        meter.report(number * len(connections))
