"""A running server whose certificate, policy and switch change under it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import attrs
import pytest
import trio

from appclient import Client, ConnectionState, connect
from appserver import Outcome, ReloadReport, Server, open_server
from appserver import server as server_module
from appserver.encryption import load_encryption
from appserver.sources import Source
from protocol.certs import ClientCertificateRequired
from protocol.peer import ConnectionLost
from protocol.settings import LoadedSettings, Settings, load_settings
from protocol.transport import Address, EncryptionRequired, ServerNotEncrypted
from tests.appserver.pairs import Issuer, new_folders, put
from tests.conftest import ErrorLog
from tests.protocol.peer.desk import Counter, Desk, new_desk

State = ConnectionState
QUICK = "[timeouts]\nreconnect_first = 0.05\nreconnect_most = 0.2\n"


@attrs.define
class Place:
    """A server on loopback with its files, and what its clients need."""

    folder: Path
    issuer: Issuer
    resources: Path
    client_resources: Path
    counter: Counter
    server: Server | None = None

    @property
    def running(self) -> Server:
        assert self.server is not None
        return self.server

    @property
    def settings(self) -> Path:
        return self.folder / "settings.toml"

    @property
    def served(self) -> str:
        """Fingerprint of the key that new connections are shown."""
        certificate = self.running.statistics().certificate
        assert certificate is not None
        return certificate.fingerprint

    def write(self, *, encrypt: bool = True, tls: str = "", more: str = "") -> None:
        """Write the settings that server and client read."""
        switch = "true" if encrypt else "false"
        text = f"[client_server]\nencrypt = {switch}\nport = 0\n{more}\n[tls]\n{tls}\n{QUICK}"
        self.settings.write_text(text)

    async def reload(self) -> ReloadReport:
        """What SIGHUP does."""
        report = await self.running.reload()
        assert report is not None
        assert report == self.running.statistics().reload
        return report

    @contextlib.asynccontextmanager
    async def client(self, *, settings: Path | None = None) -> AsyncIterator[Client]:
        """A client of it."""
        async with connect(
            Address("localhost", self.running.port),
            resources=self.client_resources,
            settings=settings or self.settings,
        ) as client:
            yield client

    def forget_server(self) -> None:
        """As an administrator who means to do without encryption."""
        (self.client_resources / "known_servers.toml").unlink()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    issuer = Issuer()
    resources, client = new_folders(tmp_path, issuer)
    issuer.pair().put(resources)
    made = Place(tmp_path, issuer, resources, client, Counter())
    made.write()
    return made


@contextlib.asynccontextmanager
async def serving(place: Place, *, watch: bool = False) -> AsyncIterator[Server]:
    """Run it for a bounded time."""
    application, _ = new_desk(place.counter)
    loaded: LoadedSettings = load_settings(place.settings, environ={})
    with trio.fail_after(60):
        async with open_server(application, settings=loaded, watch=watch) as server:
            place.server = server
            yield server


def is_encrypted(client: Client) -> bool | None:
    """Whether the present connection is; None without one."""
    return client.security.encrypted if client.security is not None else None


async def wait_until(true: Callable[[], object]) -> None:
    while not true():  # noqa: ASYNC110 - threads and the kernel make it true
        await trio.sleep(0.01)


async def test_a_new_certificate_is_for_new_connections_and_open_ones_go_on(place: Place) -> None:
    async with serving(place), place.client() as client:
        desk = client.use(Desk)
        assert await desk.echo(1) == 1
        before = place.served
        new = place.issuer.pair()
        new.put(place.resources)
        report = await place.reload()
        assert (report.outcome, place.served) == (Outcome.CHANGED, new.fingerprint)
        assert before != new.fingerprint
        assert await desk.echo(2) == 2
        assert client.security is not None
        assert client.security.fingerprint == before
        async with place.client() as other:
            assert other.security is not None
            assert other.security.fingerprint == new.fingerprint
        assert (await place.reload()).outcome is Outcome.UNCHANGED
        assert client.statistics().connections == 1


async def test_a_live_context_is_never_changed(place: Place) -> None:
    async with serving(place) as server:
        before = server.encryption.context
        assert (await place.reload()).outcome is Outcome.UNCHANGED
        assert server.encryption.context is not before


@pytest.mark.parametrize(
    "spoil",
    [
        lambda place: put(place.resources, "key.pem", place.issuer.pair().key),
        lambda place: put(place.resources, "cert.pem", place.issuer.pair().cert[:300]),
        lambda place: put(place.resources, "cert.pem", b""),
        lambda place: (place.resources / "cert.pem").unlink(),
        lambda place: (place.resources / "key.pem").unlink(),
        lambda place: place.resources.rename(place.folder / "elsewhere"),
        lambda place: (place.resources / "clients-ca.pem").write_text("nothing"),
    ],
    ids=["mismatch", "half", "empty", "no-cert", "no-key", "no-folder", "client-ca"],
)
async def test_a_bad_set_is_refused_by_name_and_the_last_good_one_serves_on(
    place: Place, spoil: Callable[[Place], object], caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(place) as server, place.client() as client:
        before = place.served
        spoil(place)
        report = await place.reload()
        assert report.outcome is Outcome.REFUSED
        assert str(place.folder) in report.file
        assert report.finding
        assert report.remedy
        (line,) = [line for line in caplog.records if "reload refused" in line.message]
        assert line.levelname == "WARNING"
        assert (line.file, line.finding, line.remedy) == (report.file, report.finding, report.remedy)  # type: ignore[attr-defined]
        assert place.served == before
        assert await client.use(Desk).echo(1) == 1
        async with place.client() as other:
            assert await other.use(Desk).echo(2) == 2
        assert not (place.resources / "authority").exists(), "a running server makes no new certificate"
        assert len(server.sessions) == 1


async def test_a_settings_file_that_does_not_load_keeps_the_old_settings(place: Place) -> None:
    async with serving(place), place.client() as client:
        for text in ("[client_server]\nencrypt = 0", "[client_serv", "[tls]\nmin_version = '1.1'"):
            place.settings.write_text(text)
            report = await place.reload()
            assert (report.outcome, report.file) == (Outcome.REFUSED, str(place.settings))
        place.settings.unlink()
        assert (await place.reload()).outcome is Outcome.REFUSED
        place.write(tls='ciphers = "NULL"')
        report = await place.reload()
        assert (report.outcome, report.file) == (Outcome.REFUSED, "tls.ciphers")
        assert await client.use(Desk).echo(1) == 1
        assert place.running.encrypted


async def test_settings_that_need_a_restart_are_named_once(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(place) as server:
        port = server.port
        for _ in range(2):
            place.write(more='host = "0.0.0.0"')
            await place.reload()
        place.settings.write_text(place.settings.read_text() + '[log]\nlevel = "error"\n')
        await place.reload()
        named = [line.settings for line in caplog.records if "need a restart" in line.message]  # type: ignore[attr-defined]
        assert named == ["client_server.host", "client_server.host, log.level"]
        assert server.port == port


async def test_limits_and_timeouts_are_for_new_connections(place: Place) -> None:
    async with serving(place) as server:
        place.settings.write_text(place.settings.read_text() + "[limits]\nopen_calls = 7\nper_source = 3\n")
        assert (await place.reload()).outcome is Outcome.CHANGED
        async with place.client() as client:
            assert client._peer is not None
            assert client._peer.connection.peer_limits.open_calls == 7
        assert server._gate.per_source == 3


class TestFlips:
    """The switch, the version, the ciphers and the clients' authority, each under a client that comes back."""

    async def test_encryption_switched_on(self, place: Place) -> None:
        place.write(encrypt=False)
        async with serving(place), place.client() as client:
            desk = client.use(Desk)
            assert is_encrypted(client) is False
            assert await desk.echo(1) == 1
            place.write()
            assert (await place.reload()).outcome is Outcome.CHANGED
            await client.wait_state(State.RECONNECTING)
            assert "switched on" in client.last_change.reason
            assert await desk.echo(2) == 2
            assert is_encrypted(client) is True
            plain = place.folder / "plain.toml"
            plain.write_text("[client_server]\nencrypt = false\n")
            place.forget_server()
            with pytest.raises(EncryptionRequired):
                async with place.client(settings=plain):
                    pass

    async def test_encryption_switched_off_for_a_client_that_is_meant_to_follow(self, place: Place) -> None:
        async with serving(place), place.client() as client:
            desk = client.use(Desk)
            assert await desk.echo(1) == 1
            place.forget_server()
            place.write(encrypt=False)
            assert (await place.reload()).outcome is Outcome.CHANGED
            assert place.running.statistics().certificate is None
            await client.wait_state(State.RECONNECTING)
            assert await desk.echo(2) == 2
            assert client.security is not None
            assert not client.security.encrypted

    @pytest.mark.parametrize("own_settings", [True, False])
    async def test_a_client_that_was_not_told_to_never_follows_into_plain_text(
        self, place: Place, own_settings: bool
    ) -> None:
        """Its own settings still say encrypt, or it remembers that this server was encrypted."""
        own = place.folder / "own.toml"
        own.write_text(place.settings.read_text())
        async with serving(place), place.client(settings=own if own_settings else None) as client:
            desk = client.use(Desk)
            assert await desk.echo(1) == 1
            place.write(encrypt=False)
            await place.reload()
            change = await client.wait_state(State.REFUSED)
            assert "client_server.encrypt" in change.reason
            with pytest.raises(ServerNotEncrypted if own_settings else Exception, match="encrypt"):
                await desk.echo(2)
        assert place.counter.ran == [1]

    async def test_a_full_server_has_a_place_for_those_that_it_sends_away(self, place: Place) -> None:
        place.write(encrypt=False, more="sessions = 1")
        async with serving(place), place.client() as client, client.use(Desk).queued.subscribe() as numbers:
            place.write(more="sessions = 1")
            await place.reload()
            await client.wait_state(State.RECONNECTING)
            await client.wait_state(State.CONNECTED)
            assert is_encrypted(client) is True
            place.counter.queued.publish(7)
            async for number in numbers:
                assert number == 7
                break

    async def test_tls_1_2_is_taken_no_more(self, place: Place) -> None:
        async with serving(place) as server, place.client() as modern:
            old = place.folder / "old.toml"
            old.write_text(place.settings.read_text())
            assert server.encryption.context is not None
            server.encryption.context.maximum_version = server.encryption.context.minimum_version
            async with place.client() as client:
                assert client.security is not None
                assert client.security.version == "TLSv1.2"
                place.write(tls='min_version = "1.3"')
                await place.reload()
                await client.wait_state(State.RECONNECTING)
                assert "tls.min_version" in client.last_change.reason
                assert await client.use(Desk).echo(1) == 1
                assert client.security.version == "TLSv1.3"
                assert modern.statistics().connections == 1

    async def test_a_cipher_is_taken_no_more(self, place: Place) -> None:
        place.write(tls='ciphers = "ECDHE-ECDSA-AES128-GCM-SHA256"')
        async with serving(place) as server:
            assert server.encryption.context is not None
            server.encryption.context.maximum_version = server.encryption.context.minimum_version
            async with place.client() as client:
                place.write(tls='ciphers = "ECDHE-ECDSA-AES256-GCM-SHA384"')
                await place.reload()
                await client.wait_state(State.RECONNECTING)
                assert "tls.ciphers" in client.last_change.reason
                assert await client.use(Desk).echo(1) == 1

    async def test_client_certificates_are_wanted_from_now_on(self, place: Place) -> None:
        async with serving(place), place.client() as client:
            desk = client.use(Desk)
            (place.resources / "clients-ca.pem").write_bytes(place.issuer.authority)
            await place.reload()
            change = await client.wait_state(State.REFUSED)
            assert "certificate" in change.reason
            with pytest.raises(ClientCertificateRequired):
                await desk.echo(1)

    async def test_another_clients_authority_asks_all_and_a_further_one_nobody(self, place: Place) -> None:
        identity = place.issuer.client_pair()
        put(place.client_resources, "key.pem", identity.key)
        put(place.client_resources, "cert.pem", identity.cert)
        authorities = place.resources / "clients-ca.pem"
        authorities.write_bytes(place.issuer.authority)
        async with serving(place), place.client() as client:
            desk = client.use(Desk)
            authorities.write_bytes(place.issuer.authority + Issuer().authority)
            await place.reload()
            assert await desk.echo(1) == 1
            assert client.statistics().connections == 1
            authorities.write_bytes(Issuer().authority)
            await place.reload()
            await client.wait_state(State.REFUSED)

    async def test_a_connection_that_does_not_leave_is_ended(self, place: Place) -> None:
        place.settings.write_text(place.settings.read_text() + "drain = 0.1\n")
        begun = trio.Event()

        async def plan() -> int:
            begun.set()
            await trio.sleep_forever()
            raise AssertionError

        place.counter.plans["wait"] = plan
        async with serving(place) as server, trio.open_nursery() as nursery:

            async def wait() -> None:
                with pytest.raises(ConnectionLost):
                    await client.use(Desk).run("wait")

            assert server.encryption.context is not None
            server.encryption.context.maximum_version = server.encryption.context.minimum_version
            async with place.client() as client:
                nursery.start_soon(wait)
                await begun.wait()
                text = place.settings.read_text().replace("[tls]", '[tls]\nmin_version = "1.3"')
                place.settings.write_text(text)
                await place.reload()
                await wait_until(lambda: place.counter.ended == ["wait"])


class TestOnWithUnusableFiles:
    """Plain text is what was just forbidden: nobody is served until the files can be used."""

    async def test_nobody_is_served_and_everybody_is_told(self, place: Place, error_log: ErrorLog) -> None:
        place.write(encrypt=False)
        good = (place.resources / "key.pem").read_bytes()
        put(place.resources, "key.pem", place.issuer.pair().key)
        plain = place.folder / "plain.toml"
        plain.write_text(place.settings.read_text())
        async with serving(place), place.client(settings=plain) as client:
            assert await client.use(Desk).echo(1) == 1
            place.write()
            report = await place.reload()
            assert report.outcome is Outcome.REFUSED
            assert error_log.take("nobody is served")
            await client.wait_state(State.REFUSED)
            with pytest.raises(EncryptionRequired):
                async with place.client(settings=plain):
                    pass
            with pytest.raises(Exception, match="INTERNAL_ERROR"):
                async with place.client():
                    pass
            put(place.resources, "key.pem", good)
            assert (await place.reload()).outcome is Outcome.CHANGED
            async with place.client() as encrypted:
                assert await encrypted.use(Desk).echo(2) == 2
        assert place.counter.ran == [1, 2]

    async def test_a_client_that_encrypts_comes_back_when_it_is_mended(
        self, place: Place, error_log: ErrorLog
    ) -> None:
        place.write(encrypt=False)
        good = (place.resources / "cert.pem").read_bytes()
        put(place.resources, "cert.pem", b"half")
        async with serving(place), place.client() as client:
            desk = client.use(Desk)
            place.write()
            await place.reload()
            assert error_log.take("nobody is served")
            await wait_until(lambda: "INTERNAL_ERROR" in client.last_change.reason)
            put(place.resources, "cert.pem", good)
            await place.reload()
            assert await desk.echo(1) == 1
            assert client.security is not None
            assert client.security.encrypted

    async def test_switching_it_off_again_serves_plain_text_again(
        self, place: Place, error_log: ErrorLog
    ) -> None:
        place.write(encrypt=False)
        put(place.resources, "cert.pem", b"half")
        async with serving(place):
            place.write()
            await place.reload()
            assert error_log.take("nobody is served")
            place.write(encrypt=False)
            assert (await place.reload()).outcome is Outcome.CHANGED
            async with place.client() as client:
                assert await client.use(Desk).echo(1) == 1

    async def test_without_any_files_the_first_start_is_made_up_for(self, place: Place) -> None:
        place.write(encrypt=False)
        place.resources.rename(place.folder / "elsewhere")
        async with serving(place):
            place.write(tls='names = ["localhost"]')
            assert (await place.reload()).outcome is Outcome.CHANGED
            (place.client_resources / "ca.pem").write_bytes(
                (place.resources / "authority" / "ca.pem").read_bytes()
            )
            async with place.client() as client:
                assert await client.use(Desk).echo(1) == 1


class TestWatching:
    """The same, with nobody asking."""

    async def test_both_files_one_after_the_other(
        self, place: Place, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO")
        async with serving(place, watch=True) as server, place.client() as client:
            for _ in range(3):
                new = place.issuer.pair()
                put(place.resources, "key.pem", new.key)
                await wait_until(lambda: "do not fit together yet" in caplog.text)
                caplog.clear()
                put(place.resources, "cert.pem", new.cert)
                await wait_until(lambda new=new: place.served == new.fingerprint)  # type: ignore[misc]
            report = server.statistics().reload
            assert report is not None
            assert report.outcome is Outcome.CHANGED
            assert await client.use(Desk).echo(1) == 1
            assert client.statistics().connections == 1

    async def test_a_bad_set_is_refused_once_nothing_follows(self, place: Place) -> None:
        async with serving(place, watch=True) as server:
            before = place.served
            put(place.resources, "key.pem", place.issuer.pair().key)
            await wait_until(lambda: server.statistics().reload is not None)
            report = server.statistics().reload
            assert report is not None
            assert report.outcome is Outcome.REFUSED
            assert place.served == before
            new = place.issuer.pair()
            new.put(place.resources)
            await wait_until(lambda: place.served == new.fingerprint)

    async def test_permissions_that_were_mended(self, place: Place) -> None:
        new = place.issuer.pair()
        async with serving(place, watch=True) as server:
            put(place.resources, "cert.pem", new.cert)
            (place.resources / "key.pem").chmod(0o644)
            (place.resources / "key.pem").write_bytes(new.key)
            await wait_until(lambda: server.statistics().reload is not None)
            (place.resources / "key.pem").chmod(0o600)
            await wait_until(lambda: place.served == new.fingerprint)

    async def test_the_settings_file_in_place_and_replaced(self, place: Place) -> None:
        place.write(encrypt=False)
        async with serving(place, watch=True) as server:
            for round_ in range(2):
                place.write()
                await wait_until(lambda: server.encrypted)
                other = place.folder / "new.toml"
                other.write_text(place.settings.read_text().replace("encrypt = true", "encrypt = false"))
                other.replace(place.settings)
                await wait_until(lambda: not server.encrypted)
                assert round_ in (0, 1)

    async def test_a_folder_that_is_replaced_as_a_whole(self, place: Place) -> None:
        new = place.issuer.pair()
        async with serving(place, watch=True):
            place.resources.rename(place.folder / "old")
            other = place.folder / "other"
            other.mkdir(mode=0o700)
            new.put(other)
            other.rename(place.resources)
            await wait_until(lambda: place.served == new.fingerprint)
            newer = place.issuer.pair()
            newer.put(place.resources)
            await wait_until(lambda: place.served == newer.fingerprint)

    async def test_what_changed_between_reading_and_watching_is_not_missed(
        self, place: Place, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        new = place.issuer.pair()

        def load_and_change(settings: Settings, resources: Path) -> object:
            loaded = load_encryption(settings, resources)
            new.put(resources)
            return loaded

        monkeypatch.setattr(server_module, "load_encryption", load_and_change)
        async with serving(place, watch=True):
            await wait_until(lambda: place.served == new.fingerprint)

    def test_other_files_beside_the_settings_are_not_looked_at(self, place: Place) -> None:
        loaded = load_settings(place.settings, environ={})
        source = Source(loaded)
        before = source.signature(loaded.settings)
        (place.folder / "server.log").write_text("x")
        (place.resources / ".cert.pem.swp").write_text("x")
        (place.resources / "authority").mkdir()
        assert source.signature(loaded.settings) == before
        (place.resources / "crl.pem").write_text("x")
        assert source.signature(loaded.settings) != before


async def test_facts_of_the_certificate_are_in_the_snapshot_without_the_key(place: Place) -> None:
    async with serving(place) as server:
        facts = attrs.asdict(server.statistics())
        certificate = facts["certificate"]
        assert set(certificate) == {"subject", "names", "issuer", "not_before", "not_after", "fingerprint"}
        assert certificate["names"] == ("localhost", "127.0.0.1")
        assert "PRIVATE" not in json.dumps(facts, default=str)
