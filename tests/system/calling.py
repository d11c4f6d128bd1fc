"""`python -m tests.system.calling PORT RESOURCES KIND`: a client that is killed in the middle of what it does.

It says `ready` once the server is at work for it.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import trio

from appclient import Client, connect
from protocol import Blob, Stream
from protocol.transport import Address
from tests.system.application import Desk, Note


def say_ready() -> None:
    """Tell the test."""
    print("ready", flush=True)


async def notes() -> AsyncIterator[Note]:
    """Notes without an end."""
    number = 0
    while True:
        yield Note("." * 1000)
        number += 1
        if number == 1000:
            say_ready()


async def content() -> AsyncIterator[bytes]:
    """A file without an end."""
    number = 0
    while True:
        yield bytes(65536)
        number += 1
        if number == 100:
            say_ready()


async def work(client: Client, kind: str) -> None:
    """Do one thing that does not end."""
    desk = client.use(Desk)
    match kind:
        case "calls":
            async with trio.open_nursery() as nursery:
                for number in range(50):
                    nursery.start_soon(partial(desk.enter, number, wait=True))
                while await desk.echo("a"):
                    say_ready()
        case "stream":
            async for _ in desk.notes("down", 0):
                say_ready()
        case "stream up":
            await desk.collect(Stream(notes()))
        case "blob":
            async for _ in desk.zeros(1 << 40):
                say_ready()
        case "blob up":
            await desk.put("large", Blob(content()))
        case "event":
            async with desk.noted.subscribe() as events:
                await desk.publish("first")
                async for _ in events:
                    say_ready()


async def main(port: int, resources: str, kind: str) -> None:
    """Connect and work."""
    async with connect(Address("localhost", port), resources=Path(resources)) as client:
        await work(client, kind)


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]), sys.argv[2], sys.argv[3])
