"""The README's Python runs: its blocks are the files of one folder, around the server of the first one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import trio

from appserver import open_server
from protocol.settings import ClientServerSettings, Settings
from tests.docs.pages import ROOT, Block, blocks
from tests.docs.running import document

BLOCKS = blocks(ROOT / "README.md")
CLIENTS = [block for block in BLOCKS if "\nADDRESS = " in block.text]


@pytest.fixture
def greeter() -> Block:
    text = f"# greeter.py\n{BLOCKS[0].text}"
    return Block(BLOCKS[0].page, BLOCKS[0].line - 1, "python", "", text)


async def test_the_clients_greet(greeter: Block, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = Settings(client_server=ClientServerSettings(port=0))
    with document([greeter]) as defined:
        async with open_server(defined.app, settings=settings, resources=tmp_path / "Resources") as server:
            for block in CLIENTS:
                address = f'ADDRESS = "{server.connection_address()}"'
                text = re.sub(r"^ADDRESS = \S+", address, block.text, flags=re.MULTILINE)
                code = compile(text, str(block.page), "exec", dont_inherit=True)
                with trio.fail_after(20):
                    await trio.to_thread.run_sync(exec, code, {"__name__": "client"})
    assert len(CLIENTS) == 2
    assert capsys.readouterr().out == "Hello, Ada!\n" * 2


async def test_the_test_passes(greeter: Block) -> None:
    (block,) = [block for block in BLOCKS if "async def test_" in block.text]
    with document([greeter]):
        namespace: dict[str, object] = {"__name__": "test_greeter"}
        exec(block.compile(), namespace)
        with trio.fail_after(20):
            await namespace["test_greeting"]()  # type: ignore[operator]
