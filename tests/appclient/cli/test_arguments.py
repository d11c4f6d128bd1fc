"""What a command line's words become: decoded by the real contract they are the values that were meant."""

from __future__ import annotations

import io
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import UUID

import pytest

from appclient.cli.arguments import UsageError, bind, split_name
from appclient.cli.described import read_interface
from protocol.interface import Blob, Stream, contract_of
from protocol.wire.codec import pack, unpack
from protocol.wire.limits import Limits
from tests.appclient.cli.interface_for_tests import (
    Circle,
    Colour,
    Desk,
    Level,
    Line,
    Order,
    Rights,
)

CONTRACT = contract_of(Desk)
INTERFACE = read_interface("Desk", unpack(pack(dict(CONTRACT.description)), Limits()))  # as it arrives


def received(method: str, *words: str) -> tuple[list[Any], dict[str, Any]]:
    """What the handler gets when these words are typed."""
    call = bind(INTERFACE, method, words)
    body = unpack(pack(call.body), Limits())
    args, kwargs = CONTRACT.methods[method].decode_arguments(body, call.channel)
    return list(args), kwargs


def refusal(method: str, *words: str) -> str:
    with pytest.raises(UsageError) as caught:
        bind(INTERFACE, method, words)
    return str(caught.value)


def test_json_numbers_are_numbers() -> None:
    assert received("find", "7") == ([7], {})
    assert received("find", "-7") == ([-7], {})


def test_a_structure_is_a_json_object() -> None:
    order = '{"number": 1, "lines": [{"product": "pen", "price": 12.50}], "due": "2030-01-31"}'
    args, kwargs = received("add", order, "urgent=true", "colour=red")
    assert args == [Order(1, [Line("pen", Decimal("12.50"))], date(2030, 1, 31))]
    assert str(args[0].lines[0].price) == "12.50"
    assert kwargs == {"urgent": True, "colour": Colour.RED}


def test_structures_may_contain_themselves() -> None:
    args, _ = received("add", '{"number": 2, "lines": [], "parent": {"number": 1, "lines": []}}')
    assert args == [Order(2, [], parent=Order(1, []))]


def test_an_enum_is_its_value_or_its_name() -> None:
    assert received("add", '{"number": 1, "lines": []}', "colour=DARK_BLUE")[1] == {
        "colour": Colour.DARK_BLUE
    }
    assert received("add", '{"number": 1, "lines": []}', "colour=dark blue")[1] == {
        "colour": Colour.DARK_BLUE
    }
    assert 'colour: expected Colour ("red", "dark blue"), got \'green\'' in refusal(
        "add", '{"number": 1, "lines": []}', "colour=green"
    )


SCALARS = (
    "12.50",
    "2030-01-31",
    "2030-01-31T12:00:00+02:00",
    "12:30",
    "90",
    "12345678-1234-1234-1234-123456789abc",
    "a/b.txt",
    "AP8=",
    "3",
    "007",
)


def test_bare_words_become_what_the_parameter_asks_for() -> None:
    assert received("scalars", *SCALARS)[0] == [
        Decimal("12.50"),
        date(2030, 1, 31),
        datetime(2030, 1, 31, 10, tzinfo=UTC),
        time(12, 30),
        timedelta(seconds=90),
        UUID("12345678-1234-1234-1234-123456789abc"),
        PurePosixPath("a/b.txt"),
        b"\x00\xff",
        3.0,
        "007",
    ]


@pytest.mark.parametrize(
    ("position", "word", "finding"),
    [
        (0, "dear", "decimal: expected Decimal, got 'dear'"),
        (1, "31.1.2030", "day: expected date (such as 2030-01-31), got '31.1.2030'"),
        (2, "2030-01-31T12:00", "moment: expected datetime with a time zone"),
        (3, "12:30Z", "clock: expected time without a time zone"),
        (4, "soon", "span: expected timedelta (seconds, or such as 1:30:00), got 'soon'"),
        (5, "1234", "key: expected UUID"),
        (7, "!!", "raw: expected bytes (Base64), got '!!'"),
        (8, "1e999", "number: expected float"),
    ],
)
def test_a_word_that_is_no_such_value_is_named(position: int, word: str, finding: str) -> None:
    words = [*SCALARS[:position], word, *SCALARS[position + 1 :]]
    assert finding in refusal("scalars", *words)


@pytest.mark.parametrize("word", ["true", "7", '"7"', "null", "a=b", "@home", "[1"])
def test_a_text_may_look_like_anything(word: str) -> None:
    expected = word.strip('"')
    assert received("scalars", *SCALARS[:-1], word)[0][-1] == expected


def test_a_span_may_be_written_as_python_prints_it() -> None:
    words = [*SCALARS[:4], "2 days, 1:30:00.5", *SCALARS[5:]]
    assert received("scalars", *words)[0][4] == timedelta(days=2, hours=1, minutes=30, seconds=0.5)


def test_optional_arguments_may_be_left_out() -> None:
    assert received("later", "1") == ([1], {})
    assert received("later", "1", "5") == ([1, 5], {})


def test_what_follows_a_gap_travels_by_its_name() -> None:
    call = bind(INTERFACE, "later", ["1", "fourth=2030-01-31"])
    assert call.body == [1, {"fourth": date(2030, 1, 31)}]
    _, kwargs = received("later", "1", "fourth=2030-01-31", "third=null")
    assert kwargs == {"fourth": date(2030, 1, 31), "third": None}


def test_a_required_argument_may_be_given_by_name() -> None:
    assert bind(INTERFACE, "later", ["first=1"]).body == [1, {}]


def test_containers() -> None:
    words = ["[1, 2, 2]", '{"1": "one", "2": "two"}', '{"a": [1, 2.5]}', '[3, "x"]', "[[1, 2], [3]]"]
    assert received("containers", *words)[0] == [
        {1, 2},
        {1: "one", 2: "two"},
        {"a": [1.0, 2.5]},
        (3, "x"),
        frozenset({(1, 2), (3,)}),
    ]
    assert received("containers", "[]", '[[1, "one"]]', *words[2:])[0][1] == {1: "one"}


def test_unions_literals_and_flags() -> None:
    words = ['["Circle", {"radius": 2}]', "HIGH", "READ|WRITE", "fast", "null", '{"a": [1.5]}']
    assert received("choices", *words)[0] == [
        Circle(2.0),
        Level.HIGH,
        Rights.READ | Rights.WRITE,
        "fast",
        None,
        {"a": [1.5]},
    ]
    words = ['["Circle", {"radius": 2}]', "2", "1", "3", "7", "word"]
    assert received("choices", *words)[0][1:] == [Level.HIGH, Rights.READ, 3, 7, "word"]


@pytest.mark.parametrize(
    ("words", "finding"),
    [
        (['["Oval", {}]'], "shape: expected Circle or Square, got 'Oval'"),
        (['["Circle", {"radius": "x"}]'], "shape.radius: expected float, got 'x'"),
        (['{"radius": 2}'], 'shape: expected ["Circle", {...}] (Circle | Square), got an object'),
        (['["Circle", {"radius": 2}]', "1", "1", "medium"], "mode: expected"),
    ],
)
def test_the_wrong_member_of_a_union_is_named(words: list[str], finding: str) -> None:
    assert finding in refusal("choices", *words)


def test_the_path_leads_to_the_wrong_value() -> None:
    order = '{"number": 1, "lines": [{"product": "pen", "price": 1}, {"product": "ink", "price": null}]}'
    assert "order.lines[1].price: expected Decimal, got null" in refusal("add", order)
    assert "order.lines: expected list[Line], got nothing" in refusal("add", '{"number": 1}')
    assert "order.nmber: unknown field; Order has number, lines, due, parent" in refusal(
        "add", '{"nmber": 1, "lines": []}'
    )


def test_words_too_many_and_too_few_name_the_signature() -> None:
    assert refusal("find") == "Desk.find(number: int) -> Order: number is missing"
    assert "one argument too many: 2" in refusal("find", "1", "2")
    assert "one argument too many: speed=2 (no parameter is named speed)" in refusal("find", "1", "speed=2")
    assert "number is given twice" in refusal("find", "1", "number=2")
    assert "there is no option --jsn" in refusal("find", "1", "--jsn")


def test_an_unknown_method_names_the_nearest() -> None:
    assert refusal("fnd") == "Desk has no method fnd; did you mean find?"
    assert refusal("zzz").startswith("Desk has no method zzz; it has find, add,")


@pytest.mark.parametrize("text", ["Desk", "Desk.", ".find", "Desk.find.x", "Desk find"])
def test_a_method_is_named_with_its_interface(text: str) -> None:
    with pytest.raises(UsageError, match=r"expected Interface\.method"):
        split_name(text)


def test_a_file_is_a_word_that_starts_with_an_at_sign(tmp_path: Path) -> None:
    file = tmp_path / "plan.pdf"
    file.write_bytes(b"12345")
    call = bind(INTERFACE, "attach", ["7", f"@{file}", "note=a plan"])
    assert call.body == [7, {"note": "a plan"}]
    assert isinstance(call.channel, Blob)
    assert (call.channel.source, call.channel.size, call.channel.name) == (file, 5, "plan.pdf")


def test_a_file_that_is_missing_is_named(tmp_path: Path) -> None:
    assert "it takes a file, as @path" in refusal("attach", "7")
    with pytest.raises(UsageError, match=r"gone\.pdf: there is no such file"):
        bind(INTERFACE, "attach", ["7", f"@{tmp_path / 'gone.pdf'}"])


def values_of(stream: Stream[Any] | Blob | None) -> list[Any]:
    assert isinstance(stream, Stream)
    assert isinstance(stream.source, Iterable)
    return list(stream.source)


def test_a_stream_is_a_list_or_json_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = '{"product": "pen", "price": 1}\n\n{"product": "ink", "price": "2.50", "count": 3}\n'
    expected = [
        {"product": "pen", "price": Decimal(1)},
        {"product": "ink", "price": Decimal("2.50"), "count": 3},
    ]
    file = tmp_path / "rows.jsonl"
    file.write_text(lines)
    call = bind(INTERFACE, "load", [f"@{file}", "strict=false"])
    assert call.body == [{"strict": False}]
    assert values_of(call.channel) == expected
    monkeypatch.setattr("sys.stdin", io.StringIO(lines))
    assert values_of(bind(INTERFACE, "load", ["@-"]).channel) == expected
    assert values_of(bind(INTERFACE, "exchange", ["[1, 2]"]).channel) == [1, 2]
    assert "it takes a stream: a JSON list" in refusal("load")


def test_a_wrong_line_of_a_stream_is_named(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    for text, finding in [("1\nx\n", "line 2 is not JSON"), ('1\n"x"\n', "line 2: expected int, got 'x'")]:
        file.write_text(text)
        with pytest.raises(UsageError, match=finding):
            values_of(bind(INTERFACE, "exchange", [f"@{file}"]).channel)


def test_a_word_that_is_nested_too_deeply_is_refused() -> None:
    assert refusal("later", "[" * 100_000) == "the arguments are nested too deeply"
