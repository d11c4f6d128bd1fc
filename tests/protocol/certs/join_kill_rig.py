"""Kills a join, a revocation and a renewal before each system call that changes a file, and does it again.

    python -m tests.protocol.certs.join_kill_rig CASE FOLDER

As `kill_rig`, it forks for each try. Server and client share a process here, so that every step of both is among
those at which it is killed. Doing it again must come to the same end, whatever was left.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs
from cryptography import x509

from protocol.certs import (
    InvitationCode,
    admit_client,
    anchors_for_clients,
    ensure_server_identity,
    invite_client,
    list_clients,
    load_trust,
    open_server_identity,
    renew_client,
    require_certificates,
    revoke_client,
)
from protocol.certs.joining import (
    find_joined,
    finish_joining,
    make_key_request,
    prepare_joining,
    store_renewed,
)
from tests.protocol.certs.kill_rig import run_child

WHERE = {"host": "localhost", "port": 1}
LONG_AGO = datetime.now(UTC) - timedelta(days=300)


@attrs.frozen
class Case:
    """What is killed.

    Attributes:
        prepare: makes the folders as they are before.
        act: what is killed, and then done again.
        check: looks at what came of it.
    """

    prepare: Callable[[Path], object]
    act: Callable[[Path], object]
    check: Callable[[Path], object]


def invite(folder: Path, name: str, **options: object) -> None:
    """Invite a client; its code lies in a file, as it would in somebody's mail."""
    invited = invite_client(folder / "Resources", name, **WHERE, **options)  # type: ignore[arg-type]
    (folder / "code").write_text(invited.code)


def join(folder: Path, client: str = "client", *, now: datetime | None = None, replace: bool = False) -> None:
    """What `appclient.join` does with files, and the server on the other side."""
    resources, own = folder / "Resources", folder / client
    code = InvitationCode.parse((folder / "code").read_text())
    if find_joined(own, code.mark, **WHERE) is not None:  # type: ignore[arg-type]
        return
    request = prepare_joining(own, mark=code.mark, replace=replace)
    _, certificate = admit_client(resources, code.secret, request, now=now)
    authority, anchors = anchors_for_clients(resources)
    finish_joining(own, certificate, anchors, authority=authority, **WHERE)  # type: ignore[arg-type]


def join_over(folder: Path) -> None:
    """Join in the folder of a client that has an identity."""
    join(folder, replace=True)


def served(folder: Path) -> None:
    """Make a server's folder."""
    (folder / "Resources").mkdir(mode=0o700)
    ensure_server_identity(folder / "Resources")


def invited(folder: Path) -> None:
    """A server, and a client that is invited."""
    served(folder)
    invite(folder, "ada")


def to_be_replaced(folder: Path) -> None:
    """A server with a client, whose place another one is to take."""
    invited(folder)
    join(folder, "old")
    invite(folder, "ada", replace=True)


def joined_and_invited(folder: Path) -> None:
    """A server, and a client of it that is invited under another name."""
    invited(folder)
    join(folder)
    revoke_client(folder / "Resources", "ada")
    invite(folder, "bob")


def enrolled_long_ago(folder: Path) -> None:
    """A server with a client whose certificate is due."""
    served(folder)
    invite(folder, "ada", now=LONG_AGO)
    join(folder, now=LONG_AGO)


def renew(folder: Path) -> None:
    """What `keep_identity` does with files, and the server on the other side."""
    identity = load_trust(folder / "client").identity
    assert identity is not None
    certificate = renew_client(folder / "Resources", make_key_request(identity.private_key))
    store_renewed(folder / "client", certificate, identity)


def check_joined(folder: Path) -> None:
    """The client has the identity that the server knows it by."""
    identity = load_trust(folder / "client").identity
    assert identity is not None
    entries = [entry for entry in list_clients(folder / "Resources") if entry.state == "enrolled"]
    assert [entry.fingerprint for entry in entries] == [identity.fingerprint]
    assert load_trust(folder / "client").anchors
    assert not (folder / "client" / "next-key.pem").exists()


def check_replaced(folder: Path) -> None:
    """The old client is on the list."""
    check_joined(folder)
    assert own_serial(folder / "old") in revoked(folder)
    assert own_serial(folder / "client") not in revoked(folder)


def check_revoked(folder: Path) -> None:
    """The client is on the list, and every server can read it."""
    assert own_serial(folder / "client") in revoked(folder)
    require_certificates(folder / "Resources")
    open_server_identity(folder / "Resources")


def check_renewed(folder: Path) -> None:
    """The certificate is a new one."""
    check_joined(folder)
    identity = load_trust(folder / "client").identity
    assert identity is not None
    assert identity.not_after - datetime.now(UTC) > timedelta(days=300)


def own_serial(folder: Path) -> int:
    """The serial number of a client's certificate."""
    return x509.load_pem_x509_certificate((folder / "cert.pem").read_bytes()).serial_number


def revoked(folder: Path) -> set[int]:
    """The serial numbers on the list."""
    pem = (folder / "Resources" / "clients-crl.pem").read_bytes()
    return {entry.serial_number for entry in x509.load_pem_x509_crl(pem)}


CASES = {
    "join": Case(invited, join, check_joined),
    "join over another identity": Case(joined_and_invited, join_over, check_joined),
    "join in the place of another": Case(to_be_replaced, join, check_replaced),
    "revoke": Case(
        enrolled_long_ago,
        lambda folder: revoke_client(folder / "Resources", "ada"),
        check_revoked,
    ),
    "renew": Case(enrolled_long_ago, renew, check_renewed),
}


def main(name: str, start: Path) -> None:
    case = CASES[name]
    start.mkdir()
    case.prepare(start)
    killed = 0
    for number in range(1000):
        folder = start.with_name(f"{start.name}-{number}")
        shutil.copytree(start, folder)
        child = os.fork()
        if child == 0:
            run_child(case.act, folder, number)
        _, status = os.waitpid(child, 0)
        look(folder)
        case.act(folder)
        look(folder)
        case.check(folder)
        shutil.rmtree(folder)
        if not os.WIFSIGNALED(status):
            assert os.waitstatus_to_exitcode(status) == 0, f"{name}: it failed"
            break
        killed += 1
    print(f"{killed} kills")


def look(folder: Path) -> None:
    """What holds at every moment: whoever reads has a whole identity or none, and no key is open to others."""
    for path in folder.rglob("*"):
        if path.is_file() and (b"PRIVATE KEY" in path.read_bytes() or path.name == "clients.json"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600, f"others can read {path.name}"
        if path.is_file() and path.suffix == ".pem":
            assert path.read_bytes().endswith(b"-----\n"), f"{path.name} is not whole"
    if (folder / "client").exists():
        load_trust(folder / "client")
    list_clients(folder / "Resources")
    open_server_identity(folder / "Resources")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
