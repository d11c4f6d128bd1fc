"""The truth table of `docs/tls.md`, cell by cell, over real connections."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import trio

from appclient import CONNECT_ERRORS, connect
from appserver import Application, open_server
from protocol.certs import note_server
from protocol.settings import ClientServerSettings, Settings
from protocol.transport import Address
from tests.docs.pages import ROOT, table

ROWS = {row[0]: row[1:] for row in table(ROOT / "docs" / "tls.md", "client")}
CLIENTS = {
    "encrypts, trusts the server (pin or authority)": (True, "right"),
    "encrypts, does not trust it": (True, "wrong"),
    "plain": (False, None),
    "plain, with a pin in the address": (False, "right"),
    "plain, and has seen this server encrypted": (False, None),
}


def test_the_table_has_these_clients() -> None:
    assert list(ROWS) == list(CLIENTS)


@pytest.mark.parametrize("encrypted", [True, False])
@pytest.mark.parametrize("client", CLIENTS)
async def test_a_cell_is_as_written(client: str, encrypted: bool, tmp_path: Path) -> None:
    cell = ROWS[client][0 if encrypted else 1]
    encrypts, kind = CLIENTS[client]
    settings = Settings(client_server=ClientServerSettings(port=0, encrypt=encrypted))
    async with open_server(
        Application("cells"), settings=settings, resources=tmp_path / "Resources"
    ) as server:
        pin = server.identity.fingerprint if server.identity is not None else f"sha256:{'0' * 64}"
        pins = {"right": pin, "wrong": f"sha256:{'1' * 64}", None: None}
        address = Address("127.0.0.1", server.port, pins[kind])
        folder = tmp_path / "client"
        folder.mkdir()
        if "seen" in client:
            note_server(folder / "known_servers.toml", address.host, address.port)
        outcome = await _try(address, folder, encrypts)
    expected = re.findall(r"`(\w+)`", cell)
    if expected:
        assert outcome in expected
    else:
        assert outcome == ("encrypted" if "encrypted" in cell else "plain text")
        assert outcome in cell


async def _try(address: Address, folder: Path, encrypts: bool) -> str:
    settings = Settings(client_server=ClientServerSettings(encrypt=encrypts))
    try:
        with trio.fail_after(10):
            async with connect(address, resources=folder, settings=settings) as client:
                assert client.security is not None
                return "encrypted" if client.security.encrypted else "plain text"
    except CONNECT_ERRORS as exc:
        return type(exc).__name__
