"""A server inside a process that is not the command's: it says where it listens, as the command does."""

from __future__ import annotations

import json

import trio

from appserver import open_server
from protocol.settings import settings_from_environment
from tests.system.application import app


async def main() -> None:
    """Serve until killed."""
    async with open_server(app, settings=settings_from_environment()) as server:
        print(json.dumps({"listening": server.addresses}), flush=True)
        await trio.sleep_forever()


if __name__ == "__main__":
    trio.run(main)
