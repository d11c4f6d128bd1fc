"""A client identity that has ended, was revoked or lost its authority is out within a minute, and stays out.

Every way back is tried in both versions of TLS: by our client, and by `openssl s_client` with the session that it saved
while the identity was good. The control: OpenSSL itself resumes such a session of TLS 1.2, without a look at the
certificate.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs
import pytest
import trio

from appclient import Client, ConnectionState, trusting
from appclient import connect as connect_to
from protocol.certs import Trust, client_context, ensure_server_identity
from protocol.settings import TlsSettings
from protocol.transport import Address
from tests.appserver.clients import ClientAuthority
from tests.appserver.pairs import put
from tests.system.application import Desk
from tests.system.clock import Clock
from tests.system.processes import ServerProcess, client_resources, client_settings, serving

PING = b"\x00\x00\x00\x02\x30\x00\x00\x00\x00\x00\x91\x01"
PONG = b"\x31\x00\x00\x00\x00\x00\x91\x01"
MINUTE = 60.0
OPTIONS = {"1.2": "-tls1_2", "1.3": "-tls1_3"}
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
ENDS = 120.0
"""Seconds after which the certificate of the first row ends: OpenSSL keeps a session for 300."""

ALERTS = {"certificate_revoked": "44", "certificate_expired": "45", "unknown_ca": "48"}
"""RFC 8446, section 6."""

spoken: ContextVar[str] = ContextVar("spoken")
"""The version of TLS that our clients speak in a task and below it."""

needs_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl command")


@attrs.frozen
class Visit:
    """What came of one connection of OpenSSL's client.

    Attributes:
        served: whether the server answered its PING.
        resumed: whether its saved session was resumed.
        alert: number of the alert that it was sent, or None.
    """

    served: bool
    resumed: bool
    alert: str | None


@attrs.frozen
class Scene:
    """A server, its clock, and a client whose identity will be lost.

    Attributes:
        server: the process.
        clock: its clock.
        club: the authority of its clients.
        serial: of the client's certificate.
        folder: the client's Resources.
    """

    server: ServerProcess
    clock: Clock
    club: ClientAuthority
    serial: int
    folder: Path

    @property
    def resources(self) -> Path:
        """The server's."""
        return self.server.folder / "Resources"

    async def visit(self, version: str, *, session: str = "") -> Visit:
        """Connect with OpenSSL's client.

        Args:
            version: of TLS.
            session: "save" or "use" the session.
        """
        saved = self.folder / f"session-{version}.pem"
        line = [
            "openssl",
            "s_client",
            "-connect",
            f"localhost:{self.server.port}",
            "-servername",
            "localhost",
        ]
        line += ["-CAfile", str(self.server.authority), "-alpn", "appserver/1", "-ign_eof", OPTIONS[version]]
        if (self.folder / "key.pem").exists():
            line += ["-cert", str(self.folder / "cert.pem"), "-key", str(self.folder / "key.pem")]
        if session == "save":
            line += ["-sess_out", str(saved)]
        elif session and saved.exists():
            line += ["-sess_in", str(saved)]
        done = await trio.run_process(line, stdin=PING, capture_stdout=True, capture_stderr=True, check=False)
        alert = re.search(rb"SSL alert number (\d+)", done.stderr)
        return Visit(PONG in done.stdout, b"\nReused, " in done.stdout, alert[1].decode() if alert else None)

    @contextlib.asynccontextmanager
    async def client(self, version: str) -> AsyncIterator[Client]:
        """Connect with ours."""
        spoken.set(version)
        address = Address("localhost", self.server.port)
        async with connect_to(address, resources=self.folder, settings=client_settings()) as client:
            assert client.security is not None
            assert client.security.version == f"TLSv{version}"
            yield client


@pytest.fixture(autouse=True)
def one_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let our clients speak the version that a test says."""

    def make(trust: Trust, policy: TlsSettings, *, pin: str | None = None) -> ssl.SSLContext:
        context = client_context(trust, policy, pin=pin)
        context.minimum_version = context.maximum_version = VERSIONS[spoken.get()]
        return context

    monkeypatch.setattr(trusting, "client_context", make)


@contextlib.asynccontextmanager
async def scene(tmp_path: Path, *, ends: float | None = None, wanted: bool = True) -> AsyncIterator[Scene]:
    """Run a server that wants certificates of its clients, or does not yet."""
    clock, club = Clock(tmp_path), ClientAuthority()
    resources = tmp_path / "Resources"
    # Made before, so that the server has nothing to reload after its start: another context knows no sessions.
    await trio.to_thread.run_sync(ensure_server_identity, resources)
    if wanted:
        put(resources, "clients-ca.pem", club.pem)
    with trio.fail_after(90):
        async with serving(tmp_path, extra=clock.variables, seconds=90, timeouts_first_frame=1) as server:
            folder = client_resources(server)
            end = datetime.now(UTC) + timedelta(seconds=ends) if ends is not None else None
            yield Scene(server, clock, club, club.issue(folder, "ada", end=end), folder)


async def expire(scene: Scene) -> None:
    scene.clock.move(ENDS + 1)


async def revoke(scene: Scene) -> None:
    put(scene.resources, "clients-crl.pem", scene.club.revocations([scene.serial]))


async def take_out(scene: Scene) -> None:
    put(scene.resources, "clients-ca.pem", ClientAuthority().pem)


async def follow(scene: Scene, version: str, cause: str, lost: trio.Event, told: list[str]) -> None:
    """Be a client until it is out for good; its running call ends as if nothing were."""
    answers: list[int] = []
    async with scene.client(version) as client, trio.open_nursery() as nursery:
        desk = client.use(Desk)

        async def call() -> None:
            answers.append(await desk.enter(int(version[-1]), wait=True))

        nursery.start_soon(call)
        await scene.server.wait_entries(len(VERSIONS))
        await lost.wait()
        change = await client.wait_state(ConnectionState.RECONNECTING)
        assert cause in change.reason
        (scene.server.folder / "go").touch()
        change = await client.wait_state(ConnectionState.REFUSED)
        told.append(change.reason)
    assert answers == [int(version[-1])]


@needs_openssl
@pytest.mark.parametrize(
    ("lose", "cause", "alert", "text"),
    [
        (expire, "has expired", "certificate_expired", "it has expired"),
        (revoke, "was revoked", "certificate_revoked", "it was revoked"),
        (take_out, "no longer trusts the authority", "unknown_ca", "does not trust"),
    ],
    ids=["expired", "revoked", "authority removed"],
)
async def test_a_lost_identity_is_out_within_a_minute_and_cannot_come_back(
    tmp_path: Path, lose: Callable[[Scene], Awaitable[None]], cause: str, alert: str, text: str
) -> None:
    lost, told = trio.Event(), list[str]()
    async with scene(tmp_path, ends=ENDS if lose is expire else None) as place:
        for version in VERSIONS:
            assert await place.visit(version, session="save") == Visit(True, False, None)
        async with trio.open_nursery() as nursery:
            for version in VERSIONS:
                nursery.start_soon(follow, place, version, cause, lost, told)
            await place.server.wait_entries(len(VERSIONS))
            await lose(place)
            lost.set()
            begin = trio.current_time()
        assert trio.current_time() - begin < MINUTE
        assert len(told) == len(VERSIONS)
        assert all(text in reason for reason in told), told
        await place.server.wait_log(lambda line: line["event"] == "client left", len(VERSIONS))
        for version in VERSIONS:
            for session in ("use", ""):
                visit = await place.visit(version, session=session)
                assert not visit.served, (version, session)
                assert visit.resumed or visit.alert == ALERTS[alert], (version, session, visit)
        served = [line for line in place.server.log() if line["event"] == "client connected"]
        assert len(served) == len(VERSIONS), "nobody came back"


@needs_openssl
async def test_saved_sessions_are_no_way_past_certificates_that_are_wanted_from_now_on(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path, wanted=False) as place:
        for version in VERSIONS:
            assert await place.visit(version, session="save") == Visit(True, False, None)
        assert (await place.visit("1.2", session="use")).resumed, (
            "the control: it is resumed while nothing changes"
        )
        for file in ("cert.pem", "key.pem"):
            (place.folder / file).unlink()
        told: list[str] = []

        async def stay(version: str) -> None:
            async with place.client(version) as client:
                connected.append(version)
                change = await client.wait_state(ConnectionState.REFUSED)
                told.append(change.reason)

        connected: list[str] = []
        async with trio.open_nursery() as nursery:
            for version in VERSIONS:
                nursery.start_soon(stay, version)
            while len(connected) < len(VERSIONS):  # noqa: ASYNC110 - a process lets them in
                await trio.sleep(0.01)
            begin = trio.current_time()
            put(place.resources, "clients-ca.pem", place.club.pem)
        assert trio.current_time() - begin < MINUTE
        assert all("certificate of this client" in reason for reason in told), told
        for version in VERSIONS:
            visit = await place.visit(version, session="use")
            assert visit == Visit(False, False, {"1.2": "40", "1.3": "116"}[version])


@needs_openssl
async def test_openssl_resumes_a_session_whose_certificate_has_ended_and_the_server_does_not(
    tmp_path: Path,
) -> None:
    """What this is all about: the clock alone has moved, the context is the one that it was."""
    async with scene(tmp_path, ends=ENDS) as place:
        assert await place.visit("1.2", session="save") == Visit(True, False, None)
        place.clock.move(ENDS + 1)
        assert await place.visit("1.2", session="use") == Visit(False, True, None)
        assert (await place.visit("1.2")).alert == ALERTS["certificate_expired"]
