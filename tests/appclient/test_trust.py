"""Which servers a client trusts, by what, and how each refusal is told: over loopback, in TLS 1.2 and 1.3."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs
import pytest
import trustme
from truststore import _api

from appclient import ConnectionState, ServerFacts, connect
from protocol.certs import (
    ChangedServerKey,
    ExpiredServerCertificate,
    PeerError,
    PinMismatch,
    ServerCertificateNotYetValid,
    UnknownAuthority,
    WrongServerName,
    note_server,
    read_known_servers,
    system_store,
)
from tests.appclient.conftest import SystemTrusts
from tests.appclient.tls_server import (
    SETTINGS,
    VERSIONS,
    context_of,
    fingerprint_of,
    issue,
    tls_server,
    trusting,
)
from tests.judging import leave_out_openssl
from tests.secrecy.canaries import canary

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
SEEN = datetime(2026, 1, 31, 9, tzinfo=UTC)
SECRETS = {"password": canary("password for an unknown server")}
OTHER_PIN = "sha256:" + "0" * 64

each_version = pytest.mark.parametrize("version", VERSIONS)


def never(facts: ServerFacts) -> bool:
    """Fail where nobody is to be asked."""
    raise AssertionError(f"asked about {facts.address}")


@attrs.frozen
class Case:
    """A server that is refused.

    Attributes:
        error: exactly this class.
        texts: what it must say.
        names: of the server's certificate.
        age: of the certificate, in days from now: begin and end.
        anchor: whether the client's `ca.pem` has the server's authority, another, or is not there.
        pin: of the address.
        known: pin in `known_servers.toml`.
    """

    error: type[PeerError]
    texts: tuple[str, ...]
    names: tuple[str, ...] = ("localhost",)
    days: tuple[int, int] = (-1, 9)
    anchor: str | None = "right"
    pin: str | None = None
    known: str | None = None


CASES = {
    "an impostor to anchors": Case(UnknownAuthority, ("ca.pem", "does not trust"), anchor="other"),
    "an impostor to the system": Case(
        UnknownAuthority, ("the operating system does not know it", "appclient trust localhost:"), anchor=None
    ),
    "a wrong name": Case(WrongServerName, ("another name", "tls] names"), names=("elsewhere.example",)),
    "a wrong name beside a right pin": Case(
        WrongServerName, ("another name",), names=("elsewhere.example",), pin="right"
    ),
    "an end": Case(ExpiredServerCertificate, ("expired", "clock"), days=(-9, -1)),
    "an end under a pin": Case(
        ExpiredServerCertificate,
        (f"expired on {NOW - DAY:%Y-%m-%d}",),
        days=(-9, -1),
        anchor=None,
        pin="right",
    ),
    "a beginning": Case(ServerCertificateNotYetValid, ("not valid", "clock"), days=(1, 9)),
    "another key than the pin's": Case(PinMismatch, ("the pin in the address", OTHER_PIN), pin=OTHER_PIN),
    "another key than the pin's and no anchors": Case(
        PinMismatch, ("the pin in the address", OTHER_PIN), pin=OTHER_PIN, anchor=None
    ),
    "a changed key": Case(
        ChangedServerKey,
        ("KEY HAS CHANGED", OTHER_PIN, "since 2026-01-31", "appclient trust --forget localhost:"),
        known=OTHER_PIN,
        anchor=None,
    ),
    "a changed key that anchors vouch for": Case(ChangedServerKey, ("KEY HAS CHANGED",), known=OTHER_PIN),
}


@each_version
@pytest.mark.parametrize("name", CASES)
async def test_each_server_that_is_not_the_right_one_is_refused_by_name_and_told_nothing(
    tmp_path: Path,
    authority: trustme.CA,
    stranger: trustme.CA,
    system_trusts: SystemTrusts,
    name: str,
    version: str,
) -> None:
    case = CASES[name]
    system_trusts(stranger)
    begin, end = (NOW + days * DAY for days in case.days)
    certificate = issue(authority, *case.names, not_before=begin, not_after=end)
    folder = tmp_path / "client"
    folder.mkdir()
    if case.anchor is not None:
        trusting(folder, authority if case.anchor == "right" else stranger)
    async with tls_server(context_of(certificate, version)) as server:
        if case.known is not None:
            note_server(folder / "known_servers.toml", "localhost", server.port, pin=case.known, now=SEEN)
        pin = fingerprint_of(certificate) if case.pin == "right" else case.pin
        address = attrs.evolve(server.address, pin=pin)
        with pytest.raises(PeerError) as caught:
            async with connect(
                address, resources=folder, settings=SETTINGS, credentials=SECRETS, trust="verify"
            ):
                pass
        assert server.hellos == []
    error = caught.value
    assert type(error) is case.error
    for text in (*case.texts, f"localhost:{server.port}", error.cause, error.next_step):
        assert text in str(error)
    if isinstance(error, ChangedServerKey):
        assert (error.expected, error.found) == (OTHER_PIN, fingerprint_of(certificate))
        assert error.first_seen == (SEEN if case.known is not None else None)
        assert error.found in str(error)


@each_version
async def test_a_server_that_the_system_trusts_is_accepted_and_known_from_then_on(
    tmp_path: Path, authority: trustme.CA, system_trusts: SystemTrusts, version: str
) -> None:
    system_trusts(authority)
    async with tls_server(context_of(issue(authority), version)) as server:
        async with connect(
            server.address, resources=tmp_path, settings=SETTINGS, trust="ask", ask=never
        ) as client:
            assert client.application == "tls"
        known = read_known_servers(tmp_path / "known_servers.toml")[f"localhost:{server.port}"]
        assert (known.pin, known.encrypted) == (None, True)


@each_version
async def test_the_system_is_asked_for_the_name_too(
    tmp_path: Path, authority: trustme.CA, system_trusts: SystemTrusts, version: str
) -> None:
    system_trusts(authority)
    async with tls_server(context_of(issue(authority, "elsewhere.example"), version)) as server:
        with pytest.raises(WrongServerName):
            async with connect(server.address, resources=tmp_path, settings=SETTINGS, trust="ask", ask=never):
                pass
        assert server.hellos == []


@each_version
@pytest.mark.parametrize("agrees", [True, False])
async def test_where_the_system_judges_servers_itself_nothing_is_said_before_it_has(
    tmp_path: Path, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch, version: str, agrees: bool
) -> None:
    """As on Windows and macOS, with this test as the judge."""
    certificate = issue(authority)
    judged: list[tuple[bytes, str | None]] = []

    async with tls_server(context_of(certificate, version)) as server:

        def judge(context: ssl.SSLContext, chain: list[bytes], server_hostname: str | None) -> None:
            assert server.hellos == []
            judged.append((chain[0], server_hostname))
            if not agrees:
                error = ssl.SSLCertVerificationError("not trusted")
                error.verify_code, error.verify_message = -67843, "not trusted"
                raise error

        monkeypatch.setattr(system_store, "_SYSTEM_JUDGES", True)
        monkeypatch.setattr(_api, "_configure_context", leave_out_openssl)
        monkeypatch.setattr(_api, "_verify_peercerts_impl", judge)
        if agrees:
            async with connect(server.address, resources=tmp_path, settings=SETTINGS):
                pass
        else:
            with pytest.raises(UnknownAuthority, match="not trusted"):
                async with connect(server.address, resources=tmp_path, settings=SETTINGS):
                    pass
        assert len(server.hellos) == int(agrees)
    shown = ssl.PEM_cert_to_DER_cert(certificate.cert_chain_pems[0].bytes().decode())
    assert judged == [(shown, "localhost")]


@each_version
async def test_a_pin_alone_names_the_server_and_a_pin_beside_anchors_does_not(
    tmp_path: Path, authority: trustme.CA, version: str
) -> None:
    certificate = issue(authority, "elsewhere.example")
    async with tls_server(context_of(certificate, version)) as server:
        pinned = attrs.evolve(server.address, pin=fingerprint_of(certificate))
        (tmp_path / "empty").mkdir()
        async with connect(pinned, resources=tmp_path / "empty", settings=SETTINGS):
            pass
        with pytest.raises(WrongServerName):
            async with connect(pinned, resources=trusting(tmp_path / "full", authority), settings=SETTINGS):
                pass


async def test_what_is_known_of_a_server_stays_when_it_is_met_again(
    tmp_path: Path, authority: trustme.CA
) -> None:
    certificate = issue(authority)
    folder = trusting(tmp_path / "client", authority)
    async with tls_server(context_of(certificate, "1.3")) as server:
        file, pin = folder / "known_servers.toml", fingerprint_of(certificate)
        known = note_server(file, "localhost", server.port, pin=pin, now=SEEN)
        async with connect(server.address, resources=folder, settings=SETTINGS):
            pass
        assert read_known_servers(file)[f"localhost:{server.port}"] == known


async def test_nobody_is_asked_while_a_client_comes_back(
    tmp_path: Path, authority: trustme.CA, stranger: trustme.CA, system_trusts: SystemTrusts
) -> None:
    system_trusts(authority)
    good, bad = context_of(issue(authority), "1.3"), context_of(issue(stranger), "1.3")
    async with (
        tls_server(good, bad) as server,
        connect(server.address, resources=tmp_path, settings=SETTINGS, trust="ask", ask=never) as client,
    ):
        assert server.transport is not None
        server.transport.abort()
        change = await client.wait_state(ConnectionState.REFUSED)
        assert "the operating system does not know it" in change.reason
        assert len(server.hellos) == 1


@pytest.mark.parametrize(
    "options", [{"trust": "ask"}, {"ask": never}, {"trust": "never"}, {"trust": "verify", "ask": never}]
)
async def test_asking_without_somebody_to_ask_is_a_mistake_of_the_program(
    options: dict[str, Callable[..., object]],
) -> None:
    with pytest.raises(ValueError, match="trust"):
        async with connect("localhost:1", settings=SETTINGS, **options):  # type: ignore[arg-type]
            pass
