from __future__ import annotations

import functools
import operator

from hypothesis import given
from hypothesis import strategies as st

from protocol.wire.connection import State
from protocol.wire.framing import Flag, FrameType, encode_frame, encode_message
from protocol.wire.limits import OPEN_MESSAGES, Limits
from protocol.wire.outbox import Outbox
from protocol.wire.scheduler import Scheduler
from tests.protocol.wire.talk import Talk, frames_of

MANY = 1 << 20


def small(stream: int, kind: int = FrameType.RESULT, size: int = 10) -> bytes:
    return encode_frame(kind, 0, stream, bytes(size))


def long(stream: int, frames: int, kind: int = FrameType.DATA) -> list[bytes]:
    return encode_message(kind, 0, stream, bytes(100 * frames), 100)


def drain(scheduler: Scheduler, most: int = MANY) -> list[list[int]]:
    """The streams of the frames of each pull."""
    pulls = []
    while data := scheduler.pull(most):
        pulls.append([sent.stream for sent in frames_of(data)])
    assert scheduler.size == 0
    assert not scheduler
    return pulls


def test_control_leaves_before_calls_and_calls_before_bulk() -> None:
    scheduler = Scheduler()
    scheduler.push(1, long(1, 2), bulk=True)
    scheduler.push_small(3, small(3))
    scheduler.push_urgent(small(5, FrameType.CREDIT))
    scheduler.push_control(small(0, FrameType.PING))
    assert drain(scheduler) == [[0, 5, 3], [1], [1]]


def test_bulk_leaves_one_frame_at_a_time_so_that_what_comes_meanwhile_is_next() -> None:
    scheduler = Scheduler()
    scheduler.push(1, long(1, 3), bulk=True)
    order = []
    for _ in range(3):
        order += frames_of(scheduler.pull(MANY))
        scheduler.push_small(3, small(3))
        order += frames_of(scheduler.pull(MANY))
    assert [sent.stream for sent in order] == [1, 3, 1, 3, 1, 3]


def test_streams_take_turns_within_a_class() -> None:
    for bulk in (False, True):
        scheduler = Scheduler()
        for stream in (1, 3, 5):
            scheduler.push(stream, long(stream, 3), bulk=bulk)
        assert functools.reduce(operator.iadd, drain(scheduler), []) == [1, 3, 5] * 3


def test_a_result_waits_for_one_item_of_a_busy_stream_not_for_all_of_them() -> None:
    outbox = Outbox(Limits())
    for _ in range(100):
        outbox.send(FrameType.DATA, 1, b"item")
    outbox.send(FrameType.EVENT, 3, b"event")
    outbox.send(FrameType.RESULT, 5, b"result")
    assert functools.reduce(operator.iadd, drain(outbox.scheduler), [])[:4] == [1, 3, 5, 1]


def test_a_pull_stops_at_its_size() -> None:
    scheduler = Scheduler()
    for stream in range(1, 100, 2):
        scheduler.push_small(stream, small(stream, size=90))
    assert [len(pull) for pull in drain(scheduler, 1000)] == [10] * 5


def test_no_more_messages_are_under_way_than_the_receiver_takes_in_both_classes_together() -> None:
    scheduler = Scheduler()
    for stream in range(1, 2 * OPEN_MESSAGES + 4, 2):
        scheduler.push(stream, long(stream, 3), bulk=stream % 4 == 1)
    under_way: set[int] = set()
    seen = 0
    while data := scheduler.pull(1):
        for sent in frames_of(data):
            (under_way.add if sent.flags & Flag.MORE else under_way.discard)(sent.stream)
            assert len(under_way) <= OPEN_MESSAGES
            seen += 1
    assert seen == 3 * (OPEN_MESSAGES + 2)


def test_positions_count_the_frames_that_left_and_have_one() -> None:
    scheduler = Scheduler()
    scheduler.push_control(small(0, FrameType.PING))
    scheduler.push_urgent(small(1, FrameType.CREDIT))
    scheduler.push_small(3, small(3))
    scheduler.push(5, long(5, 2), bulk=True)
    assert scheduler.position == 0
    scheduler.pull(MANY)
    assert scheduler.position == 2
    scheduler.pull(MANY)
    assert scheduler.position == 3


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["small", "message", "bulk", "urgent", "control", "pull"]),
        st.integers(1, 6),
        st.integers(1, 4),
    ),
    max_size=60,
)


@given(ACTIONS, st.sampled_from([1, 300, MANY]))
def test_every_frame_leaves_once_and_a_streams_messages_keep_their_order(
    actions: list[tuple[str, int, int]], most: int
) -> None:
    scheduler = Scheduler()
    queued: dict[int, list[bytes]] = {}
    sent: dict[int, list[bytes]] = {}
    expected_position = 0

    def pull() -> bool:
        data = scheduler.pull(most)
        for frame in frames_of(data):
            if frame.type == FrameType.DATA:
                sent.setdefault(frame.stream, []).append(frame.payload)
        return bool(data)

    for number, (action, stream, count) in enumerate(actions):
        mark = bytes([number])
        # The class of a stream does not change, and small messages of a bulk stream come last.
        match action:
            case "small":
                stream += 10
                scheduler.push_small(stream, encode_frame(FrameType.DATA, 0, stream, mark))
                queued.setdefault(stream, []).append(mark)
                expected_position += 1
            case "message" | "bulk":
                stream += 20 if action == "bulk" else 30
                pieces = [mark + bytes(50)] * count
                frames = [
                    encode_frame(FrameType.DATA, Flag.MORE if at < count - 1 else 0, stream, piece)
                    for at, piece in enumerate(pieces)
                ]
                scheduler.push(stream, frames, bulk=action == "bulk")
                queued.setdefault(stream, []).extend(pieces)
                expected_position += count
            case "urgent":
                scheduler.push_urgent(small(stream, FrameType.CREDIT))
                expected_position += 1
            case "control":
                scheduler.push_control(small(0, FrameType.PING))
            case _:
                pull()
    while pull():
        pass
    assert sent == queued
    assert scheduler.size == 0
    assert scheduler.position == expected_position
    assert scheduler._messages == 0
    assert scheduler._lanes == {}


def test_a_ping_overtakes_a_download() -> None:
    talk = Talk()
    stream = talk.call()
    for _ in range(4):
        talk.server.send_data(stream, bytes(8000), bulk=True)
    talk.client.ping()
    talk.to_server()
    first = frames_of(talk.server.data_to_send())
    assert [sent.type for sent in first] == [FrameType.PONG]
    assert talk.server.state is State.OPEN
