"""A server that wants certificates of its clients: who is let in, under which name, and for how long."""

from __future__ import annotations

import contextlib
import logging
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import attrs
import pytest
import trio

from appclient import Client, ConnectionState, Refused, connect
from appserver import Application, NotAuthenticated, Server, current_call, current_certificate, open_server
from appserver import rechecking as rechecking_module
from appserver import reloading as reloading_module
from appserver.application import Authenticate
from appserver.rechecking import ListWarnings, keep_checking
from appserver.reloading import Outcome
from appserver.sending_away import PATIENCE
from protocol import Interface
from protocol.certs import ClientCertificateRefused, ClientCertificateRequired, load_revocations
from protocol.certs.certificates import load_certificates
from protocol.peer import CallError
from protocol.settings import ClientServerSettings, Settings, TimeoutSettings, TlsSettings
from protocol.transport import Address
from tests.appserver.clients import DAY, ClientAuthority
from tests.appserver.pairs import Issuer, new_folders, put
from tests.appserver.test_reloading import wait_until
from tests.conftest import ErrorLog

State = ConnectionState
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
SETTINGS = Settings(
    client_server=ClientServerSettings(port=0),
    timeouts=TimeoutSettings(reconnect_first=0.05, reconnect_most=0.2),
    tls=TlsSettings(auto_certificate=False),
)

each_version = pytest.mark.parametrize("version", VERSIONS)


class Who(Interface, version=(1, 0)):
    """Says who calls."""

    async def name(self) -> str: ...  # type: ignore[empty-body]
    async def serial(self) -> str: ...  # type: ignore[empty-body]
    async def wait(self) -> str: ...  # type: ignore[empty-body]


class WhoImplementation(Who):
    def __init__(self) -> None:
        self.go = trio.Event()
        self.waiting = trio.Event()

    async def name(self) -> str:
        return current_call().session.principal

    async def serial(self) -> str:
        certificate = current_certificate()
        assert certificate is current_call().session.certificate
        return certificate.serial if certificate is not None else ""

    async def wait(self) -> str:
        self.waiting.set()
        await self.go.wait()
        return current_call().session.principal


@attrs.define
class Place:
    """A server with its files, and the authority of its clients."""

    folder: Path
    resources: Path
    issuer: Issuer
    club: ClientAuthority
    implementation: WhoImplementation = attrs.field(factory=WhoImplementation)
    server: Server | None = None

    @property
    def running(self) -> Server:
        assert self.server is not None
        return self.server

    def want(self, *authorities: ClientAuthority) -> None:
        put(self.resources, "clients-ca.pem", b"".join(authority.pem for authority in authorities))

    def revoke(self, *lists: bytes) -> None:
        put(self.resources, "clients-crl.pem", b"".join(lists))

    def member(self, folder: str, name: str | None = "ada", *, club: ClientAuthority | None = None) -> int:
        """Make a client's folder; returns the serial number of its certificate."""
        path = self.folder / folder
        path.mkdir(exist_ok=True)
        (path / "ca.pem").write_bytes(self.issuer.authority)
        return (club or self.club).issue(path, name)

    @contextlib.asynccontextmanager
    async def client(self, folder: str) -> AsyncIterator[Client]:
        address = Address("localhost", self.running.port)
        async with connect(address, resources=self.folder / folder, settings=SETTINGS) as client:
            yield client

    async def reload(self) -> None:
        report = await self.running.reload()
        assert report is not None
        assert report.outcome.value == "changed", report


@pytest.fixture
def place(tmp_path: Path) -> Place:
    issuer = Issuer()
    resources, _ = new_folders(tmp_path, issuer)
    issuer.pair().put(resources)
    made = Place(tmp_path, resources, issuer, ClientAuthority())
    made.want(made.club)
    return made


@contextlib.asynccontextmanager
async def serving(
    place: Place,
    *,
    version: str | None = None,
    authenticate: Authenticate | None = None,
    watch: bool = False,
) -> AsyncIterator[Server]:
    application = Application("who", authenticate=authenticate)
    application.register(place.implementation)
    with trio.fail_after(30):
        async with open_server(
            application, settings=SETTINGS, resources=place.resources, watch=watch
        ) as server:
            place.server = server
            hold_to(server, version)
            yield server


def hold_to(server: Server, version: str | None) -> None:
    """Let a server's present context speak one version alone."""
    context = server.encryption.context
    assert context is not None
    if version is not None:
        context.minimum_version = context.maximum_version = VERSIONS[version]


class TestNames:
    """The subject's common name is the principal's."""

    @each_version
    async def test_the_certificates_common_name_is_the_principal(self, place: Place, version: str) -> None:
        serial = place.member("ada", "Ada Lovelace")
        async with serving(place, version=version) as server, place.client("ada") as client:
            who = client.use(Who)
            assert await who.name() == "Ada Lovelace"
            assert await who.serial() == f"{serial:x}"
            (info,) = server.session_list()
            assert info.principal == "Ada Lovelace"
            assert info.certificate is not None
            assert info.certificate.name == "Ada Lovelace"
            assert "CN=Ada Lovelace" in info.certificate.subject
            assert "O=trustme" in info.certificate.issuer
            assert info.certificate.not_after > datetime.now(UTC)
            assert info.certificate.fingerprint == info.security.fingerprint

    async def test_a_certificate_without_one_is_nobody_in_particular(self, place: Place) -> None:
        place.member("ada", None)
        async with serving(place), place.client("ada") as client:
            assert await client.use(Who).name() == ""

    async def test_the_application_sees_the_certificate_and_has_the_last_word(self, place: Place) -> None:
        seen: list[str] = []

        async def authenticate(credentials: Mapping[str, object], address: str) -> str:
            certificate = current_certificate()
            assert certificate is not None
            seen.append(certificate.name)
            if certificate.name == "eve":
                raise NotAuthenticated("not on this machine")
            return "" if certificate.name == "till" else f"{certificate.name}'s user"

        for name in ("ada", "till", "eve"):
            place.member(name, name)
        async with serving(place, authenticate=authenticate):
            async with place.client("ada") as client:
                assert await client.use(Who).name() == "ada's user"
            async with place.client("till") as client:
                assert await client.use(Who).name() == "till"
            with pytest.raises(Refused, match="not on this machine"):
                async with place.client("eve"):
                    pass
        assert seen == ["ada", "till", "eve"]
        assert current_certificate() is None

    async def test_without_client_certificates_there_is_none(self, place: Place) -> None:
        (place.resources / "clients-ca.pem").unlink()
        place.member("ada")
        async with serving(place), place.client("ada") as client:
            assert await client.use(Who).name() == ""
            assert await client.use(Who).serial() == ""


class TestRevocation:
    """`clients-crl.pem`."""

    @each_version
    async def test_a_revoked_client_is_refused_in_the_handshake_and_told_so(
        self, place: Place, version: str
    ) -> None:
        serial = place.member("ada")
        place.member("bob", "bob")
        place.revoke(place.club.revocations([serial]))
        async with serving(place, version=version):
            with pytest.raises(ClientCertificateRefused, match="it was revoked"):
                async with place.client("ada"):
                    pass
            async with place.client("bob") as client:
                assert await client.use(Who).name() == "bob"

    @each_version
    async def test_where_one_of_two_authorities_has_a_list_each_client_gets_its_due(
        self, place: Place, version: str
    ) -> None:
        """OpenSSL would refuse all clients of the authority without one."""
        other = ClientAuthority()
        place.want(place.club, other)
        serial = place.member("ada")
        place.member("bob", "bob")
        place.member("cyd", "cyd", club=other)
        place.revoke(place.club.revocations([serial]))
        async with serving(place, version=version) as server:
            with pytest.raises(Refused, match="certificate was revoked"):
                async with place.client("ada"):
                    pass
            assert len(server.sessions) == 0
            for name in ("bob", "cyd"):
                async with place.client(name) as client:
                    assert await client.use(Who).name() == name

    async def test_another_authoritys_list_revokes_nobody_of_this_one(self, place: Place) -> None:
        other = ClientAuthority()
        place.want(place.club, other)
        serial = place.member("ada")
        place.revoke(place.club.revocations(), other.revocations([serial]))
        async with serving(place), place.client("ada") as client:
            assert await client.use(Who).name() == "ada"

    async def test_a_new_revocation_ends_the_session_and_its_running_call_is_answered(
        self, place: Place
    ) -> None:
        serial = place.member("ada")
        place.member("bob", "bob")
        answers: list[str] = []
        async with serving(place), place.client("bob") as bob:
            async with place.client("ada") as client, trio.open_nursery() as nursery:

                async def call() -> None:
                    answers.append(await client.use(Who).wait())

                nursery.start_soon(call)
                await place.implementation.waiting.wait()
                place.revoke(place.club.revocations([serial]))
                await place.reload()
                await client.wait_state(State.RECONNECTING)
                assert "was revoked" in client.last_change.reason
                change = await client.wait_state(State.REFUSED)
                assert "it was revoked" in change.reason
                place.implementation.go.set()
            assert answers == ["ada"]
            assert await bob.use(Who).name() == "bob"
            assert bob.statistics().connections == 1

    async def test_a_call_that_does_not_end_gets_one_outcome_when_its_time_is_over(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("appserver.sending_away.PATIENCE", 0.2)
        serial = place.member("ada")
        async with serving(place) as server, place.client("ada") as client, trio.open_nursery() as nursery:

            async def call() -> None:
                with pytest.raises(CallError) as caught:
                    await client.use(Who).wait()
                assert caught.value.executed.value == "maybe"

            nursery.start_soon(call)
            await place.implementation.waiting.wait()
            place.revoke(place.club.revocations([serial]))
            await place.reload()
            (session,) = server.sessions
            await session.gone.wait()

    async def test_an_overdue_list_keeps_new_clients_of_its_authority_out_and_nobody_else(
        self, place: Place
    ) -> None:
        other = ClientAuthority()
        place.want(place.club, other)
        place.member("ada")
        place.member("cyd", "cyd", club=other)
        async with serving(place) as server, place.client("ada") as client:
            now = datetime.now(UTC)
            overdue = place.club.revocations(issued=now - 2 * DAY, until=now - DAY)
            place.revoke(overdue)
            await place.reload()
            await server.check_sessions()
            assert await client.use(Who).name() == "ada", "who was let in before stays"
            with pytest.raises(Refused, match="out of date") as caught:
                async with place.client("ada"):
                    pass
            assert caught.value.retry_after
            async with place.client("cyd") as cyd:
                assert await cyd.use(Who).name() == "cyd"
            place.revoke(overdue, place.club.revocations())
            await place.reload()
            async with place.client("ada") as again:
                assert await again.use(Who).name() == "ada"

    async def test_where_all_authorities_have_lists_an_overdue_one_refuses_by_alert(
        self, place: Place
    ) -> None:
        place.member("ada")
        now = datetime.now(UTC)
        place.revoke(place.club.revocations(issued=now - 2 * DAY, until=now - DAY))
        async with serving(place):
            with pytest.raises(ClientCertificateRefused, match="list of revoked certificates"):
                async with place.client("ada"):
                    pass

    async def test_a_bad_list_is_refused_and_the_last_one_counts_on(self, place: Place) -> None:
        serial = place.member("ada")
        place.revoke(place.club.revocations([serial]))
        async with serving(place) as server:
            put(place.resources, "clients-crl.pem", b"garbage")
            report = await server.reload()
            assert report is not None
            assert report.file.endswith("clients-crl.pem")
            assert report.outcome.value == "refused"
            with pytest.raises(ClientCertificateRefused, match="it was revoked"):
                async with place.client("ada"):
                    pass


class TestLiveSessions:
    """Who was let in is looked at again."""

    async def test_a_certificate_that_ends_is_told_and_out(self, place: Place) -> None:
        end = datetime.now(UTC) + 10 * DAY
        folder = place.folder / "ada"
        place.member("ada")
        place.club.issue(folder, "ada", end=end)
        async with serving(place) as server, place.client("ada") as client:
            server.now = lambda: end - timedelta(seconds=1)
            await server.check_sessions()
            assert await client.use(Who).name() == "ada"
            server.now = lambda: end + timedelta(seconds=1)
            await server.check_sessions()
            await client.wait_state(State.RECONNECTING)
            assert "expired" in client.last_change.reason

    async def test_an_authority_that_is_taken_out_takes_its_clients_with_it_and_no_others(
        self, place: Place
    ) -> None:
        other = ClientAuthority()
        place.want(place.club, other)
        place.member("ada")
        place.member("cyd", "cyd", club=other)
        async with serving(place), place.client("ada") as ada, place.client("cyd") as cyd:
            place.want(other)
            await place.reload()
            change = await ada.wait_state(State.REFUSED)
            assert "does not trust" in change.reason
            assert await cyd.use(Who).name() == "cyd"
            assert cyd.statistics().connections == 1

    async def test_an_authority_that_is_taken_out_is_out_although_its_list_is_still_there(
        self, place: Place
    ) -> None:
        other = ClientAuthority()
        place.want(place.club, other)
        place.revoke(place.club.revocations(), other.revocations())
        place.member("ada")
        async with serving(place), place.client("ada") as ada:
            place.want(other)
            await place.reload()
            await ada.wait_state(State.REFUSED)

    async def test_clients_that_need_no_certificate_any_more_come_back_without_their_names(
        self, place: Place
    ) -> None:
        place.member("ada")
        async with serving(place), place.client("ada") as client:
            assert await client.use(Who).name() == "ada"
            (place.resources / "clients-ca.pem").unlink()
            await place.reload()
            await client.wait_state(State.RECONNECTING)
            assert await client.use(Who).name() == ""

    async def test_certificates_that_are_wanted_from_now_on(self, place: Place) -> None:
        (place.resources / "clients-ca.pem").unlink()
        place.member("ada")
        (place.folder / "bob").mkdir()
        (place.folder / "bob" / "ca.pem").write_bytes(place.issuer.authority)
        async with serving(place) as server, place.client("ada") as ada, place.client("bob") as bob:
            place.want(place.club)
            await place.reload()
            change = await bob.wait_state(State.REFUSED)
            assert "wants a certificate" in change.reason or "certificate of this client" in change.reason
            assert await ada.use(Who).name() == "ada"
            assert ada.statistics().connections == 2
            hold_to(server, "1.3")
            with pytest.raises(ClientCertificateRequired):
                async with place.client("bob"):
                    pass

    async def test_one_that_was_sent_away_already_has_less_time_once_it_is_revoked(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("appserver.sending_away.PATIENCE", 0.2)
        serial = place.member("ada")
        async with serving(place) as server, place.client("ada") as client, trio.open_nursery() as nursery:

            async def call() -> None:
                with pytest.raises(CallError):
                    await client.use(Who).wait()

            nursery.start_soon(call)
            await place.implementation.waiting.wait()
            (session,) = server.sessions
            encryption = attrs.evolve(server.encryption, policy=TlsSettings(min_version="1.3"))
            session.security = attrs.evolve(session.security, version="TLSv1.2")
            server.take_over(server.settings, encryption)
            assert (session.sent_away, session.hurried) == (True, False)
            place.revoke(place.club.revocations([serial]))
            await server.reload()
            assert session.hurried
            await session.gone.wait()

    async def test_they_are_looked_at_often_enough_and_cheaply(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert rechecking_module.LOOK + PATIENCE < 60
        place.member("ada")
        async with serving(place) as server, place.client("ada"):
            (session,) = server.sessions
            monkeypatch.setattr(server, "sessions", [session] * 10_000)
            begin = time.perf_counter()
            await server.check_sessions()
            assert time.perf_counter() - begin < 2, "about 0.03 s where nothing else runs"

    async def test_the_loop_looks_by_itself(self, place: Place) -> None:
        end = datetime.now(UTC) + 10 * DAY
        place.member("ada")
        place.club.issue(place.folder / "ada", "ada", end=end)
        async with (
            serving(place) as server,
            place.client("ada") as client,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(partial(keep_checking, server, pause=0.01))
            server.now = lambda: end + DAY
            await client.wait_state(State.RECONNECTING)
            nursery.cancel_scope.cancel()


class TestWatchedFiles:
    """What is taken over by itself, and what somebody must ask for."""

    @pytest.mark.parametrize("name", ["clients-ca.pem", "clients-crl.pem"])
    async def test_a_file_that_is_moved_away_lets_nobody_in_before_somebody_asks_for_it(
        self, place: Place, name: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reloading_module, "SETTLE", 0.05)
        serial = place.member("ada")
        place.revoke(place.club.revocations([serial]))
        async with serving(place, watch=True) as server:
            hold_to(server, "1.3")
            (place.resources / name).rename(place.folder / name)
            assert server.reloader is not None
            with trio.fail_after(10):
                await server.reloader.wait_report()
            report = server.reloader.last
            assert report is not None
            assert (report.outcome, report.file) == (Outcome.REFUSED, str(place.resources / name))
            assert "it is gone" in report.finding
            assert "reload" in report.remedy
            with pytest.raises(ClientCertificateRefused, match="it was revoked"):
                async with place.client("ada"):
                    pass
            await place.reload()
            async with place.client("ada"):
                pass

    async def test_a_file_that_comes_back_changes_nothing(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reloading_module, "SETTLE", 0.05)
        async with serving(place, watch=True) as server:
            (place.resources / "clients-ca.pem").rename(place.folder / "elsewhere.pem")
            assert server.reloader is not None
            with trio.fail_after(10):
                await server.reloader.wait_report()
                (place.folder / "elsewhere.pem").rename(place.resources / "clients-ca.pem")
                await server.reloader.wait_report()
            assert server.reloader.last is not None
            assert server.reloader.last.outcome is Outcome.UNCHANGED
            assert server.encryption.authorities

    async def test_a_list_of_a_clock_that_is_a_little_ahead_counts_at_once(self, place: Place) -> None:
        serial = place.member("ada")
        async with serving(place), place.client("ada") as ada:
            ahead = datetime.now(UTC) + timedelta(minutes=5)
            place.revoke(place.club.revocations([serial], issued=ahead, until=ahead + DAY))
            await place.reload()
            await ada.wait_state(State.REFUSED)

    async def test_a_list_from_the_future_is_tried_again_until_its_time_has_come(
        self, place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(reloading_module, "SETTLE", 0.02)
        monkeypatch.setattr(reloading_module, "RETRY", 0.02)
        serial = place.member("ada")
        issued = datetime.now(UTC) + DAY
        async with serving(place, watch=True) as server, place.client("ada") as ada:
            asked = 0

            def clock() -> datetime:
                nonlocal asked
                asked += 1
                return datetime.now(UTC)

            assert server.reloader is not None
            server.reloader.now = clock
            place.revoke(place.club.revocations([serial], issued=issued, until=issued + 2 * DAY))
            await wait_until(lambda: asked > 20)
            assert server.reloader.last is not None
            assert server.reloader.last.outcome is Outcome.REFUSED
            assert await ada.use(Who).name() == "ada"
            assert len([line for line in caplog.records if "reload refused" in line.message]) == 1
            server.reloader.now = lambda: issued
            await ada.wait_state(State.REFUSED)


def test_lists_are_warned_about_once(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    now = datetime.now(UTC)
    other = ClientAuthority()
    place.revoke(place.club.revocations(issued=now - DAY, until=now + 3 * DAY), other.revocations())
    authorities = load_certificates(place.resources / "clients-ca.pem")
    revocations = load_revocations(place.resources / "clients-crl.pem", authorities, now)
    warnings = ListWarnings()

    def said(moment: datetime) -> list[str]:
        caplog.clear()
        for _ in range(2):
            warnings.tell(revocations, moment)
        return [f"{line.message}: {line.finding}" for line in caplog.records]  # type: ignore[attr-defined]

    (stranger,) = said(now)
    assert "no authority of clients-ca.pem" in stranger
    (soon,) = said(now + 2.5 * DAY)
    assert soon.startswith("a revocation list ends soon")
    (over,) = said(now + 4 * DAY)
    assert over.startswith("a revocation list is not in order")
    assert "new connections of its clients are refused" in over
    assert said(now + 5 * DAY) == []


async def test_a_session_of_tls_1_2_cannot_be_resumed_where_certificates_are_wanted(
    place: Place, error_log: ErrorLog
) -> None:
    """OpenSSL keeps such sessions by their id although there are no tickets, and does not look at certificates."""
    place.member("ada")
    context = ssl.create_default_context(cafile=str(place.folder / "ada" / "ca.pem"))
    context.load_cert_chain(place.folder / "ada" / "cert.pem", place.folder / "ada" / "key.pem")
    context.set_alpn_protocols(["appserver/1"])
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    kept: list[ssl.SSLSession] = []

    def visit(port: int) -> tuple[bool, bytes]:
        """Whether the session was resumed, and what the server said to a PING."""
        import socket

        with (
            socket.create_connection(("localhost", port), 10) as bare,
            context.wrap_socket(bare, server_hostname="localhost", session=kept[0] if kept else None) as sock,
        ):
            try:
                sock.sendall(b"\x00\x00\x00\x02\x30\x00\x00\x00\x00\x00\x91\x01")
                answer = sock.recv(100)
                if sock.session is not None:
                    kept.append(sock.session)
                sock.unwrap()
            except OSError:
                answer = b""
            return bool(sock.session_reused), answer

    async with serving(place) as server:
        assert await trio.to_thread.run_sync(visit, server.port) == (
            False,
            bytes.fromhex("000000023100000000009101"),
        )
        assert await trio.to_thread.run_sync(visit, server.port) == (True, b"")
        assert len(server.sessions) == 0
