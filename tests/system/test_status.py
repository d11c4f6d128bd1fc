"""`appserver status` of a server that runs as another process, is killed, is stopped, and gets bad files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trio

from appserver.status_file import LOCK_FILE, STATUS_FILE
from protocol.certs import describe_resources
from tests.appserver.cli.processes import command, run_command
from tests.appserver.pairs import Issuer, put
from tests.secrecy.canaries import canary
from tests.system.processes import client_of, serving

signals = pytest.mark.skipif(
    sys.platform == "win32", reason="a process cannot be stopped and continued there"
)


async def ask(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Ask from another process, without any setting but the folder."""
    return await trio.to_thread.run_sync(
        lambda: run_command(command("appserver", "status", *words), cwd=folder)
    )


async def told(folder: Path, wanted: Callable[[dict[str, Any]], object] = bool) -> dict[str, Any]:
    """Ask until it is as wanted."""
    while True:
        answer = await ask(folder, "--json")
        facts: dict[str, Any] = json.loads(answer.stdout)
        assert (answer.returncode == 0) == facts["running"]
        if wanted(facts):
            return facts


def read_back(facts: dict[str, Any]) -> bool:
    return facts["protection"]["policy"] is not None


async def test_a_running_server_tells_what_is_in_force(tmp_path: Path) -> None:
    begin = datetime.now(UTC)
    with trio.fail_after(45):
        async with serving(tmp_path, tls_min_version="1.3") as server:
            async with client_of(server):
                facts = await told(tmp_path, lambda facts: read_back(facts) and facts["sessions"] == 1)
            text = (await ask(tmp_path)).stdout
    assert (facts["state"], facts["application"]) == ("running", "desk")
    assert facts["pid"] == server.process.pid
    assert facts["listening"] == server.announcement["listening"]
    assert facts["address"] == server.announcement["address"]
    assert begin <= datetime.fromisoformat(facts["started"]) <= datetime.now(UTC)
    assert 0 < facts["uptime"] < 60
    assert facts["reload"] is None
    described = describe_resources(tmp_path / "Resources")
    certificate = facts["protection"]["certificate"]
    assert certificate["subject"] == described.subject
    assert tuple(certificate["names"]) == described.names
    assert certificate["issuer"] == described.issuer
    assert datetime.fromisoformat(certificate["not_after"]) == described.not_after
    assert certificate["fingerprint"] == described.fingerprint
    assert certificate["certificate_fingerprint"] == described.certificate_fingerprint
    assert facts["days_left"] == described.days_left
    policy = facts["protection"]["policy"]
    assert policy["versions"] == ["1.3"]
    assert all(suite.startswith("TLS_") for suite in policy["suites"])
    assert policy["client_certificates"] is False
    for word in (facts["address"], described.subject, described.certificate_fingerprint, "need no cert"):
        assert word in text


async def test_without_a_server_it_says_so(tmp_path: Path) -> None:
    with trio.fail_after(45):
        answer = await ask(tmp_path)
        assert answer.returncode == 1
        assert f"no server of {tmp_path} is running" in answer.stdout
        async with serving(tmp_path) as server:
            assert (await ask(tmp_path)).returncode == 0
            server.terminate()
            assert await server.wait() == 0
            assert (await told(tmp_path))["state"] == "none"


async def test_after_kill_9_it_says_that_the_server_did_not_end_in_order(tmp_path: Path) -> None:
    with trio.fail_after(45):
        async with serving(tmp_path) as server:
            await ask(tmp_path)
            server.kill()
            answer = await ask(tmp_path)
            assert answer.returncode == 1
            assert "is running" in answer.stdout.splitlines()[0]
            assert "no server" in answer.stdout
            assert "did not end in order" in answer.stdout
            assert str(server.process.pid) in answer.stdout
            assert (await told(tmp_path))["state"] == "killed"
        async with serving(tmp_path) as server:
            assert (await told(tmp_path))["pid"] == server.process.pid


@signals
async def test_a_server_that_hangs_is_told_from_one_that_runs(tmp_path: Path) -> None:
    with trio.fail_after(45):
        async with serving(tmp_path) as server:
            await told(tmp_path, read_back)
            server.process.send_signal(signal.SIGSTOP)
            try:
                old = datetime.now() - timedelta(hours=1)
                os.utime(tmp_path / STATUS_FILE, (old.timestamp(), old.timestamp()))
                answer = await ask(tmp_path)
                assert answer.returncode == 1
                assert "DOES NOT ANSWER" in answer.stdout
                assert server.announcement["address"] in answer.stdout, "and what was true before"
            finally:
                server.process.send_signal(signal.SIGCONT)
            assert (await told(tmp_path, lambda facts: facts["running"]))["pid"] == server.process.pid


async def test_reloads_are_told_and_a_bad_set_keeps_the_old_one(tmp_path: Path) -> None:
    issuer = Issuer()
    resources = tmp_path / "Resources"
    with trio.fail_after(45):
        async with serving(tmp_path):
            before = await told(tmp_path, read_back)
            put(resources, "key.pem", issuer.pair().key)
            facts = await told(tmp_path, reloaded("refused"))
            report = facts["reload"]
            assert report["file"] == str(resources / "cert.pem")
            assert report["finding"]
            assert report["remedy"]
            assert facts["protection"] == before["protection"]
            text = (await ask(tmp_path)).stdout
            assert "REFUSED, what was in use before still is" in text
            assert report["finding"] in text
            pair = issuer.pair(end=datetime.now(UTC) + timedelta(days=9, hours=1))
            pair.put(resources)
            facts = await told(tmp_path, lambda facts: reloaded("changed")(facts) and read_back(facts))
            assert {"key.pem", "cert.pem"} == set(facts["reload"]["changes"])
            assert facts["protection"]["certificate"]["fingerprint"] == pair.fingerprint
            assert facts["protection"]["certificate"]["renewal"] is None
            assert facts["days_left"] == 9
            assert facts["address"].endswith(pair.fingerprint)


def reloaded(outcome: str) -> Callable[[dict[str, Any]], bool]:
    return lambda facts: facts["reload"] is not None and facts["reload"]["outcome"] == outcome


async def test_a_server_whose_status_cannot_be_written_serves_all_the_same(tmp_path: Path) -> None:
    (tmp_path / LOCK_FILE).mkdir()
    with trio.fail_after(45):
        async with serving(tmp_path) as server, client_of(server):
            (line,) = await server.wait_log(lambda line: "cannot tell" in line["event"])
            assert line["level"] == "warning"
            assert line["file"] == str(tmp_path / STATUS_FILE)


async def test_no_secret_of_the_server_is_in_its_status(tmp_path: Path) -> None:
    known = {"user": "planted-user", "password": canary("password of a session")}
    with trio.fail_after(45):
        async with (
            serving(tmp_path, extra={"DESK_PASSWORD": known["password"]}) as server,
            client_of(server, credentials=known),
        ):
            await told(tmp_path, lambda facts: facts["sessions"] == 1 and read_back(facts))
            content = (tmp_path / STATUS_FILE).read_bytes()
    assert not [word for word in known.values() if word.encode() in content]
    for key in (tmp_path / "Resources").rglob("*key.pem"):
        for line in key.read_bytes().splitlines():
            assert line not in content


async def test_a_status_that_cannot_be_read_is_an_error_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / STATUS_FILE).write_bytes(b"something else")
    with trio.fail_after(45):
        answer = await ask(tmp_path)
    assert answer.returncode == 1
    assert answer.stderr.startswith("appserver: ")
    assert str(tmp_path / STATUS_FILE) in answer.stderr
    assert "Traceback" not in answer.stderr
