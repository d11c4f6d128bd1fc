"""The door for joining: what is behind it, who gets there, and that nobody gets further from there."""

from __future__ import annotations

import contextlib
import logging
import shutil
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import attrs
import pytest
import trio

import appserver.doorway
from appclient import JoinInterrupted, JoinRefused, TooManyCalls, UnknownCode, UnknownMethod, connect, join
from appclient.connecting import Connector
from appclient.opening import run_client
from appserver import Application, NotAuthenticated, Server, open_server
from appserver.door_rate import DoorRate
from protocol import Interface
from protocol.certs import (
    ClientCertificateRefused,
    ClientCertificateRequired,
    InvitationCode,
    Joined,
    Trust,
    UnknownAuthority,
    WrongAuthority,
    WrongServerName,
    admit_client,
    client_context,
    invite_client,
    load_trust,
    looking_context,
    make_joining_identity,
    require_certificates,
    revoke_client,
    server_context,
    spki_fingerprint,
)
from protocol.certs.first_start import AUTHORITY_FOLDER
from protocol.certs.joining import make_key_request, prepare_joining
from protocol.certs.keys import load_private_key, make_private_key
from protocol.peer.enrolment import JOIN_PROTOCOL, CodeUnknown, CodeUsed, Joining, Renewal
from protocol.settings import ClientServerSettings, Settings, TlsSettings
from protocol.transport import Address, NotAnAppserver, TlsFailure, Transport, TransportError
from protocol.transport.connecting import connect_transport
from tests.appclient.tls_server import VERSIONS, Version, tls_server
from tests.appserver.clients import ClientAuthority
from tests.conftest import ErrorLog
from tests.secrecy.canaries import secret

SETTINGS = Settings(client_server=ClientServerSettings(port=0))


class Desk(Interface, Protocol, version=(1, 0)):
    async def echo(self, text: str) -> str: ...


class EchoDesk(Desk):
    async def echo(self, text: str) -> str:
        return text


async def nobody(credentials: object, address: str) -> str:
    raise NotAuthenticated


@pytest.fixture
def resources(tmp_path: Path) -> Path:
    return tmp_path / "Resources"


@pytest.fixture
async def server(resources: Path) -> AsyncIterator[Server]:
    """A server that lets nobody in without a certificate, nor anybody who signs in."""
    app = Application("desk", authenticate=nobody)
    app.register(EchoDesk())
    with trio.fail_after(30):
        async with open_server(app, settings=SETTINGS, resources=resources) as server:
            require_certificates(resources)
            await server.reload()
            yield server


def invite(server: Server, resources: Path, name: str = "ada", **options: object) -> str:
    made = invite_client(resources, name, host="localhost", port=server.port, **options)  # type: ignore[arg-type]
    secret(made.code)
    return made.code


def authority_of(resources: Path) -> bytes:
    return ssl.PEM_cert_to_DER_cert((resources / AUTHORITY_FOLDER / "ca.pem").read_text())


@contextlib.asynccontextmanager
async def at_the_door(
    server: Server, resources: Path, version: Version = "1.3", *interfaces: Callable[..., Interface]
) -> AsyncIterator[object]:
    """A client of no certificate at the door."""

    async def open_transport() -> Transport:
        context = client_context(Trust(anchors=(authority_of(resources),)), TlsSettings())
        context.minimum_version = context.maximum_version = VERSIONS[version]
        context.set_alpn_protocols([JOIN_PROTOCOL])
        address = Address("localhost", server.port)
        return await connect_transport(
            address, context=context, timeouts=SETTINGS.timeouts, protocol=JOIN_PROTOCOL
        )

    connector = Connector(Address("localhost", server.port), open_transport, settings=SETTINGS)
    async with run_client(connector, settings=SETTINGS, interfaces=interfaces) as client:
        yield client


class TestBehindIt:
    @pytest.mark.parametrize("version", VERSIONS)
    async def test_there_is_one_interface_and_nothing_of_the_application(
        self, server: Server, resources: Path, version: Version
    ) -> None:
        async with at_the_door(server, resources, version) as client:
            assert set(await client.describe()) == {"Joining"}  # type: ignore[attr-defined]
            assert client.application == ""  # type: ignore[attr-defined]
            assert not list(server.sessions)
            assert server.statistics().connecting == 1

    async def test_no_call_reaches_the_application_or_a_renewal(
        self, server: Server, resources: Path
    ) -> None:
        from protocol.interface import make_proxy
        from protocol.peer import PeerCaller

        async with at_the_door(server, resources) as client:
            caller = PeerCaller(client)  # type: ignore[arg-type]
            with pytest.raises(UnknownMethod):
                await make_proxy(Desk, caller).echo("in")
            with pytest.raises(UnknownMethod):
                await make_proxy(Renewal, caller).renew(b"x")

    async def test_one_guess_ends_it(self, server: Server, resources: Path) -> None:
        async with at_the_door(server, resources, "1.3", Joining) as client:
            joining = client.use(Joining)  # type: ignore[attr-defined]
            with pytest.raises(CodeUnknown):
                await joining.join(bytes(20), b"x")
            with pytest.raises(TooManyCalls):
                await joining.join(bytes(20), b"x")

    async def test_a_request_beyond_all_measure_is_not_read(self, server: Server, resources: Path) -> None:
        from protocol.peer import CallTooLarge

        async with at_the_door(server, resources, "1.3", Joining) as client:
            with pytest.raises(CallTooLarge):
                await client.use(Joining).join(bytes(20), bytes(100_000))  # type: ignore[attr-defined]

    async def test_nobody_stays_for_long(
        self, server: Server, resources: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(appserver.doorway, "SECONDS", 0.3)
        context = looking_context(TlsSettings())
        context.set_alpn_protocols([JOIN_PROTOCOL])
        transport = await connect_transport(
            Address("localhost", server.port),
            context=context,
            timeouts=SETTINGS.timeouts,
            protocol=JOIN_PROTOCOL,
        )
        with contextlib.suppress(TransportError):
            while transport.receive_nowait() != b"":
                await transport.wait_readable()
        transport.abort()


class TestTheWayThere:
    @pytest.mark.parametrize("version", VERSIONS)
    @pytest.mark.parametrize("offer", [["appserver/1"], [JOIN_PROTOCOL, "appserver/1"], []])
    async def test_whoever_offers_anything_else_meets_the_alert(
        self, server: Server, offer: list[str], version: Version
    ) -> None:
        """As seen by OpenSSL alone: the alert is `certificate_required` in TLS 1.3."""

        def try_it() -> str:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.minimum_version = context.maximum_version = VERSIONS[version]
            context.check_hostname = False
            context.load_verify_locations(cadata=authority_of(server.identity.resources))  # type: ignore[union-attr]
            if offer:
                context.set_alpn_protocols(offer)
            with socket.create_connection(("127.0.0.1", server.port)) as sock:
                try:
                    with context.wrap_socket(sock) as tls:
                        tls.recv(1)
                except ssl.SSLError as error:
                    return error.reason or ""
            return "let in"

        reason = await trio.to_thread.run_sync(try_it)
        expected = (
            "TLSV13_ALERT_CERTIFICATE_REQUIRED" if version == "1.3" else "SSLV3_ALERT_HANDSHAKE_FAILURE"
        )
        assert reason == expected

    async def test_our_client_says_what_it_needs(
        self, server: Server, resources: Path, tmp_path: Path
    ) -> None:
        folder = tmp_path / "client"
        folder.mkdir()
        (folder / "ca.pem").write_bytes((resources / AUTHORITY_FOLDER / "ca.pem").read_bytes())
        with pytest.raises(ClientCertificateRequired):
            async with connect(f"localhost:{server.port}", resources=folder):
                pass

    async def test_so_many_are_let_in_at_once_and_the_others_are_told_to_come_again(
        self, server: Server, resources: Path, tmp_path: Path
    ) -> None:
        server.doorway.rate = DoorRate(most=1)
        code = invite(server, resources)
        async with at_the_door(server, resources):
            with pytest.raises(JoinInterrupted, match="at the moment"):
                await join(code, resources=tmp_path / "client")
        with trio.fail_after(10):
            while server.doorway.rate.inside:  # noqa: ASYNC110 - it notices that the other one has gone
                await trio.sleep(0.01)
        assert (await join(code, resources=tmp_path / "client")).name == "ada"

    async def test_who_is_slow_gives_his_place_to_who_comes(
        self, server: Server, resources: Path, tmp_path: Path
    ) -> None:
        server.doorway.rate = DoorRate(most=1, patience=0)
        code = invite(server, resources)
        async with at_the_door(server, resources):
            assert (await join(code, resources=tmp_path / "client")).name == "ada"

    async def test_without_the_authoritys_key_nobody_can_join_and_all_others_are_served(
        self, server: Server, resources: Path, tmp_path: Path
    ) -> None:
        code = invite(server, resources)
        key = resources / AUTHORITY_FOLDER / "ca-key.pem"
        key.rename(tmp_path / "away.pem")
        with pytest.raises(JoinInterrupted):
            await join(code, resources=tmp_path / "client")
        (tmp_path / "away.pem").rename(key)
        await join(code, resources=tmp_path / "client")

    async def test_nobody_can_join_by_an_authority_that_has_ended(
        self, server: Server, resources: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        code = invite(server, resources)
        server.doorway.now = lambda: datetime.now(UTC) + timedelta(days=4000)
        with pytest.raises(JoinInterrupted):
            await join(code, resources=tmp_path / "client")
        (told,) = [record for record in caplog.records if record.message == "nobody can join"]
        assert "authority expired" in str(getattr(told, "finding", ""))

    async def test_a_register_that_is_damaged_is_told_in_the_log_alone(
        self, server: Server, resources: Path, tmp_path: Path, error_log: ErrorLog
    ) -> None:
        code = invite(server, resources)
        (resources / AUTHORITY_FOLDER / "clients.json").write_bytes(b"x")
        with pytest.raises(JoinRefused, match="its log says why") as caught:
            await join(code, resources=tmp_path / "client")
        assert "clients.json" not in str(caught.value)
        assert "new invitation" not in str(caught.value), "this one counts still"
        assert len(error_log.take("nobody can join")) == 1


class TestTheServerIsVerifiedByTheCodeAlone:
    async def asked(self, code: str, folder: Path, context: ssl.SSLContext) -> tuple[Exception, list[object]]:
        """Join a server that has this context; what comes of it, and what the client has said to it."""
        parsed = InvitationCode.parse(code)
        async with tls_server(context) as impostor:
            sent = attrs.evolve(parsed, port=impostor.port).encode()
            secret(sent)
            with pytest.raises(Exception) as caught:  # noqa: PT011 - told apart by the callers
                await join(sent, resources=folder)
            assert isinstance(caught.value, Exception)
            return caught.value, list(impostor.hellos)

    async def test_another_authority_is_refused_at_the_first_look(
        self, server: Server, resources: Path, tmp_path: Path
    ) -> None:
        other = tmp_path / "other"
        invite_client(other, "x", host="localhost", port=1)
        error, said = await self.asked(invite(server, resources), tmp_path / "client", joining_context(other))
        assert isinstance(error, WrongAuthority)
        assert not said

    async def test_the_right_authority_behind_another_certificate_is_refused_at_the_second(
        self, server: Server, resources: Path, tmp_path: Path
    ) -> None:
        """The authority's certificate is public: an impostor can show it."""
        other = tmp_path / "other"
        invite_client(other, "x", host="localhost", port=1)
        identity = make_joining_identity(other)
        shown = attrs.evolve(identity, chain=(identity.chain[0], authority_of(resources)))
        context = server_context(shown, TlsSettings())
        context.set_alpn_protocols([JOIN_PROTOCOL])
        error, said = await self.asked(invite(server, resources), tmp_path / "client", context)
        assert isinstance(error, WrongAuthority)
        assert isinstance(error.__cause__, UnknownAuthority)
        assert not said

    async def test_a_certificate_of_the_right_authority_for_another_host_is_refused(
        self, server: Server, resources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("protocol.certs.inviting.machine_names", lambda _: ("other.example",))
        monkeypatch.setattr("protocol.certs.inviting.names_of", lambda _: ())
        context = joining_context(resources)
        monkeypatch.undo()
        error, said = await self.asked(invite(server, resources), tmp_path / "client", context)
        assert isinstance(error, WrongServerName)
        assert not said

    async def test_a_client_of_that_authority_is_no_server(
        self, server: Server, resources: Path, tmp_path: Path
    ) -> None:
        """An enrolled client has a certificate of the authority, too: it is good for a client alone."""
        await join(invite(server, resources, "eve"), resources=tmp_path / "eve")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        pem = (tmp_path / "eve" / "cert.pem").read_text() + (tmp_path / "eve" / "ca.pem").read_text()
        (tmp_path / "chain.pem").write_text(pem)
        context.load_cert_chain(tmp_path / "chain.pem", tmp_path / "eve" / "key.pem")
        context.set_alpn_protocols([JOIN_PROTOCOL])
        error, said = await self.asked(invite(server, resources), tmp_path / "client", context)
        assert not isinstance(error, JoinRefused)
        assert not said

    async def test_a_server_that_knows_nothing_of_joining_is_told_nothing(
        self, server: Server, resources: Path, tmp_path: Path
    ) -> None:
        context = joining_context(resources)
        context.set_alpn_protocols(["appserver/1"])
        error, said = await self.asked(invite(server, resources), tmp_path / "client", context)
        assert isinstance(error, NotAnAppserver | TlsFailure)
        assert not said


def joining_context(resources: Path) -> ssl.SSLContext:
    context = server_context(make_joining_identity(resources), TlsSettings())
    context.set_alpn_protocols([JOIN_PROTOCOL])
    return context


async def test_a_server_with_a_certificate_of_another_authority_is_joined_by_its_own(
    tmp_path: Path, resources: Path
) -> None:
    """As after `appserver certificates install`; the client goes on trusting what it trusts, or the root there."""
    other = tmp_path / "other"
    app = Application("desk")
    async with open_server(app, settings=SETTINGS, resources=other):
        pass
    copy_pair(other, resources)
    with trio.fail_after(30):
        async with open_server(app, settings=SETTINGS, resources=resources) as server:
            code = invite(server, resources)
            joined: Joined = await join(code, resources=tmp_path / "client")
            trust = load_trust(tmp_path / "client")
            assert trust.anchors == (authority_of(other),), "the root that is in cert.pem"
            assert trust.identity is not None
            own = spki_fingerprint(authority_of(resources))
            assert own != spki_fingerprint(authority_of(other))
            require_certificates(resources)
            await server.reload()
            async with connect(f"localhost:{server.port}", resources=joined.resources):
                assert [session.principal for session in server.sessions] == ["ada"]


def copy_pair(source: Path, target: Path) -> None:
    target.mkdir(mode=0o700)
    for name in ("key.pem", "cert.pem"):
        shutil.copy(source / name, target)


async def test_a_revoked_client_stays_out_when_another_list_is_written_over_the_own_one(
    server: Server, resources: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "client"
    await join(invite(server, resources), resources=folder)
    revoke_client(resources, "ada")
    (resources / "clients-crl.pem").write_bytes(ClientAuthority().revocations())
    for _ in range(2):
        assert server.reloader is not None
        await server.reloader.reload(asked=False)
        with pytest.raises(ClientCertificateRefused, match="revoked"):
            async with connect(f"localhost:{server.port}", resources=folder):
                pass


async def test_who_has_recorded_code_and_request_gets_a_certificate_without_its_key_and_no_other(
    server: Server, resources: Path, tmp_path: Path
) -> None:
    folder, code = tmp_path / "client", invite(server, resources)
    parsed = InvitationCode.parse(code)
    recorded = prepare_joining(folder, mark=parsed.mark)
    await join(code, resources=folder)
    async with at_the_door(server, resources, "1.3", Joining) as thief:
        admission = await thief.use(Joining).join(parsed.secret, recorded)  # type: ignore[attr-defined]
    assert admission.certificate == ssl.PEM_cert_to_DER_cert((folder / "cert.pem").read_text())
    async with at_the_door(server, resources, "1.3", Joining) as thief:
        with pytest.raises(CodeUsed):
            await thief.use(Joining).join(  # type: ignore[attr-defined]
                parsed.secret, make_key_request(make_private_key("p256"))
            )


async def test_a_join_leaves_one_line_in_the_log(
    server: Server, resources: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "appserver")
    caplog.clear()
    await join(invite(server, resources), resources=tmp_path / "client")
    assert [record.message for record in caplog.records if record.name.startswith("appserver")] == [
        "client joined"
    ]


async def test_the_key_waits_where_a_join_was_refused_and_serves_the_next(
    server: Server, resources: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "client"
    unknown = InvitationCode.parse(invite(server, resources))
    with pytest.raises(UnknownCode):
        await join(attrs.evolve(unknown, secret=bytes(20)).encode(), resources=folder)
    waiting = load_private_key(folder / "next-key.pem")
    assert (await join(invite(server, resources), resources=folder)).name == "ada"
    assert load_private_key(folder / "key.pem").private_numbers() == waiting.private_numbers()  # type: ignore[union-attr]
    assert not (folder / "next-key.pem").exists()


async def test_a_key_that_the_server_will_not_take_is_not_tried_again(
    server: Server, resources: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "client"
    request = prepare_joining(folder)
    code = InvitationCode.parse(invite(server, resources, "old"))
    admit_client(resources, code.secret, request)
    revoke_client(resources, "old")
    again = invite(server, resources)
    with pytest.raises(JoinRefused, match="make a new one"):
        await join(again, resources=folder)
    assert (await join(again, resources=folder)).name == "ada"
