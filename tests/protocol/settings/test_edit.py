"""Changing a setting in the file: comments stay, bad values and bad files change nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from protocol.settings import SettingsError, load_settings, set_value, unset_value

TEXT = """\
# Our settings.
[client_server]  # the port
encrypt = true   # on, always
port = 7

# What we log.
[log]
level = "info"
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "settings.toml"
    path.write_text(TEXT)
    return path


def test_setting_a_value_keeps_all_else(file: Path) -> None:
    assert set_value(file, "client_server.encrypt", "false") is False
    assert file.read_text() == TEXT.replace("encrypt = true ", "encrypt = false ")


@pytest.mark.parametrize(
    ("key", "text", "line"),
    [
        ("client_server.host", "0.0.0.0", 'host = "0.0.0.0"'),
        ("timeouts.ping", "5", "ping = 5"),
        ("timeouts.ping", "2.5", "ping = 2.5"),
        ("tls.names", "a.example, ::1", 'names = ["a.example", "::1"]'),
        ("tls.resources", "Res", 'resources = "Res"'),
        ("application.name", 'a "b" \\ c', None),
    ],
)
def test_what_is_set_is_what_is_loaded(file: Path, key: str, text: str, line: str | None) -> None:
    value = set_value(file, key, text)
    section, name = key.split(".")
    loaded = getattr(getattr(load_settings(file, environ={}).settings, section), name)
    assert loaded == (file.parent / value if isinstance(value, Path) else value)
    assert line is None or line in file.read_text().splitlines()
    assert "# What we log." in file.read_text()


def test_a_file_is_made_where_there_is_none(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    set_value(path, "log.level", "debug")
    assert path.read_text() == '[log]\nlevel = "debug"\n'


def test_values_in_inline_and_dotted_tables_are_changed_too(file: Path) -> None:
    file.write_text("client_server = { port = 1 }\nlog.level = 'info'\n")
    set_value(file, "client_server.port", "2")
    set_value(file, "log.level", "debug")
    settings = load_settings(file, environ={}).settings
    assert (settings.client_server.port, settings.log.level) == (2, "debug")


def test_crlf_and_the_mark_of_notepad_do_not_hinder(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode())
    set_value(file, "client_server.port", "8")
    assert b"port = 8\r\n" in file.read_bytes()


def test_an_optional_value_is_removed_by_empty_text(file: Path) -> None:
    set_value(file, "tls.ciphers", "ECDHE+AESGCM")
    assert set_value(file, "tls.ciphers", "") is None
    assert "ciphers" not in file.read_text()
    assert unset_value(file, "client_server.port") is True
    assert unset_value(file, "client_server.port") is False
    assert unset_value(file, "timeouts.ping") is False


@pytest.mark.parametrize(
    ("key", "text", "problem"),
    [
        (
            "client_server.encrpyt",
            "false",
            "client_server.encrpyt: unknown key; did you mean client_server.encrypt?",
        ),
        (
            "client_server.port",
            "many",
            "client_server.port: expected a whole number from 0 to 65535, got 'many'",
        ),
    ],
)
def test_a_bad_change_leaves_the_file_as_it_was(file: Path, key: str, text: str, problem: str) -> None:
    with pytest.raises(SettingsError) as caught:
        set_value(file, key, text)
    assert str(caught.value) == f"{file}: {problem}"
    assert file.read_text() == TEXT
    assert os.listdir(file.parent) == ["settings.toml"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"[client_server\n", "the file is not TOML: "),
        (TEXT.encode("utf-16"), "the file is not UTF-8 text"),
        (b"log = 5\n", "log: expected a section, [log]"),
    ],
)
def test_a_bad_file_is_not_touched(file: Path, content: bytes, problem: str) -> None:
    file.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        set_value(file, "log.level", "debug")
    assert str(caught.value).startswith(f"{file}: {problem}")
    assert file.read_bytes() == content


def test_one_mistake_can_be_mended_while_another_stands(file: Path) -> None:
    file.write_text("[client_server]\nport = 'x'\nwrong = 1\n")
    set_value(file, "client_server.port", "1")
    with pytest.raises(SettingsError, match=r"client_server\.wrong"):
        load_settings(file, environ={})


def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be written"):
        set_value(tmp_path / "no" / "settings.toml", "log.level", "debug")
