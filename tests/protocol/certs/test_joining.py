"""The files of a client that joins: a whole identity or none at any moment, and nothing that it did not ask for."""

from __future__ import annotations

import stat
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from protocol.certs import (
    DamagedPem,
    ExistingFile,
    InvitationCode,
    Joined,
    ServerKeyInClientResources,
    UnfitRequest,
    admit_client,
    anchors_for_clients,
    check_client_resources,
    ensure_server_identity,
    invite_client,
    load_trust,
    renew_client,
)
from protocol.certs.authority import issue_client_certificate, issue_server_certificate
from protocol.certs.certificates import encode_certificate
from protocol.certs.first_start import load_authority
from protocol.certs.joining import (
    find_joined,
    finish_joining,
    make_key_request,
    prepare_joining,
    store_renewed,
)
from protocol.certs.keys import load_private_key, make_private_key

WHERE = {"host": "localhost", "port": 1}


@pytest.fixture
def server(tmp_path: Path) -> Path:
    folder = tmp_path / "Resources"
    ensure_server_identity(folder)
    return folder


@pytest.fixture
def client(tmp_path: Path) -> Path:
    return tmp_path / "client"


def ask(server: Path, request: bytes, *, name: str = "ada", now: datetime | None = None) -> bytes:
    code = InvitationCode.parse(invite_client(server, name, **WHERE, now=now).code)  # type: ignore[arg-type]
    return admit_client(server, code.secret, request, now=now)[1]


def finish(server: Path, client: Path, certificate: bytes) -> Joined:
    authority, anchors = anchors_for_clients(server)
    return finish_joining(client, certificate, anchors, authority=authority, **WHERE)  # type: ignore[arg-type]


def join(server: Path, client: Path, **options: datetime) -> Joined:
    return finish(server, client, ask(server, prepare_joining(client), **options))  # type: ignore[arg-type]


def test_it_ends_with_three_files_that_are_in_order(server: Path, client: Path) -> None:
    joined = join(server, client)
    assert joined.name == "ada"
    assert {path.name for path in client.iterdir() if path.suffix == ".pem"} == {
        "ca.pem",
        "cert.pem",
        "key.pem",
    }
    if sys.platform != "win32":
        assert stat.S_IMODE((client / "key.pem").stat().st_mode) == 0o600
        assert stat.S_IMODE(client.stat().st_mode) == 0o700
    assert check_client_resources(client) == ()
    identity = load_trust(client).identity
    assert identity is not None
    assert identity.fingerprint == joined.certificate.fingerprint


def test_an_identity_or_an_anchor_that_is_there_stays_unless_that_was_said(
    server: Path, client: Path
) -> None:
    join(server, client)
    with pytest.raises(ExistingFile, match="--replace"):
        prepare_joining(client)
    before = (client / "key.pem").read_bytes()
    joined = finish(server, client, ask(server, prepare_joining(client, replace=True), name="bob"))
    assert joined.name == "bob"
    assert before in [path.read_bytes() for path in joined.kept]
    assert (client / "key.pem").read_bytes() != before
    anchor = client.with_name("anchor")
    anchor.mkdir()
    (anchor / "cert.pem").write_bytes((server / "cert.pem").read_bytes())
    with pytest.raises(ExistingFile, match="anchor"):
        prepare_joining(anchor)


def test_anchors_that_are_there_are_kept(server: Path, client: Path, tmp_path: Path) -> None:
    ensure_server_identity(tmp_path / "other")
    client.mkdir(mode=0o700)
    (client / "ca.pem").write_bytes((tmp_path / "other" / "authority" / "ca.pem").read_bytes())
    join(server, client)
    assert len(load_trust(client).anchors) == 2


def test_between_its_two_last_steps_readers_have_the_whole_identity(
    server: Path, client: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The certificate is there, and its key waits still: as a kill leaves it."""
    certificate = ask(server, prepare_joining(client, mark="of the code"))

    def stop(_: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("protocol.certs.pair._put_waiting_key", stop)
    with pytest.raises(KeyboardInterrupt):
        finish(server, client, certificate)
    monkeypatch.undo()
    assert not (client / "key.pem").exists()
    trust = load_trust(client)
    assert trust.identity is not None
    assert trust.anchors == anchors_for_clients(server)[1], "its own certificate is no anchor"
    assert check_client_resources(client) == ()
    assert find_joined(client, "of another", **WHERE) is None  # type: ignore[arg-type]
    for _ in range(2):
        done = find_joined(client, "of the code", **WHERE)  # type: ignore[arg-type]
        assert done is not None
        assert done.name == "ada"
        assert (client / "key.pem").exists()
        assert not (client / "next-key.pem").exists()


def test_two_at_once_with_one_code_in_one_folder_have_both_joined(server: Path, client: Path) -> None:
    """As by a double click."""
    request = prepare_joining(client, mark="of the code")
    assert prepare_joining(client, mark="of the code") != request, "signed anew"
    certificate = ask(server, request)
    assert finish(server, client, certificate) == finish(server, client, certificate)


def test_another_code_takes_the_waiting_key_over(server: Path, client: Path) -> None:
    prepare_joining(client, mark="of the first")
    waiting = load_private_key(client / "next-key.pem")
    finish(server, client, ask(server, prepare_joining(client, mark="of the second")))
    assert find_joined(client, "of the first", **WHERE) is None  # type: ignore[arg-type]
    assert find_joined(client, "of the second", **WHERE) is not None  # type: ignore[arg-type]
    key = load_private_key(client / "key.pem")
    assert key.private_numbers() == waiting.private_numbers()  # type: ignore[union-attr]


def of_another_key(server: Path, _: object) -> bytes:
    return certificate(server, make_private_key("p256"))


def of_another_authority(server: Path, key: object) -> bytes:
    other = server.with_name("other")
    ensure_server_identity(other)
    return certificate(other, key)


def for_a_server(server: Path, key: object) -> bytes:
    moment = datetime.now(UTC)
    made = issue_server_certificate(*load_authority(server), key, names=["a.example"], now=moment)  # type: ignore[arg-type]
    return encode_certificate(made)


def that_has_ended(server: Path, key: object) -> bytes:
    return certificate(server, key, now=datetime.now(UTC) - timedelta(days=400))


def no_certificate(_: Path, __: object) -> bytes:
    return b"\x30\x03abc"


def certificate(server: Path, key: object, *, now: datetime | None = None) -> bytes:
    moment = now or datetime.now(UTC)
    public = key.public_key()  # type: ignore[attr-defined]
    return encode_certificate(
        issue_client_certificate(*load_authority(server), public, name="ada", now=moment)
    )


@pytest.mark.parametrize(
    "foist", [of_another_key, of_another_authority, for_a_server, that_has_ended, no_certificate]
)
def test_a_certificate_that_was_not_asked_for_is_refused_and_nothing_is_written(
    server: Path, client: Path, foist: Callable[[Path, object], bytes]
) -> None:
    prepare_joining(client)
    key = load_private_key(client / "next-key.pem")
    before = {path.name for path in client.iterdir()}
    with pytest.raises(UnfitRequest, match="the server sent"):
        finish(server, client, foist(server, key))
    assert {path.name for path in client.iterdir()} == before


def test_the_key_of_a_server_joins_nothing(server: Path, tmp_path: Path) -> None:
    """Whoever runs the command in the server's own folder is told so."""
    join(server, tmp_path / "client")
    before = {path: path.read_bytes() for path in server.glob("*.pem")}
    for replace in (False, True):
        with pytest.raises(ServerKeyInClientResources, match="client's own folder"):
            prepare_joining(server, replace=replace)
    assert {path: path.read_bytes() for path in server.glob("*.pem")} == before
    folder = tmp_path / "copied"
    folder.mkdir()
    for name in ("cert.pem", "key.pem"):
        (folder / name).write_bytes((server / name).read_bytes())
        (folder / name).chmod(0o600)
    with pytest.raises(ServerKeyInClientResources):
        load_trust(folder)
    with pytest.raises(ServerKeyInClientResources):
        prepare_joining(folder, replace=True)


def test_anchors_that_cannot_be_read_are_told_before_the_code_is_used(client: Path) -> None:
    client.mkdir(mode=0o700)
    (client / "ca.pem").write_bytes(b"no certificate")
    with pytest.raises(DamagedPem):
        prepare_joining(client)
    assert not (client / "next-key.pem").exists()


class TestRenewed:
    AGO = timedelta(days=300)

    def test_it_replaces_one_file_and_the_key_stays(self, server: Path, client: Path) -> None:
        join(server, client, now=datetime.now(UTC) - self.AGO)
        identity = load_trust(client).identity
        assert identity is not None
        before = {path.name: path.read_bytes() for path in client.iterdir()}
        new = renew_client(server, make_key_request(identity.private_key))
        facts = store_renewed(client, new, identity)
        assert facts is not None
        assert facts.not_after > identity.not_after
        after = {path.name: path.read_bytes() for path in client.iterdir()}
        assert {name for name in after if after[name] != before.get(name)} == {"cert.pem"}
        assert store_renewed(client, new, identity) is None, "another program was first"
        renewed = load_trust(client).identity
        assert renewed is not None
        assert renewed.fingerprint == identity.fingerprint

    def test_it_does_not_touch_another_identity_that_has_come_meanwhile(
        self, server: Path, client: Path
    ) -> None:
        join(server, client, now=datetime.now(UTC) - self.AGO)
        identity = load_trust(client).identity
        assert identity is not None
        finish(server, client, ask(server, prepare_joining(client, replace=True), name="bob"))
        new = renew_client(server, make_key_request(identity.private_key))
        assert store_renewed(client, new, identity) is None
        present = load_trust(client).identity
        assert present is not None
        assert present.subject == "CN=bob"

    @pytest.mark.parametrize("foist", [of_another_key, for_a_server, that_has_ended, no_certificate])
    def test_what_was_not_asked_for_is_refused(
        self, server: Path, client: Path, foist: Callable[[Path, object], bytes]
    ) -> None:
        join(server, client)
        identity = load_trust(client).identity
        assert identity is not None
        before = (client / "cert.pem").read_bytes()
        with pytest.raises(UnfitRequest):
            store_renewed(client, foist(server, identity.private_key), identity)
        assert (client / "cert.pem").read_bytes() == before


def test_an_invitation_does_not_show_its_code(server: Path) -> None:
    invited = invite_client(server, "ada", **WHERE)  # type: ignore[arg-type]
    assert invited.code not in repr(invited)
