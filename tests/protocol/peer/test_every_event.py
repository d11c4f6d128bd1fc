"""Connections that are cut and sent away at random, and slow subscribers: every event is accounted for once, in order.

Events are numbered by one, and their value is their number here. What a subscriber gets, events and gaps, must be
an account of all numbers without a hole and without an overlap; where only the newest of each key counts, of all
that count.
"""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
import trio
import trio.testing

from appclient import ConnectionState
from protocol.interface import Gap
from protocol.settings import LimitSettings, Settings
from tests.protocol.peer.desk import Line
from tests.protocol.peer.rig import Rig, open_rig, send_away

Clock = trio.testing.MockClock
KEYS = 7


class Story:
    """One rig, one subscriber, and chance."""

    def __init__(self, rig: Rig, chance: Random, name: str) -> None:
        self.rig = rig
        self.chance = chance
        self.name = name
        self.published = 0
        self.got: list[Any] = []
        self.over = False

    def publish(self, count: int) -> None:
        """Publish the next numbers."""
        for _ in range(count):
            self.published += 1
            if self.name == "queued":
                self.rig.counter.queued.publish(self.published)
            else:
                key = self.chance.randrange(KEYS)
                text = "x" * self.chance.choice((0, 0, 0, 200))
                self.rig.counter.changed.publish(Line(key, f"{self.published} {text}"))

    def send_away(self) -> None:
        """As after a change of the settings."""
        sessions = list(self.rig.server.server.sessions)
        if sessions and not sessions[-1].peer.ended:
            send_away(self.rig)

    async def run(self) -> None:
        """Have things happen."""
        chance = self.chance
        for _ in range(60):
            match chance.randrange(12):
                case 0 | 1:
                    self.rig.network.link.cut()
                case 2 | 3:
                    self.send_away()
                case 4:
                    self.rig.network.link.to_client.delay(chance.choice((0.0, 0.2, 1.0)))
                case 5:
                    self.rig.network.link.to_client.hold()  # until it is cut
                    self.publish(chance.randrange(30))
                    await trio.sleep(chance.choice((0.1, 1.0)))
                    self.rig.network.link.cut()
                case _:
                    self.publish(chance.randrange(30))
            await trio.sleep(chance.choice((0.0, 0.01, 0.3, 2.5)))
        await self.rig.client.wait_state(ConnectionState.CONNECTED)
        await trio.sleep(30)
        self.publish(1)
        await trio.sleep(30)
        self.over = True

    async def follow(self, subscription: Any) -> None:
        """Take items, some of them at once and some at leisure."""
        while True:
            if not self.over and self.chance.random() < 0.1:
                await trio.sleep(self.chance.choice((0.1, 3.0)))
            self.got.append(await anext(subscription))

    async def play(self) -> None:
        """All of it."""
        async with (
            getattr(self.rig.desk, self.name).subscribe(gaps=True) as subscription,
            trio.open_nursery() as nursery,
        ):
            nursery.start_soon(self.follow, subscription)
            await self.run()
            await trio.sleep(60)
            nursery.cancel_scope.cancel()


def settings_of(chance: Random) -> Settings:
    """Little credit and little that is kept, or much of the one or of the other."""
    return Settings(
        limits=LimitSettings(
            stream_credit=chance.choice((30, 100, 1000, 65_536)),
            event_replay=chance.choice((0, 1500, 3000, 10_000, 1 << 20)),
        )
    )


@pytest.mark.parametrize("seed", range(40))
async def test_of_a_queue_every_number_comes_once_or_lies_in_one_gap(
    seed: int, autojump_clock: Clock
) -> None:
    chance = Random(seed)
    async with open_rig(settings=settings_of(chance), seconds=3000) as rig:
        story = Story(rig, chance, "queued")
        await story.play()
    expected = 1
    for item in story.got:
        if isinstance(item, Gap):
            assert item.lost > 0
            expected += item.lost
            assert item.sequence == expected
        else:
            assert item == expected
            expected += 1
    assert expected == story.published + 1


@pytest.mark.parametrize("seed", range(40))
async def test_of_what_keeps_the_latest_each_key_is_up_to_date_or_lies_in_a_gap(
    seed: int, autojump_clock: Clock
) -> None:
    chance = Random(1000 + seed)
    async with open_rig(settings=settings_of(chance), seconds=3000) as rig:
        story = Story(rig, chance, "changed")
        await story.play()
    last = 0
    seen = dict.fromkeys(range(KEYS), 0)
    for item in story.got:
        if isinstance(item, Gap):
            assert item.sequence > last
            last = item.sequence - 1
            continue
        number = int(item.text.split()[0])
        assert number > last, "in order, and once"
        last = seen[item.number] = number
    assert last == story.published
    topic = rig.server.server.application.service.topics.get("Desk.changed")
    assert topic is not None
    _, kept = topic.replay.since(0, limit=KEYS, credit=0, room=0)
    gaps = [range(item.sequence - item.lost, item.sequence) for item in story.got if isinstance(item, Gap)]
    for number, _, key in kept:
        assert seen[key] == number or any(number in gap for gap in gaps)  # type: ignore[index]
