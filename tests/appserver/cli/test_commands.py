"""`settings`, `check`, and what every command does with a failure."""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from appserver.cli import settings_commands
from appserver.cli.entry import main
from appserver.cli.new_application import make_application
from protocol.certs import UnwritableFolder, ensure_server_identity
from protocol.certs.first_start import check_can_make
from protocol.certs.groups import wanted_groups
from protocol.certs.keys import encode_private_key, load_private_key
from tests.appserver.cli.processes import command, run_command, running
from tests.appserver.clients import DAY, ClientAuthority

Output = pytest.CaptureFixture[str]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An application's folder, which is the working folder."""
    make_application(tmp_path / "desk")
    monkeypatch.chdir(tmp_path / "desk")
    for name in ("APPSERVER_SETTINGS", "APPSERVER_CLIENT_SERVER_PORT"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "desk"


def failure(capsys: Output, *words: str) -> str:
    assert main(words) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


def test_show_says_where_each_value_comes_from(
    folder: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APPSERVER_LOG_LEVEL", "debug")
    assert main(["settings", "show", "--json"]) == 0
    rows = {row["key"]: row for row in json.loads(capsys.readouterr().out)}
    file = folder / "settings.toml"
    assert rows["client_server.encrypt"] == {
        "key": "client_server.encrypt",
        "value": True,
        "origin": f"file {file}",
    }
    assert rows["log.level"]["origin"] == "environment APPSERVER_LOG_LEVEL"
    assert rows["limits.open_calls"] == {"key": "limits.open_calls", "value": 100, "origin": "default"}
    assert main(["settings", "show", "log"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        f"log.format\tconsole\tfile {file}",
        "log.level\tdebug\tenvironment APPSERVER_LOG_LEVEL",
    ]


def test_on_a_terminal_settings_are_a_table(capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    settings_commands.print_rows([{"key": "tls.names", "value": ["a", "b"], "origin": "default"}])
    out = capsys.readouterr().out
    assert "setting" in out
    assert "tls.names" in out
    assert "a,b" in out


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("client_server.encrypt", "true", True),
        ("client_server.port", "19813", 19813),
        ("timeouts.drain", "30", 30.0),
        ("tls.names", "", []),
        ("tls.ciphers", "", None),
    ],
)
@pytest.mark.usefixtures("folder")
def test_get_prints_one_value(capsys: Output, key: str, text: str, value: Any) -> None:
    assert main(["settings", "get", key]) == 0
    assert capsys.readouterr().out == f"{text}\n"
    assert main(["settings", "get", key, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == value


def test_set_keeps_the_comments(folder: Path, capsys: Output) -> None:
    file = folder / "settings.toml"
    before = file.read_text()
    assert main(["settings", "set", "client_server.encrypt", "false"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == f"{file}: client_server.encrypt = false"
    assert file.read_text() == before.replace("encrypt = true", "encrypt = false")


def test_set_says_what_overrides_it(folder: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("APPSERVER_LOG_LEVEL", "debug")
    assert main(["settings", "set", "log.level", "error", "--settings", str(folder)]) == 0
    assert "the environment variable APPSERVER_LOG_LEVEL overrides it" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "finding"),
    [
        (["set", "client_server.encript", "false"], "did you mean client_server.encrypt?"),
        (["set", "tls.ciphers", "AES128-SHA"], "tls.ciphers"),
        (["set", "client_server.port", "-1"], "expected a whole number from 0 to 65535"),
        (["get", "client_server.prt"], "did you mean client_server.port?"),
        (["show", "nonsense"], "there is no section nonsense; there are application, client_server,"),
        (["show", "--settings", "gone.toml"], "there is no such settings file"),
    ],
)
def test_a_setting_that_cannot_be_is_one_message(
    folder: Path, capsys: Output, words: list[str], finding: str
) -> None:
    before = (folder / "settings.toml").read_text()
    assert finding in failure(capsys, "settings", *words)
    assert (folder / "settings.toml").read_text() == before


def test_set_does_not_begin_a_file_by_mistake(
    tmp_path: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "there is no settings.toml in this folder" in failure(
        capsys, "settings", "set", "log.level", "error"
    )
    assert not list(tmp_path.iterdir())


def test_check_finds_nothing_in_a_new_folder(folder: Path) -> None:
    result = run_command(command("appserver", "check", "--json"), cwd=folder)
    assert result.returncode == 0, result.stdout
    report = json.loads(result.stdout)
    assert (report["ok"], report["problems"]) == (True, [])
    assert any("application: desk with Notes" in note for note in report["notes"])


def test_check_finds_everything_at_once(folder: Path) -> None:
    with (folder / "settings.toml").open("a") as file:
        file.write('[tls2]\nx = 1\n[limits]\nframe = "big"\n')
    (folder / "app.py").write_text("import nothing_like_it\n")
    result = run_command(command("appserver", "check", "app", "--json"), cwd=folder)
    assert result.returncode == 1
    problems = json.loads(result.stdout)["problems"]
    assert [problem["file"] for problem in problems] == [
        str(folder / "settings.toml"),
        str(folder / "settings.toml"),
        f"{folder / 'app.py'}:1",
    ]
    assert "tls2.x: unknown key" in problems[0]["finding"]
    assert problems[1]["finding"].startswith("limits.frame: expected")
    assert all(problem["remedy"] for problem in problems)


def test_check_looks_into_both_resources_folders(folder: Path) -> None:
    (folder / "Resources" / "cert.pem").write_text("x")
    (folder / "client" / "Resources" / "ca.pem").write_text("x")
    result = run_command(command("appserver", "check"), cwd=folder)
    assert result.returncode == 1
    for name in ("Resources/key.pem", "Resources/cert.pem", "client/Resources/ca.pem"):
        assert f"problem  {folder / name}: " in result.stdout
    assert "3 problems" in result.stdout


def test_both_checks_find_the_same_in_the_folders(folder: Path) -> None:
    """Also what no start would stumble over: a key that waits, and the server's own authority."""
    ensure_server_identity(folder / "Resources")
    (folder / "Resources" / "next-key.pem").write_text("x")
    (folder / "Resources" / "authority" / "ca.pem").write_text("x")
    (folder / "client" / "Resources" / "known_servers.toml").write_text("[")
    found = [
        [(problem["file"], problem["finding"]) for problem in json.loads(result.stdout)["problems"]]
        for words in (("check",), ("certificates", "check"))
        if (result := run_command(command("appserver", *words, "--json"), cwd=folder)).returncode == 1
    ]
    assert found[0] == found[1]
    assert len(found[0]) == 3


def test_a_passphrase_that_cannot_be_read_is_one_problem(folder: Path) -> None:
    ensure_server_identity(folder / "Resources")
    pem = encode_private_key(load_private_key(folder / "Resources" / "key.pem"), b"nobody tells")
    (folder / "Resources" / "key.pem").write_bytes(pem)
    missing = {"APPSERVER_TLS_PASSPHRASE_FILE": str(folder / "missing")}
    result = run_command(command("appserver", "check", "--json"), cwd=folder, extra=missing)
    (problem,) = json.loads(result.stdout)["problems"]
    assert problem["file"] == str(folder / "missing")


def test_check_finds_that_no_certificate_could_be_made(folder: Path) -> None:
    (folder / "file").write_text("in the way")
    extra = {"APPSERVER_TLS_RESOURCES": str(folder / "file" / "Resources")}
    result = run_command(command("appserver", "check", "--json"), cwd=folder, extra=extra)
    (problem,) = json.loads(result.stdout)["problems"]
    assert problem["file"] == str(folder / "file")
    assert "cannot be made" in problem["finding"]


@pytest.mark.skipif(os.name == "nt", reason="folders have other permissions there")
def test_a_folder_that_is_closed_to_this_process_is_found(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    closed = tmp_path / "Resources"
    closed.mkdir(mode=0o500)
    user = os.geteuid()
    try:
        if user == 0:  # to whom no folder is closed
            os.seteuid(65534)
        with pytest.raises(UnwritableFolder):
            check_can_make(closed)
        with pytest.raises(UnwritableFolder):
            check_can_make(closed / "another" / "Resources")
    finally:
        if user == 0:
            os.seteuid(user)


def test_check_finds_a_cipher_list_that_cannot_be(folder: Path) -> None:
    with running(folder):
        pass
    extra = {"APPSERVER_TLS_CIPHERS": "NULL-MD5"}
    result = run_command(command("appserver", "check"), cwd=folder, extra=extra)
    assert result.returncode == 1, result.stdout
    assert "tls.ciphers" in result.stdout


@pytest.mark.parametrize("started", [False, True])
def test_check_reads_the_policy_back_as_it_is_in_force(folder: Path, started: bool) -> None:
    if started:
        with running(folder):
            pass
    before = sorted(folder.rglob("*"))
    extra = {"APPSERVER_TLS_MIN_VERSION": "1.3"}
    strict = json.loads(run_command(command("appserver", "check", "--json"), cwd=folder, extra=extra).stdout)
    assert strict["policy"]["versions"] == ["1.3"]
    assert strict["policy"]["agreed"][0] == "1.3"
    extra = {"APPSERVER_TLS_CIPHERS": "ECDHE-ECDSA-AES128-GCM-SHA256"}
    result = run_command(command("appserver", "check"), cwd=folder, extra=extra)
    assert "ECDHE-ECDSA-AES128-GCM-SHA256\n" in result.stdout
    assert "ECDHE-ECDSA-AES256-GCM-SHA384" not in result.stdout
    if sys.platform != "win32":
        assert f"groups        {', '.join(wanted_groups())}\n" in result.stdout
    assert "tickets       none\n" in result.stdout
    assert sorted(path for path in folder.rglob("*") if "__pycache__" not in path.parts) == [
        path for path in before if "__pycache__" not in path.parts
    ], "checking leaves nothing behind"


def test_encryption_that_is_off_is_noted(folder: Path) -> None:
    result = run_command(
        command("appserver", "check"), cwd=folder, extra={"APPSERVER_CLIENT_SERVER_ENCRYPT": "false"}
    )
    assert result.returncode == 0
    assert "encryption is off" in result.stdout
    assert "TLS" not in result.stdout


@pytest.mark.parametrize("words", [["nonsense"], ["run", "--nonsense"], ["settings", "get"], ["init"]])
def test_a_wrong_command_line_is_status_2(capsys: Output, words: list[str]) -> None:
    assert main(words) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("appserver: ")
    assert "Traceback" not in captured.err


@pytest.mark.usefixtures("folder")
def test_a_traceback_appears_with_debug_alone(capsys: Output) -> None:
    assert main(["run", "gone:app"]) == 1
    assert "Traceback" not in capsys.readouterr().err
    assert main(["run", "gone:app", "--debug"]) == 1
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert err.splitlines()[-1].startswith("appserver: gone:app: there is no module gone")


@pytest.mark.parametrize(
    ("missing", "words", "named"),
    [
        ("cyclopts", ["--help"], "cyclopts"),
        ("structlog", ["run", "app:app"], "structlog"),
        ("tomlkit", ["settings", "set", "log.level", "error"], "tomlkit"),
    ],
)
def test_a_missing_extra_is_one_sentence(folder: Path, missing: str, words: list[str], named: str) -> None:
    program = f"import sys; sys.modules[{missing!r}] = None; from appserver.cli import main; sys.exit(main({words!r}))"
    result = run_command([sys.executable, "-c", program], cwd=folder)
    assert result.returncode == 1
    assert result.stderr == (
        f"appserver: this command needs {named}, which is not installed: pip install 'appserver[server]'\n"
    )


def test_help_and_version(capsys: Output) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in ("init", "run", "check", "settings"))
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip()


def test_help_needs_no_library_of_the_server_alone() -> None:
    program = (
        "import sys; from appserver.cli import main; main(['--help']); "
        "assert not {'structlog', 'tomlkit', 'appserver.cli.run'} & set(sys.modules), sys.modules.keys()"
    )
    result = run_command([sys.executable, "-c", program], cwd=Path.cwd())
    assert result.returncode == 0, result.stderr


def test_check_says_whose_clients_are_let_in_and_what_is_wrong_with_their_lists(folder: Path) -> None:
    with running(folder):
        pass
    club, now = ClientAuthority(), datetime.now(UTC)
    (folder / "Resources" / "clients-ca.pem").write_bytes(club.pem)
    (folder / "Resources" / "clients-crl.pem").write_bytes(club.revocations([5, 6]))
    result = run_command(command("appserver", "check"), cwd=folder)
    assert result.returncode == 0, result.stdout
    assert "clients need a certificate from " in result.stdout
    assert "2 revoked, next list by " in result.stdout
    overdue = club.revocations(issued=now - 2 * DAY, until=now - DAY)
    (folder / "Resources" / "clients-crl.pem").write_bytes(overdue)
    result = run_command(command("appserver", "check"), cwd=folder)
    assert result.returncode == 1
    assert f"problem  {folder / 'Resources' / 'clients-crl.pem'}: " in result.stdout
    assert "Put the authority's present list there" in result.stdout
