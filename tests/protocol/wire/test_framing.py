from __future__ import annotations

import itertools
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.wire.errors import GoawayCode, LocalProtocolError
from protocol.wire.framing import (
    HEADER_SIZE,
    MAX_STREAM,
    SMALL,
    Flag,
    Frame,
    FrameReader,
    FrameTooLarge,
    FrameType,
    encode_frame,
    encode_message,
)
from tests.protocol.wire.talk import frames_of, octets

FRAMES = st.builds(
    Frame,
    st.integers(0, 255),
    st.integers(0, 255),
    st.integers(0, MAX_STREAM),
    st.binary(max_size=300),
)


def test_a_header_is_ten_octets_big_endian() -> None:
    frame = encode_frame(FrameType.CALL, Flag.MORE, 0x01020304, b"abc")
    assert frame.hex(" ") == "00 00 00 03 10 01 01 02 03 04 61 62 63"


def test_a_frame_is_read_whole_and_octet_by_octet() -> None:
    data = encode_frame(0x11, 0, 7, b"payload")
    expected = [Frame(0x11, 0, 7, b"payload")]
    assert FrameReader(100).feed(data) == expected
    reader = FrameReader(100)
    pieces = [reader.feed(piece) for piece in octets(data)]
    assert pieces == [[]] * (len(data) - 1) + [expected]


def test_trailing_octets_wait_for_the_rest_of_their_frame() -> None:
    reader = FrameReader(100)
    first, second = encode_frame(1, 0, 1, b"a"), encode_frame(2, 0, 2, b"bc")
    assert reader.feed(first + second[:4]) == [Frame(1, 0, 1, b"a")]
    assert reader.held == 4
    assert reader.feed(second[4:11]) == []
    assert reader.held == 11
    assert reader.feed(second[11:]) == [Frame(2, 0, 2, b"bc")]
    assert reader.held == 0


@given(st.lists(FRAMES, max_size=8), st.lists(st.integers(0, 2500), max_size=12))
def test_frames_are_the_same_however_the_octets_are_split(frames: list[Frame], cuts: list[int]) -> None:
    data = b"".join(encode_frame(*frame) for frame in frames)
    bounds = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    reader = FrameReader(300)
    read: list[Frame] = []
    for start, end in itertools.pairwise(bounds):
        read += reader.feed(data[start:end])
    assert read == frames
    assert reader.held == 0


@given(st.lists(st.sampled_from([1, 2, SMALL - 1, SMALL, SMALL + 1, 4 * SMALL]), min_size=1, max_size=30))
def test_small_and_large_pieces_of_a_frame_are_joined_in_order(sizes: list[int]) -> None:
    content = (bytes(range(256)) * (sum(sizes) // 256 + 1))[: sum(sizes)]
    first, last = encode_frame(1, 2, 3, content), encode_frame(4, 5, 6, b"end")
    reader = FrameReader(len(content) + 3)
    assert reader.feed(first[:HEADER_SIZE]) == []
    at = HEADER_SIZE
    for size in sizes[:-1]:
        at += size
        assert reader.feed(first[at - size : at]) == []
        assert reader.held == at
    assert reader.feed(first[at:] + last[:3]) == [Frame(1, 2, 3, content)]
    assert reader.held == 3
    assert reader.feed(last[3:]) == [Frame(4, 5, 6, b"end")]


def test_too_long_a_frame_is_refused_on_its_header_and_those_before_it_are_not_lost() -> None:
    good = encode_frame(1, 0, 1, b"good")
    bad = encode_frame(2, 0, 1, bytes(101))[:HEADER_SIZE]
    with pytest.raises(FrameTooLarge) as caught:
        FrameReader(100).feed(good + bad)
    assert caught.value.frames == [Frame(1, 0, 1, b"good")]
    assert caught.value.code is GoawayCode.FRAME_TOO_LARGE
    assert "101" in str(caught.value)
    assert "100" in str(caught.value)


def test_a_frame_of_exactly_the_limit_passes() -> None:
    assert FrameReader(100).feed(encode_frame(1, 0, 1, bytes(100))) == [Frame(1, 0, 1, bytes(100))]


@pytest.mark.parametrize(("size", "count"), [(0, 1), (1, 1), (10, 1), (11, 2), (20, 2), (21, 3)])
def test_a_message_is_cut_at_the_frame_limit(size: int, count: int) -> None:
    payload = bytes(range(size))
    frames = [frames_of(frame)[0] for frame in encode_message(0x11, Flag.HEAD, 5, payload, 10)]
    assert len(frames) == count
    assert b"".join(frame.payload for frame in frames) == payload
    assert [bool(frame.flags & Flag.MORE) for frame in frames] == [True] * (count - 1) + [False]
    assert all(frame.flags & Flag.HEAD and frame.stream == 5 for frame in frames)


def test_a_frame_limit_of_nothing_is_a_bug_of_this_side() -> None:
    with pytest.raises(LocalProtocolError):
        encode_message(0x11, 0, 5, b"a", 0)


def test_a_large_frame_in_small_pieces_costs_no_more_than_its_octets() -> None:
    """Copying what is there for each piece would take many times as long."""

    def seconds(data: bytes, frames: int) -> float:
        reader = FrameReader(1 << 20)
        started = time.process_time()
        found = sum(len(reader.feed(data[at : at + 32])) for at in range(0, len(data), 32))
        assert found == frames
        return time.process_time() - started

    large = encode_frame(1, 0, 1, bytes((1 << 20) - 10))
    small = encode_frame(1, 0, 1, bytes(22)) * (1 << 15)
    rounds = [(seconds(large, 1), seconds(small, 1 << 15)) for _ in range(3)]
    assert min(in_pieces for in_pieces, _ in rounds) < 3 * min(whole for _, whole in rounds)
