"""Which calls leave at once and which together, by whether other connections of the loop are busy."""

from __future__ import annotations

import pytest
import trio
import trio.testing

from protocol.peer.company import current_company
from protocol.transport.memory import MemoryTransport
from tests.protocol.peer.rig import open_rig

CALLERS = 4
ROUNDS = 50


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> dict[object, int]:
    """How often something was written, by transport."""
    counts: dict[object, int] = {}
    send_nowait = MemoryTransport.send_nowait

    def counted(self: MemoryTransport, data: bytes | memoryview) -> int:
        counts[self] = counts.get(self, 0) + 1
        return send_nowait(self, data)

    monkeypatch.setattr(MemoryTransport, "send_nowait", counted)
    return counts


async def test_callers_that_come_together_leave_in_one_write(
    writes: dict[object, int], autojump_clock: trio.testing.MockClock
) -> None:
    """The server's connection is in the same loop here: each is the other's company."""
    async with open_rig() as rig:
        peer = rig.client.peer_nowait()
        assert peer is not None

        async def call() -> None:
            for number in range(ROUNDS):
                assert await rig.desk.echo(number) == number

        writes.clear()
        # The very first would otherwise leave alone, and perhaps be answered alone ever after.
        peer.writer._crowded = True
        current_company().note(object())
        async with trio.open_nursery() as nursery:
            for _ in range(CALLERS):
                nursery.start_soon(call)
        assert writes[peer.transport] == ROUNDS


async def test_a_call_waits_for_others_only_where_others_come_and_other_connections_are_busy() -> None:
    async with open_rig() as rig:
        peer = rig.client.peer_nowait()
        assert peer is not None
        leaves_at_once = peer.writer.leaves_at_once
        company = current_company()

        def read_others() -> None:
            company.note(object())

        leaves_at_once(alone=True)
        read_others()
        assert leaves_at_once(alone=True)  # it was alone before, too
        assert not leaves_at_once(alone=False)
        read_others()
        assert not leaves_at_once(alone=True)
        assert leaves_at_once(alone=True)  # nobody has come
        assert not leaves_at_once(alone=False)
        assert leaves_at_once(alone=True)  # nobody else is busy
