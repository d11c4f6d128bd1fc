"""The control of `tests.secrecy.plugin`: tests that leak at every place fail, each by name, and honest ones pass."""

from __future__ import annotations

import ast
import logging
import re
import subprocess
import sys
from pathlib import Path

from protocol.certs import ensure_server_identity
from protocol.certs.keys import encode_private_key, make_private_key
from tests.secrecy.canaries import Secrets, canary
from tests.system.processes import ROOT, environment

LEAKS = ROOT / "tests" / "secrecy" / "leaks.py"
NAMES = {
    node.name
    for node in ast.parse(LEAKS.read_text("utf-8")).body
    if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
}


def test_every_leak_fails_its_test(tmp_path: Path) -> None:
    assert len(NAMES) >= 20
    report = tmp_path / "report"  # where it is not heard: it is full of what was planted
    with report.open("w") as output:
        result = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-rA", "--color=no", "-p", "no:cacheprovider", str(LEAKS)],
            cwd=ROOT,
            env=environment(),
            stdout=output,
            timeout=100,
            check=False,
        )
    failed = set(re.findall(r"^(?:ERROR|FAILED) \S+::(\w+)", report.read_text(), re.MULTILINE))
    assert failed == NAMES
    assert result.returncode == 1


def test_what_is_public_of_a_key_is_no_leak(tmp_path: Path) -> None:
    """Certificates and requests have the same base64 in them as the public half in a key's own file."""
    identity = ensure_server_identity(tmp_path / "Resources", key_type="rsa3072")
    logging.getLogger("appserver").warning("%s %s", identity, identity.cert_file.read_text())


def test_a_canary_is_the_same_in_every_process_and_another_by_each_name() -> None:
    assert canary("A passphrase") == canary("A passphrase")
    assert canary("A passphrase") != canary("a passphrase")
    assert Secrets().found_in(f"x{canary('one')}, {canary('two')}\n") == {canary("one"), canary("two")}
    assert Secrets().found_in("canary-passphrase and canary") == set()


def test_an_encrypted_key_is_a_secret_too() -> None:
    known = Secrets()
    known.add_keys(encode_private_key(make_private_key("p256"), passphrase=b"x" * 8).decode())
    assert known.found_in("nothing") == set()
