"""The caller's deadline, read from trio's own structure: the same as trio says, however scopes are nested."""

from __future__ import annotations

import contextlib
import math

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from protocol.peer.deadlines import effective_deadline

SCOPES = st.lists(
    st.tuples(st.sampled_from([1.0, 5.0, 1e6, math.inf]), st.booleans(), st.booleans()), max_size=8
)


@given(SCOPES, st.integers(0, 10))
def test_it_is_what_trio_says(scopes: list[tuple[float, bool, bool]], cancelled: int) -> None:
    told: list[tuple[float, float]] = []

    def compare() -> None:
        told.append((effective_deadline(), trio.current_effective_deadline()))

    async def enter(left: list[tuple[float, bool, bool]]) -> None:
        compare()
        if not left:
            return
        seconds, shield, in_nursery = left[0]
        with trio.move_on_after(seconds, shield=shield) as scope:
            if len(left) == cancelled:
                scope.cancel()
            compare()
            if in_nursery:
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(enter, left[1:])
            else:
                await enter(left[1:])
        compare()

    with contextlib.suppress(trio.Cancelled):
        trio.run(enter, scopes)
    assert told
    assert all(ours == trios for ours, trios in told)


async def test_it_follows_a_deadline_that_is_moved() -> None:
    with trio.CancelScope() as scope:
        assert effective_deadline() == math.inf
        scope.deadline = 1e9
        assert effective_deadline() == 1e9
        scope.cancel()
        assert effective_deadline() == -math.inf
        await trio.lowlevel.checkpoint()
    assert scope.cancelled_caught


async def test_trio_is_asked_where_it_keeps_this_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    class OtherTask:
        """A task of a version that has another structure."""

    monkeypatch.setattr(trio.lowlevel, "current_task", OtherTask)
    monkeypatch.setattr(trio, "current_effective_deadline", lambda: 7.0)
    assert effective_deadline() == 7.0
