"""`appserver invite`, `appserver clients`, `appclient join`: what they print, and what they refuse in which words."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from protocol.certs import InvitationCode, admit_client, list_clients
from protocol.certs.joining import prepare_joining
from tests.appserver.cli.processes import command, run_command


def appserver(folder: Path, *words: str, **extra: str) -> subprocess.CompletedProcess[str]:
    return run_command(command("appserver", *words), cwd=folder, extra=extra)


def test_the_code_stands_alone_in_the_first_line(tmp_path: Path) -> None:
    done = appserver(tmp_path, "invite", "Ada")
    assert done.returncode == 0, done.stderr
    code, *lines = done.stdout.splitlines()
    parsed = InvitationCode.parse(code)
    assert (parsed.host, parsed.port) == ("127.0.0.1", 19813)
    assert any("NO: clients without a certificate are let in" in line for line in lines)
    assert not (tmp_path / "Resources" / "clients-ca.pem").exists()


def test_it_is_json_for_programs(tmp_path: Path) -> None:
    done = appserver(tmp_path, "invite", "Ada", "--expires", "7d", "--address", "[::1]:7", "--json")
    said = json.loads(done.stdout)
    assert said["required"] is False
    assert (said["host"], said["port"]) == ("::1", 7)
    assert datetime.fromisoformat(said["expires"]) - datetime.now(UTC) > timedelta(days=6)
    assert InvitationCode.parse(said["code"]).port == 7


@pytest.mark.parametrize(
    ("words", "extra", "finding"),
    [
        (["Ada"], {"APPSERVER_CLIENT_SERVER_ENCRYPT": "false"}, "client_server.encrypt"),
        (["Ada"], {"APPSERVER_CLIENT_SERVER_PORT": "0"}, "--address"),
        (["Ada", "--expires", "soon"], {}, "30m, 1h or 7d"),
        (["Ada", "--expires", "31d"], {}, "a minute to 30 days"),
        (["Ada", "--expires", "1s"], {}, "a minute to 30 days"),
        (["Ada", "--address", "other.example"], {}, "tls.names"),
        (["Ada", "--address", "http://a/"], {}, "not a server's address"),
        (["A\u200bda"], {}, "characters that nobody sees"),
        ([" "], {}, "name"),
    ],
)
def test_what_nobody_could_join_by_is_refused_and_leaves_nothing(
    tmp_path: Path, words: list[str], extra: dict[str, str], finding: str
) -> None:
    done = appserver(tmp_path, "invite", *words, **extra)
    assert done.returncode == 1
    assert finding in done.stderr
    assert done.stdout == ""
    assert list_clients(tmp_path / "Resources") == ()


def test_a_client_is_listed_required_and_revoked(tmp_path: Path) -> None:
    resources = tmp_path / "Resources"
    empty = appserver(tmp_path, "clients", "list")
    assert "none is invited" in empty.stdout
    code = InvitationCode.parse(json.loads(appserver(tmp_path, "invite", "Ada", "--json").stdout)["code"])
    assert appserver(tmp_path, "clients", "list").stdout.startswith("Ada                  invited")
    admit_client(resources, code.secret, prepare_joining(tmp_path / "client"))
    listed = appserver(tmp_path, "clients", "list")
    assert listed.stdout.startswith("Ada                  enrolled")
    assert "ARE LET IN" in listed.stdout
    taken = appserver(tmp_path, "invite", "ada")
    assert taken.returncode == 1
    assert "--replace" in taken.stderr
    assert "KEEPS NOBODY OUT" in appserver(tmp_path, "clients", "revoke", "ADA").stdout
    required = json.loads(appserver(tmp_path, "clients", "require", "--json").stdout)
    assert required == {"required": True, "changed": True, "enrolled": 0}
    assert "NOBODY IS ENROLLED" in appserver(tmp_path, "clients", "require").stdout
    again = json.loads(appserver(tmp_path, "clients", "revoke", "Ada", "--json").stdout)
    assert again["required"] is True
    assert again["certificates"] == 1
    entries = json.loads(appserver(tmp_path, "clients", "list", "--json").stdout)
    assert [(entry["name"], entry["state"]) for entry in entries["clients"]] == [("Ada", "revoked")]
    unknown = appserver(tmp_path, "clients", "revoke", "bob")
    assert unknown.returncode == 1
    assert "no client has this name" in unknown.stderr


def test_a_code_for_this_machine_alone_says_so(tmp_path: Path) -> None:
    for address, alone in (("localhost", True), ("127.0.0.1", True), ("[::1]:9", True), (None, False)):
        words = ["--address", address] if address is not None else []
        settings = '[client_server]\nhost = "0.0.0.0"\n[tls]\nnames = ["orders.example"]\n'
        (tmp_path / "settings.toml").write_text(settings)
        said = appserver(tmp_path, "invite", "ada", *words)
        assert ("only clients on this machine" in said.stdout) is alone, said


def test_authorities_that_others_put_there_do_not_hide_that_the_own_one_is_missing(tmp_path: Path) -> None:
    appserver(tmp_path / ".", "invite", "Ada")
    other = tmp_path / "other"
    other.mkdir()
    appserver(other, "invite", "Ada")
    resources = tmp_path / "Resources"
    accepted = resources / "clients-ca.pem"
    accepted.write_bytes((other / "Resources" / "authority" / "ca.pem").read_bytes())
    assert "CLIENTS LISTED HERE ARE REFUSED" in appserver(tmp_path, "clients", "list").stdout
    assert "LET IN" not in appserver(tmp_path, "clients", "revoke", "ada").stdout
    invited = appserver(tmp_path, "invite", "Bob").stdout
    assert "was added to clients-ca.pem" in invited
    assert "required     yes" in invited


@pytest.mark.parametrize("code", ["joinabc", "appserver://a/", "-"])
def test_joining_by_what_is_no_code_says_so_and_not_what_was_typed(tmp_path: Path, code: str) -> None:
    words = command("appclient", "join", code, "--resources", "client", "--debug")
    done = run_command(words, cwd=tmp_path)
    assert done.returncode == 1
    assert "code" in done.stderr
    assert "appclient: " in done.stderr
    assert "joinabc" not in done.stderr
    assert not (tmp_path / "client").exists()
