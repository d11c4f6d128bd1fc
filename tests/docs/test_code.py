"""The Python of the documents compiles, and what can be run is run."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import trio

from appserver import open_server
from appserver.testing import loopback
from protocol.settings import ClientServerSettings, Settings
from tests.conftest import ErrorLog
from tests.docs.pages import PAGES, ROOT, Block, blocks
from tests.docs.running import document, run

KINDS = {"", "client", "address", "fragment"}
README = ROOT / "README.md"
GUIDE = ROOT / "docs" / "guide.md"
RUN = [page for page in PAGES if page != README and blocks(page)]
"""The README's blocks are files of one folder: `test_readme` runs them."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_blocks_compile(page: Path) -> None:
    for block in blocks(page):
        assert block.kind in KINDS, f"{page.name}:{block.line}: {block.kind}"
        block.compile()


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.name)
async def test_modules_and_their_tests_run(page: Path) -> None:
    with document(_with_guide(page)) as defined:
        for name, value in list(vars(defined).items()):
            if name.startswith("test_") and inspect.iscoroutinefunction(value):
                with trio.fail_after(20):
                    await value()


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.name)
async def test_client_blocks_run_on_the_harness(page: Path, error_log: ErrorLog) -> None:
    wanted = [block for block in blocks(page) if block.kind == "client"]
    if not wanted:
        return
    with document(_with_guide(page)) as defined:
        async with loopback(defined.app) as client:
            namespace: dict[str, Any] = {**vars(defined), "client": client}
            namespace["orders"] = client.use(defined.Orders)
            for block in wanted:
                with trio.fail_after(20):
                    await run(block, namespace)
    assert len(error_log.take("handler failed")) <= 1, (
        "the guide shows how such a failure looks to the caller"
    )


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.name)
async def test_address_blocks_run_against_a_server(page: Path, tmp_path: Path) -> None:
    wanted = [block for block in blocks(page) if block.kind == "address"]
    if not wanted:
        return
    settings = Settings(client_server=ClientServerSettings(port=0))
    with document(_with_guide(page)) as defined:
        async with open_server(defined.app, settings=settings, resources=tmp_path / "Resources") as server:
            namespace = {**vars(defined), "address": str(server.connection_address())}
            with trio.fail_after(60):
                await trio.to_thread.run_sync(_run_all, wanted, namespace)


def _run_all(wanted: list[Block], namespace: dict[str, Any]) -> None:
    for block in wanted:
        if block.compile().co_flags & inspect.CO_COROUTINE:
            trio.run(run, block, namespace)
        else:
            exec(block.compile(), namespace)


def _with_guide(page: Path) -> list[Block]:
    """A page's blocks; the other pages go on with the guide's order desk."""
    return blocks(page) if page == GUIDE else [*blocks(GUIDE), *blocks(page)]
