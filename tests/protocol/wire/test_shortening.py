from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.wire.envelope import Goaway, Refuse, decode_error, encode_error
from protocol.wire.errors import ErrorInfo, Executed, GoawayCode
from protocol.wire.limits import DEFAULT_LIMITS
from protocol.wire.shortening import encode_short_error, encode_short_goaway, encode_short_refuse

CAUSE = ErrorInfo("rpc.internal", "innermost", Executed.YES)
COUNT = st.integers(0, 3000)
CODE = st.builds(lambda unit, count: unit * count, st.sampled_from(["x", "é", "漢", "😀"]), COUNT)
MESSAGE = CODE | COUNT.map(lambda count: "\udce9" * count)


@given(
    st.builds(
        ErrorInfo,
        CODE,
        MESSAGE,
        st.sampled_from(Executed),
        st.none() | st.integers(0, 3000).map(bytes),
        st.none() | st.floats(0, 1e9),
        st.none() | CODE,
        st.sampled_from([(), (CAUSE,) * 90]),
    ),
    st.integers(1024, 5000),
)
def test_every_error_is_shortened_to_what_the_other_side_accepts(error: ErrorInfo, most: int) -> None:
    payload = encode_short_error(error, most)
    assert len(payload) <= most
    told = decode_error(payload, DEFAULT_LIMITS)
    assert (told.executed, told.retry_after) == (error.executed, error.retry_after)
    if len(encode_error(error)) <= most:
        assert payload == encode_error(error)


def test_a_long_message_loses_its_end_and_nothing_else() -> None:
    error = ErrorInfo("a.b", "é" * 3000, Executed.YES, b"data", 1.5, "t", (CAUSE,))
    payload = encode_short_error(error, 1024)
    assert 1020 <= len(payload) <= 1024
    told = decode_error(payload, DEFAULT_LIMITS)
    assert told.message.rstrip("…").strip("é") == ""
    assert told.message.endswith("é…")
    assert attrs.evolve(told, message=error.message) == error


@pytest.mark.parametrize("large", [{"data": bytes(1020)}, {"causes": (CAUSE,) * 60}])
def test_data_and_causes_that_are_too_large_stay_behind(large: dict[str, Any]) -> None:
    bare = ErrorInfo("a.b", "none left", Executed.YES, trace="t")
    told = decode_error(encode_short_error(attrs.evolve(bare, **large), 1024), DEFAULT_LIMITS)
    assert told == bare


@given(st.builds(Refuse, CODE, MESSAGE, CODE, st.none() | st.floats(0, 1e9)), st.integers(1024, 5000))
def test_every_refuse_is_shortened_to_what_the_client_accepts(refuse: Refuse, most: int) -> None:
    payload = encode_short_refuse(refuse, most)
    assert len(payload) <= most
    told = Refuse.decode(payload, DEFAULT_LIMITS)
    assert told.retry_after == refuse.retry_after
    assert refuse.code.startswith(told.code.rstrip("…"))


@given(
    st.builds(
        Goaway,
        st.integers(0, (1 << 32) - 1),
        st.sampled_from(GoawayCode),
        MESSAGE,
        st.none() | st.floats(0, 1e9),
        st.none() | CODE,
    ),
    st.integers(1024, 5000),
)
def test_every_goaway_is_shortened_to_what_the_other_side_accepts(goaway: Goaway, most: int) -> None:
    payload = encode_short_goaway(goaway, most)
    assert len(payload) <= most
    told = Goaway.decode(payload, DEFAULT_LIMITS)
    assert told.address in (goaway.address, None), "a part of an address would be another one"
    assert attrs.evolve(told, text="", address=None) == attrs.evolve(goaway, text="", address=None)


def test_what_fits_is_told_as_it_is() -> None:
    refuse = Refuse("rpc.draining", "the server is stopping", "r-1", 2.5)
    assert encode_short_refuse(refuse, 1024) == refuse.encode()
    goaway = Goaway(7, GoawayCode.KICKED, "an administrator ended the session", 2.5, "appserver://other:1/")
    assert encode_short_goaway(goaway, 1024) == goaway.encode()
