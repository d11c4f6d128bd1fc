"""`appserver invite` and `appclient join`: a client that has nothing but a code becomes one with a name.

The server is a process of its own, which lets nobody in without a certificate; what joins is this process or the
command.
"""

from __future__ import annotations

import base64
import itertools
import json
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import attrs
import pytest
import trio
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

import appclient.joining
from appclient import (
    Client,
    ConnectionState,
    ExpiredCode,
    JoinInterrupted,
    UnknownCode,
    UsedCode,
    connect,
    join,
)
from appclient.bridge import blocking
from appclient.renewing import keep_identity
from protocol.certs import (
    ClientCertificateRefused,
    ClientCertificateRequired,
    CodeError,
    ExistingFile,
    InvitationCode,
    WrongAuthority,
    admit_client,
    anchors_for_clients,
    invite_client,
)
from protocol.certs.joining import finish_joining, prepare_joining
from protocol.transport import EncryptionRequired, ServerNotEncrypted, TransportError
from protocol.transport.tls import TlsTransport
from tests.appserver.cli.processes import command, environment, run_command
from tests.secrecy.canaries import secret
from tests.system.application import Desk
from tests.system.processes import ServerProcess, client_settings, serving
from tests.system.relay import open_relay

VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


async def say(server: ServerProcess, *words: str) -> dict[str, object]:
    """Run a command of the server's; returns what it printed."""
    result = await trio.to_thread.run_sync(
        lambda: run_command(command("appserver", *words, "--json"), cwd=server.folder)
    )
    assert result.returncode == 0, result.stderr
    printed: dict[str, object] = json.loads(result.stdout)
    return printed


async def invite(
    server: ServerProcess, name: str, *, port: int | None = None, ago: timedelta = timedelta()
) -> str:
    """A code for a client."""

    def make() -> str:
        invited = invite_client(
            server.folder / "Resources",
            name,
            host="localhost",
            port=port or int(server.port),
            now=datetime.now(UTC) - ago,
        )
        secret(invited.code)
        return invited.code

    return await trio.to_thread.run_sync(make)


@asynccontextmanager
async def closed_server(folder: Path) -> AsyncIterator[ServerProcess]:
    """A server that lets nobody in without a certificate."""
    folder.mkdir(exist_ok=True)  # noqa: ASYNC240
    async with serving(folder) as server:
        await say(server, "clients", "require")
        with trio.fail_after(30):
            while True:
                try:
                    async with connecting(server, folder / "nobody"):
                        await trio.sleep(0.1)
                except ClientCertificateRequired:
                    break
        yield server


@asynccontextmanager
async def connecting(server: ServerProcess, resources: Path) -> AsyncIterator[Client]:
    """A client that trusts the server's authority, with what else is in its folder."""
    resources.mkdir(exist_ok=True)  # noqa: ASYNC240
    if not (resources / "ca.pem").exists():
        (resources / "ca.pem").write_bytes(server.authority.read_bytes())
    async with connect(
        f"localhost:{server.port}", resources=resources, settings=client_settings(encrypt=True)
    ) as client:
        await client.use(Desk).echo("there")
        yield client


@pytest.fixture(params=VERSIONS)
def tls_version(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Joining speaks this version of TLS alone."""
    for name in ("client_context", "looking_context"):
        make: Callable[..., ssl.SSLContext] = getattr(appclient.joining, name)

        def capped(*args: object, make: Callable[..., ssl.SSLContext] = make) -> ssl.SSLContext:
            context = make(*args)
            context.minimum_version = context.maximum_version = VERSIONS[request.param]
            return context

        monkeypatch.setattr(appclient.joining, name, capped)
    return str(request.param)


async def test_a_client_with_nothing_but_a_code_gets_in_and_is_out_again_when_it_is_revoked(
    tmp_path: Path, tls_version: str
) -> None:
    async with closed_server(tmp_path / "server") as server:
        code = await invite(server, "ada")
        joined = await join(code, resources=tmp_path / "ada")
        assert joined.name == "ada"
        assert {path.name for path in (tmp_path / "ada").glob("*.pem")} == {"ca.pem", "cert.pem", "key.pem"}
        assert (tmp_path / "ada" / "key.pem").stat().st_mode & 0o077 == 0
        async with connecting(server, tmp_path / "ada") as client:
            assert client.security is not None
            await say(server, "clients", "revoke", "ada")
            with trio.fail_after(60):
                await client.wait_state(ConnectionState.REFUSED)
        with pytest.raises(ClientCertificateRefused, match="revoked"):
            async with connecting(server, tmp_path / "ada"):
                pass
        listed = (await say(server, "clients", "list"))["clients"]
        assert isinstance(listed, list)
        assert [(entry["name"], entry["state"]) for entry in listed] == [("ada", "revoked")]


async def test_the_command_joins_and_takes_the_code_from_standard_input(tmp_path: Path) -> None:
    async with closed_server(tmp_path / "server") as server:
        code = str((await say(server, "invite", "bob", "--address", f"localhost:{server.port}"))["code"])
        words = command("appclient", "join", "-", "--resources", "client", "--json")

        def run() -> subprocess.CompletedProcess[str]:
            return subprocess.run(
                words,
                input=code,
                cwd=tmp_path,
                env=environment(),
                capture_output=True,
                text=True,
                check=True,
                timeout=60,
            )

        assert json.loads((await trio.to_thread.run_sync(run)).stdout)["name"] == "bob"
        async with connecting(server, tmp_path / "client"):
            pass


async def test_codes_that_do_not_count_are_refused_each_in_its_words(tmp_path: Path) -> None:
    async with closed_server(tmp_path / "server") as server:
        used = await invite(server, "ada")
        await join(used, resources=tmp_path / "ada")
        with pytest.raises(UsedCode, match="used already"):
            await join(used, resources=tmp_path / "thief")
        for replace in (False, True):
            again = await join(used, resources=tmp_path / "ada", replace=replace)
            assert (again.name, again.kept) == ("ada", ()), "what was done is said again"

        code = await invite(server, "bob")
        with pytest.raises(ExistingFile, match="--replace"):
            await join(code, resources=tmp_path / "ada")
        with pytest.raises(CodeError, match="mistyped"):
            await join(code[:-9] + ("b" if code[-9] != "b" else "c") + code[-8:], resources=tmp_path / "bob")
        other = InvitationCode.parse(code)
        guessed = attrs.evolve(other, secret=bytes(len(other.secret))).encode()
        with pytest.raises(UnknownCode):
            await join(guessed, resources=tmp_path / "guess")
        expired = await invite(server, "eve", ago=timedelta(hours=2))
        with pytest.raises(ExpiredCode):
            await join(expired, resources=tmp_path / "eve")
        for folder in ("thief", "guess", "eve"):
            assert not (tmp_path / folder / "cert.pem").exists()


async def test_another_server_in_between_gets_nothing(tmp_path: Path) -> None:
    (tmp_path / "impostor").mkdir()
    async with (
        closed_server(tmp_path / "server") as server,
        serving(tmp_path / "impostor") as impostor,
        open_relay(impostor.port) as relay,
    ):
        code = await invite(server, "ada", port=relay.port)
        with pytest.raises(WrongAuthority, match="THIS IS NOT THE SERVER"):
            await join(code, resources=tmp_path / "ada")
        assert relay.connections == 1, "it looked, and did not come back to ask"
        log = (tmp_path / "impostor" / "server.log").read_text()
        assert "may not join" not in log
        relay.target = server.port
        assert (await join(code, resources=tmp_path / "ada")).name == "ada"


async def test_the_key_stays_in_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that this process sends is recorded before it is encrypted."""
    sent = bytearray()
    send = TlsTransport.send_nowait

    def recorded(self: TlsTransport, data: bytes | memoryview) -> int:
        taken = send(self, data)
        sent.extend(bytes(data)[:taken])
        return taken

    monkeypatch.setattr(TlsTransport, "send_nowait", recorded)
    async with closed_server(tmp_path / "server") as server:
        await join(await invite(server, "ada"), resources=tmp_path / "ada")
        async with connecting(server, tmp_path / "ada"):
            pass
    key = load_pem_private_key((tmp_path / "ada" / "key.pem").read_bytes(), None)
    assert isinstance(key, EllipticCurvePrivateKey)
    # The bytes of the number alone are in every form of a key; as text they may be broken over lines.
    scalar = key.private_numbers().private_value.to_bytes(32, "big")
    text = b"".join(sent.split())
    assert not [form for form in (scalar, scalar[::-1]) if form in sent]
    assert scalar.hex().encode() not in text.lower()
    assert not [form for form in in_base64(scalar) if form in text]
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    assert public in sent, "what should be there is found"


@pytest.mark.parametrize("form", [PrivateFormat.PKCS8, PrivateFormat.TraditionalOpenSSL])
def test_a_key_would_be_found_in_each_of_its_texts(form: PrivateFormat) -> None:
    key = generate_private_key(SECP256R1())
    pem = key.private_bytes(Encoding.PEM, form, NoEncryption())
    scalar = key.private_numbers().private_value.to_bytes(32, "big")
    assert [text for text in in_base64(scalar) if text in b"".join(pem.split())]


def in_base64(data: bytes) -> list[bytes]:
    """What base64 makes of some bytes, wherever among others they stand; without what depends on their neighbours."""
    return [base64.b64encode(bytes(before) + data)[4 if before else 0 :][:36] for before in range(3)]


async def test_joining_that_was_cut_off_goes_on_with_the_same_code(tmp_path: Path) -> None:
    """Cut after every 120 bytes that the client sends, until it comes through."""
    async with closed_server(tmp_path / "server") as server, open_relay(int(server.port)) as relay:
        cuts = 0
        for number in itertools.count():
            folder = tmp_path / f"client-{number}"
            code = await invite(server, f"client {number}", port=relay.port)
            async with trio.open_nursery() as nursery:
                before = len(relay.up)

                async def cut(size: int) -> None:
                    await relay.wait_up(size)
                    relay.reset()

                nursery.start_soon(cut, before + 120 * (number + 1))
                try:
                    await join(code, resources=folder)
                    whole = True
                except (JoinInterrupted, TransportError):
                    whole = False
                nursery.cancel_scope.cancel()
            if whole:
                break
            cuts += 1
            assert (await join(code, resources=folder)).name == f"client {number}"
        assert cuts >= 2
        async with connecting(server, tmp_path / "client-0"):
            pass


def join_long_ago(server: ServerProcess, folder: Path) -> None:
    """Enrol a client whose certificate has 65 of its 365 days left."""
    resources = server.folder / "Resources"
    then = datetime.now(UTC) - timedelta(days=300)
    port = int(server.port)
    code = InvitationCode.parse(invite_client(resources, "ada", host="localhost", port=port, now=then).code)
    request = prepare_joining(folder, replace=False)
    _, certificate = admit_client(resources, code.secret, request, now=then)
    authority, anchors = anchors_for_clients(resources)
    finish_joining(folder, certificate, anchors, authority=authority, host="localhost", port=port)


async def wait_renewed(folder: Path, before: bytes) -> None:
    with trio.fail_after(30):
        while (folder / "cert.pem").read_bytes() == before:  # noqa: ASYNC110 - a thread writes it
            await trio.sleep(0.02)


@pytest.mark.parametrize("flavour", ["async", "blocking"])
async def test_a_clients_certificate_is_renewed_while_it_is_connected_and_nobody_does_anything(
    tmp_path: Path, flavour: str
) -> None:
    async with closed_server(tmp_path / "server") as server:
        folder = tmp_path / "ada"
        await trio.to_thread.run_sync(join_long_ago, server, folder)
        before = {path.name: path.read_bytes() for path in folder.glob("*.pem")}
        if flavour == "async":
            async with connecting(server, folder):
                await wait_renewed(folder, before["cert.pem"])
        else:
            address = f"localhost:{server.port}"
            client = await trio.to_thread.run_sync(partial(blocking.connect, address, resources=folder))
            try:
                await wait_renewed(folder, before["cert.pem"])
            finally:
                await trio.to_thread.run_sync(client.close)
        after = {path.name: path.read_bytes() for path in folder.glob("*.pem")}
        assert {name for name in after if after[name] != before[name]} == {"cert.pem"}
        async with connecting(server, folder) as again:
            assert await again.use(Desk).echo("again") == "again"
        await server.wait_log(lambda line: line["event"] == "client's certificate renewed")
        listed = (await say(server, "clients", "revoke", "ada"))["certificates"]
        assert listed == 2, "the one before has not ended yet"


async def test_a_certificate_that_the_server_will_not_renew_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody has lost the register; the connection goes on all the same."""
    async with closed_server(tmp_path / "server") as server:
        folder = tmp_path / "ada"
        await trio.to_thread.run_sync(join_long_ago, server, folder)
        (server.folder / "Resources" / "authority" / "clients.json").unlink()
        settings = client_settings()
        async with connecting(server, folder) as client, trio.open_nursery() as nursery:
            nursery.start_soon(partial(keep_identity, client, folder, settings, pause=0.01))
            with trio.fail_after(30):
                await server.wait_log(lambda line: line["event"] == "a certificate is not renewed", 5)
            assert await client.use(Desk).echo("still there") == "still there"
            nursery.cancel_scope.cancel()
    told = [record for record in caplog.records if "no enrolled client" in getattr(record, "finding", "")]
    assert len(told) == 2, "by the client that runs by itself, and by the one of this test"


def test_the_blocking_client_joins(tmp_path: Path) -> None:
    async def main() -> None:
        async with closed_server(tmp_path / "server") as server:
            code = await invite(server, "ada")
            make = partial(blocking.join, code, resources=tmp_path / "ada")
            assert (await trio.to_thread.run_sync(make)).name == "ada"
            with pytest.raises(UsedCode):
                await trio.to_thread.run_sync(partial(blocking.join, code, resources=tmp_path / "b"))

    trio.run(main)


async def test_nobody_joins_in_plain_text(tmp_path: Path) -> None:
    async with serving(tmp_path, encrypt=False) as server:
        (tmp_path / "other").mkdir()
        async with closed_server(tmp_path / "other") as other:
            code = await invite(other, "ada", port=int(server.port))
            with pytest.raises((ServerNotEncrypted, EncryptionRequired)):
                await join(code, resources=tmp_path / "ada")
