"""Reading settings: precedence, origins, relative paths, and every mistake by file and key."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from protocol.settings import Settings, SettingsError, all_options, load_settings


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "settings.toml"


def problems_of(path: Path | None, environ: dict[str, str] | None = None) -> tuple[str, ...]:
    with pytest.raises(SettingsError) as caught:
        load_settings(path, environ=environ or {})
    assert str(caught.value) == "\n".join(caught.value.problems)
    return caught.value.problems


def test_without_a_file_all_is_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    loaded = load_settings(environ={})
    assert loaded.settings == Settings()
    assert loaded.path is None
    assert loaded.folder == tmp_path
    assert dict(loaded.origins) == dict.fromkeys(all_options(), "default")


def test_the_environment_overrides_the_file_and_the_file_the_default(file: Path) -> None:
    file.write_text("[client_server]\nencrypt = true\nport = 7\n[timeouts]\nping = 5\n")
    loaded = load_settings(file, environ={"APPSERVER_CLIENT_SERVER_ENCRYPT": "false"})
    assert loaded.settings.client_server.encrypt is False
    assert loaded.settings.client_server.port == 7
    assert loaded.settings.timeouts.ping == 5.0
    assert loaded.origins["client_server.encrypt"] == "environment APPSERVER_CLIENT_SERVER_ENCRYPT"
    assert loaded.origins["client_server.port"] == f"file {file}"
    assert loaded.origins["client_server.host"] == "default"


def test_the_file_is_found_by_folder_by_environment_and_in_the_current_folder(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text('[application]\nname = "desk"\n')
    monkeypatch.chdir(file.parent)
    found = [
        load_settings(file.parent, environ={}),
        load_settings(environ={"APPSERVER_SETTINGS": str(file)}),
        load_settings(environ={"APPSERVER_SETTINGS": str(file.parent)}),
        load_settings(environ={}),
        load_settings(Path("settings.toml"), environ={}),
    ]
    assert [(loaded.path, loaded.settings.application.name) for loaded in found] == [(file, "desk")] * 5


def test_relative_paths_start_at_the_file_and_those_of_the_environment_here(
    file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    file.write_text('[tls]\nresources = "Res"\npassphrase_file = "/run/secret"\n')
    tls = load_settings(file, environ={"APPSERVER_TLS_CLIENT_RESOURCES": "mine"}).settings.tls
    assert tls.resources == tmp_path / "Res"
    assert tls.passphrase_file == Path("/run/secret").absolute()
    assert tls.client_resources == elsewhere / "mine"


def test_a_byte_order_mark_and_crlf_are_fine(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf[client_server]\r\nport = 5\r\n")
    assert load_settings(file, environ={}).settings.client_server.port == 5


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (
            "[client_server]\nencrpyt = true\n",
            "client_server.encrpyt: unknown key; did you mean client_server.encrypt?",
        ),
        ("encrypt = true\n", "encrypt: unknown key; did you mean client_server.encrypt?"),
        ("[clientserver]\nport = 1\n", "clientserver.port: unknown key; did you mean client_server.port?"),
        ("[colours]\n", "colours: unknown key"),
        ("[colours]\nred = 1\n", "colours.red: unknown key"),
        ("client_server = 5\n", "client_server: unknown key"),
        ("[tls.names]\na = 1\n", "tls.names: expected a list of host names and IP addresses, got {'a': 1}"),
        (
            "[client_server]\nport = true\n",
            "client_server.port: expected a whole number from 0 to 65535, got True",
        ),
        ("[client_server\n", "the file is not TOML: "),
        ("[client_server]\rport = 1\r", "the file is not TOML: "),
    ],
)
def test_a_mistake_names_file_and_key(file: Path, text: str, problem: str) -> None:
    file.write_bytes(text.encode())
    (found,) = problems_of(file)
    assert found.startswith(f"{file}: {problem}")


def test_all_mistakes_are_told_at_once(file: Path) -> None:
    file.write_text('[client_server]\nport = "x"\nwrong = 1\n[log]\nlevel = "loud"\n')
    found = problems_of(file, {"APPSERVER_TIMEOUTS_PING": "soon", "APPSERVER_CLIENT_SERVER_ENCRPYT": "no"})
    assert len(found) == 5
    assert (
        found[3]
        == "environment APPSERVER_TIMEOUTS_PING: timeouts.ping: expected seconds from 0.1 to 3600, got 'soon'"
    )
    assert found[4] == (
        "environment APPSERVER_CLIENT_SERVER_ENCRPYT: "
        "unknown variable; did you mean APPSERVER_CLIENT_SERVER_ENCRYPT?"
    )


def test_foreign_variables_with_our_prefix_are_left_alone() -> None:
    environ = {
        "APPSERVER_PORT": "tcp://10.0.0.1:80",
        "APPSERVER_LOG_SERVICE_HOST": "x",
        "APPSERVER_HOME": "/",
    }
    assert load_settings(environ=environ).settings == load_settings(environ={}).settings


@pytest.mark.parametrize("content", ["[log]\n".encode("utf-16"), b"\xff\xfe\x00", b"[log]\nlevel = '\xe9'\n"])
def test_a_file_in_another_encoding_is_told_apart(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    assert problems_of(file) == (f"{file}: the file is not UTF-8 text; save it as UTF-8",)


def test_a_missing_or_unreadable_file_is_named(file: Path, tmp_path: Path) -> None:
    assert problems_of(file) == (f"{file}: there is no such settings file",)
    (found,) = problems_of(None, {"APPSERVER_SETTINGS": str(file)})
    assert found.endswith("(named by the environment variable APPSERVER_SETTINGS)")
    file.mkdir()
    (found,) = problems_of(file)
    assert found == f"{file / 'settings.toml'}: there is no such settings file"
    (file / "settings.toml").mkdir()
    (found,) = problems_of(file)
    assert "cannot be read" in found


def test_importing_the_settings_is_light() -> None:
    heavy = "{'typed_settings', 'tomlkit', 'cryptography', 'trio'}"
    code = f"import sys, protocol.settings; print({heavy} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert run.stdout.strip() == "set()"
