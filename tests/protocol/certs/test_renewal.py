"""The certificate of the server's own authority: when it is renewed, and renewing it now."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from protocol.certs import (
    describe_file,
    describe_resources,
    ensure_server_identity,
    errors,
    install_certificates,
    make_key_pair,
    next_renewal,
    open_server_identity,
    renew_server_certificate,
)
from protocol.certs.keys import load_private_key
from tests.protocol.certs.conftest import Authority, pem_of

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)
YEAR = 365 * DAY


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    resources = tmp_path / "Resources"
    ensure_server_identity(resources, now=NOW)
    return resources


def test_the_next_renewal_is_when_a_start_renews_and_not_a_second_before(folder: Path) -> None:
    due = next_renewal(folder)
    assert due is not None
    first = open_server_identity(folder)
    assert abs(due - (first.not_after - (first.not_after - first.not_before) / 3)) < timedelta(seconds=1)
    second = timedelta(seconds=1)
    assert ensure_server_identity(folder, now=due - second) == first
    renewed = ensure_server_identity(folder, now=due + second)
    assert renewed.not_after > first.not_after
    assert renewed.fingerprint == first.fingerprint
    assert (next_renewal(folder) or due) > due + 50 * DAY


def test_a_certificate_that_ends_with_its_authority_is_not_renewed_over_and_over(folder: Path) -> None:
    late = NOW + 10 * YEAR - 50 * DAY
    last = ensure_server_identity(folder, now=late)
    assert next_renewal(folder) is None
    assert ensure_server_identity(folder, now=late + 45 * DAY) == last
    (folder / "cert.pem").unlink()
    with pytest.raises(errors.ExpiredCertificate, match="private authority expired"):
        ensure_server_identity(folder, now=NOW + 11 * YEAR)
    with pytest.raises(errors.ResourcesError):
        renew_server_certificate(folder, now=NOW + 11 * YEAR)


def test_no_renewal_is_due_for_what_another_authority_issued(resources: Path, tmp_path: Path) -> None:
    assert next_renewal(resources) is None
    assert next_renewal(tmp_path / "none") is None


def test_it_is_renewed_now_with_the_same_key_and_the_old_one_kept(folder: Path) -> None:
    first = open_server_identity(folder)
    old = (folder / "cert.pem").read_bytes()
    done = renew_server_certificate(folder, names=["db.example"], now=NOW + DAY)
    second = open_server_identity(folder, now=NOW + DAY)
    assert not done.new_key
    assert second.fingerprint == first.fingerprint
    assert second.not_after == first.not_after + DAY
    assert "db.example" in second.names
    assert [path.read_bytes() for path in done.kept] == [old]


def test_a_new_key_is_said_to_be_one(folder: Path) -> None:
    first = open_server_identity(folder)
    done = renew_server_certificate(folder, new_key=True, now=NOW)
    second = open_server_identity(folder)
    assert done.new_key
    assert second.fingerprint == done.certificate.fingerprint != first.fingerprint
    assert {path.name.partition(".pem.")[0] for path in done.kept} == {"key", "cert"}
    assert not (folder / "next-key.pem").exists()
    assert next_renewal(folder) is not None


def test_what_another_authority_issued_is_not_renewed_here(
    folder: Path, resources: Path, authorities: dict[str, Authority], tmp_path: Path
) -> None:
    with pytest.raises(errors.NotIssuedHere, match="certificates request"):
        renew_server_certificate(resources)
    key = load_private_key(folder / "key.pem")
    (tmp_path / "sent").write_bytes(pem_of(authorities["root"].issue(key)))  # type: ignore[arg-type]
    install_certificates(folder, [tmp_path / "sent"])
    before = (folder / "cert.pem").read_bytes()
    with pytest.raises(errors.NotIssuedHere):
        renew_server_certificate(folder)
    assert (folder / "cert.pem").read_bytes() == before


def test_many_at_once_end_with_one_pair(folder: Path) -> None:
    failures: list[BaseException] = []

    def run(work: Callable[[], object]) -> None:
        try:
            for _ in range(5):
                work()
        except BaseException as error:
            failures.append(error)

    work: list[Callable[[], object]] = [
        lambda: renew_server_certificate(folder, new_key=True),
        lambda: renew_server_certificate(folder, new_key=True),
        lambda: ensure_server_identity(folder),
    ]
    threads = [threading.Thread(target=run, args=(step,)) for step in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
    open_server_identity(folder)


def test_a_description_tells_what_openssl_and_a_pin_show(folder: Path) -> None:
    described = describe_resources(folder, now=NOW)
    identity = open_server_identity(folder)
    assert described.fingerprint == identity.fingerprint
    assert described.key == "P-256"
    assert described.days_left == 89
    assert described.renewal == next_renewal(folder)
    assert len(described.chain) == 2
    assert not described.key_waits
    make_key_pair(folder, replace=True)
    assert describe_resources(folder).key_waits
    assert describe_file(folder / "authority" / "ca.pem", now=NOW + 11 * YEAR).days_left < 0
