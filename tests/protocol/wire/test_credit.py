from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.wire.credit import ReceiveWindow, SendCredit, WindowPool
from protocol.wire.errors import RemoteProtocolError


def test_a_grant_leaves_when_half_the_window_was_used() -> None:
    window = ReceiveWindow(100, 100, WindowPool(0))
    window.receive(100)
    assert window.consume(49) == 0
    assert window.consume(1) == 50
    assert window.consume(50) == 50


def test_a_window_grows_as_far_as_the_pool_allows_and_gives_it_back() -> None:
    pool = WindowPool(150)
    first, second = ReceiveWindow(100, 200, pool), ReceiveWindow(100, 200, pool)
    assert first.consume(10) == 110
    assert second.consume(10) == 60
    assert pool.free == 0
    first.close()
    first.close()
    assert pool.free == 100
    assert second.consume(10) == 60, "what became free is used"
    second.close()
    assert pool.free == 150


def test_an_exhausted_pool_takes_nothing_from_what_a_stream_began_with() -> None:
    window = ReceiveWindow(100, 200, WindowPool(0))
    window.receive(100)
    assert window.consume(100) == 100


def test_sending_without_credit_is_the_other_sides_fault() -> None:
    window = ReceiveWindow(10, 10, WindowPool(0))
    window.receive(500)
    with pytest.raises(RemoteProtocolError, match="credit"):
        window.receive(1)


def test_grants_add_up_to_a_bound() -> None:
    credit = SendCredit(10)
    credit.grant(SendCredit.MOST - 10)
    with pytest.raises(RemoteProtocolError):
        credit.grant(1)


@given(
    initial=st.integers(1, 300),
    most=st.integers(1, 1000),
    pool=st.integers(0, 1000),
    sizes=st.lists(st.integers(1, 700), min_size=1, max_size=60),
)
def test_both_accounts_agree_and_never_stall(initial: int, most: int, pool: int, sizes: list[int]) -> None:
    """A sender that waits for credit and a consumer that uses everything always get on."""
    shared = WindowPool(pool)
    window, credit = ReceiveWindow(initial, most, shared), SendCredit(initial)
    for size in sizes:
        assert credit.left > 0, "everything was consumed, so there is credit"
        credit.spend(size)
        window.receive(size)
        if grant := window.consume(size):
            credit.grant(grant)
        assert credit.left <= max(initial, most)
        assert credit.left == window._left
    window.close()
    assert shared.free == pool
