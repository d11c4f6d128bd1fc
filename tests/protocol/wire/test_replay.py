"""What a topic keeps: the newest events within a bound in bytes, and everything that counts behind some number."""

from __future__ import annotations

from random import Random

import pytest

from protocol.wire.publications import encode_event
from protocol.wire.replay import Published, Replay, ReplayOfAll, ReplayOfLatest

ALL = 1 << 40
KINDS = [ReplayOfAll, ReplayOfLatest]


def event(number: int, size: int = 10, key: object = None) -> Published:
    return number, encode_event(number, bytes(size)), key


def filled(replay: Replay, count: int, size: int = 10) -> list[Published]:
    """Publish events that all have another key."""
    events = [event(number, size, key=number) for number in range(1, count + 1)]
    for each in events:
        replay.add(each)
    return events


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_given_again_are_the_objects_that_were_kept(kind: type[Replay]) -> None:
    replay = kind(1 << 20)
    events = filled(replay, 100)
    begin, found = replay.since(40, limit=100, credit=0, room=0)
    assert begin == 40
    assert len(found) == 60
    assert all(given is kept for given, kept in zip(found, events[40:], strict=True))
    assert replay.since(100, limit=100, credit=0, room=0) == (100, [])


@pytest.mark.parametrize("kind", KINDS)
def test_the_oldest_go_first_and_the_bound_counts_what_an_event_takes_besides(kind: type[Replay]) -> None:
    replay = kind(10_000)
    filled(replay, 20_000, size=0)
    kept = 20_000 - replay.floor
    assert 0 < kept <= 10_000 // 144
    assert 10_000 - 300 < replay.size <= 10_000
    begin, found = replay.since(0, limit=20_000, credit=ALL, room=ALL)
    assert begin == replay.floor
    assert [number for number, _, _ in found] == list(range(begin + 1, 20_001))


@pytest.mark.parametrize("kind", KINDS)
def test_an_event_that_does_not_fit_takes_all_that_are_older_with_it(kind: type[Replay]) -> None:
    replay = kind(2000)
    filled(replay, 3)
    replay.add(event(4, 3000, key="large"))
    assert (replay.floor, replay.size) == (4, 0)
    replay.add(event(5))
    assert replay.since(3, limit=9, credit=ALL, room=ALL) == (4, [event(5)])
    assert replay.since(4, limit=9, credit=ALL, room=ALL) == (4, [event(5)])


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_kept_where_nothing_may_be(kind: type[Replay]) -> None:
    replay = kind(0)
    filled(replay, 3)
    assert (replay.floor, replay.size) == (3, 0)
    assert replay.since(1, limit=9, credit=ALL, room=ALL) == (3, [])


@pytest.mark.parametrize("kind", KINDS)
def test_another_bound_holds_at_once(kind: type[Replay]) -> None:
    replay = kind(1 << 20)
    filled(replay, 100)
    replay.resize(1000)
    assert replay.size <= 1000
    assert 90 < replay.floor < 100
    replay.resize(0)
    assert (replay.floor, replay.size) == (100, 0)
    replay.resize(1000)
    replay.add(event(101))
    assert replay.since(100, limit=9, credit=ALL, room=ALL) == (100, [event(101)])


@pytest.mark.parametrize("kind", KINDS)
def test_a_subscriber_gets_the_newest_that_may_wait_and_what_it_has_room_for_before_them(
    kind: type[Replay],
) -> None:
    replay = kind(1 << 20)
    size = len(filled(replay, 50)[-1][1])
    for room, before in ((0, 0), (size - 1, 0), (size, 1), (7 * size, 7), (ALL, 30)):
        begin, found = replay.since(10, limit=10, credit=room, room=ALL)
        assert [number for number, _, _ in found] == list(range(41 - before, 51))
        assert begin == 40 - before


def test_of_each_key_the_newest_is_kept_and_the_others_are_not_missed() -> None:
    replay = ReplayOfLatest(1 << 20)
    for number in range(1, 10_001):
        replay.add(event(number, key=number % 3))
    assert replay.size < 1000
    begin, found = replay.since(17, limit=9, credit=0, room=0)
    assert begin == 17
    assert [number for number, _, _ in found] == [9998, 9999, 10_000]
    begin, found = replay.since(9998, limit=9, credit=0, room=0)
    assert (begin, [number for number, _, _ in found]) == (9998, [9999, 10_000])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("seed", range(20))
def test_everything_that_counts_is_given_or_lies_at_or_before_the_number_that_is_named(
    kind: type[Replay], seed: int
) -> None:
    chance = Random(seed)
    replay = kind(3000)
    events: list[Published] = []
    for number in range(1, 200):
        if chance.random() < 0.02:
            replay.resize(chance.choice((0, 1000, 3000, 9000)))
        events.append(event(number, chance.choice((0, 10, 300, 4000)), key=chance.randrange(6)))
        replay.add(events[-1])
        after, limit, room = chance.randrange(number + 1), chance.randrange(1, 9), chance.randrange(2000)
        begin, found = replay.since(after, limit=limit, credit=room, room=ALL)
        assert after <= begin <= number
        newest = {each[2] if kind is ReplayOfLatest else each[0]: each for each in events}
        assert found == [each for each in events[begin:] if each in newest.values()]
        assert sum(len(payload) for _, payload, _ in found[: max(0, len(found) - limit)]) <= room
