"""The groups of the key exchange: read from a greeting, set on a context, configured for a process."""

from __future__ import annotations

import contextlib
import os
import random
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from protocol.certs.groups import GROUPS, offered_groups, process_groups, set_groups, wanted_groups
from protocol.certs.openssl_config import limited_config, user_config

ROOT = Path(__file__).resolve().parents[3]
listless = pytest.mark.skipif(hasattr(ssl.SSLContext, "set_groups"), reason="this Python can set a list")


def hello_of(context: ssl.SSLContext) -> bytes:
    sent = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname="localhost").do_handshake()
    return sent.read()


def test_the_greeting_tells_the_groups_and_nothing_is_made_of_a_damaged_one() -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.set_ecdh_curve("secp384r1")
    hello = hello_of(context)
    assert offered_groups(hello) == ("P-384",)
    for length in range(len(hello)):
        assert offered_groups(hello[:length]) in ((), ("P-384",))
    chance = random.Random(1)
    for _ in range(2000):
        damaged = bytearray(hello)
        damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        offered_groups(bytes(damaged))
    assert offered_groups(b"") == ()


@listless
@pytest.mark.skipif(set(process_groups()) <= set(wanted_groups()), reason="this process is limited already")
def test_inside_another_process_a_context_has_the_one_group_that_everybody_has() -> None:
    for protocol in (ssl.PROTOCOL_TLS_CLIENT, ssl.PROTOCOL_TLS_SERVER):
        set_groups(ssl.SSLContext(protocol))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    set_groups(context)
    assert offered_groups(hello_of(context)) == ("P-256",)


OFFERED = """
import ssl
from protocol.certs.groups import offered_groups, process_groups, set_groups
from tests.protocol.certs.test_groups import hello_of
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
set_groups(context)
print(*offered_groups(hello_of(context)))
print(*(suite["name"] for suite in context.get_ciphers() if suite["protocol"] == "TLSv1.3"))
"""


def offered_with(config: Path) -> tuple[list[str], list[str]]:
    """The groups and the suites of TLS 1.3 of a process that starts with a configuration."""
    environment = {**os.environ, "OPENSSL_CONF": str(config), "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-c", OFFERED]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=60, check=True)
    groups, suites = done.stdout.splitlines()
    return groups.split(), suites.split()


CHACHA = "TLS_CHACHA20_POLY1305_SHA256"
USERS = {
    "nothing": "",
    "a comment": "# openssl_conf = no\n",
    "no chain": "HOME = .\n[ req ]\ndefault_bits = 4096\n",
    "half a chain": "openssl_conf = theirs\n[theirs]\nproviders = p\n[p]\ndefault = d\n[d]\nactivate = 1\n",
    "a whole chain": (
        "openssl_conf = a # first\n[ a ]\nssl_conf = b\n[b]\nsystem_default = \\\nc\n"
        f"[c]\nCiphersuites = {CHACHA}\nGroups = X448:P-521\n"
    ),
    "a chain in another file": "openssl_conf = a\n.include = more.cnf\n[a]\nssl_conf = b\n",
}
MORE = f"[b]\nsystem_default = c\n[c]\nCiphersuites = {CHACHA}\n"


@listless
@pytest.mark.skipif(sys.platform == "win32", reason="the tests' OpenSSL there is not told by this variable")
@pytest.mark.parametrize("user", USERS)
def test_a_limited_configuration_has_our_groups_and_all_that_the_users_says(
    tmp_path: Path, user: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENSSL_CONF_INCLUDE", str(tmp_path))
    theirs, ours = tmp_path / "user.cnf", tmp_path / "ours.cnf"
    theirs.write_text(USERS[user])
    (tmp_path / "more.cnf").write_text(MORE)
    ours.write_text(limited_config(theirs, GROUPS))
    groups, suites = offered_with(ours)
    assert groups == list(GROUPS)
    assert (suites == [CHACHA]) == (CHACHA in USERS[user] or "more.cnf" in USERS[user])


@listless
@pytest.mark.skipif(sys.platform == "win32", reason="the tests' OpenSSL there is not told by this variable")
def test_a_process_that_is_limited_further_stays_so_and_a_wider_one_does_not(tmp_path: Path) -> None:
    narrow, wide = tmp_path / "narrow.cnf", tmp_path / "wide.cnf"
    narrow.write_text(limited_config(None, ["P-384"]))
    wide.write_text(limited_config(None, ["P-384", "P-521"]))
    assert offered_with(narrow)[0] == ["P-384"]
    assert offered_with(wide)[0] == ["P-256"]


def test_the_users_configuration_is_found_by_the_variable_or_where_openssl_was_built_for(
    tmp_path: Path,
) -> None:
    (tmp_path / "openssl.cnf").touch()
    (tmp_path / "mine.cnf").touch()
    built_for = str(tmp_path / "certs")
    assert user_config({}, built_for) == tmp_path / "openssl.cnf"
    assert user_config({"OPENSSL_CONF": str(tmp_path / "mine.cnf")}, built_for) == tmp_path / "mine.cnf"
    assert user_config({"OPENSSL_CONF": str(tmp_path / "missing.cnf")}, built_for) is None


def test_includes_that_go_round_in_a_circle_end(tmp_path: Path) -> None:
    circle = tmp_path / "circle.cnf"
    circle.write_text(".include circle.cnf\nopenssl_conf = mine\n")
    assert "[mine]" in limited_config(circle, GROUPS)
