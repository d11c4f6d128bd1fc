"""`python -m tests.system.following PORT RESOURCES SETTINGS`: a client that calls all the time, in a process.

A line of JSON for each change: whether the call before it was encrypted, how many were answered, what went wrong.
It ends with its standard input.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import trio

from appclient import CONNECT_ERRORS, Client, connect
from protocol.peer import CallError
from protocol.transport import Address
from tests.system.application import Desk


def say(**facts: object) -> None:
    """Tell the test."""
    print(json.dumps(facts), flush=True)


async def main(port: int, resources: Path, settings: Path) -> None:
    """Call until standard input ends."""
    async with (
        connect(Address("localhost", port), resources=resources, settings=settings) as client,
        trio.open_nursery() as nursery,
    ):
        nursery.start_soon(_call, client)
        await trio.lowlevel.wait_readable(sys.stdin.fileno())
        nursery.cancel_scope.cancel()


async def _call(client: Client) -> None:
    desk = client.use(Desk)
    before: object = None
    number = 0
    while True:
        try:
            number += 1
            await desk.enter(number)
        except CONNECT_ERRORS as exc:
            say(refused=str(exc), state=client.state.value, number=number)
            return
        except CallError as exc:
            say(failed=f"{type(exc).__name__}: {exc}", number=number)
            continue
        encrypted = client.security.encrypted if client.security is not None else before
        if encrypted != before:
            before = encrypted
            say(encrypted=encrypted, number=number, connections=client.statistics().connections)
        await trio.sleep(0.005)


if __name__ == "__main__":
    trio.run(main, int(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]))
