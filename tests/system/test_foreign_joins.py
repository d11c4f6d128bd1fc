"""A client in another language joins: sockets, TLS, msgpack and a certificate request, as docs/protocol.md says it.

Nothing of this project's client or protocol is used, but for what starts the server and makes the code.
"""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import ssl
import struct
import subprocess
from pathlib import Path
from typing import Any

import msgpack
import pytest
import trio
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from protocol.certs import invite_client
from tests.secrecy.canaries import secret
from tests.system.processes import SECONDS, serving

HELLO, WELCOME, CALL, RESULT, ERROR = 0x01, 0x02, 0x10, 0x13, 0x14
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def read_code(code: str) -> tuple[int, bytes, bytes, str]:
    """Port, hash of the authority's key, secret and host."""
    body = code.removeprefix("join").upper()
    content = base64.b32decode(body + "=" * (-len(body) % 8))
    assert hashlib.sha256(b"invitation" + content[:-4]).digest()[:4] == content[-4:]
    version, port = struct.unpack_from(">BH", content)
    assert version == 1
    return port, content[3:35], content[35:55], content[55:-4].decode("ascii")


class Connection:
    """One connection of a stranger's client."""

    def __init__(self, context: ssl.SSLContext, host: str, port: int, version: str) -> None:
        context.minimum_version = context.maximum_version = VERSIONS[version]
        context.set_alpn_protocols(["appserver-join/1"])
        self.tls = context.wrap_socket(socket.create_connection((host, port), 10), server_hostname=host)
        assert self.tls.selected_alpn_protocol() == "appserver-join/1"

    def send(self, kind: int, stream: int, payload: list[Any]) -> None:
        body = msgpack.packb(payload)
        self.tls.sendall(struct.pack(">IBBI", len(body), kind, 0, stream) + body)

    def receive(self) -> tuple[int, Any]:
        length, kind, _, _ = struct.unpack(">IBBI", self._exactly(10))
        return kind, msgpack.unpackb(self._exactly(length))

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = self.tls.recv(size - len(data))
            assert piece, "the server hung up"
            data += piece
        return data


def look(host: str, port: int, version: str, wanted: bytes) -> str:
    """The authority's certificate as PEM, found among what the server shows; `openssl` shows all of it."""
    shown = subprocess.run(
        ["openssl", "s_client", "-connect", f"{host}:{port}", "-alpn", "appserver-join/1", "-showcerts"],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        timeout=20,
    ).stdout
    end = "-----END CERTIFICATE-----\n"
    for part in shown.split("-----BEGIN CERTIFICATE-----\n")[1:]:
        pem = "-----BEGIN CERTIFICATE-----\n" + part.split(end)[0] + end
        key = x509.load_pem_x509_certificate(pem.encode()).public_key()
        info = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        if hashlib.sha256(info).digest() == wanted:
            return pem
    raise AssertionError("the authority is not there")


def join(code: str, version: str) -> tuple[int, Any]:
    port, authority, proof, host = read_code(code)
    context = ssl.create_default_context(cadata=look(host, port, version, authority))
    connection = Connection(context, host, port, version)
    connection.send(HELLO, 0, [[1], "a stranger"])
    kind, welcome = connection.receive()
    assert kind == WELCOME
    assert list(welcome[3]["interfaces"]) == ["Joining"]
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, SHA256())
    body = msgpack.packb([proof, request.public_bytes(Encoding.DER), {}])
    connection.send(CALL, 1, ["Joining.join", None, body])
    kind, answer = connection.receive()
    connection.tls.close()
    if kind == RESULT:
        admission = msgpack.unpackb(answer[0])
        certificate = x509.load_der_x509_certificate(admission["certificate"])
        assert certificate.public_key() == key.public_key()
        certificate.verify_directly_issued_by(x509.load_der_x509_certificate(admission["authority"]))
        assert admission["anchors"] == [admission["authority"]]
        return kind, certificate.subject.rfc4514_string()
    return kind, answer[0]


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_strangers_client_joins_by_what_the_page_says(tmp_path: Path, version: str) -> None:
    with trio.fail_after(SECONDS):
        async with serving(tmp_path) as server:
            invited = invite_client(tmp_path / "Resources", "ada", host="localhost", port=server.port)
            secret(invited.code)
            assert await trio.to_thread.run_sync(join, invited.code, version) == (RESULT, "CN=ada")
            assert await trio.to_thread.run_sync(join, invited.code, version) == (ERROR, "joining.code_used")
    assert json.dumps(server.log()).count("client joined") == 1
