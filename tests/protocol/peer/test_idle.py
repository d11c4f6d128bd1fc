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


def writing_tasks() -> int:
    """How many connections' ends have one."""
    return len([name for name in all_tasks() if "Peer._guard" in name])


async def test_a_connection_has_a_writing_task_only_where_the_transport_was_full(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with open_rig(seconds=1000) as rig:
        await trio.sleep(200)  # with pings
        assert await rig.desk.echo(1) == 1  # alone: written by who calls
        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(rig.desk.echo, 1)
        assert writing_tasks() == 0
        text = "x" * 3_000_000
        assert await rig.desk.say(text) == text
        assert writing_tasks() == 2
        assert await rig.desk.echo(1) == 1


@pytest.mark.parametrize("size", [10, 3_000_000])
async def test_what_is_sent_first_leaves(size: int, autojump_clock: trio.testing.MockClock) -> None:
    async with open_rig() as rig:
        await rig.desk.say("x" * size)
        assert await rig.desk.echo(1) == 1
