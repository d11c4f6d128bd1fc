"""Who may come to the door for joining: so many at once, so many from one source, and nobody is remembered for ever."""

from __future__ import annotations

import trio

from appserver.door_rate import DoorRate


def come(rate: DoorRate, source: str, now: float) -> bool:
    return rate.enter(source, now) is not None


def test_so_many_at_once_are_let_in_and_those_after_who_leave() -> None:
    rate = DoorRate(most=2)
    first = rate.enter("a", 0)
    assert first is not None
    assert [come(rate, source, 0) for source in "bc"] == [True, False]
    rate.leave(first)
    assert come(rate, "c", 0)
    assert rate.inside == 2


async def test_who_is_slow_keeps_nobody_out_for_long() -> None:
    rate = DoorRate(most=2, patience=3)
    slow, later = rate.enter("a", 0), rate.enter("d", 2)
    assert slow is not None
    assert later is not None
    assert not come(rate, "b", 2.9)
    assert [slow.cancel_called, later.cancel_called] == [False, False]
    assert come(rate, "b", 3)
    assert [slow.cancel_called, later.cancel_called] == [True, False]
    assert not come(rate, "c", 4.9), "the next one has its time, too"
    assert come(rate, "c", 5)
    rate.leave(slow)
    await trio.lowlevel.checkpoint()
    assert rate.inside == 2, "who was sent away has no place to give back"


def test_one_source_cannot_keep_the_door_shut() -> None:
    rate = DoorRate()
    turned_away = 0
    for second in range(60):
        while come(rate, "slow", second):  # as many as it may, and none of them ever leaves
            pass
        honest = rate.enter(f"honest {second}", second + 0.5)
        turned_away += honest is None
        if honest is not None:
            rate.leave(honest)
    assert turned_away == 0


async def test_a_few_sources_that_take_all_places_at_once_give_them_to_who_comes() -> None:
    rate = DoorRate()
    slow = [rate.enter(f"slow {number % 4}", 0) for number in range(32)]
    assert rate.inside == 32
    honest = [rate.enter("office", 0) for _ in range(6)]
    assert None not in honest, "as many as each of the others has"
    assert rate.inside == 32
    assert sum(visit is not None and visit.cancel_called for visit in slow) == 6
    assert not come(rate, "slow 1", 0), "who has many places sends nobody away"
    assert not any(visit is not None and visit.cancel_called for visit in honest)
    await trio.lowlevel.checkpoint()


def test_a_network_of_version_6_is_one_source() -> None:
    rate = DoorRate(burst=2)
    assert [come(rate, f"2001:db8::{number}", 0) for number in range(3)] == [True, True, False]
    assert come(rate, "2001:db8:0:1::1", 0)
    assert [come(rate, f"::ffff:192.0.2.{number}", 0) for number in range(4)] == [True] * 4
    assert [come(rate, f"fe80::{number}%eth0", 0) for number in range(3)] == [True, True, False]


def test_one_source_has_a_burst_and_then_one_at_a_time() -> None:
    rate = DoorRate(most=100, burst=3, pause=10)
    assert [come(rate, "a", 0) for _ in range(4)] == [True, True, True, False]
    assert come(rate, "b", 0), "others do not notice"
    assert not come(rate, "a", 9)
    assert come(rate, "a", 10)
    assert not come(rate, "a", 10)
    assert [come(rate, "a", 1000) for _ in range(4)] == [True, True, True, False]


def test_who_was_turned_away_for_want_of_room_has_lost_nothing() -> None:
    rate = DoorRate(most=1, burst=1, pause=10)
    visit = rate.enter("a", 0)
    assert visit is not None
    assert not come(rate, "b", 0)
    rate.leave(visit)
    assert come(rate, "b", 0)


def test_so_many_sources_are_remembered() -> None:
    rate = DoorRate(most=10**9, burst=1, sources=100)
    for number in range(10_000):
        rate.enter(f"source {number}", 0)
    assert len(rate._left) == 100
    assert not come(rate, "source 9999", 0)
