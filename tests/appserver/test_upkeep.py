"""The certificate of a server that runs for years, on a clock that the tests move."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs
import pytest
import trio
import trio.testing

from appserver import Outcome, ReloadReport, Server
from appserver.encryption import load_encryption
from appserver.reloading import Reloader
from appserver.server import run_server
from appserver.sources import Source
from appserver.upkeep import ExpiryWarnings, keep_certificate, look_after
from protocol.certs import ServerIdentity, open_server_identity
from protocol.settings import Settings, TlsSettings
from tests.appserver.pairs import Issuer, new_folders
from tests.protocol.peer.desk import new_desk

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)


@pytest.fixture
def resources(tmp_path: Path) -> Path:
    return new_folders(tmp_path, Issuer())[0]


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [line.message for line in caplog.records if line.name == "appserver.certificates"]


def identity_until(resources: Path, end: datetime) -> ServerIdentity:
    Issuer().pair(end=end).put(resources)
    return open_server_identity(resources)


def test_the_end_is_announced_four_times_and_said_once(
    resources: Path, caplog: pytest.LogCaptureFixture
) -> None:
    identity = identity_until(resources, NOW + 100 * DAY)
    warnings = ExpiryWarnings()
    said: list[float] = []
    for quarter in range(4 * 110):
        now = NOW + quarter * DAY / 4
        before = len(warnings_in(caplog))
        warnings.tell(identity, now)
        if len(warnings_in(caplog)) > before:
            said.append((identity.not_after - now) / DAY)
    assert said == [30, 14, 7, 1, 0]
    assert {line.levelname for line in caplog.records} == {"WARNING"}
    (first, *_, last) = caplog.records
    assert first.file == str(resources / "cert.pem")  # type: ignore[attr-defined]
    assert "30 days" in first.finding  # type: ignore[attr-defined]
    assert "without a restart" in first.remedy  # type: ignore[attr-defined]
    assert "has ended" in last.message


def test_a_start_in_the_last_days_says_the_nearest_alone(
    resources: Path, caplog: pytest.LogCaptureFixture
) -> None:
    identity = identity_until(resources, NOW + 5 * DAY)
    warnings = ExpiryWarnings()
    for _ in range(3):
        warnings.tell(identity, NOW)
    assert len(warnings_in(caplog)) == 1


def test_another_certificate_begins_anew(resources: Path, caplog: pytest.LogCaptureFixture) -> None:
    warnings = ExpiryWarnings()
    warnings.tell(identity_until(resources, NOW + 5 * DAY), NOW)
    warnings.tell(identity_until(resources, NOW + 90 * DAY), NOW)
    assert len(warnings_in(caplog)) == 1
    warnings.tell(identity_until(resources, NOW + 20 * DAY), NOW)
    assert len(warnings_in(caplog)) == 2


class CountingReloader(Reloader):
    """Counts what it is asked for."""

    count = 0

    async def reload(self, *, asked: bool = True) -> ReloadReport:
        self.count += 1
        return await super().reload(asked=asked)


async def run_for(
    folder: Path, *, days: range, tls: TlsSettings, started: Callable[[], object] = lambda: None
) -> tuple[Server, list[str]]:
    """Let a server's clock go from day to day; the fingerprints that it served, each with its end.

    Args:
        folder: its Resources.
        days: since now.
        tls: its settings.
        started: called when it has read its files.
    """
    settings = Settings(tls=attrs.evolve(tls, names=("localhost",)))
    source = Source(settings, folder)
    encryption = await trio.to_thread.run_sync(load_encryption, settings, folder)
    application, _ = new_desk()
    server = Server(application, settings, identity=encryption.identity, context=encryption.context)
    clock = NOW
    warnings = ExpiryWarnings()
    reloader = server.reloader = CountingReloader(server, source, now=lambda: clock)
    started()
    served: list[str] = []
    async with run_server(server):
        for day in days:
            clock = NOW + day * DAY
            await look_after(reloader, warnings)
            assert server.identity is not None
            end = f"{server.identity.fingerprint} {server.identity.not_after:%Y-%m-%d}"
            if end not in served:
                served.append(end)
    return server, served


async def test_the_servers_own_certificate_is_renewed_at_a_third_of_its_life_while_it_runs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server, served = await run_for(tmp_path / "Resources", days=range(50, 70), tls=TlsSettings())
    assert len(served) == 2
    assert len({one.split()[0] for one in served}) == 1, "the key stays, and so do pins"
    assert server.encryption.identity == open_server_identity(tmp_path / "Resources", now=NOW + 70 * DAY), (
        "what is served is what lies in the folder"
    )
    report = server.statistics().reload
    assert report is not None
    assert report.outcome is Outcome.CHANGED
    assert report.time - NOW >= 59 * DAY  # the clock may run on while a thread makes the certificate
    assert warnings_in(caplog) == []


async def test_somebody_elses_certificate_is_warned_about_and_left_alone(
    resources: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Issuer().pair(end=NOW + 20 * DAY).put(resources)
    before = (resources / "cert.pem").read_bytes()
    server, served = await run_for(resources, days=range(18), tls=TlsSettings())
    assert len(served) == 1
    assert (resources / "cert.pem").read_bytes() == before
    assert len(warnings_in(caplog)) == 3
    assert server.statistics().reload is None, "a look that finds nothing is no reload"


async def test_somebody_elses_certificate_is_not_read_anew_in_its_last_third(resources: Path) -> None:
    """Only what `next_renewal` says is due: a look at the dates alone reloaded every hour, for nothing."""
    Issuer().pair(end=NOW + 20 * DAY).put(resources)
    server, _ = await run_for(resources, days=range(18), tls=TlsSettings())
    assert isinstance(server.reloader, CountingReloader)
    assert server.reloader.count == 0


async def test_years_of_renewals_warn_of_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _, served = await run_for(tmp_path / "Resources", days=range(400), tls=TlsSettings())
    assert len(served) == 7
    assert warnings_in(caplog) == []


async def test_one_of_its_own_that_cannot_be_renewed_is_warned_about(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    resources = tmp_path / "Resources"
    lost = resources / "authority" / "ca-key.pem"
    _, served = await run_for(resources, days=range(50, 88), tls=TlsSettings(), started=lost.unlink)
    assert len(served) == 1
    assert len(warnings_in(caplog)) == 3


async def test_the_looks_go_on_until_it_is_cancelled(
    tmp_path: Path, patient_clock: trio.testing.MockClock
) -> None:
    settings = Settings()
    encryption = await trio.to_thread.run_sync(load_encryption, settings, tmp_path / "Resources")
    server = Server(new_desk()[0], settings, identity=encryption.identity, context=encryption.context)
    looks = 0

    def now() -> datetime:
        nonlocal looks
        looks += 1
        return NOW + 61 * DAY

    server.reloader = reloader = Reloader(server, Source(settings, tmp_path / "Resources"), now=now)
    with trio.move_on_after(10.5 * 60):
        await keep_certificate(reloader, pause=60)
    assert looks >= 10
    assert server.identity != encryption.identity, "and one that is due is renewed"
