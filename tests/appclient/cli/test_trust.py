"""`appclient trust`, against a server over loopback: showing, asking, storing, listing, forgetting."""

from __future__ import annotations

import datetime
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest
import trio
import trustme

from appclient import EncryptionDowngrade, connect
from appclient.bridge.portal import Portal
from appclient.cli.entry import main
from protocol.certs import note_server, read_known_servers
from protocol.settings import ClientServerSettings
from tests.appclient.tls_server import (
    SETTINGS,
    VERSIONS,
    TlsServer,
    context_of,
    fingerprint_of,
    issue,
    tls_server,
    trusting,
)
from tests.terminals import open_terminal

Output = pytest.CaptureFixture[str]
Run = Callable[..., tuple[int, str, str]]
OTHER_PIN = "sha256:" + "0" * 64
SEEN = datetime.datetime(2026, 1, 31, 9, tzinfo=datetime.UTC)

posix = pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")


@contextmanager
def serving(certificate: trustme.LeafCert, version: str = "1.3") -> Iterator[TlsServer]:
    """A server in a thread of its own."""
    started: list[TlsServer] = []
    ready = threading.Event()

    async def serve() -> None:
        async with tls_server(context_of(certificate, version)) as server:
            started.append(server)
            ready.set()
            await trio.sleep_forever()

    with Portal("server") as portal:
        portal.start(serve)
        assert ready.wait(10)
        yield started[0]


@pytest.fixture
def run(folder: Path, capsys: Output) -> Run:
    """Run `appclient trust` with this client's folder: status, output, errors."""

    def run(*words: str) -> tuple[int, str, str]:
        status = main(["trust", *words, "--resources", str(folder)])
        captured = capsys.readouterr()
        assert "Traceback" not in captured.err
        return status, captured.out, captured.err

    return run


@contextmanager
def terminal(typed: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Standard input is a terminal on which somebody types."""
    with (
        open_terminal() as (ours, theirs),
        open(ours, "w", closefd=False) as keyboard,
        open(theirs, closefd=False) as screen,
    ):
        monkeypatch.setattr("sys.stdin", screen)
        keyboard.write(typed)
        keyboard.flush()
        yield
        monkeypatch.undo()


async def connect_once(server: TlsServer, folder: Path) -> None:
    async with connect(server.address, resources=folder, settings=SETTINGS):
        pass


def known(folder: Path) -> dict[str, Any]:
    return dict(read_known_servers(folder / "known_servers.toml"))


@pytest.mark.parametrize("version", VERSIONS)
def test_without_a_terminal_it_shows_and_says_what_to_pass(
    authority: trustme.CA, folder: Path, run: Run, version: str
) -> None:
    certificate = issue(authority, "localhost", "192.0.2.7")
    with serving(certificate, version) as server:
        status, out, err = run(server.address.location)
        assert server.hellos == []
    assert status == 1
    for text in (fingerprint_of(certificate), "localhost, 192.0.2.7", "trustme", "seen before never", "UTC"):
        assert text in out
    assert "standard input is no terminal" in err
    assert "--fingerprint sha256:" in err
    assert fingerprint_of(certificate) not in err
    assert known(folder) == {}


@posix
@pytest.mark.parametrize("typed", ["yes\n", "YES \n"])
def test_on_a_terminal_yes_stores_the_key(
    authority: trustme.CA, folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    certificate = issue(authority)
    with serving(certificate) as server:
        with terminal(typed, monkeypatch):
            status, out, err = run(server.address.location)
        assert (status, err) == (0, "")
        assert "Trust this server?" in out
        assert "trusted from now on" in out
        assert [each.pin for each in known(folder).values()] == [fingerprint_of(certificate)]
        status, out, _ = run(server.address.location)
        assert (status, "trusted already" in out) == (0, True)
        assert (
            main(["describe", server.address.location, "--resources", str(folder), "--timeout", "0.2"]) == 1
        )
        assert len(server.hellos) == 1


@posix
@pytest.mark.parametrize("typed", ["no\n", "y\n", "\n", "\x04"])
def test_on_a_terminal_anything_else_is_no(
    authority: trustme.CA, folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    with serving(issue(authority)) as server, terminal(typed, monkeypatch):
        status, _, err = run(server.address.location)
    assert status == 1
    assert "the answer was no" in err
    assert known(folder) == {}


@posix
def test_with_json_nobody_is_asked_not_even_on_a_terminal(
    authority: trustme.CA, folder: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = issue(authority)
    with serving(certificate) as server, terminal("yes\n", monkeypatch):
        status, out, err = run(server.address.location, "--json")
    facts = json.loads(out)
    assert (status, facts["trusted"], facts["fingerprint"]) == (1, False, fingerprint_of(certificate))
    assert (facts["names"], facts["names_address"], facts["first_seen"]) == (["localhost"], True, None)
    assert datetime.datetime.fromisoformat(facts["not_before"]).tzinfo is not None
    assert "--fingerprint" in err
    assert known(folder) == {}


def test_a_fingerprint_is_accepted_only_where_it_is_the_servers(
    authority: trustme.CA, folder: Path, run: Run
) -> None:
    certificate = issue(authority)
    fingerprint = fingerprint_of(certificate)
    with serving(certificate) as server:
        status, out, err = run(server.address.location, "--fingerprint", OTHER_PIN)
        assert (status, out) == (1, "")
        assert fingerprint in err
        assert OTHER_PIN in err
        status, _, err = run(f"appserver://{server.address.location}/?pin={OTHER_PIN}")
        assert status == 1
        assert known(folder) == {}
        status, out, err = run(server.address.location, "--fingerprint", fingerprint.upper(), "--json")
        assert (status, json.loads(out)["trusted"], err) == (0, True, "")
        assert [each.pin for each in known(folder).values()] == [fingerprint]


def test_a_changed_key_is_told_with_its_date_and_replaced_by_nothing_but_forgetting(
    authority: trustme.CA, folder: Path, run: Run
) -> None:
    certificate = issue(authority)
    fingerprint = fingerprint_of(certificate)
    with serving(certificate) as server:
        path = folder / "known_servers.toml"
        note_server(path, "localhost", server.port, pin=OTHER_PIN, now=SEEN)
        for words in ((), ("--fingerprint", fingerprint)):
            status, out, err = run(server.address.location, *words)
            assert (status, out) == (1, "")
            for text in ("KEY HAS CHANGED", OTHER_PIN, fingerprint, "since 2026-01-31 09:00 UTC"):
                assert text in err
            assert f"appclient trust --forget {server.address.location} --resources {folder}" in err
        assert run("--forget", server.address.location)[0] == 0
        assert run(server.address.location, "--fingerprint", fingerprint)[0] == 0
        assert [each.pin for each in known(folder).values()] == [fingerprint]


def test_anchors_count_beside_the_key(
    authority: trustme.CA, stranger: trustme.CA, folder: Path, run: Run
) -> None:
    certificate = issue(authority)
    words = ("--fingerprint", fingerprint_of(certificate))
    with serving(certificate) as server:
        trusting(folder, stranger)
        status, _, err = run(server.address.location, *words)
        assert status == 1
        assert "does not trust" in err
        assert known(folder) == {}
        trusting(folder, authority)
        assert run(server.address.location, *words)[0] == 0


def test_known_servers_are_listed_and_forgotten(folder: Path, run: Run) -> None:
    assert run("--list")[:2] == (0, f"no servers are known in {folder / 'known_servers.toml'}\n")
    path = folder / "known_servers.toml"
    note_server(path, "b.example", 1, pin=OTHER_PIN, now=SEEN)
    note_server(path, "a.example", 2, now=SEEN)
    status, out, _ = run("--list")
    assert status == 0
    assert out.splitlines() == [
        "a.example:2  no pin  first seen 2026-01-31 09:00 UTC  encrypted",
        f"b.example:1  {OTHER_PIN}  first seen 2026-01-31 09:00 UTC  encrypted",
    ]
    status, out, _ = run("--list", "--json")
    assert json.loads(out)[1] == {
        "address": "b.example:1",
        "pin": OTHER_PIN,
        "first_seen": "2026-01-31T09:00:00+00:00",
        "encrypted": True,
    }
    status, out, _ = run("--forget", "B.example:1", "--json")
    assert (status, json.loads(out)) == (0, {"address": "b.example:1", "forgotten": True})
    status, _, err = run("--forget", "b.example:1")
    assert (status, "not in" in err, "--list" in err) == (1, True, True)
    assert list(known(folder)) == ["a.example:2"]


def test_forgetting_lets_a_client_talk_in_plain_text_to_a_server_that_was_encrypted(
    folder: Path, run: Run
) -> None:
    plain = attrs.evolve(SETTINGS, client_server=ClientServerSettings(encrypt=False))

    async def refusal() -> Exception:
        with pytest.raises(Exception) as caught:  # noqa: PT011 - which one is what the test is about
            async with connect("localhost:1", resources=folder, settings=plain):
                pass
        return caught.value

    note_server(folder / "known_servers.toml", "localhost", 1, now=SEEN)
    error = trio.run(refusal)
    assert isinstance(error, EncryptionDowngrade)
    assert f"appclient trust --forget localhost:1 --resources {folder}" in str(error)
    assert run("--forget", "localhost:1")[0] == 0
    assert not isinstance(trio.run(refusal), EncryptionDowngrade)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ((), "which server"),
        (("--list", "a:1"), "--list stands alone"),
        (("--forget",), "which server"),
        (("--forget", "a:1", "--fingerprint", OTHER_PIN), "exclude each other"),
        (("a:1", "--fingerprint", "5"), "64 hex digits"),
        ((f"appserver://a:1/?pin={OTHER_PIN}", "--fingerprint", "sha256:" + "1" * 64), "another one"),
    ],
)
def test_a_wrong_command_line_is_told(run: Run, words: tuple[str, ...], text: str) -> None:
    status, out, err = run(*words)
    assert (status, out) == (2, "")
    assert text in err


def test_a_certificates_text_cannot_make_up_lines(authority: trustme.CA, run: Run) -> None:
    evil = "x\nfingerprint sha256:00\r\x1b[2Jy"
    with serving(issue(authority, "localhost", common_name=evil)) as server:
        _, out, _ = run(server.address.location)
    assert len(out.splitlines()) == 7
    assert "\x1b" not in out
    assert "\r" not in out
    assert [line.split()[0] for line in out.splitlines()].count("fingerprint") == 1


def test_without_a_folder_the_users_own_is_made(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output
) -> None:
    if sys.platform in ("win32", "darwin"):
        pytest.skip("another place there")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    certificate = issue(authority)
    with serving(certificate) as server:
        words = ["trust", server.address.location, "--fingerprint", fingerprint_of(certificate)]
        assert main(words) == 0
    made = tmp_path / "config" / "appserver" / "Resources"
    assert str(made) in capsys.readouterr().out
    assert os.listdir(made)
    assert main(["trust", "--list"]) == 0
    assert fingerprint_of(certificate) in capsys.readouterr().out
