"""`appserver run` starts OpenSSL with our groups, and leaves no trace of it."""

from __future__ import annotations

import socket
import ssl
import sys
from pathlib import Path

import pytest

from protocol.certs.groups import GROUP_NAMES, GROUPS, HYBRID, OPENSSL_NAMES, wanted_groups
from tests.appserver.cli.processes import RunningServer, running

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no process can replace itself there")

APPLICATION = """
import os
from typing import Protocol
from appserver import Application
from protocol import Interface

class Echo(Interface, Protocol, version=(1, 0)):
    async def echo(self, text: str) -> str: ...

class EchoBack(Echo):
    async def echo(self, text: str) -> str: return text

app = Application("echo")
app.register(EchoBack())
with open("environment.txt", "w") as file:
    for name, value in os.environ.items():
        if "OPENSSL" in name:
            print(name, value, file=file)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "echo.py").write_text(APPLICATION)
    return tmp_path


def spoken(server: RunningServer, folder: Path, group: str) -> str | None:
    """The suite that a client with one group gets; None where it is refused."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(folder / "Resources" / "authority" / "ca.pem")
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.set_alpn_protocols(["appserver/1"])
    context.set_ecdh_curve(OPENSSL_NAMES.get(group, group))
    with socket.create_connection(("127.0.0.1", int(server.port)), timeout=10) as sock:
        try:
            with context.wrap_socket(sock, server_hostname="localhost") as tls:
                cipher = tls.cipher()
                return cipher[0] if cipher else None
        except ssl.SSLError as error:
            if error.reason != "SSLV3_ALERT_HANDSHAKE_FAILURE":
                raise
            return None


def test_the_server_has_the_groups_and_no_other(folder: Path) -> None:
    with running(folder, "echo") as server:
        for group in GROUP_NAMES.values():
            if "MLKEM" not in group:  # cannot be asked for alone by this Python
                assert bool(spoken(server, folder, group)) == (group in GROUPS), group
    assert (folder / "environment.txt").read_text() == ""
    assert set(wanted_groups()) <= {HYBRID, *GROUPS}


def test_the_users_own_configuration_counts_and_is_what_the_application_sees(folder: Path) -> None:
    own = folder / "own.cnf"
    own.write_text(
        "openssl_conf = a\n[a]\nssl_conf = b\n[b]\nsystem_default = c\n"
        "[c]\nCiphersuites = TLS_CHACHA20_POLY1305_SHA256\n"
    )
    with running(folder, "echo", extra={"OPENSSL_CONF": str(own)}) as server:
        assert spoken(server, folder, "P-384") == "TLS_CHACHA20_POLY1305_SHA256"
        assert spoken(server, folder, "ffdhe2048") is None
    assert (folder / "environment.txt").read_text() == f"OPENSSL_CONF {own}\n"
