"""The truth table of `docs/tls.md`, cell by cell, over real connections."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal

import pytest
import trio

from appclient import CONNECT_ERRORS, connect
from appclient.asking import Ask
from appserver import Application, open_server
from protocol.certs import ensure_server_identity, note_server
from protocol.settings import ClientServerSettings, Settings
from protocol.transport import Address
from tests.appserver.clients import ClientAuthority
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


async def _try(address: Address, folder: Path, encrypts: bool, ask: Ask | None = None) -> str:
    settings = Settings(client_server=ClientServerSettings(encrypt=encrypts))
    try:
        with trio.fail_after(10):
            trust: Literal["ask", "verify"] = "verify" if ask is None else "ask"
            async with connect(address, resources=folder, settings=settings, trust=trust, ask=ask) as client:
                assert client.security is not None
                return "encrypted" if client.security.encrypted else "plain text"
    except CONNECT_ERRORS as exc:
        return type(exc).__name__


CERTIFICATES = ["with a certificate that counts", "with none", "with a revoked one, or a stranger's"]
MUTUAL = {row[0]: row[1:] for row in table(ROOT / "docs" / "tls.md", "who connects")}
CALLERS = [
    "encrypts, has the server's pin",
    "encrypts, trusts the server's authority",
    'encrypts, asks its user (`trust="ask"`), who says yes',
    "encrypts, does not trust the server",
    "plain",
]


def test_the_table_of_mutual_tls_has_these_clients() -> None:
    assert list(MUTUAL) == CALLERS


@pytest.mark.parametrize("shown", ["good", "none", "revoked", "stranger"])
@pytest.mark.parametrize("caller", CALLERS)
async def test_a_cell_of_mutual_tls_is_as_written(caller: str, shown: str, tmp_path: Path) -> None:
    cell = MUTUAL[caller][{"good": 0, "none": 1}.get(shown, 2)]
    resources, folder = tmp_path / "Resources", tmp_path / "client"
    ensure_server_identity(resources)
    folder.mkdir()
    club, stranger = ClientAuthority(), ClientAuthority()
    (resources / "clients-ca.pem").write_bytes(club.pem)
    serial = 1
    if shown != "none":
        serial = (stranger if shown == "stranger" else club).issue(folder, "ada")
    (resources / "clients-crl.pem").write_bytes(club.revocations([serial] if shown == "revoked" else []))
    if "authority" in caller:
        (folder / "ca.pem").write_bytes((resources / "authority" / "ca.pem").read_bytes())
    elif "does not trust" in caller:
        (folder / "ca.pem").write_bytes(stranger.pem)
    settings = Settings(client_server=ClientServerSettings(port=0))
    async with open_server(Application("cells"), settings=settings, resources=resources) as server:
        assert server.identity is not None
        pin = server.identity.fingerprint if "pin" in caller else None
        address = Address("localhost", server.port, pin)
        ask = _yes if "asks" in caller else None
        outcome = await _try(address, folder, caller != "plain", ask=ask)
    assert outcome in cell
    assert (outcome == "encrypted") == ("connected" in cell)


async def _yes(facts: object) -> bool:
    return True
