"""What a server says, on a terminal."""

from __future__ import annotations

import json

import pytest

from appclient.cli import output
from appserver.cli import printing

HARMFUL = "\x1b\x7f\x9b\r\xad\u200b\u202e\u2028\u2029\u2066\ufeff\U000e0041"


@pytest.mark.parametrize("printable", [output.printable, printing.printable])
def test_nothing_that_hides_or_commands_reaches_the_terminal(printable: object) -> None:
    assert callable(printable)
    for character in HARMFUL:
        shown = printable(f"a{character}b")
        assert shown.isascii()
        assert f"{ord(character):x}" in shown
    assert printable("zwei\n\tZeilen: äöü 中 \u00a0 🙂") == "zwei\n\tZeilen: äöü 中 \u00a0 🙂"


def test_json_is_harmless_and_means_what_was_sent() -> None:
    shown = output.dumped([HARMFUL, "äöü"])
    assert not set(HARMFUL) & set(shown)
    assert "äöü" in shown
    assert json.loads(shown) == [HARMFUL, "äöü"]
