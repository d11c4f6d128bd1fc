"""Small versions of the long loads; `scripts/soak all` runs them as large as the claims in the docs."""

from __future__ import annotations

import pytest
import trio

from tests.system.load.driver import MIB, blobs, calls, latency, standard_library
from tests.system.load.rotations import rotations

pytestmark = pytest.mark.alone

RATE = 12.5e6
"""Bytes a second: a link of 100 Mbit/s."""


@pytest.mark.parametrize("encrypt", [True, False])
async def test_many_calls_have_no_error_and_leave_no_memory_behind(encrypt: bool) -> None:
    with trio.fail_after(40):
        assert await calls(3_000, 20_000, encrypt=encrypt)


async def test_files_come_back_as_they_went() -> None:
    with trio.fail_after(40):
        assert await blobs(standard_library()[:60])


async def test_a_download_does_not_delay_the_calls_beside_it() -> None:
    # The machine that runs the tests has other things to do: the claim itself is for scripts/soak.
    with trio.fail_after(40):
        assert await latency(128 * MIB, None, most=60)


async def test_a_download_over_a_slow_link_does_not_delay_the_calls_beside_it() -> None:
    with trio.fail_after(40):
        assert await latency(16 * MIB, RATE, most=40)


async def test_certificates_that_change_all_the_time_break_no_connection() -> None:
    with trio.fail_after(45):
        assert await rotations(40, 2)
