"""The bound on log lines of one kind."""

from __future__ import annotations

import logging

from appserver.cli.log_rate import LINES, RateLimit


def record(text: str) -> logging.LogRecord:
    return logging.LogRecord("appserver.calls", logging.ERROR, __file__, 1, text, None, None)


def test_ten_lines_of_a_kind_pass_in_a_second_and_the_next_one_counts_the_rest() -> None:
    now = 100.0
    limit = RateLimit(clock=lambda: now)
    assert [limit.filter(record("handler failed")) for _ in range(LINES + 5)] == [True] * LINES + [False] * 5
    assert limit.filter(record("another text"))
    now += 1
    later = record("handler failed")
    assert limit.filter(later)
    assert later.__dict__["left_out"] == 5
    again = record("handler failed")
    assert limit.filter(again)
    assert "left_out" not in again.__dict__


def test_many_kinds_hold_no_memory() -> None:
    limit = RateLimit(clock=lambda: 0.0)
    assert all(limit.filter(record(f"text {number}")) for number in range(5000))
    assert len(limit._kinds) <= 1000
