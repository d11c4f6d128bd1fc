"""Who may come to the door for joining: so many at once, so many from one source, and nobody is remembered for ever."""

from __future__ import annotations

from appserver.door_rate import DoorRate


def test_so_many_at_once_are_let_in_and_those_after_who_leave() -> None:
    rate = DoorRate(most=2)
    assert [rate.enter(source, 0) for source in "abc"] == [True, True, False]
    rate.leave()
    assert rate.enter("c", 0)
    assert rate.inside == 2


def test_one_source_has_a_burst_and_then_one_at_a_time() -> None:
    rate = DoorRate(most=100, burst=3, pause=10)
    assert [rate.enter("a", 0) for _ in range(4)] == [True, True, True, False]
    assert rate.enter("b", 0), "others do not notice"
    assert not rate.enter("a", 9)
    assert rate.enter("a", 10)
    assert not rate.enter("a", 10)
    assert [rate.enter("a", 1000) for _ in range(4)] == [True, True, True, False]


def test_who_was_turned_away_for_want_of_room_has_lost_nothing() -> None:
    rate = DoorRate(most=1, burst=1, pause=10)
    assert rate.enter("a", 0)
    assert not rate.enter("b", 0)
    rate.leave()
    assert rate.enter("b", 0)


def test_so_many_sources_are_remembered() -> None:
    rate = DoorRate(most=10**9, burst=1, sources=100)
    for number in range(10_000):
        rate.enter(f"source {number}", 0)
    assert len(rate._left) == 100
    assert not rate.enter("source 9999", 0)
