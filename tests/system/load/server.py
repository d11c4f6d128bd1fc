"""`python -m tests.system.load.server FOLDER [plain]`: serve `Load` on a free port until standard input ends."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import attrs
import trio

from appserver import open_server
from protocol.settings import ClientServerSettings, Settings
from tests.system.load.app import make_app


async def main(folder: Path, *, encrypt: bool) -> None:
    """Serve; the first line of standard output is the address to connect to."""
    settings = attrs.evolve(Settings(), client_server=ClientServerSettings(encrypt=encrypt, port=0))
    files = folder / "files"
    files.mkdir(exist_ok=True)
    async with open_server(make_app(files), settings=settings, resources=folder / "Resources") as server:
        print(server.connection_address("localhost"), flush=True)
        # The parent may be killed: then this pipe ends, and so does the server.
        await trio.lowlevel.wait_readable(sys.stdin.fileno())


if __name__ == "__main__":
    os.set_blocking(sys.stdin.fileno(), False)
    trio.run(lambda: main(Path(sys.argv[1]), encrypt="plain" not in sys.argv[2:]))
