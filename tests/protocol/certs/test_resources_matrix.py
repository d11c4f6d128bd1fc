"""Every way in which a server's Resources folder can be bad: each its own class and its own text.

Nothing here may ever wait or ask: the whole matrix is also opened by a process whose terminal would
show a prompt.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs
import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from protocol.certs import check_server_resources, errors, open_server_identity
from protocol.certs.errors import ResourcesError
from tests.secrecy.canaries import canary
from tests.terminals import silent_terminal

NOW = datetime.now(UTC)
PASSPHRASE = canary("passphrase of a key in the matrix").encode()
DAY = timedelta(days=1)
CLIENT = (ExtendedKeyUsageOID.CLIENT_AUTH,)

Bytes = Callable[..., bytes]
posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no permission bits, pipes or links")


@attrs.frozen
class Desk:
    """What a row of the matrix works with: a good folder, and the makers of files."""

    folder: Path
    key: Bytes
    cert: Bytes
    ca: Bytes

    def put(self, name: str, content: bytes, mode: int = 0o600) -> None:
        path = self.folder / name
        path.write_bytes(content)
        path.chmod(mode)

    def change(self, name: str, change: Callable[[bytes], bytes]) -> None:
        path = self.folder / name
        path.write_bytes(change(path.read_bytes()))

    def clear(self, name: str) -> Path:
        path = self.folder / name
        path.unlink()
        return path


@attrs.frozen
class Fault:
    """One row: what is done to the folder, which file is at fault, and how that is told."""

    name: str
    make: Callable[[Desk], object]
    file: str
    error: type[ResourcesError]
    text: str


@pytest.fixture
def desk(resources: Path, key: Bytes, cert: Bytes, ca: Bytes) -> Desk:
    (resources / "clients-ca.pem").write_bytes(ca("root"))
    return Desk(resources, key, cert, ca)


def faults_of_any_file(file: str) -> list[Fault]:
    def changed(change: Callable[[bytes], bytes]) -> Callable[[Desk], object]:
        return lambda desk: desk.change(file, change)

    def put(content: bytes) -> Callable[[Desk], object]:
        return lambda desk: desk.put(file, content)

    rows: list[tuple[str, Callable[[Desk], object], type[ResourcesError], str]] = [
        ("missing", lambda desk: desk.clear(file), errors.MissingFile, "there is no such file"),
        ("a folder", lambda desk: desk.clear(file).mkdir(), errors.NotAFile, "this is a folder"),
        ("empty", put(b""), errors.EmptyFile, "the file is empty"),
        ("blank", put(b" \r\n\n"), errors.EmptyFile, "the file is empty"),
        ("CR", changed(lambda pem: pem.replace(b"\n", b"\r")), errors.BareCarriageReturn, "CR alone"),
        ("some CR", changed(lambda pem: pem.replace(b"\n", b"\r", 2)), errors.BareCarriageReturn, "CR alone"),
        ("UTF-16", changed(lambda pem: pem.decode().encode("utf-16")), errors.Utf16File, "UTF-16"),
        ("UTF-16 bare", changed(lambda pem: pem.decode().encode("utf-16-be")), errors.Utf16File, "UTF-16"),
        ("DER", changed(lambda pem: b"\x30\x82" + pem[100:120]), errors.DerFile, "DER"),
        ("other text", put(b"hello\n"), errors.DamagedPem, "not PEM"),
        ("cut off", changed(lambda pem: pem[:150]), errors.DamagedPem, "cut off"),
        ("bad base64", changed(lambda pem: pem.replace(b"\nM", b"\n*")), errors.DamagedPem, "is damaged"),
        ("bad content", changed(lambda pem: pem.replace(b"\nM", b"\nQ")), errors.DamagedPem, ""),
        ("no content", changed(lambda pem: pem[:28] + pem[-26:]), errors.DamagedPem, ""),
        ("huge", put(b"-" * (1 << 21)), errors.DamagedPem, "too many"),
    ]
    posix_rows: list[tuple[str, Callable[[Desk], object], type[ResourcesError], str]] = [
        (
            "a dangling link",
            lambda desk: desk.clear(file).symlink_to("x"),
            errors.BrokenLink,
            "leads nowhere (x)",
        ),
        (
            "a link to itself",
            lambda desk: desk.clear(file).symlink_to(file),
            errors.BrokenLink,
            "leads nowhere",
        ),
        ("a pipe", lambda desk: os.mkfifo(desk.clear(file), 0o600), errors.NotAFile, "pipe"),
    ]
    every = rows if sys.platform == "win32" else rows + posix_rows
    return [Fault(f"{file}: {name}", make, file, error, text) for name, make, error, text in every]


OWN_FAULTS = [
    Fault(f"{file}: {name}", make, file, error, text)
    for file, name, make, error, text in [
        (
            "key.pem",
            "a certificate",
            lambda d: d.put("key.pem", d.cert()),
            errors.WrongContents,
            "a CERTIFICATE",
        ),
        ("key.pem", "two", lambda d: d.put("key.pem", d.key() * 2), errors.WrongContents, "holds 2 keys"),
        (
            "key.pem",
            "encrypted",
            lambda d: d.put("key.pem", d.key(passphrase=PASSPHRASE)),
            errors.PassphraseNeeded,
            "[tls] passphrase_file",
        ),
        (
            "key.pem",
            "encrypted the old way",
            lambda d: d.put("key.pem", d.key("rsa", passphrase=PASSPHRASE, old=True)),
            errors.PassphraseNeeded,
            "no passphrase was given",
        ),
        ("key.pem", "short RSA", lambda d: d.put("key.pem", d.key("short")), errors.WeakKey, "1024 bits"),
        ("key.pem", "short curve", lambda d: d.put("key.pem", d.key("curve")), errors.WeakKey, "secp224r1"),
        ("cert.pem", "a key", lambda d: d.put("cert.pem", d.key()), errors.WrongContents, "a PRIVATE KEY"),
        (
            "cert.pem",
            "of another key",
            lambda d: d.put("key.pem", d.key("second")),
            errors.KeyMismatch,
            "is not the key of this certificate",
        ),
        (
            "cert.pem",
            "expired",
            lambda d: d.put("cert.pem", d.cert(end=NOW - DAY)),
            errors.ExpiredCertificate,
            f"expired on {NOW - DAY:%Y-%m-%d}",
        ),
        (
            "cert.pem",
            "expired authority",
            lambda d: d.put("cert.pem", d.cert(by="intermediate") + d.ca("old intermediate")),
            errors.ExpiredCertificate,
            '"CN=intermediate" expired on',
        ),
        (
            "cert.pem",
            "not yet valid",
            lambda d: d.put("cert.pem", d.cert(begin=NOW + DAY)),
            errors.NotYetValidCertificate,
            f"not valid before {NOW + DAY:%Y-%m-%d}",
        ),
        (
            "cert.pem",
            "reversed",
            lambda d: d.put("cert.pem", d.ca("intermediate") + d.cert(by="intermediate")),
            errors.WrongChainOrder,
            "number 2 in it",
        ),
        (
            "cert.pem",
            "authorities swapped",
            lambda d: d.put("cert.pem", d.cert(by="intermediate") + d.ca("root") + d.ca("intermediate")),
            errors.WrongChainOrder,
            'certificate 2 ("CN=root") did not sign',
        ),
        (
            "cert.pem",
            "stranger",
            lambda d: d.put("cert.pem", d.cert() + d.ca("other")),
            errors.WrongChainOrder,
            'certificate 2 ("CN=other") did not sign',
        ),
        (
            "cert.pem",
            "no names",
            lambda d: d.put("cert.pem", d.cert(names=())),
            errors.NoNames,
            "alternative name",
        ),
        (
            "cert.pem",
            "an authority's",
            lambda d: d.put("cert.pem", d.cert(authority=True)),
            errors.AuthorityCertificate,
            "CA:TRUE",
        ),
        (
            "cert.pem",
            "client's",
            lambda d: d.put("cert.pem", d.cert(usage=CLIENT)),
            errors.WrongPurpose,
            "a server",
        ),
        (
            "cert.pem",
            "SHA-1",
            lambda d: d.put("cert.pem", d.cert(by="rsa", sha1=True)),
            errors.WeakKey,
            '"CN=test": its signature uses SHA1, which is broken',
        ),
        (
            "cert.pem",
            "an authority's SHA-1",
            lambda d: d.put("cert.pem", d.cert(by="hashed") + d.ca("hashed")),
            errors.WeakKey,
            '"CN=hashed": its signature uses SHA1',
        ),
        (
            "clients-ca.pem",
            "SHA-1",
            lambda d: d.put("clients-ca.pem", d.ca("hashed")),
            errors.WeakKey,
            '"CN=hashed": its signature uses SHA1',
        ),
        ("clients-ca.pem", "no PEM", lambda d: d.put("clients-ca.pem", b"x"), errors.DamagedPem, "not PEM"),
        (
            "clients-ca.pem",
            "a key",
            lambda d: d.put("clients-ca.pem", d.key()),
            errors.WrongContents,
            "PRIVATE",
        ),
    ]
]

FAULTS = [
    *faults_of_any_file("key.pem"),
    *faults_of_any_file("cert.pem"),
    *(fault for fault in faults_of_any_file("clients-ca.pem") if fault.error is not errors.MissingFile),
    *OWN_FAULTS,
]
each_fault = pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])


@each_fault
def test_each_fault_has_its_class_its_file_its_text_and_its_remedy(desk: Desk, fault: Fault) -> None:
    fault.make(desk)
    begin = time.monotonic()
    with pytest.raises(ResourcesError) as caught:
        open_server_identity(desk.folder)
    error = caught.value
    assert time.monotonic() - begin < 2
    assert type(error) is fault.error
    assert error.file == desk.folder / fault.file
    assert fault.text in str(error)
    assert str(error) == f"{error.file}: {error.finding}. {error.remedy}"
    assert PASSPHRASE.decode() not in repr(error) + str(error.__cause__) + str(error.__context__)


@each_fault
def test_the_check_finds_what_the_start_finds(desk: Desk, fault: Fault) -> None:
    fault.make(desk)
    assert fault.error in [type(error) for error in check_server_resources(desk.folder)]


def test_the_check_finds_all_at_once(desk: Desk) -> None:
    desk.put("key.pem", desk.key("short"))
    desk.put("cert.pem", desk.cert(end=NOW - DAY, names=()) + desk.ca("other"))
    desk.put("clients-ca.pem", b"")
    found = [type(error) for error in check_server_resources(desk.folder)]
    assert found == [
        errors.WeakKey,
        errors.WrongChainOrder,
        errors.NoNames,
        errors.ExpiredCertificate,
        errors.EmptyFile,
    ]


def test_a_good_folder_has_no_findings_and_its_facts(desk: Desk) -> None:
    assert check_server_resources(desk.folder) == ()
    identity = open_server_identity(desk.folder)
    assert identity.names == ("localhost", "127.0.0.1")
    assert identity.subject == "CN=test"
    assert identity.issuer == "CN=root"
    assert identity.not_before < NOW < identity.not_after
    assert identity.fingerprint.startswith("sha256:")
    assert len(identity.fingerprint) == 71


@posix
def test_nothing_ever_prompts_on_the_terminal(
    desk: Desk, tmp_path: Path, key: Bytes, cert: Bytes, ca: Bytes
) -> None:
    folders = []
    for number, fault in enumerate(FAULTS):
        folder = tmp_path / f"fault{number}"
        folder.mkdir()
        row = Desk(folder, key, cert, ca)
        row.put("key.pem", key())
        row.put("cert.pem", cert())
        row.put("clients-ca.pem", ca("root"))
        fault.make(row)
        folders.append(folder)
    script = """if True:
        import fcntl, sys, termios
        from pathlib import Path
        from protocol.certs import ResourcesError, open_server_identity
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # now /dev/tty is the test's terminal
        for folder in sys.argv[1:]:
            try:
                open_server_identity(Path(folder))
            except ResourcesError as error:
                print(type(error).__name__)
    """
    with silent_terminal() as terminal:
        run = subprocess.run(
            [sys.executable, "-c", script, *map(str, folders)],
            stdin=terminal,
            capture_output=True,
            start_new_session=True,
            text=True,
            timeout=60,
            check=True,
        )
    assert run.stdout.split() == [fault.error.__name__ for fault in FAULTS]
