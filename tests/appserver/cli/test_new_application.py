"""`appserver init` makes a folder that runs at once."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from appserver.cli.entry import main
from appserver.cli.new_application import CannotInitialize, make_application
from protocol.settings import Settings, load_settings
from tests.appserver.cli.processes import command, environment, run_command, running

ROOT = Path(__file__).parents[3]


def test_the_folder_has_both_sides(tmp_path: Path) -> None:
    folder = tmp_path / "desk"
    make_application(folder)
    found = {str(path.relative_to(folder)).replace("\\", "/") for path in folder.rglob("*")}
    assert found == {
        ".gitignore",
        "README.txt",
        "Resources",
        "app.py",
        "client",
        "client.py",
        "client/Resources",
        "contract.py",
        "settings.toml",
    }
    settings = load_settings(folder / "settings.toml", environ={}).settings
    assert (settings.application.name, settings.application.module) == ("desk", "app:app")
    assert settings.client_server.encrypt


def test_the_settings_say_nothing_but_the_defaults(tmp_path: Path) -> None:
    make_application(tmp_path / "desk")
    loaded = load_settings(tmp_path / "desk" / "settings.toml", environ={})
    default = Settings()
    for section in ("client_server", "tls", "timeouts", "log", "limits"):
        assert getattr(loaded.settings, section) == getattr(default, section)


@pytest.mark.parametrize("name", ['Möbel "Nord" \\ $name', "x" * 64, "台帳 😀"])
def test_any_name_is_quoted(tmp_path: Path, name: str) -> None:
    make_application(tmp_path / "desk", name)
    assert load_settings(tmp_path / "desk" / "settings.toml", environ={}).settings.application.name == name
    compile((tmp_path / "desk" / "app.py").read_text(encoding="utf-8"), "app.py", "exec")


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    assert make_application(tmp_path)


def test_a_folder_with_something_in_it_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    assert main(["init", str(tmp_path)]) == 1
    assert "it is there and not empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_disk_that_fills_up_leaves_nothing_half_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Path.open

    def full(path: Path, *words: Any, **options: Any) -> Any:
        if path.name == "client.py":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        return opened(path, *words, **options)

    monkeypatch.setattr(Path, "open", full)
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "desk", tmp_path / "empty"):
        with pytest.raises(CannotInitialize, match="No space"):
            make_application(folder)
    assert [path.name for path in tmp_path.rglob("*")] == ["empty"]


def test_its_client_says_in_a_sentence_that_no_server_runs(tmp_path: Path) -> None:
    make_application(tmp_path / "desk")
    words = command("appserver", "settings", "set", "client_server.port", "1")
    assert run_command(words, cwd=tmp_path / "desk").returncode == 0
    result = run_command([sys.executable, "client.py"], cwd=tmp_path / "desk")
    assert result.returncode == 1
    assert "no program listens there" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 65])
def test_a_name_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "desk"
    if not name:
        make_application(folder, name)  # the folder's name, as without
        return
    with pytest.raises(CannotInitialize, match="--name"):
        make_application(folder, name)
    assert not folder.exists()


def test_keys_stay_out_of_the_repository(tmp_path: Path) -> None:
    make_application(tmp_path / "desk")
    lines = (tmp_path / "desk" / ".gitignore").read_text().splitlines()
    assert "/Resources/" in lines
    assert "*key.pem" in lines


def test_mypy_accepts_what_is_made(tmp_path: Path) -> None:
    make_application(tmp_path / "desk")
    words = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--config-file=",
        f"--cache-dir={ROOT / '.mypy_cache' / 'cli'}",
    ]
    result = subprocess.run(
        [*words, "app.py", "client.py", "contract.py"],
        cwd=tmp_path / "desk",
        env=environment({"MYPYPATH": str(ROOT)}),
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    errors = [
        line
        for line in result.stdout.splitlines()
        if ": error:" in line and line.startswith(("app", "cli", "con"))
    ]
    assert not errors, "\n".join(errors)


@pytest.mark.parametrize("encrypt", [True, False])
def test_it_runs_at_once_and_its_client_connects(tmp_path: Path, encrypt: bool) -> None:
    made = run_command(command("appserver", "init", "desk"), cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    folder = tmp_path / "desk"
    if not encrypt:
        words = command("appserver", "settings", "set", "client_server.encrypt", "false")
        assert run_command(words, cwd=folder).returncode == 0
    with running(folder) as server:
        assert server.announcement["encrypted"] is encrypt
        assert ("?pin=sha256:" in server.address) is encrypt
        assert (folder / "client" / "Resources" / "ca.pem").exists() is encrypt
        extra = {"APPSERVER_CLIENT_SERVER_PORT": server.port}
        client = run_command([sys.executable, "client.py"], cwd=folder, extra=extra)
    assert client.returncode == 0, client.stderr
    lines = client.stdout.splitlines()
    assert lines[0].startswith(
        "connected to desk (TLSv1.3" if encrypt else "connected to desk (not encrypted)"
    )
    assert lines[1] == "note 1 is kept"
    assert lines[-1] == "there is no note 0"
