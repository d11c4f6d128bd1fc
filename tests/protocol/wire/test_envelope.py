from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from protocol.wire.codec import pack, unpack
from protocol.wire.envelope import (
    MAX_CAUSE_DEPTH,
    MAX_CAUSES,
    Goaway,
    Hello,
    InterfaceOffer,
    Refuse,
    Welcome,
    decode_error,
    encode_error,
)
from protocol.wire.errors import ErrorInfo, Executed, GoawayCode, RemoteProtocolError
from protocol.wire.limits import DEFAULT_LIMITS, Limits

HUGE = 1 << 4000

FULL: list[Any] = [
    Hello(
        (1, 2),
        "orders",
        frozenset({"a", "b"}),
        {"Orders": InterfaceOffer(((1, 0), (2, 3)), "f00d", {"methods": [1]})},
        Limits(frame=2048, message=4096, open_calls=5, subscriptions=6, stream_credit=7),
        {"user": "ada", "pin": b"\x00"},
        (b"token", 17),
    ),
    Welcome(
        "s-1",
        b"token",
        1,
        "orders",
        frozenset({"a"}),
        {"Orders": InterfaceOffer(((1, 0),), "f00d")},
        Limits(frame=2048),
        datetime(2030, 1, 1, tzinfo=UTC),
        4,
    ),
    Refuse("rpc.server_full", "later", "r-1", 2.5),
    Goaway(9, GoawayCode.KICKED, "bye", 1.5, "other:1"),
]


@pytest.mark.parametrize("envelope", FULL, ids=lambda envelope: type(envelope).__name__)
def test_every_field_survives(envelope: Any) -> None:
    assert type(envelope).decode(envelope.encode(), DEFAULT_LIMITS) == envelope


@pytest.mark.parametrize("envelope", FULL, ids=lambda envelope: type(envelope).__name__)
def test_keys_that_a_later_version_adds_are_ignored(envelope: Any) -> None:
    fields = unpack(envelope.encode())
    fields[-1]["from_the_future"] = [1, {"a": 2}]
    assert type(envelope).decode(pack(fields), DEFAULT_LIMITS) == envelope


@pytest.mark.parametrize("envelope", FULL, ids=lambda envelope: type(envelope).__name__)
def test_the_map_may_be_missing_but_no_fixed_field_and_nothing_may_follow(envelope: Any) -> None:
    fields = unpack(envelope.encode())
    decode = type(envelope).decode
    decode(pack(fields[:-1]), DEFAULT_LIMITS)
    for wrong in (fields[:-2], [*fields, 1], [*fields[:-1], 1], fields[0], {"a": 1}, None):
        with pytest.raises(RemoteProtocolError):
            decode(pack(wrong), DEFAULT_LIMITS)


@pytest.mark.parametrize("envelope", FULL, ids=lambda envelope: type(envelope).__name__)
@pytest.mark.parametrize("wrong", [None, True, -1, HUGE, 1.5, {1}], ids=str)
def test_a_field_of_another_type_is_the_senders_fault(envelope: Any, wrong: object) -> None:
    fields = unpack(envelope.encode())
    for number in range(len(fields) - 1):
        with pytest.raises(RemoteProtocolError):
            type(envelope).decode(pack([*fields[:number], wrong, *fields[number + 1 :]]), DEFAULT_LIMITS)


@pytest.mark.parametrize(
    ("decode", "fields", "extra"),
    [
        (Hello.decode, [[1], ""], {"features": "a"}),
        (Hello.decode, [[1], ""], {"interfaces": {"Orders": [[[1]], ""]}}),
        (Hello.decode, [[1], ""], {"interfaces": {"Orders": [[[1, HUGE]], ""]}}),
        (Hello.decode, [[1], ""], {"interfaces": {"Orders": [[[1, True]], ""]}}),
        (Hello.decode, [[1], ""], {"interfaces": {"Orders": "1.0"}}),
        (Hello.decode, [[1], ""], {"limits": {"frame": 100}}),
        (Hello.decode, [[1], ""], {"limits": {"frame": HUGE}}),
        (Hello.decode, [[1], ""], {"limits": {"open_calls": "many"}}),
        (Hello.decode, [[1], ""], {"resume": [b"t", -1]}),
        (Hello.decode, [[1], ""], {"resume": [b"t"]}),
        (Hello.decode, [[1], ""], {"credentials": []}),
        (Hello.decode, [[], ""], {}),
        (Hello.decode, [["1"], ""], {}),
        (Welcome.decode, [1, "s", b""], {"time": 5}),
        (Welcome.decode, [1, "s", b""], {"resumed": HUGE}),
        (Refuse.decode, ["a", "b", "c"], {"retry_after": -1}),
        (Refuse.decode, ["a", "b", "c"], {"retry_after": HUGE}),
        (Refuse.decode, ["a", "b", "c"], {"retry_after": float("nan")}),
        (Goaway.decode, [1, "shutdown", ""], {"reconnect_after": float("inf")}),
        (Goaway.decode, [1, "shutdown", ""], {"reconnect_after": True}),
        (Goaway.decode, [1, "shutdown", ""], {"address": 5}),
        (decode_error, ["a", "b", "perhaps"], {}),
        (decode_error, ["a", "b", "no"], {"data": "text"}),
        (decode_error, ["a", "b", "no"], {"causes": ["text"]}),
        (decode_error, ["a", "b", "no"], {"causes": [["a", "b"]]}),
    ],
)
def test_a_wrong_value_in_the_map_is_the_senders_fault(
    decode: Callable[[bytes, Limits], object], fields: list[object], extra: dict[str, object]
) -> None:
    with pytest.raises(RemoteProtocolError):
        decode(pack([*fields, extra]), DEFAULT_LIMITS)


def test_limits_that_are_not_stated_have_their_defaults() -> None:
    hello = Hello.decode(pack([[1], "", {"limits": {"frame": 2048, "unknown": 1}}]), DEFAULT_LIMITS)
    assert hello.limits == Limits(frame=2048)


def test_an_unknown_goaway_code_reads_as_the_mildest() -> None:
    goaway = Goaway.decode(pack([1, "moon_phase", "why"]), DEFAULT_LIMITS)
    assert (goaway.code, goaway.text) == (GoawayCode.SHUTDOWN, "why")


def test_secrets_stand_in_no_representation() -> None:
    hello, welcome = FULL[0], FULL[1]
    assert "ada" not in repr(hello)
    assert "token" not in repr(hello)
    assert "token" not in repr(welcome)


def nest(levels: int) -> ErrorInfo:
    error = ErrorInfo("rpc.internal", "innermost", Executed.YES)
    for _ in range(levels):
        error = ErrorInfo("rpc.group", "group", Executed.YES, causes=(error,))
    return error


class TestErrors:
    def test_every_field_survives_with_causes_in_order(self) -> None:
        cause = ErrorInfo("a.b", "one", Executed.NO, b"data", 1.5, "t")
        error = ErrorInfo("rpc.group", "two", Executed.MAYBE, causes=(cause, nest(3)))
        assert decode_error(encode_error(error), DEFAULT_LIMITS) == error

    def test_a_group_deeper_or_wider_than_the_receiver_takes_is_cut_by_the_sender(self) -> None:
        assert decode_error(encode_error(nest(MAX_CAUSE_DEPTH)), DEFAULT_LIMITS) == nest(MAX_CAUSE_DEPTH)
        decode_error(encode_error(nest(MAX_CAUSE_DEPTH + 5)), DEFAULT_LIMITS)
        wide = ErrorInfo("rpc.group", "", Executed.YES, causes=(nest(0),) * (MAX_CAUSES + 5))
        assert len(decode_error(encode_error(wide), DEFAULT_LIMITS).causes) == MAX_CAUSES

    def test_text_that_is_no_unicode_still_arrives(self) -> None:
        error = ErrorInfo("rpc.internal", "no file caf\udce9", Executed.YES)
        assert decode_error(encode_error(error), DEFAULT_LIMITS).message == "no file caf\\udce9"

    def test_what_the_other_side_did_wrong_is_quoted_in_bounds(self) -> None:
        with pytest.raises(RemoteProtocolError) as caught:
            decode_error(pack(["a", "b", "x" * 1_000_000]), DEFAULT_LIMITS)
        assert len(str(caught.value)) < 600
