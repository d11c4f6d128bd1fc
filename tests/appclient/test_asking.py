"""`trust="ask"`: a server that nothing vouches for is shown to a person, and only then trusted."""

from __future__ import annotations

import errno
import os
import ssl
import stat
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trio
import trustme
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from appclient import CONNECT_ERRORS, ServerFacts, TrustRefused, connect
from appclient.bridge import blocking
from appclient.bridge.portal import Portal
from protocol.certs import (
    ChangedServerKey,
    ExpiredServerCertificate,
    KnownServer,
    UnfitServerCertificate,
    UnknownAuthority,
    UnwritableKnownServers,
    note_server,
    read_known_servers,
)
from protocol.certs.context import ALPN_PROTOCOL
from protocol.certs.pem import encode_pem
from tests.appclient.conftest import SystemTrusts
from tests.appclient.tls_server import (
    SETTINGS,
    VERSIONS,
    TlsServer,
    context_of,
    fingerprint_of,
    issue,
    tls_server,
    trusting,
)
from tests.protocol.certs.odd import with_unread_name
from tests.secrecy.canaries import canary

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
SEEN = datetime(2026, 1, 31, 9, tzinfo=UTC)
SECRETS = {"password": canary("password before the question")}

each_version = pytest.mark.parametrize("version", VERSIONS)


class Person:
    """Answers as the test says, and keeps what it was asked."""

    def __init__(self, answer: object) -> None:
        self.answer = answer
        self.asked: list[ServerFacts] = []
        self.threads: list[threading.Thread] = []

    def __call__(self, facts: ServerFacts) -> bool:
        self.asked.append(facts)
        self.threads.append(threading.current_thread())
        return self.answer  # type: ignore[return-value]

    async def later(self, facts: ServerFacts) -> bool:
        await trio.lowlevel.checkpoint()
        return self(facts)


@pytest.fixture(autouse=True)
def system(system_trusts: SystemTrusts, stranger: trustme.CA) -> None:
    """The operating system trusts none of these servers."""
    system_trusts(stranger)


async def ask(server: TlsServer, folder: Path | None, person: Callable[..., bool | Awaitable[bool]]) -> None:
    """Connect once."""
    async with connect(
        server.address, resources=folder, settings=SETTINGS, credentials=SECRETS, trust="ask", ask=person
    ) as client:
        assert client.application == "tls"


def known(folder: Path, server: TlsServer) -> KnownServer | None:
    """What is stored."""
    return read_known_servers(folder / "known_servers.toml").get(f"localhost:{server.port}")


@each_version
@pytest.mark.parametrize("way", ["plain", "async", "lambda"])
async def test_a_server_that_is_accepted_is_pinned_and_not_asked_about_again(
    folder: Path, authority: trustme.CA, version: str, way: str
) -> None:
    person = Person(True)
    callback: Any = {"plain": person, "async": person.later, "lambda": lambda facts: person.later(facts)}[way]
    certificate = issue(authority)
    before = datetime.now(UTC).replace(microsecond=0)
    async with tls_server(context_of(certificate, version)) as server:
        await ask(server, folder, callback)
        await ask(server, folder, callback)
        async with connect(server.address, resources=folder, settings=SETTINGS):
            pass
        stored = known(folder, server)
        assert len(server.hellos) == 3
    assert stored is not None
    assert stored.pin == fingerprint_of(certificate)
    assert before <= stored.first_seen <= datetime.now(UTC)
    (facts,) = person.asked
    assert facts.address == f"localhost:{server.port}"
    assert facts.fingerprint == fingerprint_of(certificate)
    assert facts.names == ("localhost",)
    assert facts.names_address
    assert "trustme" in facts.subject
    assert "trustme" in facts.issuer
    assert facts.not_before <= NOW <= facts.not_after
    assert (facts.first_seen, facts.seen_before) == (None, False)
    with pytest.raises(AttributeError):
        facts.address = "another"  # type: ignore[misc]


@each_version
async def test_a_server_that_is_not_accepted_is_told_nothing_and_not_stored(
    folder: Path, authority: trustme.CA, version: str
) -> None:
    certificate = issue(authority)
    async with tls_server(context_of(certificate, version)) as server:
        with pytest.raises(TrustRefused) as caught:
            await ask(server, folder, Person(False))
        assert server.hellos == []
        assert known(folder, server) is None
    assert isinstance(caught.value, CONNECT_ERRORS)
    assert caught.value.fingerprint == fingerprint_of(certificate)
    for text in (
        f"localhost:{server.port}",
        fingerprint_of(certificate),
        "the answer was no",
        "by another way",
    ):
        assert text in str(caught.value)


@pytest.mark.parametrize("answer", [0x10000, "yes", 1, None, object()])
async def test_only_true_is_yes_since_a_dialogs_no_counts_as_true(
    folder: Path, authority: trustme.CA, answer: object
) -> None:
    async with tls_server(context_of(issue(authority), "1.3")) as server:
        with pytest.raises(TrustRefused):
            await ask(server, folder, Person(answer))
        assert known(folder, server) is None


@each_version
async def test_a_key_that_changes_between_the_look_and_the_connection_is_a_changed_key(
    folder: Path, authority: trustme.CA, version: str
) -> None:
    shown, other = issue(authority), issue(authority)
    person = Person(True)
    # The first connection asks the system, the second is the look, the third would be used.
    contexts = [context_of(certificate, version) for certificate in (shown, shown, other)]
    async with tls_server(*contexts) as server:
        for _ in range(2):  # nor does it help to try again
            with pytest.raises(ChangedServerKey) as caught:
                await ask(server, folder, person)
            assert type(caught.value) is ChangedServerKey
            assert (caught.value.expected, caught.value.found) == (
                fingerprint_of(shown),
                fingerprint_of(other),
            )
        assert server.hellos == []
    assert len(person.asked) == 1


@each_version
async def test_a_changed_key_is_never_asked_about(folder: Path, authority: trustme.CA, version: str) -> None:
    person = Person(True)
    async with tls_server(context_of(issue(authority), version)) as server:
        file, pin = folder / "known_servers.toml", "sha256:" + "0" * 64
        pinned = note_server(file, "localhost", server.port, pin=pin, now=SEEN)
        with pytest.raises(ChangedServerKey, match="since 2026-01-31 09:00 UTC"):
            await ask(server, folder, person)
        assert known(folder, server) == pinned
        assert server.hellos == []
    assert person.asked == []


@each_version
async def test_anchors_and_times_speak_for_themselves(
    tmp_path: Path, folder: Path, authority: trustme.CA, stranger: trustme.CA, version: str
) -> None:
    person = Person(True)
    async with tls_server(context_of(issue(authority), version)) as server:
        with pytest.raises(UnknownAuthority, match=r"ca\.pem"):
            await ask(server, trusting(tmp_path / "anchored", stranger), person)
    ended = issue(authority, not_before=NOW - 9 * DAY, not_after=NOW - DAY)
    async with tls_server(context_of(ended, version)) as server:
        with pytest.raises(ExpiredServerCertificate):
            await ask(server, folder, person)
    assert person.asked == []


async def test_a_server_that_was_met_before_is_said_to_be_and_keeps_its_date(
    folder: Path, authority: trustme.CA
) -> None:
    person = Person(True)
    async with tls_server(context_of(issue(authority, "elsewhere.example"), "1.3")) as server:
        note_server(folder / "known_servers.toml", "localhost", server.port, now=SEEN)
        await ask(server, folder, person)
        stored = known(folder, server)
    (facts,) = person.asked
    assert (facts.first_seen, facts.seen_before) == (SEEN, True)
    assert not facts.names_address
    assert stored == KnownServer(facts.fingerprint, SEEN)


async def test_the_look_shows_the_server_nothing_of_this_client(
    tmp_path: Path, folder: Path, authority: trustme.CA
) -> None:
    own = issue(authority, "anna@example.org")
    (folder / "cert.pem").write_bytes(own.cert_chain_pems[0].bytes())
    (folder / "key.pem").touch(mode=0o600)
    (folder / "key.pem").write_bytes(own.private_key_pem.bytes())
    async with tls_server(context_of(issue(authority), "1.3", clients=authority)) as server:
        await ask(server, folder, Person(True))
        look, used = server.clients
    assert look is None
    assert used is not None


async def test_a_plain_callback_may_wait_in_its_thread_and_connect_be_cancelled_meanwhile(
    folder: Path, authority: trustme.CA
) -> None:
    asked, answered = trio.Event(), threading.Event()

    def wait(facts: ServerFacts) -> bool:
        trio.from_thread.run_sync(asked.set)
        return answered.wait(10)

    async with tls_server(context_of(issue(authority), "1.3")) as server:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(ask, server, folder, wait)
            await asked.wait()
            nursery.cancel_scope.cancel()
        answered.set()
        assert server.hellos == []
        assert known(folder, server) is None


async def test_what_the_callback_raises_is_raised(folder: Path, authority: trustme.CA) -> None:
    def fail(facts: ServerFacts) -> bool:
        raise RuntimeError("no screen")

    async with tls_server(context_of(issue(authority), "1.3")) as server:
        with pytest.raises(RuntimeError, match="no screen"):
            await ask(server, folder, fail)
        assert server.hellos == []


# Where the answer is stored


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="another place there")
async def test_without_a_folder_one_is_made_in_the_users_configuration(
    tmp_path: Path, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    person = Person(True)
    async with tls_server(context_of(issue(authority), "1.3")) as server:
        await ask(server, None, person)
        await ask(server, None, person)
        made = tmp_path / "config" / "appserver" / "Resources"
        assert known(made, server) is not None
        assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert len(person.asked) == 1


@contextmanager
def full_disk() -> Iterator[None]:
    """Nothing can be written any more: the system refuses it as it does on a full disk."""
    import resource

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit")
async def test_an_answer_that_cannot_be_stored_is_an_error_and_the_server_is_told_nothing(
    folder: Path, authority: trustme.CA
) -> None:
    certificate = issue(authority)
    async with tls_server(context_of(certificate, "1.3")) as server:
        with full_disk(), pytest.raises(UnwritableKnownServers) as caught:
            await ask(server, folder, Person(True))
        assert server.hellos == []
        assert known(folder, server) is None
        assert os.listdir(folder) == [".known_servers.toml.lock"]
        await ask(server, folder, Person(True))
    assert caught.value.file == folder / "known_servers.toml"
    assert f"?pin={fingerprint_of(certificate)}" in caught.value.remedy


READ_ONLY = Path("/sys/kernel")
"""A folder in which not even root may write."""


@pytest.mark.skipif(not READ_ONLY.is_dir(), reason="Linux alone has it")
async def test_a_folder_that_cannot_be_written_is_said_to_be(authority: trustme.CA) -> None:
    async with tls_server(context_of(issue(authority), "1.3")) as server:
        with pytest.raises(UnwritableKnownServers, match="Make the folder writable") as caught:
            await ask(server, READ_ONLY, Person(True))
        assert isinstance(caught.value.__cause__, OSError)
        assert caught.value.__cause__.errno in (errno.EACCES, errno.EPERM, errno.EROFS)
        assert server.hellos == []


# From blocking code


@contextmanager
def serving(certificate: trustme.LeafCert) -> Iterator[TlsServer]:
    """A server in a thread of its own."""
    started: list[TlsServer] = []
    ready = threading.Event()

    async def serve() -> None:
        async with tls_server(context_of(certificate, "1.3")) as server:
            started.append(server)
            ready.set()
            await trio.sleep_forever()

    with Portal("server") as portal:
        portal.start(serve)
        assert ready.wait(10)
        yield started[0]


def ask_blocking(server: TlsServer, folder: Path, person: Callable[[ServerFacts], bool]) -> None:
    with blocking.connect(
        server.address, resources=folder, settings=SETTINGS, credentials=SECRETS, trust="ask", ask=person
    ) as client:
        assert client.security is not None


def test_a_blocking_client_asks_in_the_thread_that_connects(folder: Path, authority: trustme.CA) -> None:
    person = Person(True)
    with serving(issue(authority)) as server:
        ask_blocking(server, folder, person)
        ask_blocking(server, folder, person)
        assert known(folder, server) is not None
    assert person.threads == [threading.current_thread()]


def test_a_blocking_client_is_refused_and_fails_like_the_other(folder: Path, authority: trustme.CA) -> None:
    def fail(facts: ServerFacts) -> bool:
        raise RuntimeError("no screen")

    async def wrong(facts: ServerFacts) -> bool:
        return True

    with serving(issue(authority)) as server:
        with pytest.raises(TrustRefused):
            ask_blocking(server, folder, Person(False))
        with pytest.raises(RuntimeError, match="no screen"):
            ask_blocking(server, folder, fail)
        with pytest.raises(TypeError, match="plain function"):
            ask_blocking(server, folder, wrong)  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="go together"):
            blocking.connect(server.address, resources=folder, settings=SETTINGS, trust="ask")
        assert server.hellos == []
        assert known(folder, server) is None
    assert "appclient" not in {thread.name for thread in threading.enumerate()}


@each_version
async def test_a_certificate_that_cannot_be_read_is_an_error_and_nobody_is_asked(
    folder: Path, tmp_path: Path, version: str
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    pair = tmp_path / "pair.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    pair.write_bytes(private + encode_pem("CERTIFICATE", with_unread_name(key)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = VERSIONS[version]
    context.set_alpn_protocols([ALPN_PROTOCOL])
    context.load_cert_chain(pair)
    person = Person(True)
    async with tls_server(context) as server:
        with pytest.raises(UnfitServerCertificate, match="cannot be understood"):
            await ask(server, folder, person)
        assert server.hellos == []
    assert person.asked == []
