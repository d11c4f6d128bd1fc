"""A subscription over one connection after another: no event is lost without a GAP, none is given twice."""

from __future__ import annotations

from typing import Any

from protocol.interface import Gap, contract_of
from protocol.peer.errors import ConnectionLost
from protocol.peer.subscriptions import Attachment, EventQueue
from protocol.wire.codec import unpack
from protocol.wire.errors import ErrorInfo, Executed
from protocol.wire.events import EventReceived, GapReceived
from protocol.wire.framing import FrameType
from protocol.wire.limits import Limits
from tests.protocol.peer.desk import Desk
from tests.protocol.wire.talk import Talk, frame


class Line:
    """One connection of a subscriber, whose publisher is this test; it stands where a `Peer` would."""

    def __init__(self, queue: EventQueue, limits: Limits | None = None) -> None:
        self.ended = False
        self.connection = Talk(client_limits=limits).client
        self.reading = self
        queue.attach(self)  # type: ignore[arg-type]
        self.attachment: Attachment = queue._attached[-1]
        self._queue = queue

    def wake(self) -> None:
        """Nobody writes."""

    def take_back(self) -> None:
        """Nobody else reads."""

    def receive(self, kind: FrameType, value: object) -> None:
        """Take a frame of the publisher's."""
        for event in self.connection.receive(frame(kind, self.attachment.stream, value), 0.0):
            match event:
                case EventReceived(owner, sequence, body, size):
                    owner.put(sequence, body, size)
                case GapReceived(owner, sequence, lost, extra):
                    owner.gap(sequence, lost, extra)
                case _:
                    raise AssertionError(event)

    def confirm(self, sequence: int, lost: int = 0, epoch: str = "one") -> None:
        """The subscription begins behind an event."""
        self.receive(FrameType.GAP, [sequence, lost, {"epoch": epoch}])

    def publish(self, *sequences: int) -> None:
        """Events whose values are their numbers."""
        for sequence in sequences:
            self.receive(FrameType.EVENT, [sequence, bytes([sequence])])

    def lose(self) -> None:
        """The connection is lost."""
        self.ended = True
        self._queue.settle(self.attachment, ErrorInfo(ConnectionLost.CODE, "", Executed.MAYBE))


def new_queue() -> EventQueue:
    """A subscription of `Desk.queued`."""
    (event,) = [event for event in contract_of(Desk).events.values() if event.name == "queued"]
    return EventQueue(event)


def items(queue: EventQueue) -> list[Any]:
    """What lies in it: numbers and gaps."""
    return [item if isinstance(item, Gap) else unpack(item[1]) for item in queue._items]


def test_gaps_that_follow_each_other_are_one() -> None:
    queue = new_queue()
    for sequence in range(0, 10_000, 2):
        queue._add_gap(2, sequence + 1)
    assert items(queue) == [Gap(10_000, 9_999)]


def test_what_a_lost_connection_did_not_give_is_a_gap_where_the_next_one_began_before_it_was_confirmed() -> (
    None
):
    """The second SUB names no last event, for there was none: its publisher knows of no loss."""
    queue = new_queue()
    first, second = Line(queue), Line(queue)
    first.confirm(0)
    first.publish(1, 2)
    second.confirm(5)
    first.lose()
    second.publish(6)
    assert items(queue) == [1, 2, Gap(3, 6), 6]


def test_what_both_connections_gave_comes_once() -> None:
    queue = new_queue()
    first = Line(queue)
    first.confirm(0)
    first.publish(1)
    second = Line(queue)
    second.confirm(1)
    first.publish(2, 3)
    second.publish(2, 3, 4)
    first.lose()
    assert items(queue) == [1, 2, 3, 4]


def test_gaps_that_are_held_are_one() -> None:
    """They cost no credit: a publisher could send any number of them."""
    queue = new_queue()
    first, second = Line(queue), Line(queue)
    first.confirm(0)
    second.confirm(10)
    for sequence in range(11, 1011):
        second.receive(FrameType.GAP, [sequence, 1])
    assert list(second.attachment.held) == [Gap(1000, 1011)]
    first.lose()
    assert items(queue) == [Gap(1010, 1011)]


def test_an_event_that_is_too_large_to_be_read_is_a_gap_on_the_second_connection_too() -> None:
    queue = new_queue()
    first = Line(queue)
    first.confirm(0)
    first.publish(1)
    first.lose()
    second = Line(queue)
    second.confirm(1)
    second.attachment.gap(0, 1, {})  # as the core reports it
    second.publish(3)
    assert items(queue) == [1, Gap(1, 3), 3]
