"""The first start: what it makes, that a kill between any two of its steps is mended, and renewal."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.verification import PolicyBuilder, Store

from protocol.certs import ensure_server_identity, errors, open_server_identity
from protocol.certs.keys import load_private_key
from protocol.certs.names import machine_names
from protocol.settings import atomic
from tests.secrecy.canaries import canary

NOW = datetime.now(UTC).replace(microsecond=0)
FILES = ["authority/ca-key.pem", "authority/ca.pem", "key.pem", "cert.pem", "dhparams.pem"]
posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no permission bits")


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "app" / "Resources"


def test_a_first_start_makes_all_and_a_second_one_keeps_all(folder: Path) -> None:
    first = ensure_server_identity(folder)
    made = files_in(folder)
    assert sorted(made) == sorted(FILES)
    assert ensure_server_identity(folder) == first
    assert files_in(folder) == made
    assert set(machine_names()) <= set(first.names)
    assert {"localhost", "127.0.0.1", "::1"} <= set(first.names)
    assert first.not_before < NOW < first.not_after
    assert first.not_after - first.not_before == timedelta(days=90), (
        "the most that Mozilla's modern profile takes"
    )


def test_a_first_start_takes_well_under_a_second(folder: Path) -> None:
    ensure_server_identity(folder.with_name("warm"))
    begin = time.monotonic()
    ensure_server_identity(folder)
    assert time.monotonic() - begin < 1


@posix
def test_keys_are_private_and_so_are_the_folders(folder: Path) -> None:
    ensure_server_identity(folder)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (folder, *folder.rglob("*"))}
    assert modes == {
        "Resources": 0o700,
        "authority": 0o700,
        "ca-key.pem": 0o600,
        "ca.pem": 0o644,
        "key.pem": 0o600,
        "cert.pem": 0o644,
        "dhparams.pem": 0o644,
    }


def test_the_certificate_has_what_strict_verifiers_want(folder: Path) -> None:
    identity = ensure_server_identity(folder, names=["db.example", "10.1.2.3"])
    leaf, authority = x509.load_pem_x509_certificates((folder / "cert.pem").read_bytes())
    assert authority == x509.load_pem_x509_certificate((folder / "authority" / "ca.pem").read_bytes())
    assert leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    store = Store([authority])
    verifier = PolicyBuilder().store(store).time(NOW).build_server_verifier(x509.DNSName("db.example"))
    assert verifier.verify(leaf, []) == [leaf, authority]
    assert identity.names[:2] == ("db.example", machine_names()[0])
    assert "10.1.2.3" in identity.names
    assert len(identity.chain) == 1, "the root is in the file, but is not shown in a handshake"


def test_openssl_verifies_it_strictly(folder: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("there is no openssl command")
    ensure_server_identity(folder)
    command = [openssl, "verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", "localhost"]
    command += ["-CAfile", str(folder / "authority" / "ca.pem"), str(folder / "cert.pem")]
    run = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert run.returncode == 0, run.stderr


def test_rsa_keys_are_made_on_request(folder: Path) -> None:
    ensure_server_identity(folder, key_type="rsa3072")
    key = load_private_key(folder / "key.pem")
    assert isinstance(key, rsa.RSAPrivateKey)
    assert key.key_size == 3072


@pytest.mark.parametrize("kept", range(len(FILES) + 1))
def test_whatever_a_killed_start_left_is_kept_and_completed(folder: Path, kept: int) -> None:
    ensure_server_identity(folder)
    before = files_in(folder)
    for name in FILES[kept:]:
        (folder / name).unlink()
    identity = ensure_server_identity(folder)
    after = files_in(folder)
    assert sorted(after) == sorted(FILES)
    assert all(after[name] == before[name] for name in FILES[:kept])
    assert ensure_server_identity(folder) == identity


# The modules are imported once; each step is a process of its own.
KILL = """if True:
    import os, signal, sys
    from pathlib import Path
    from protocol.certs import ensure_server_identity
    def count(call):
        def counted(*arguments, **options):
            global left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **options)
        return counted
    for left in range(100):
        child = os.fork()
        if child == 0:
            for name in ("open", "link", "unlink", "fsync", "mkdir", "fchmod"):
                setattr(os, name, count(getattr(os, name)))
            ensure_server_identity(Path(sys.argv[1], str(left)))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
        if not os.WIFSIGNALED(status):
            break
"""


@posix
def test_a_kill_at_every_step_leaves_no_open_key_and_the_next_start_is_clean(tmp_path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", KILL, str(tmp_path)], stdout=subprocess.PIPE, text=True, timeout=60, umask=0
    )
    *killed, last = map(int, run.stdout.split())
    assert last == 0, "the first start has more steps than this test expects, or failed"
    assert set(killed) == {-signal.SIGKILL}
    for step in range(len(killed) + 1):
        folder = tmp_path / str(step)
        secret = [path for path in folder.rglob("*") if path.is_file() and b"PRIVATE" in path.read_bytes()]
        assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in secret), step
        for name in FILES:
            if (folder / name).exists():
                assert (folder / name).read_bytes().endswith(b"-----\n"), (step, name)
        for leftover in folder.rglob(".*"):
            os.utime(leftover, (0, 0))
        ensure_server_identity(folder)
        assert sorted(files_in(folder)) == sorted(FILES), step
    assert len(killed) >= 20, "the kills were not among the steps"


def test_two_starts_at_once_end_with_one_set(folder: Path) -> None:
    found: list[str] = []
    barrier = threading.Barrier(4)

    def start() -> None:
        barrier.wait(10)
        found.append(ensure_server_identity(folder).fingerprint)

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(found) == 4
    assert len(set(found)) == 1
    assert sorted(files_in(folder)) == sorted(FILES)


def test_a_key_that_waits_for_its_certificate_is_used_and_kept(
    fill: Callable[..., Path], key: Callable[..., bytes]
) -> None:
    resources = fill(key=key(passphrase=canary("passphrase at a first start").encode()))
    with pytest.raises(errors.PassphraseNeeded):
        ensure_server_identity(resources)
    assert not (resources / "cert.pem").exists()
    ensure_server_identity(resources, passphrase=canary("passphrase at a first start").encode())
    assert b"ENCRYPTED" in (resources / "key.pem").read_bytes()


def test_a_certificate_without_its_key_is_an_error_and_is_not_touched(
    fill: Callable[..., Path], cert: Callable[..., bytes]
) -> None:
    resources = fill(cert=cert())
    with pytest.raises(errors.MissingFile) as caught:
        ensure_server_identity(resources)
    assert caught.value.file == resources / "key.pem"
    assert list(files_in(resources)) == ["cert.pem"]


@posix
@pytest.mark.parametrize("name", FILES)
def test_a_dangling_link_is_never_written_through(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(parents=True)
    (folder / name).symlink_to(folder / "elsewhere")
    with pytest.raises((errors.BrokenLink, errors.MissingFile)):
        ensure_server_identity(folder)
    assert not (folder / "elsewhere").exists()


def test_an_authority_without_its_key_cannot_issue_and_says_so(folder: Path) -> None:
    ensure_server_identity(folder)
    (folder / "authority" / "ca-key.pem").unlink()
    ensure_server_identity(folder)  # what is there still serves
    (folder / "cert.pem").unlink()
    with pytest.raises(errors.MissingFile, match="it cannot issue a certificate"):
        ensure_server_identity(folder)


@pytest.mark.parametrize(("days", "renewed"), [(1, False), (59, False), (61, True), (89, True), (500, True)])
def test_its_own_certificate_is_renewed_in_time_with_the_same_key(
    folder: Path, days: int, renewed: bool
) -> None:
    first = ensure_server_identity(folder, now=NOW)
    later = NOW + timedelta(days=days)
    second = ensure_server_identity(folder, now=later)
    assert second.fingerprint == first.fingerprint
    assert (second.not_after > first.not_after) is renewed
    assert second.not_before <= later <= second.not_after


def test_a_name_that_the_settings_add_is_added_with_the_same_key(folder: Path) -> None:
    first = ensure_server_identity(folder)
    second = ensure_server_identity(folder, names=["DB.example.", "2001:DB8:0::7"])
    assert {"db.example", "2001:db8::7"} <= set(second.names)
    assert second.fingerprint == first.fingerprint
    written = (folder / "cert.pem").read_bytes()
    ensure_server_identity(folder, names=["db.example"])
    assert (folder / "cert.pem").read_bytes() == written


def test_a_certificate_from_elsewhere_is_never_renewed_here(
    folder: Path, key: Callable[..., bytes], cert: Callable[..., bytes]
) -> None:
    ensure_server_identity(folder)
    (folder / "key.pem").write_bytes(key())
    (folder / "cert.pem").write_bytes(cert())
    before = files_in(folder)
    with pytest.raises(errors.ExpiredCertificate):
        ensure_server_identity(folder, now=NOW + timedelta(days=200))
    assert files_in(folder) == before


def test_without_a_right_to_write_the_folder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: object) -> None:
        raise OSError(28, "No space left on device", str(tmp_path / "Resources"))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(errors.UnwritableFolder, match="No space left on device"):
        ensure_server_identity(tmp_path / "Resources")
    monkeypatch.undo()
    ensure_server_identity(tmp_path / "Resources")


def test_leftovers_of_a_kill_are_removed_at_the_next_start(folder: Path) -> None:
    ensure_server_identity(folder)
    leftover = folder / f".key.pem.00.{atomic._MARK.lstrip('.')}"
    leftover.write_bytes(b"x")
    os.utime(leftover, (0, 0))
    ensure_server_identity(folder)
    assert not leftover.exists()
    open_server_identity(folder)


def test_machine_names_are_unique_and_the_given_ones_come_first() -> None:
    names = machine_names(["B.example", "b.example.", "fe80::1%eth0", "localhost", "not a name"])
    assert names[:3] == ("b.example", "fe80::1", "localhost")
    assert len(set(names)) == len(names)
    assert "not a name" not in names
