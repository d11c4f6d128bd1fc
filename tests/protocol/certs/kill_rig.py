"""Kills a change of a Resources folder at each of its steps and at random moments, in processes of its own.

    python -m tests.protocol.certs.kill_rig CHANGE FOLDER ROUNDS

It forks for each try: the child makes the change and is killed, and the parent looks at what it left. With
ROUNDS 0 the child kills itself before its first system call that changes a file, then before the second,
and so on to the end; otherwise the parent kills it, so many times, at a random moment of its life.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path

from protocol.certs import (
    ExistingFile,
    Subject,
    ensure_server_identity,
    import_pkcs12,
    install_certificates,
    make_key_pair,
    open_server_identity,
    renew_server_certificate,
    write_request,
)
from tests.secrecy.canaries import canary

CALLS = ("open", "link", "unlink", "replace", "rename", "fsync", "mkdir", "fchmod", "fchown")
PASSPHRASE = canary("passphrase of a command that is killed").encode()

NEW_KEY = ("install a new key", "import", "renew --new-key")
"""Changes after which another key serves."""

Change = Callable[[Path], object]

CHANGES: dict[str, Change] = {
    "first start": lambda folder: ensure_server_identity(folder / "Resources"),
    "keypair": lambda folder: make_key_pair(folder / "Resources"),
    "keypair --replace": lambda folder: make_key_pair(folder / "Resources", replace=True),
    "request": lambda folder: write_request(folder / "Resources", Subject(), ["a.example"]),
    "install": lambda folder: install_certificates(folder / "Resources", [folder / "sent.pem"]),
    "install a new key": lambda folder: install_certificates(folder / "Resources", [folder / "sent.pem"]),
    "import": lambda folder: import_pkcs12(
        folder / "Resources", folder / "sent.p12", file_passphrase=PASSPHRASE
    ),
    "renew": lambda folder: renew_server_certificate(folder / "Resources"),
    "renew --new-key": lambda folder: renew_server_certificate(folder / "Resources", new_key=True),
}


def main(name: str, start: Path, rounds: int) -> None:
    change = CHANGES[name]
    # All modules are imported, and a child's first change is no slower than its later ones.
    change(_copy(start, "warm"))
    duration = _duration(change, start)
    random.seed(name)
    killed = 0
    for number in range(rounds or 1000):
        folder = _copy(start, str(number))
        child = os.fork()
        if child == 0:
            run_child(change, folder, None if rounds else number)
        if rounds:
            time.sleep(random.uniform(0, duration))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            assert os.waitstatus_to_exitcode(status) == 0, f"{name}: the change failed"
        killed += os.WIFSIGNALED(status)
        _look(name, change, folder)
        shutil.rmtree(folder)
        if not rounds and not os.WIFSIGNALED(status):
            break
    print(f"{killed} kills")


def run_child(change: Change, folder: Path, left: int | None) -> None:
    """Make a change in a forked child and end it; where `left` is given it kills itself before that many calls more."""
    try:
        os.umask(0)
        if left is not None:
            _count_down(left)
        change(folder)
        os._exit(0)
    except BaseException as error:
        print(repr(error), file=sys.stderr, flush=True)
        os._exit(1)


def _count_down(left: int) -> None:
    def counted(call: Callable[..., object]) -> Callable[..., object]:
        def count(*arguments: object, **options: object) -> object:
            nonlocal left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **options)

        return count

    for name in CALLS:
        setattr(os, name, counted(getattr(os, name)))


def _look(name: str, change: Change, folder: Path) -> None:
    resources = folder / "Resources"
    for path in resources.rglob("*"):
        if path.is_file() and b"PRIVATE KEY" in path.read_bytes():
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, f"others can read {path.name}"
        if path.is_file() and path.suffix == ".pem":
            assert path.read_bytes().endswith(b"-----\n"), f"{path.name} is not whole"
    if (resources / "cert.pem").exists():
        open_server_identity(resources)  # a pair that fits, whichever of the two
    for leftover in resources.rglob(".*-tmp"):
        os.utime(leftover, (0, 0))  # as if a minute had passed
    served = ensure_server_identity(resources)
    left = sorted(path.name for path in resources.rglob(".*-tmp"))
    assert left == [], f"{left} are left after the next start"
    with contextlib.suppress(ExistingFile):  # a keypair that had come to its end
        change(folder)  # the command is given again
    again = open_server_identity(resources)
    assert again.fingerprint == served.fingerprint or name in NEW_KEY, "the key changed"


def _copy(start: Path, name: str) -> Path:
    folder = start.with_name(f"{start.name}-{name}")
    shutil.copytree(start, folder)
    return folder


def _duration(change: Change, start: Path) -> float:
    folder = _copy(start, "timed")
    began = time.monotonic()
    change(folder)
    return time.monotonic() - began


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
