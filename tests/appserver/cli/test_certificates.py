"""`appserver certificates`: what is printed, what is asked, and how it ends."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, pkcs12

from appserver.cli import asking
from appserver.cli.entry import main
from protocol.certs import ensure_server_identity, open_server_identity
from protocol.certs.keys import load_private_key
from tests.appserver.cli.processes import command, environment, run_command
from tests.secrecy.canaries import canary
from tests.terminals import open_terminal

Output = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An application's folder, which is the working folder."""
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("APPSERVER_"):
            monkeypatch.delenv(name)
    (tmp_path / "settings.toml").write_text('[tls]\nnames = ["orders.example"]\n')
    return tmp_path


@pytest.fixture
def started(folder: Path) -> Path:
    """The same after a first start."""
    ensure_server_identity(folder / "Resources", names=["orders.example"])
    return folder


def give(capsys: Output, *words: str, status: int = 0) -> str:
    assert main(["certificates", *words]) == status
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return captured.out if status == 0 or captured.out else captured.err


def data(capsys: Output, *words: str, status: int = 0) -> Any:
    return json.loads(give(capsys, *words, "--json", status=status))


def test_a_key_and_its_request(folder: Path, capsys: Output) -> None:
    out = give(capsys, "keypair")
    assert out.splitlines()[0] == f"key          {folder / 'Resources' / 'key.pem'}"
    assert "next: appserver certificates request" in out
    written = data(capsys, "request", "--organization", "Orders", "--country", "de")
    assert written["names"] == ["orders.example"], "those of the settings"
    assert written["subject"] == "CN=orders.example,O=Orders,C=DE"
    assert x509.load_pem_x509_csr(written["pem"].encode()).is_signature_valid
    assert "PRIVATE" not in json.dumps(written)


def test_a_second_key_is_status_1_and_one_sentence(folder: Path, capsys: Output) -> None:
    give(capsys, "keypair")
    err = give(capsys, "keypair", status=1)
    assert err.startswith(f"appserver: {folder / 'Resources' / 'key.pem'}: there is a key already")
    assert "--replace" in err
    assert len(err.splitlines()) == 1


def test_a_key_is_encrypted_with_the_passphrase_that_the_settings_name(
    folder: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "settings.toml").write_text('[tls]\npassphrase_variable = "DESK_SECRET"\n')
    assert "DESK_SECRET" in give(capsys, "keypair", status=1)
    assert not (folder / "Resources").exists()
    monkeypatch.setenv("DESK_SECRET", canary("passphrase in a variable"))
    assert "key.pem, encrypted" in (out := give(capsys, "keypair", "--rsa"))
    assert "canary" not in out
    load_private_key(folder / "Resources" / "key.pem", passphrase=canary("passphrase in a variable").encode())
    give(capsys, "request", "--name", "a.example")


def test_a_common_name_that_is_a_host_is_the_name(capsys: Output, folder: Path) -> None:
    (folder / "settings.toml").write_text("")
    give(capsys, "keypair")
    assert "names: name at least one" in give(capsys, "request", status=1)
    assert "names: name at least one" in give(capsys, "request", "--cn", "Our server", status=1)
    assert data(capsys, "request", "--cn", "db.example")["names"] == ["db.example"]


def test_show_tells_of_the_certificate_in_force(started: Path, capsys: Output) -> None:
    out = give(capsys, "show")
    identity = open_server_identity(started / "Resources")
    assert f"pin          {identity.fingerprint}" in out
    assert "names        orders.example, " in out
    assert "days left    89" in out
    shown = data(capsys, "show")
    assert shown["fingerprint"] == identity.fingerprint
    assert shown["not_after"] == identity.not_after.isoformat()
    assert data(capsys, "show", "Resources/authority/ca.pem")["renewal"] is None


def test_renew_keeps_the_key_unless_it_is_told_not_to(started: Path, capsys: Output) -> None:
    before = open_server_identity(started / "Resources").fingerprint
    out = give(capsys, "renew")
    assert f"pin          {before}" in out
    assert "kept         " in out
    assert "new pin" not in out
    out = give(capsys, "renew", "--new-key")
    assert f"pin          {before}" not in out
    assert out.splitlines()[-1] == "the key is a new one: clients that pin the old one need the new pin"


def test_check_finds_everything_and_is_status_1(started: Path, capsys: Output) -> None:
    client = started / "client" / "Resources"
    client.mkdir(parents=True)
    assert data(capsys, "check") == {
        "ok": True,
        "folders": [str(started / "Resources"), str(client)],
        "problems": [],
    }
    assert give(capsys, "check").splitlines()[-1] == "nothing is wrong"
    (started / "Resources" / "cert.pem").write_bytes(b"")
    (client / "ca.pem").write_bytes(b"x\rx")
    found = data(capsys, "check", status=1)
    assert [(problem["file"], problem["error"]) for problem in found["problems"]] == [
        (str(started / "Resources" / "cert.pem"), "EmptyFile"),
        (str(client / "ca.pem"), "BareCarriageReturn"),
    ]
    out = give(capsys, "check", status=1)
    assert out.splitlines()[-1] == "2 problems"
    assert all(problem["remedy"] in out for problem in found["problems"])
    assert len(data(capsys, "check", "--client-resources", "none", status=1)["problems"]) == 2


@pytest.mark.usefixtures("folder")
def test_before_the_first_start_nothing_is_wrong(capsys: Output) -> None:
    assert "the first start makes one" in give(capsys, "check")
    assert "there is no such folder" in give(capsys, "show", status=1)


def test_pkcs12_is_imported_with_the_passphrase_of_a_file(started: Path, capsys: Output) -> None:
    resources = started / "Resources"
    other = started / "other"
    made = ensure_server_identity(other)
    key, certificate = load_private_key(other / "key.pem"), made.chain[0]
    packed = pkcs12.serialize_key_and_certificates(
        b"",
        key,
        x509.load_der_x509_certificate(certificate),
        None,
        BestAvailableEncryption(canary("passphrase in a file").encode()),
    )
    (started / "server.p12").write_bytes(packed)
    assert "passphrase" in give(capsys, "import", "server.p12", status=1)
    (started / "secret").write_text(f"{canary('passphrase in a file')}\n")
    (started / "secret").chmod(0o600)
    out = give(capsys, "import", "server.p12", "--passphrase-file", "secret")
    assert "canary" not in out
    assert "clients that pin the old one" in out
    assert open_server_identity(resources).fingerprint == made.fingerprint


def test_what_cannot_be_installed_is_one_sentence(started: Path, capsys: Output) -> None:
    (started / "sent.pem").write_bytes(
        (started / "Resources" / "cert.pem").read_bytes().replace(b"\n", b"\r")
    )
    err = give(capsys, "install", "sent.pem", status=1)
    assert err.startswith("appserver: sent.pem: lines end in CR alone")
    assert "no such file" in give(capsys, "install", "gone.pem", status=1)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("words", [["install"], ["import"], ["request", "--nonsense"], ["show", "a", "b"]])
def test_a_wrong_command_line_is_status_2(capsys: Output, words: list[str]) -> None:
    assert main(["certificates", *words]) == 2
    assert capsys.readouterr().err.startswith("appserver: ")


def test_nothing_is_asked_where_there_is_no_terminal(started: Path) -> None:
    (started / "server.p12").write_bytes(b"\x30\x03\x02\x01\x03")
    for words in (["request", "--ask"], ["import", "server.p12", "--ask"]):
        done = run_command(command("appserver", "certificates", *words), cwd=started)
        assert done.returncode == 1
        assert done.stderr == "appserver: --ask needs a terminal; give the values as options instead\n"


def test_what_is_missing_is_asked_for_on_a_terminal(
    started: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    answers = "a.example, 192.0.2.1\n\nOrders\n\nKöln\n\nDE\n"
    monkeypatch.setattr(sys, "stdin", Terminal(answers))
    assert main(["certificates", "request", "--ask", "--json"]) == 0
    captured = capsys.readouterr()
    written = json.loads(captured.out)
    assert written["names"] == ["a.example", "192.0.2.1"]
    assert written["subject"] == "CN=a.example,O=Orders,L=Köln,C=DE"
    assert "common name (CN) [a.example]: " in captured.err
    monkeypatch.setattr(sys, "stdin", Terminal(""))
    assert "terminal was closed" in give(capsys, "request", "--ask", status=1)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
def test_a_passphrase_that_is_asked_for_is_not_shown(started: Path) -> None:
    (started / "server.p12").write_bytes(b"\x30\x03\x02\x01\x03")
    with open_terminal() as (ours, theirs):
        process = subprocess.Popen(
            command("appserver", "certificates", "import", "server.p12", "--ask"),
            cwd=started,
            env=environment(),
            stdin=theirs,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            # What is typed before the question is thrown away: the terminal is made silent first.
            assert process.stderr is not None
            asked = os.read(process.stderr.fileno(), 1000)
            os.write(ours, f"{canary('typed passphrase')}\n".encode())
            out, err = process.communicate(timeout=30)
        finally:
            process.kill()
            process.wait(10)
    assert process.returncode == 1
    assert b"does not open the file" in err
    assert asked == b"passphrase of server.p12: "
    assert b"canary" not in out + err


def test_a_question_has_a_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "_check_terminal", lambda: None)
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n"))
    assert asking.ask("name", "x") == "x"
