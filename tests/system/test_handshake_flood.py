"""Replayed greetings that ask for the most expensive key exchange cost the server next to nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import trio

from appclient import Client
from tests.system.application import Desk
from tests.system.load.hellos import (
    HELLOS,
    MOST_CPU,
    PAUSE,
    NoFiniteField,
    cost_without_our_policy,
    cpu_of,
    expensive_hello,
    replay_all,
)
from tests.system.processes import client_of, serving

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a process's time is read from /proc")


async def slowest_echo(client: Client, done: trio.Event) -> float:
    """Call until it is over; returns the longest that a call took."""
    desk = client.use(Desk)
    slowest = 0.0
    while not done.is_set():
        begin = trio.current_time()
        assert await desk.echo("seven") == "seven"
        slowest = max(slowest, trio.current_time() - begin)
        await trio.sleep(PAUSE)
    return slowest


@pytest.mark.alone
async def test_greetings_for_the_largest_finite_field_group_do_not_hold_the_server(tmp_path: Path) -> None:
    try:
        hello = expensive_hello()
    except NoFiniteField:
        pytest.skip("this OpenSSL has no finite-field groups for TLS 1.3")
    control = cost_without_our_policy(hello)
    assert control * HELLOS > 2 * MOST_CPU, "the greeting is not as expensive as it should be"
    slowest: list[float] = []
    with trio.fail_after(50):
        async with serving(tmp_path) as server, client_of(server) as first, client_of(server) as second:
            done = trio.Event()

            async def echo(client: Client) -> None:
                slowest.append(await slowest_echo(client, done))

            async with trio.open_nursery() as good:
                good.start_soon(echo, first)
                good.start_soon(echo, second)
                await trio.sleep(5 * PAUSE)
                before = cpu_of(server.process.pid)
                answers = await trio.to_thread.run_sync(replay_all, server.port, hello)
                used = cpu_of(server.process.pid) - before
                done.set()
    print(
        f"{used:.2f} s for {HELLOS} greetings, of {control:.3f} s each without; slowest call {max(slowest):.3f} s"
    )
    assert used <= MOST_CPU
    assert len(answers) == HELLOS
    assert {answer[:1] for answer in answers} == {b"\x15"}, "each is refused by an alert"
    assert max(slowest) < 1.0, "held up as long as a few of the handshakes would take"
