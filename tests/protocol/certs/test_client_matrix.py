"""Every way in which a client's Resources folder can be bad: told by name, at once, and nobody is asked or served.

The faults are those of `test_check`, and further ones of a folder that holds anchors alone. Every row is also met by a
client that connects from a terminal: it shows no prompt there, and not a byte goes to the server.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest

from protocol.certs import errors, load_trust
from protocol.certs.errors import ResourcesError
from tests.protocol.certs.test_check import CLIENT, DAY, FAULTS, NOW
from tests.protocol.certs.test_resources_matrix import Bytes, Desk, Fault, faults_of_any_file
from tests.secrecy.canaries import canary
from tests.system.processes import ROOT, environment
from tests.terminals import silent_terminal

MOST = 2.0
"""Seconds for a row."""

PASSPHRASE = canary("passphrase of a key in a client's folder").encode()
posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no permission bits, pipes or links")


def _row(name: str, error: type[ResourcesError], text: str, make: Callable[[Desk], object]) -> Fault:
    return Fault(name, make, name.partition(":")[0], error, text)


WITH_A_KEY = [
    *FAULTS,
    _row(
        "key.pem: encrypted the old way",
        errors.PassphraseNeeded,
        "no passphrase was given",
        lambda d: d.put("key.pem", d.key("rsa", passphrase=PASSPHRASE, old=True)),
    ),
    _row("key.pem: two", errors.WrongContents, "holds 2 keys", lambda d: d.put("key.pem", d.key() * 2)),
    _row(
        "key.pem: a certificate",
        errors.WrongContents,
        "a CERTIFICATE",
        lambda d: d.put("key.pem", d.cert()),
    ),
    _row(
        "cert.pem: not yet valid",
        errors.NotYetValidCertificate,
        "not valid before",
        lambda d: d.put("cert.pem", d.cert(usage=CLIENT, begin=NOW + DAY)),
    ),
    _row("cert.pem: a key", errors.WrongContents, "a PRIVATE KEY", lambda d: d.put("cert.pem", d.key())),
    _row(
        "cert.pem: a stranger in the chain",
        errors.WrongChainOrder,
        'certificate 2 ("CN=other") did not sign',
        lambda d: d.put("cert.pem", d.cert(usage=CLIENT) + d.ca("other")),
    ),
    _row(
        "ca.pem: weak",
        errors.WeakKey,
        "1024 bits",
        lambda d: d.put("ca.pem", d.cert("short", authority=True)),
    ),
    *faults_of_any_file("known_servers.toml")[1:4],
]
"""A folder with anchors, and with an identity of the client's own."""

if sys.platform != "win32":
    WITH_A_KEY.append(
        _row(
            "key.pem: others can read it",
            errors.KeyReadableByOthers,
            "other users can read",
            lambda d: (d.folder / "key.pem").chmod(0o644),
        )
    )

ANCHORS_ALONE = [
    *(fault for fault in faults_of_any_file("cert.pem") if fault.error is not errors.MissingFile),
    *(fault for fault in faults_of_any_file("ca.pem") if fault.error is not errors.MissingFile),
    _row(
        "cert.pem: expired",
        errors.ExpiredCertificate,
        "expired on",
        lambda d: d.put("cert.pem", d.cert(end=NOW - DAY)),
    ),
    _row(
        "cert.pem: not yet valid",
        errors.NotYetValidCertificate,
        "not valid before",
        lambda d: d.put("cert.pem", d.cert(begin=NOW + DAY)),
    ),
    _row("cert.pem: weak", errors.WeakKey, "1024 bits", lambda d: d.put("cert.pem", d.cert("short"))),
    _row("cert.pem: a key", errors.WrongContents, "a PRIVATE KEY", lambda d: d.put("cert.pem", d.key())),
]
"""A folder with anchors: `ca.pem`, and a server's `cert.pem` without its key."""

ROWS = [*((fault, True) for fault in WITH_A_KEY), *((fault, False) for fault in ANCHORS_ALONE)]
NAMES = [f"{fault.name}{'' if own else ', anchors alone'}" for fault, own in ROWS]


@attrs.frozen
class Maker:
    """Makes good folders."""

    key: Bytes
    cert: Bytes
    ca: Bytes

    def make(self, folder: Path, *, own: bool) -> Desk:
        folder.mkdir(mode=0o700)
        desk = Desk(folder, self.key, self.cert, self.ca)
        desk.put("ca.pem", self.ca("root"))
        desk.put("known_servers.toml", b"")
        if own:
            desk.put("key.pem", self.key())
            desk.put("cert.pem", self.cert(usage=CLIENT, names=(), subject="anna"))
        else:
            desk.put("cert.pem", self.cert())
        return desk


@pytest.fixture
def maker(key: Bytes, cert: Bytes, ca: Bytes) -> Maker:
    return Maker(key, cert, ca)


@pytest.mark.parametrize(("fault", "own"), ROWS, ids=NAMES)
def test_each_fault_is_told_by_its_class_file_and_text_at_once(
    maker: Maker, tmp_path: Path, fault: Fault, own: bool
) -> None:
    desk = maker.make(tmp_path / "client", own=own)
    (desk.folder / "known_servers.toml").unlink()
    load_trust(desk.folder)
    desk.put("known_servers.toml", b"# none yet\n")
    fault.make(desk)
    begin = time.monotonic()
    with pytest.raises(ResourcesError) as caught:
        load_trust(desk.folder)
    assert time.monotonic() - begin < MOST
    assert type(caught.value) is fault.error
    assert caught.value.file == desk.folder / fault.file
    assert fault.text in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("file", ["ca.pem", "cert.pem", "key.pem"])
@pytest.mark.parametrize(
    "change",
    [
        lambda pem: pem.replace(b"\n", b"\r\n"),
        lambda pem: b"\xef\xbb\xbf" + pem,
        lambda pem: b"\xef\xbb\xbf" + pem.replace(b"\n", b"\r\n"),
        lambda pem: b"Bag Attributes\n    friendlyName: x\n" + pem + b"\n\n",
        lambda pem: pem.rstrip(),
    ],
    ids=["CRLF", "mark", "mark and CRLF", "text around", "no last line end"],
)
def test_what_people_do_to_good_files_does_no_harm(
    maker: Maker, tmp_path: Path, own: bool, file: str, change: Callable[[bytes], bytes]
) -> None:
    desk = maker.make(tmp_path / "client", own=own)
    desk.clear("known_servers.toml")
    expected = load_trust(desk.folder)
    if (desk.folder / file).exists():
        desk.change(file, change)
    assert load_trust(desk.folder) == expected


@posix
def test_links_to_good_files_are_followed(maker: Maker, tmp_path: Path) -> None:
    desk = maker.make(tmp_path / "client", own=True)
    desk.clear("known_servers.toml")
    for name in ("ca.pem", "cert.pem", "key.pem"):
        (desk.folder / name).rename(tmp_path / name)
        (desk.folder / name).symlink_to(tmp_path / name)
    assert load_trust(desk.folder).identity is not None


def test_a_weak_authority_beside_a_good_one_does_no_harm(maker: Maker, tmp_path: Path) -> None:
    desk = maker.make(tmp_path / "client", own=True)
    desk.clear("known_servers.toml")
    desk.put("ca.pem", desk.cert("short", authority=True) + desk.ca("root"))
    assert len(load_trust(desk.folder).anchors) == 2


def test_a_missing_folder_and_a_file_in_its_place_are_named(maker: Maker, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for name, error in (("missing", errors.MissingFolder), ("file", errors.NotAFile)):
        with pytest.raises(error, match="client_resources"):
            load_trust(tmp_path / name)


CONNECT = """if True:
    import fcntl, json, sys, termios, time
    from pathlib import Path
    from appclient.bridge import blocking
    from protocol.certs import ResourcesError
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # now /dev/tty is the test's terminal
    port, *folders = sys.argv[1:]
    for folder in folders:
        begin = time.monotonic()
        try:
            with blocking.connect(f"127.0.0.1:{port}", resources=Path(folder)):
                told = "connected"
        except ResourcesError as error:
            told = type(error).__name__
        print(json.dumps([told, time.monotonic() - begin]))
"""


@pytest.fixture
def trap() -> Iterator[tuple[int, list[bytes]]]:
    """A port and what came there."""
    received: list[bytes] = []

    def accept(listener: socket.socket) -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            with sock:
                received.append(sock.recv(1000))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept, args=(listener,), daemon=True)
        thread.start()
        yield listener.getsockname()[1], received
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)


@posix
def test_a_client_on_a_terminal_shows_no_prompt_and_sends_nothing(
    maker: Maker, tmp_path: Path, trap: tuple[int, list[bytes]]
) -> None:
    port, received = trap
    folders = []
    for number, (fault, own) in enumerate(ROWS):
        desk = maker.make(tmp_path / f"row{number}", own=own)
        desk.put("known_servers.toml", b"# none yet\n")
        fault.make(desk)
        folders.append(str(desk.folder))
    with silent_terminal() as terminal:
        run = subprocess.run(
            [sys.executable, "-c", CONNECT, str(port), *folders],
            cwd=ROOT,
            env=environment(),
            stdin=terminal,
            capture_output=True,
            start_new_session=True,
            text=True,
            timeout=100,
            check=True,
        )
    told = [json.loads(line) for line in run.stdout.splitlines()]
    assert [name for name, _ in told] == [fault.error.__name__ for fault, _ in ROWS]
    assert max(seconds for _, seconds in told) < MOST
    assert received == []
