"""The page for people who come from 4D: its commands have the options that it shows, and its points are all there."""

from __future__ import annotations

import shlex

import pytest

from appserver.cli.entry import main
from tests.docs.pages import ROOT, blocks

PAGE = ROOT / "docs" / "from-4d.md"
COMMANDS = [
    shlex.split(line.removeprefix("$ appserver "))
    for block in blocks(PAGE, "console")
    for line in block.text.splitlines()
]

POINTS = (
    "key.pem", "cert.pem", "Resources", "dhparams.pem", "Encrypt Client-Server Communications", "Min TLS version",
    "GENERATE ENCRYPTION KEYPAIR", "GENERATE CERTIFICATE REQUEST", "SSL cipher list", "HSTS", "SQL server", "PHP",
    "CRLF", "Perfect forward secrecy", "Authentication", "Confidentiality", "Integrity", "not there yet",
)  # fmt: skip


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_each_command_has_the_options_that_are_shown(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    group = 2 if words[0] in ("certificates", "settings") else 1
    assert main([*words[:group], "--help"]) == 0
    out = capsys.readouterr().out
    assert f"Usage: appserver {' '.join(words[:group])}" in out
    assert not [word for word in words if word.startswith("--") and word not in out]


def test_every_point_of_4ds_page_is_gone_through() -> None:
    text = PAGE.read_text("utf-8")
    assert [point for point in POINTS if point not in text] == []
