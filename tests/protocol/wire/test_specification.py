"""docs/protocol.md against the code: the worked example, and every name and number in its tables."""

from __future__ import annotations

import json
import re
from pathlib import Path

import attrs
import pytest

from protocol.wire import codes
from protocol.wire.codec import MAX_MEMBERS, MAX_NESTED_SETS
from protocol.wire.credit import SendCredit
from protocol.wire.envelope import MAX_CAUSE_DEPTH, MAX_CAUSES
from protocol.wire.errors import GoawayCode
from protocol.wire.extensions import MAX_DECIMAL, MAX_INTEGER, Extension
from protocol.wire.framing import Flag, FrameType
from protocol.wire.limits import DEFAULT_LIMITS, HANDSHAKE_FRAME, OPEN_MESSAGES, STATED, Limits
from protocol.wire.receiving import _DIVISIBLE
from protocol.wire.session import ACK_BYTES, ACK_FRAMES
from tests.protocol.wire.talk import frames_of

ROOT = Path(__file__).parent.parent.parent.parent
TEXT = (ROOT / "docs" / "protocol.md").read_text("utf-8")


def section(title: str) -> str:
    """A section's text, up to the next heading."""
    found = re.search(rf"^#+ {re.escape(title)}\n(.*?)(?=^#|\Z)", TEXT, re.MULTILINE | re.DOTALL)
    assert found, title
    return found[1]


def rows(title: str) -> list[list[str]]:
    """The cells of a section's table rows, without backticks."""
    lines = [line for line in section(title).splitlines() if line.startswith("| ") and "---" not in line]
    return [[cell.strip().strip("`") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_the_worked_example_is_what_the_code_says() -> None:
    blocks = re.findall(r"```hex\n(.*?)```", section("A whole session"), re.DOTALL)
    frames = [bytes.fromhex(block) for block in blocks]
    steps = json.loads((ROOT / "tests" / "vectors" / "session.json").read_text("utf-8"))
    assert [frame.hex() for frame in frames] == [step["frame"] for step in steps]
    named = re.findall(r"^([A-Z]+), from the (client|server)\.", TEXT, re.MULTILINE)
    assert named == [(step["type"], step["from"]) for step in steps]
    assert [FrameType(frames_of(frame)[0].type).name for frame in frames] == [name for name, _ in named]


def test_every_frame_type_and_flag_stands_there_with_its_number() -> None:
    types = {row[1]: int(row[0], 16) for row in rows("Frames") if row[0].startswith("0x")}
    assert types == {kind.name: int(kind) for kind in FrameType}
    flags = {row[1]: int(row[0], 16) for row in rows("Flags") if row[0].startswith("0x")}
    assert flags == {flag.name: int(flag) for flag in Flag if flag}


def test_every_code_stands_there() -> None:
    assert [row[0] for row in rows("The handshake") if row[0].startswith("rpc.")] == list(codes.REFUSE_CODES)
    errors = rows("Errors")[1:]
    assert [row[0] for row in errors] == list(codes.CALL_CODES)
    assert [row[0] for row in rows("GOAWAY")[1:]] == [code.value for code in GoawayCode]


def test_every_extension_type_stands_there_with_its_number() -> None:
    types = {row[1]: int(row[0]) for row in rows("Values")[1:]}
    assert types == {kind.name.lower(): int(kind) for kind in Extension}


def test_every_stated_limit_stands_there_with_its_bounds() -> None:
    table = {row[0]: row[1:4] for row in rows("Limits")[1:]}
    assert list(table) == list(STATED)
    for name, (default, least, most) in table.items():
        assert int(default) == getattr(DEFAULT_LIMITS, name)
        base, _, power = most.removesuffix("-1").partition("^")
        largest = int(base) ** int(power) - most.endswith("-1")
        for value in (int(least), largest):
            attrs.evolve(DEFAULT_LIMITS, **{name: value})
        for value in (int(least) - 1, largest + 1):
            with pytest.raises(ValueError, match=name):
                attrs.evolve(DEFAULT_LIMITS, **{name: value})


@pytest.mark.parametrize(
    ("title", "sentence"),
    [
        ("The handshake", f"at most {HANDSHAKE_FRAME // 1024} KiB of payload"),
        ("Messages", f"At most **{OPEN_MESSAGES}** messages"),
        ("Positions and ACK", f"after {ACK_FRAMES} frames or {ACK_BYTES // 1024} KiB"),
        ("Credit", f"above 2^{SendCredit.MOST.bit_length() - 1}"),
        ("Credit", f"from {Limits().stream_credit // 1024} KiB to {Limits().stream_window // 1024} KiB"),
        ("Credit", f"at most {Limits().connection_credit >> 20} MiB"),
        ("Errors", f"At most {MAX_CAUSE_DEPTH} levels deep"),
        ("Errors", f"at most {MAX_CAUSES} in each"),
        ("Values", f"at most {MAX_DECIMAL} characters"),
        ("Values", f"1 to {MAX_INTEGER} octets"),
        ("Values", f"nested at most {MAX_NESTED_SETS} deep, at most {MAX_MEMBERS:,} members"),
        ("Bounds", f"more than {Limits().depth} deep"),
        ("Bounds", f"more than {Limits().elements:,} elements"),
    ],
)
def test_the_numbers_in_its_sentences_are_those_of_the_code(title: str, sentence: str) -> None:
    assert sentence in " ".join(section(title).split())


def test_what_may_be_cut_is_what_the_code_joins() -> None:
    found = re.search(r"([A-Z, ]+ and [A-Z]+) may be cut", " ".join(section("Messages").split()))
    assert found
    assert set(re.findall(r"[A-Z]+", found[1])) == {kind.name for kind in _DIVISIBLE}
