"""`appserver certificates dhparams`."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from appserver.cli.entry import main
from protocol.certs.dhparams import FFDHE2048
from tests.appserver.cli.processes import SECONDS, command, environment

WORDS = ("certificates", "dhparams")


@pytest.fixture
def resources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "Resources"
    folder.mkdir()
    return folder


def test_a_missing_file_is_written_and_one_that_is_there_is_checked(
    resources: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = resources / "dhparams.pem"
    assert main([*WORDS, "--json"]) == 0
    facts = {"file": str(file), "bits": 2048, "group": "ffdhe2048"}
    assert json.loads(capsys.readouterr().out) == {**facts, "written": True}
    assert file.read_bytes() == FFDHE2048.encode()
    assert main([*WORDS, "--resources", str(resources), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {**facts, "written": False}
    assert main([*WORDS]) == 0
    assert "the published group ffdhe2048, 2048 bits\n" in capsys.readouterr().out


def test_what_is_wrong_is_said_in_a_line(resources: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (resources / "dhparams.pem").write_text("hello\n")
    assert main([*WORDS]) == 1
    assert "dhparams.pem: the file is not PEM" in capsys.readouterr().err
    assert main([*WORDS, "--resources", str(resources / "missing")]) == 1
    assert "there is no such Resources folder" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="no process can send SIGINT there")
def test_ctrl_c_ends_a_search_and_leaves_the_file_as_it_was(resources: Path) -> None:
    (resources / "dhparams.pem").write_bytes(FFDHE2048.encode())
    process = subprocess.Popen(
        command("appserver", *WORDS, "--generate"),
        cwd=resources.parent,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        assert "safe prime of 2048 bits" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=SECONDS)
    finally:
        process.kill()
    assert "Traceback" not in err
    # By a rare chance the search has ended before the signal came.
    if process.returncode == 0:
        assert "a group of its own" in out
        return
    assert process.returncode == 130
    assert [path.name for path in resources.iterdir()] == ["dhparams.pem"]
    assert (resources / "dhparams.pem").read_bytes() == FFDHE2048.encode()
