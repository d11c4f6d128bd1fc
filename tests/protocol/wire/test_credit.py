from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.wire.credit import ReceiveWindow, SendCredit, WindowPool
from protocol.wire.errors import GoawayCode, LocalProtocolError, RemoteProtocolError


def test_a_grant_leaves_when_half_the_window_was_used() -> None:
    window = ReceiveWindow(100, 100, WindowPool(0))
    window.receive(100)
    assert window.consume(49) == 0
    assert window.consume(1) == 50
    assert window.consume(50) == 50


def test_a_window_grows_as_far_as_the_pool_allows_and_gives_it_back() -> None:
    pool = WindowPool(150)
    first, second = ReceiveWindow(100, 200, pool), ReceiveWindow(100, 200, pool)
    first.receive(10)
    assert first.consume(10) == 110
    second.receive(10)
    assert second.consume(10) == 60
    assert pool.free == 0
    first.close()
    first.close()
    assert pool.free == 100
    second.receive(10)
    assert second.consume(10) == 60, "what became free is used"
    second.close()
    assert pool.free == 150


def test_an_exhausted_pool_takes_nothing_from_what_a_stream_began_with() -> None:
    window = ReceiveWindow(100, 200, WindowPool(0))
    window.receive(100)
    assert window.consume(100) == 100


def test_sending_without_credit_is_the_other_sides_fault() -> None:
    window = ReceiveWindow(10, 10, WindowPool(0))
    window.receive(9)
    with pytest.raises(RemoteProtocolError, match="credit"):
        window.receive(2)
    window.receive(1)


def test_this_side_does_not_send_without_credit_or_another_message_than_it_announced() -> None:
    credit = SendCredit(10)
    with pytest.raises(LocalProtocolError, match="no credit"):
        credit.spend(11)
    assert credit.announce(11)
    assert not credit.announce(11), "it is said once"
    with pytest.raises(LocalProtocolError, match="announced"):
        credit.spend(10)
    credit.grant(1)
    credit.spend(11)
    assert credit.left == 0


def test_what_credit_comes_for_anyway_is_not_announced() -> None:
    credit = SendCredit(100)
    assert not credit.announce(50)
    assert credit.announce(51)


class TestAnAnnouncedMessage:
    def test_has_the_windows_whole_size_at_once(self) -> None:
        window = ReceiveWindow(100, 200, WindowPool(100))
        window.receive(80)
        assert window.consume(10) == 110, "it grows"
        window.receive(90)
        assert window.consume(70) == 0
        assert window.block(150) == 70, "worth a frame or not"
        assert window.missing == 150 - 110

    def test_grows_the_window_before_anything_was_consumed(self) -> None:
        window = ReceiveWindow(100, 200, WindowPool(1000))
        assert window.block(150) == 100
        assert window.missing <= 0

    def test_costs_the_window_nothing_that_lasts(self) -> None:
        window = ReceiveWindow(100, 100, WindowPool(0))
        window.block(1000)
        assert window.advance() == 900
        assert window.receive(1000) == 900
        assert window.consume(1000) == 100
        window.receive(100)
        with pytest.raises(RemoteProtocolError):
            window.receive(1)

    def test_is_the_next_one(self) -> None:
        window = ReceiveWindow(100, 100, WindowPool(0))
        window.block(1000)
        with pytest.raises(RemoteProtocolError, match="1000 bytes were announced"):
            window.receive(10)

    def test_does_not_come_before_there_is_credit_for_it(self) -> None:
        window = ReceiveWindow(100, 100, WindowPool(0))
        window.block(1000)
        with pytest.raises(RemoteProtocolError) as caught:
            window.receive(1000)
        assert caught.value.code is GoawayCode.FLOW_CONTROL

    def test_is_announced_once(self) -> None:
        window = ReceiveWindow(100, 100, WindowPool(0))
        window.block(1000)
        with pytest.raises(RemoteProtocolError, match="twice"):
            window.block(1000)


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
        if credit.left < size and credit.announce(size):
            if grant := window.block(size):
                credit.grant(grant)
            if window.missing > 0:
                credit.grant(window.advance())
        assert credit.left >= size, "everything was consumed, so there is credit"
        credit.spend(size)
        window.receive(size)
        if grant := window.consume(size):
            credit.grant(grant)
        assert credit.left <= max(initial, most)
        assert credit.left == window._left
    window.close()
    assert shared.free == pool
