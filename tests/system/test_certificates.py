"""TLS as others see it: OpenSSL's own client, four ways not to be the right server, and files that cannot be used."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trio
import trustme
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from appclient import connect
from protocol.certs import (
    ExpiredServerCertificate,
    PeerError,
    PinMismatch,
    UnknownAuthority,
    WrongServerName,
)
from protocol.transport import Address
from tests.appserver.cli.processes import command
from tests.system.application import Desk
from tests.system.processes import (
    ServerProcess,
    client_of,
    client_resources,
    client_settings,
    environment,
    serving,
)

DAY = timedelta(days=1)
OPENSSL = shutil.which("openssl") or "openssl"


async def s_client(server: ServerProcess, *words: str, authority: Path) -> subprocess.CompletedProcess[bytes]:
    """Run OpenSSL's client; it says a PING frame and reads until the server ends the connection."""
    ping = b"\x00\x00\x00\x02\x30\x00\x00\x00\x00\x00\x91\x01"
    line = [
        OPENSSL,
        "s_client",
        "-connect",
        f"127.0.0.1:{server.port}",
        "-servername",
        "localhost",
        "-CAfile",
    ]
    line += [str(authority), "-verify_return_error", "-verify_hostname", "localhost", "-ign_eof", *words]
    return await trio.run_process(line, stdin=ping, capture_stdout=True, capture_stderr=True, check=False)


@pytest.mark.parametrize(("option", "version"), [("-tls1_2", b"TLSv1.2"), ("-tls1_3", b"TLSv1.3")])
async def test_openssl_completes_a_handshake_and_verifies_the_server(
    tmp_path: Path, option: str, version: bytes
) -> None:
    with trio.fail_after(20):
        async with serving(tmp_path, timeouts_first_frame=0.5) as server:
            authority = client_resources(server) / "ca.pem"
            result = await s_client(server, option, "-alpn", "appserver/1", authority=authority)
            assert b"ALPN protocol: appserver/1" in result.stdout
            assert b"Verify return code: 0 (ok)" in result.stdout
            assert version in result.stdout
            assert b"\x31\x00\x00\x00\x00\x00\x91\x01" in result.stdout, "PONG: the frames are served"
            assert result.returncode == 0


@pytest.mark.parametrize("words", [["-alpn", "h2"], ["-alpn", "appserver/2,http/1.1"], []])
@pytest.mark.parametrize("option", ["-tls1_2", "-tls1_3"])
async def test_a_client_of_another_service_is_refused(tmp_path: Path, words: list[str], option: str) -> None:
    with trio.fail_after(20):
        async with serving(tmp_path) as server:
            with trio.fail_after(2):
                result = await s_client(server, option, *words, authority=client_resources(server) / "ca.pem")
            assert b"ALPN protocol: appserver/1" not in result.stdout
            assert b"\x31\x00\x00\x00\x00\x00\x91\x01" not in result.stdout
            assert b"appserver clients only" in result.stdout or result.returncode
            assert len(await server.wait_log(lambda line: "protocol" in str(line.get("finding")))) == 1


async def test_older_versions_of_tls_are_refused(tmp_path: Path) -> None:
    with trio.fail_after(20):
        async with serving(tmp_path, tls_min_version="1.3") as server:
            authority = client_resources(server) / "ca.pem"
            result = await s_client(server, "-tls1_2", "-alpn", "appserver/1", authority=authority)
            assert b"alert protocol version" in result.stderr
            assert result.returncode == 1


# What is not the right server


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def write_identity(folder: Path, certificate: trustme.LeafCert) -> None:
    """Make a certificate the server's."""
    resources = folder / "Resources"
    resources.mkdir(mode=0o700)
    resources.joinpath("cert.pem").write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    with open(os.open(resources / "key.pem", os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
        file.write(certificate.private_key_pem.bytes())


def trusting(authority: trustme.CA, folder: Path) -> Path:
    """Resources of a client that trusts an authority."""
    folder.mkdir()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    return folder


async def refusal(address: Address, resources: Path) -> PeerError:
    """Why a client does not connect."""
    with trio.fail_after(5), pytest.raises(PeerError) as caught:
        async with connect(
            address, resources=resources, settings=client_settings(), credentials={"a": "secret"}
        ):
            pass
    return caught.value


@contextlib.asynccontextmanager
async def expired_server(authority: trustme.CA) -> AsyncIterator[int]:
    """A TLS server whose certificate's time is over: ours would not start with it."""
    certificate = authority.issue_cert(
        "localhost", not_before=datetime.now(UTC) - 3 * DAY, not_after=datetime.now(UTC) - DAY
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.set_alpn_protocols(["appserver/1"])
    certificate.configure_cert(context)

    async def serve(stream: trio.SSLStream[trio.SocketStream]) -> None:
        with contextlib.suppress(trio.BrokenResourceError):
            await stream.do_handshake()

    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_ssl_over_tcp, serve, 0, context)
        # One for each address family, each with a port of its own.
        yield next(
            listener.transport_listener.socket.getsockname()[1]
            for listener in listeners
            if listener.transport_listener.socket.family == socket.AF_INET
        )
        nursery.cancel_scope.cancel()


async def test_each_way_not_to_be_the_right_server_has_its_own_error(
    tmp_path: Path, authority: trustme.CA
) -> None:
    found: dict[type[PeerError], PeerError] = {}
    (tmp_path / "right").mkdir()
    (tmp_path / "other").mkdir()
    write_identity(tmp_path / "right", authority.issue_cert("localhost", "127.0.0.1"))
    write_identity(tmp_path / "other", authority.issue_cert("desk.example"))
    with trio.fail_after(30):
        async with serving(tmp_path / "right") as right, serving(tmp_path / "other") as other:
            local = Address("localhost", right.port)
            resources = trusting(authority, tmp_path / "control")
            async with connect(local, resources=resources, settings=client_settings()) as client:
                assert await client.use(Desk).echo("right") == "right"
            pinned = Address("localhost", right.port, "sha256:" + "0" * 64)
            async with expired_server(authority) as expired:
                for kind, address, trusted in (
                    (WrongServerName, Address("localhost", other.port), authority),
                    (UnknownAuthority, local, trustme.CA()),
                    (PinMismatch, pinned, authority),
                    (ExpiredServerCertificate, Address("localhost", expired), authority),
                ):
                    found[kind] = await refusal(address, trusting(trusted, tmp_path / kind.__name__))
                    assert f"localhost:{address.port}" in found[kind].address
            assert [type(error) for error in found.values()] == list(found)
            assert len({error.cause for error in found.values()}) == 4
            for error in found.values():
                assert str(error).startswith(error.address)
                assert error.cause in str(error)
                assert error.next_step
                assert error.next_step in str(error)


# Files that cannot be used


def mismatch(resources: Path, other: trustme.LeafCert) -> None:
    (resources / "key.pem").write_bytes(other.private_key_pem.bytes())


def no_key(resources: Path, _: object) -> None:
    (resources / "key.pem").unlink()


def readable(resources: Path, _: object) -> None:
    (resources / "key.pem").chmod(0o644)


def garbage(resources: Path, _: object) -> None:
    (resources / "cert.pem").write_text("-----BEGIN CERTIFICATE-----\nnothing\n-----END CERTIFICATE-----\n")


def empty(resources: Path, _: object) -> None:
    (resources / "cert.pem").write_bytes(b"")


def bare_cr(resources: Path, _: object) -> None:
    content = (resources / "cert.pem").read_bytes()
    (resources / "cert.pem").write_bytes(content.replace(b"\n", b"\r"))


def a_folder(resources: Path, _: object) -> None:
    (resources / "cert.pem").unlink()
    (resources / "cert.pem").mkdir()


def locked(resources: Path, _: object) -> None:
    key = load_pem_private_key((resources / "key.pem").read_bytes(), None)
    lock = BestAvailableEncryption(b"nobody gave it")
    (resources / "key.pem").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock))


def expired(resources: Path, _: object) -> None:
    now = datetime.now(UTC)
    certificate = trustme.CA().issue_cert("localhost", not_before=now - 3 * DAY, not_after=now - DAY)
    (resources / "cert.pem").write_bytes(certificate.cert_chain_pems[0].bytes())
    (resources / "key.pem").write_bytes(certificate.private_key_pem.bytes())


def nothing(resources: Path, _: object) -> None:
    shutil.rmtree(resources)


BREAK = (mismatch, no_key, readable, garbage, empty, bare_cr, a_folder, locked, expired, nothing)


def test_no_server_starts_with_files_that_cannot_be_used(tmp_path: Path, authority: trustme.CA) -> None:
    """Ten at once, each with other files; none listens, in plain text least of all."""
    processes: dict[Callable[..., None], subprocess.Popen[str]] = {}
    other = authority.issue_cert("localhost")
    for breaking in BREAK:
        folder = tmp_path / breaking.__name__
        folder.mkdir()
        write_identity(folder, authority.issue_cert("localhost"))
        breaking(folder / "Resources", other)
        processes[breaking] = subprocess.Popen(
            command("appserver", "run", "--json", "tests.system.application"),
            cwd=folder,
            env=environment({"APPSERVER_CLIENT_SERVER_PORT": "0", "APPSERVER_TLS_AUTO_CERTIFICATE": "false"}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    told: set[str] = set()
    for breaking, process in processes.items():
        try:
            stdout, stderr = process.communicate(timeout=30)
        finally:
            process.kill()
        assert (process.returncode, stdout) == (1, ""), breaking
        assert "Resources" in stderr, breaking
        assert "Traceback" not in stderr, breaking
        told.add(stderr.replace(breaking.__name__, ""))
    assert len(told) == len(BREAK)


async def test_a_client_of_the_first_start_verifies_the_name(tmp_path: Path) -> None:
    with trio.fail_after(20):
        async with serving(tmp_path) as server, client_of(server) as client:
            assert client.security is not None
            assert (client.security.version, client.security.protocol) == ("TLSv1.3", "appserver/1")
            assert client.security.fingerprint == server.address.pin
