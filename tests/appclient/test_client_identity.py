"""A client's own certificate: its key may be encrypted, and nobody is ever asked for the passphrase."""

from __future__ import annotations

import os
import ssl
import sys
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
import trio
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from appclient import connect
from protocol.certs import MissingFile, PassphraseNeeded, ServerKeyInClientResources, WrongPassphrase
from protocol.settings import Settings, TlsSettings
from tests.appclient.tls_server import SETTINGS, VERSIONS, context_of, issue, tls_server, trusting
from tests.secrecy.canaries import canary
from tests.terminals import silent_terminal

PASSPHRASE = canary("passphrase of a client's key")


@pytest.fixture(scope="module")
def own(authority: trustme.CA) -> trustme.LeafCert:
    return issue(authority, "anna@example.org")


@pytest.fixture
def resources(tmp_path: Path, authority: trustme.CA, own: trustme.LeafCert) -> Path:
    """A client's folder with an identity whose key is encrypted."""
    folder = trusting(tmp_path / "client", authority)
    (folder / "cert.pem").write_bytes(own.cert_chain_pems[0].bytes())
    write_key(folder, own, BestAvailableEncryption(PASSPHRASE.encode()))
    return folder


def write_key(folder: Path, certificate: trustme.LeafCert, encryption: KeySerializationEncryption) -> None:
    key = load_pem_private_key(certificate.private_key_pem.bytes(), None)
    with open(os.open(folder / "key.pem", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))


def from_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> TlsSettings:
    path = folder / "passphrase"
    path.write_text(f"{PASSPHRASE}\n")
    path.chmod(0o600)
    return TlsSettings(passphrase_file=path)


def from_variable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> TlsSettings:
    monkeypatch.setenv("DESK_PASSPHRASE", PASSPHRASE)
    return TlsSettings(passphrase_variable="DESK_PASSPHRASE")


def with_tls(tls: TlsSettings) -> Settings:
    return attrs.evolve(SETTINGS, tls=tls)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("give", [from_file, from_variable])
async def test_the_passphrase_of_a_clients_key_comes_from_where_the_settings_say(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    authority: trustme.CA,
    own: trustme.LeafCert,
    resources: Path,
    give: Callable[[Path, pytest.MonkeyPatch], TlsSettings],
    version: str,
) -> None:
    settings = with_tls(give(tmp_path, monkeypatch))
    async with tls_server(context_of(issue(authority), version, clients=authority)) as server:
        async with connect(server.address, resources=resources, settings=settings):
            pass
        shown = ssl.PEM_cert_to_DER_cert(own.cert_chain_pems[0].bytes().decode())
        assert server.clients == [shown]


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_nobody_is_asked_for_it_not_even_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, resources: Path
) -> None:
    async def try_to_connect() -> None:
        async with connect("localhost:1", resources=resources, settings=SETTINGS):
            pass

    with silent_terminal() as theirs, open(theirs, "r+b", buffering=0, closefd=False) as terminal:
        monkeypatch.setattr("sys.stdin", terminal)
        with pytest.raises(PassphraseNeeded, match="passphrase_file"):
            trio.run(try_to_connect)


async def test_a_wrong_or_missing_passphrase_is_an_error_of_its_own_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resources: Path
) -> None:
    monkeypatch.setenv("DESK_PASSPHRASE", canary("wrong passphrase of a client's key"))
    settings = with_tls(TlsSettings(passphrase_variable="DESK_PASSPHRASE"))
    with pytest.raises(WrongPassphrase) as caught:
        async with connect("localhost:1", resources=resources, settings=settings):
            pass
    assert "canary" not in str(caught.value)
    missing = with_tls(TlsSettings(passphrase_file=tmp_path / "none"))
    with pytest.raises(MissingFile, match="none"):
        async with connect("localhost:1", resources=resources, settings=missing):
            pass


async def test_a_passphrase_file_that_the_server_alone_has_does_not_trouble_a_client_with_an_open_key(
    tmp_path: Path, authority: trustme.CA, own: trustme.LeafCert, resources: Path
) -> None:
    write_key(resources, own, NoEncryption())
    settings = with_tls(TlsSettings(passphrase_file=tmp_path / "only the server has it"))
    async with (
        tls_server(context_of(issue(authority), "1.3", clients=authority)) as server,
        connect(server.address, resources=resources, settings=settings),
    ):
        assert server.clients != [None]


async def test_a_servers_key_beside_the_certificate_that_is_trusted_is_recognised(
    tmp_path: Path, authority: trustme.CA
) -> None:
    certificate = issue(authority)
    folder = tmp_path / "client"
    folder.mkdir()
    (folder / "ca.pem").write_bytes(certificate.cert_chain_pems[0].bytes())
    (folder / "cert.pem").write_bytes(certificate.cert_chain_pems[0].bytes())
    write_key(folder, certificate, BestAvailableEncryption(PASSPHRASE.encode()))
    settings = with_tls(from_file(tmp_path, pytest.MonkeyPatch()))
    with pytest.raises(ServerKeyInClientResources, match="Delete it here"):
        async with connect("localhost:1", resources=folder, settings=settings):
            pass
