"""Events to many connections: written to from one place, each for itself."""

from __future__ import annotations

from contextlib import AsyncExitStack

import pytest
import trio
import trio.testing

from protocol.peer.delivery import WRITES_IN_A_ROW, Delivery
from protocol.peer.peer import Peer
from tests.protocol.peer.desk import Desk
from tests.protocol.peer.rig import open_rig
from tests.protocol.peer.test_events import take

Clock = trio.testing.MockClock


class Connection:
    """What a `Peer` is to the delivery."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.written = 0
        self.woken = 0
        self._failure = failure

    def write(self) -> None:
        """Write what waits."""
        self.written += 1
        if self._failure is not None:
            raise self._failure

    def wake(self) -> None:
        """Have it written."""
        self.woken += 1


def add(delivery: Delivery, *connections: Connection) -> None:
    """Publish something to connections."""
    for connection in connections:
        delivery.add(connection)  # type: ignore[arg-type]


async def bound() -> Delivery:
    """A delivery in this loop."""
    delivery = Delivery()
    delivery.bind_loop(trio.lowlevel.current_trio_token())
    return delivery


async def test_what_is_added_often_is_written_once() -> None:
    delivery = await bound()
    connections = [Connection() for _ in range(3)]
    for _ in range(5):
        add(delivery, *connections)
    assert [connection.written for connection in connections] == [0, 0, 0]
    await trio.testing.wait_all_tasks_blocked()
    assert [connection.written for connection in connections] == [1, 1, 1]
    add(delivery, connections[1])
    await trio.testing.wait_all_tasks_blocked()
    assert [connection.written for connection in connections] == [1, 2, 1]


async def test_a_connection_that_fails_is_left_to_its_own_writing_task() -> None:
    delivery = await bound()
    broken, sound = Connection(RuntimeError("broken")), Connection()
    add(delivery, broken, sound)
    await trio.testing.wait_all_tasks_blocked()
    assert (broken.woken, sound.written, sound.woken) == (1, 1, 0)


async def test_others_have_their_turn_among_very_many_connections() -> None:
    delivery = await bound()
    connections = [Connection() for _ in range(3 * WRITES_IN_A_ROW)]
    add(delivery, *connections)
    seen = {0}
    with trio.fail_after(5):
        while max(seen) < len(connections):
            await trio.lowlevel.checkpoint()
            seen.add(sum(connection.written for connection in connections))
    assert seen & {WRITES_IN_A_ROW, 2 * WRITES_IN_A_ROW}


def test_without_a_loop_the_writing_tasks_write() -> None:
    connection = Connection()
    add(Delivery(), connection)
    assert (connection.woken, connection.written) == (1, 0)


async def test_events_that_are_published_at_once_leave_in_one_write(
    autojump_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes: list[Peer] = []
    write = Peer.write

    def counted(peer: Peer) -> None:
        writes.append(peer)
        write(peer)

    async with open_rig() as rig, AsyncExitStack() as stack:
        others = [await stack.enter_async_context(rig.server.connect()) for _ in range(3)]
        subscriptions = [
            await stack.enter_async_context(client.use(Desk).queued.subscribe()) for client in others
        ]
        await trio.testing.wait_all_tasks_blocked()
        monkeypatch.setattr(Peer, "write", counted)
        for number in range(10):
            rig.counter.queued.publish(number)
        await trio.testing.wait_all_tasks_blocked()
        assert len(writes) == len(set(writes)) == 3
        for subscription in subscriptions:
            assert await take(subscription, 10) == list(range(10))
