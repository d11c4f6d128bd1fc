"""The servers that are scanned: ours as its command runs it, and one that is weak on purpose."""

from __future__ import annotations

import contextlib
import socket
import ssl
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import attrs

from protocol.certs import ensure_server_identity
from protocol.certs.groups import wanted_groups
from tests.appserver.cli.processes import read_announcement, started
from tests.system.processes import environment

SECONDS = 600.0
"""How long a server may live: the slowest scanner takes two minutes."""

COMMAND = ("appserver.cli", "run", "--json", "tests.system.application")
EMBEDDED = ("tests.scan.embedded",)


@attrs.frozen
class Scanned:
    """A server that listens.

    Attributes:
        name: what the report calls it.
        port: on the loopback.
        authority: file of the authority that a verifier is to trust.
        versions: TLS versions that it is to speak.
        groups: of the key exchange, that it is to have.
    """

    name: str
    port: int
    authority: Path
    versions: tuple[str, ...] = ("1.2", "1.3")
    groups: tuple[str, ...] = attrs.field(factory=wanted_groups)


OURS: Mapping[str, Mapping[str, str]] = {
    "default": {},
    "rsa": {"APPSERVER_TLS_KEY_TYPE": "rsa3072"},
    "modern": {"APPSERVER_TLS_MIN_VERSION": "1.3"},
    "embedded": {},
}
"""Settings of the servers of ours that are scanned. An RSA key adds the DHE suites, and `dhparams.pem`; the
embedded one runs in a process that is not the command's."""


@contextlib.contextmanager
def our_server(name: str, folder: Path) -> Iterator[Scanned]:
    """Run one of our servers with new Resources on a free port.

    Args:
        name: of `OURS`.
        folder: to be its working folder, empty.
    """
    variables = environment(
        {
            **OURS[name],
            "DESK_FOLDER": str(folder),
            "APPSERVER_CLIENT_SERVER_PORT": "0",
            # A scanner opens hundreds of connections from one address, which the limits are there to refuse.
            "APPSERVER_LIMITS_PER_SOURCE": "1000",
            "APPSERVER_LIMITS_CONNECTIONS_BEFORE_AUTHENTICATION": "1000",
        }
    )
    words = [sys.executable, "-m", *(EMBEDDED if name == "embedded" else COMMAND)]
    with started(words, folder, variables, seconds=SECONDS) as process:
        port = int(read_announcement(process, folder)["listening"][0].rpartition(":")[2])
        versions = ("1.3",) if name == "modern" else ("1.2", "1.3")
        list_is_possible = name != "embedded" or hasattr(ssl.SSLContext, "set_groups")
        groups = wanted_groups() if list_is_possible else ("P-256",)
        yield Scanned(name, port, folder / "Resources" / "authority" / "ca.pem", versions, groups)


@contextlib.contextmanager
def weak_server(folder: Path) -> Iterator[Scanned]:
    """Run the control: a good certificate, but RSA key exchange, CBC, tickets and OpenSSL's own groups."""
    identity = ensure_server_identity(folder / "Resources", key_type="rsa3072")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity.cert_file, identity.key_file)
    context.set_ciphers("AES128-SHA:ECDHE-RSA-AES128-SHA:@SECLEVEL=0")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        # It ends when the listener is closed below it.
        threading.Thread(target=_answer, args=(listener, context), daemon=True).start()
        authority = folder / "Resources" / "authority" / "ca.pem"
        yield Scanned("weak", listener.getsockname()[1], authority)
        listener.shutdown(socket.SHUT_RDWR)


def _answer(listener: socket.socket, context: ssl.SSLContext) -> None:
    while True:
        try:
            sock, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_shake_hands, args=(sock, context), daemon=True).start()


def _shake_hands(sock: socket.socket, context: ssl.SSLContext) -> None:
    with contextlib.suppress(OSError), sock:
        sock.settimeout(10)
        with context.wrap_socket(sock, server_side=True) as tls:
            tls.recv(1024)
