"""The callers: loops that are the same for every peer, so that all of them pay the same for being measured.

`add` is the small call: two numbers there, one back, and each answer is compared. `rows` asks for a hundred rows,
`publish` has one event sent.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sized

from tests.bench.sides import Order
from tests.bench.values import ROWS

AsyncAdd = Callable[[int, int], Awaitable[int]]
AsyncPublish = Callable[[int, str], Awaitable[None]]
AsyncRows = Callable[[], Awaitable[Sized]]


class WrongAnswer(Exception):
    """A peer answered something else than was asked: what it measures is worth nothing."""


async def add(call: AsyncAdd, order: Order) -> int:
    """One caller; returns how many calls it made."""
    end, most = order.end, order.calls
    count = 0
    while count < most and time.perf_counter() < end:
        if await call(count, 1) != count + 1:
            raise WrongAnswer(count)
        count += 1
    return count


async def rows(call: AsyncRows, order: Order) -> int:
    """One caller for rows; returns how many calls it made."""
    end, most = order.end, order.calls
    count = 0
    while count < most and time.perf_counter() < end:
        if len(await call()) != ROWS:
            raise WrongAnswer(count)
        count += 1
    return count


async def publish(call: AsyncPublish, order: Order, text: str) -> int:
    """One caller that has events published; returns how many calls it made."""
    end, most = order.end, order.calls
    count = 0
    while count < most and time.perf_counter() < end:
        await call(count, text)
        count += 1
    return count


def add_blocking(call: Callable[[int, int], int], order: Order) -> int:
    """As `add`, of a synchronous client."""
    end, most = order.end, order.calls
    count = 0
    while count < most and time.perf_counter() < end:
        if call(count, 1) != count + 1:
            raise WrongAnswer(count)
        count += 1
    return count


def rows_blocking(call: Callable[[], Sized], order: Order) -> int:
    """As `rows`, of a synchronous client."""
    end, most = order.end, order.calls
    count = 0
    while count < most and time.perf_counter() < end:
        if len(call()) != ROWS:
            raise WrongAnswer(count)
        count += 1
    return count
