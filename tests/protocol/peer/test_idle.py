"""What a connection on which nothing happens costs, and that it works all the same when something does."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from tests.protocol.peer.rig import open_rig


def tasks_of(task: trio.lowlevel.Task) -> list[str]:
    """The names of a task and of all below it."""
    below = [
        name for nursery in task.child_nurseries for child in nursery.child_tasks for name in tasks_of(child)
    ]
    return [task.name, *below]


def all_tasks() -> list[str]:
    root = trio.lowlevel.current_root_task()
    assert root is not None
    return tasks_of(root)


async def test_an_idle_connection_has_no_writing_task(autojump_clock: trio.testing.MockClock) -> None:
    async with open_rig(seconds=1000) as rig:
        await trio.sleep(200)  # with pings
        assert not [name for name in all_tasks() if "Peer._guard" in name]
        assert await rig.desk.echo(1) == 1  # alone: answered by who reads
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(rig.desk.echo, 1)
        writers = [name for name in all_tasks() if "Peer._guard" in name]
        assert 1 <= len(writers) <= 2


@pytest.mark.parametrize("size", [10, 3_000_000])
async def test_what_is_sent_first_leaves(size: int, autojump_clock: trio.testing.MockClock) -> None:
    async with open_rig() as rig:
        await rig.desk.say("x" * size)
        assert await rig.desk.echo(1) == 1
