"""`asyncio` streams with msgpack, a length before each message, request ids and futures: nothing but Python's own."""

from __future__ import annotations

import asyncio
import itertools
import struct
from typing import Any

import msgpack

from tests.bench import loads
from tests.bench.sides import HOST, Life, Load

_LENGTH = struct.Struct(">I")


async def _read(reader: asyncio.StreamReader) -> Any:
    (length,) = _LENGTH.unpack(await reader.readexactly(4))
    return msgpack.unpackb(await reader.readexactly(length))


def _write(writer: asyncio.StreamWriter, message: object) -> None:
    body = msgpack.packb(message)
    writer.write(_LENGTH.pack(len(body)) + body)


class Service:
    """The handlers."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        try:
            while True:
                number, name, args = await _read(reader)
                if name == "add":
                    _write(writer, (number, args[0] + args[1]))
                    await writer.drain()
                else:
                    task = asyncio.create_task(self._add_later(writer, number, *args))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)
        except asyncio.IncompleteReadError:
            writer.close()

    async def _add_later(self, writer: asyncio.StreamWriter, number: int, left: int, right: int) -> None:
        await asyncio.sleep(0)
        _write(writer, (number, left + right))
        await writer.drain()


class Connection:
    """A client's end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str) -> None:
        self._reader, self._writer, self._name = reader, writer, name
        self._numbers = itertools.count()
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._loop = asyncio.get_running_loop()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        while True:
            number, value = await _read(self._reader)
            self._waiting.pop(number).set_result(value)

    async def call(self, left: int, right: int) -> int:
        """The small call, with the handler of the load."""
        number = next(self._numbers)
        future = self._waiting[number] = self._loop.create_future()
        _write(self._writer, (number, self._name, (left, right)))
        await self._writer.drain()
        return await future  # type: ignore[no-any-return]

    def close(self) -> None:
        """End it."""
        self._reading.cancel()
        self._writer.close()


def serve(life: Life) -> None:
    """Serve until the process ends."""

    async def main() -> None:
        context = life.files.server_context()
        server = await asyncio.start_server(Service().handle, "127.0.0.1", 0, ssl=context)
        life.announce(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


def load(load: Load) -> None:
    """Take orders."""
    asyncio.run(_load(load))


async def _load(load: Load) -> None:
    context = load.files.client_context()
    connections = []
    for _ in range(load.connections):
        reader, writer = await asyncio.open_connection(HOST, load.port, ssl=context)
        connections.append(Connection(reader, writer, load.work))
    callers = [connection.call for connection in connections for _ in range(load.callers)]
    for order in load.orders():
        with load.meter() as meter:
            counts = await asyncio.gather(*(loads.add(caller, order) for caller in callers))
        meter.report(sum(counts))
    for connection in connections:
        connection.close()
