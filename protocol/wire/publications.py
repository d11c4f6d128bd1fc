"""The subscriptions that the other side has opened, and what this side publishes to them.

It knows nothing of topics: which stream subscribes to what is the user's to keep.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from protocol.wire import codes
from protocol.wire.codec import pack
from protocol.wire.errors import ErrorInfo, Executed, MessageTooLarge
from protocol.wire.framing import FrameType
from protocol.wire.outbox import Outbox
from protocol.wire.replay import Published
from protocol.wire.subscriber import Policy, Subscriber


def encode_event(sequence: int, body: bytes, extra: dict[str, Any] | None = None) -> bytes:
    """The payload of EVENT, the same for all subscribers."""
    return pack([sequence, body, extra] if extra else [sequence, body])


TURN = 64
"""Events that had to wait and leave at once, before others have their turn: less than a millisecond's."""


class Publications:
    """The subscribers of one connection.

    Theory of operation. A subscriber that comes back or grants credit may be owed any number of events at once, and a
    thousand subscribers of one connection a thousand times as many. What waits leaves as far as the output has room,
    and `TURN` events at a time, so that others are not kept waiting; the rest goes on waiting, as references, until
    `resume`. An event that is published to a subscriber with nothing waiting leaves in any case: how many of these
    there are is the publisher's choice alone. And one whose next event would cost it another gets what it has credit
    for: that this side has no room is no fault of it.

    Args:
        outbox: where events leave.
        most: bytes in it after which what waits goes on waiting.

    Attributes:
        held: subscribers by stream for whom events wait that have credit and no room.
    """

    __slots__ = ("_expected", "_most", "_outbox", "_subscribers", "_turn", "held")

    def __init__(self, outbox: Outbox, most: int) -> None:
        self._outbox = outbox
        self._most = most
        self._turn = TURN  # how many more may leave in this one
        self._subscribers: dict[int, Subscriber] = {}
        self._expected: dict[int, None] = {}  # asked for, and neither accepted nor refused yet
        self.held: dict[int, Subscriber] = {}

    def __contains__(self, stream: int) -> bool:
        return stream in self._subscribers or stream in self._expected

    def __len__(self) -> int:
        return len(self._subscribers) + len(self._expected)

    def expect(self, stream: int) -> None:
        """Take note of a subscription that was asked for: it counts from now on."""
        self._expected[stream] = None

    def accept(
        self,
        stream: int,
        policy: Policy,
        limit: int,
        *,
        credit: int,
        sequence: int,
        lost: int = 0,
        extra: dict[str, object] | None = None,
        replay: Sequence[Published] = (),
    ) -> bool:
        """Take a subscription; nothing happens where it was ended meanwhile.

        Args:
            stream: its stream, as `SubReceived` named it.
            policy: what to do when it is slow.
            limit: events that may wait for it.
            credit: bytes it has room for at first: the other side's `stream_credit`.
            sequence: the number that its first event will follow.
            lost: events up to `sequence`, since the number it named, that it will never get.
            extra: the map of the GAP that confirms the subscription.
            replay: events behind `sequence` that it gets again, before anything newer. `Replay.since` chooses as many
                as there is credit and `room` for, and `limit` more.

        Returns:
            Whether the subscription goes on: False where it was ended meanwhile, or an event of those is larger than
            the other side accepts.
        """
        if stream not in self._expected:
            return False
        del self._expected[stream]
        subscriber = self._subscribers[stream] = Subscriber(stream, policy, limit, credit)
        self._outbox.send(FrameType.GAP, stream, pack([sequence, lost, extra or {}]))
        largest = self._outbox.largest_message
        too_large = next((number for number, event in enumerate(replay) if len(event[1]) > largest), None)
        subscriber.replay(replay[:too_large])
        self._let_out(subscriber, self._most)
        if too_large is not None:
            self._end_too_large(stream, len(replay[too_large][1]))
        return too_large is None

    @property
    def room(self) -> int:
        """Bytes of events that may leave soon for a subscriber that comes back."""
        owed = sum(subscriber.owed for subscriber in self.held.values())
        return max(0, self._most - self._outbox.scheduler.size - owed)

    def publish(self, stream: int, event: Published) -> bool:
        """Send an event to one subscriber, now or when it has room.

        Args:
            stream: the subscription.
            event: with the payload that `encode_event` made, once for all subscribers.

        Returns:
            Whether the subscription goes on: False where the policy `disconnect` has ended it, or the
            event is larger than the other side accepts.
        """
        subscriber = self._subscribers.get(stream)
        if subscriber is None:
            return False
        payload = event[1]
        size = len(payload)
        if size > self._outbox.largest_message:
            self._end_too_large(stream, size)
            return False
        if stream in self.held and subscriber.is_full:
            self._let_out(subscriber, None)
        if subscriber.offer(event):
            subscriber.credit.spend(size)
            self._outbox.send(FrameType.EVENT, stream, payload)
        elif subscriber.overflowed:
            text = f"the subscriber has fallen more than {subscriber.limit} events behind"
            self.end(stream, ErrorInfo(codes.SLOW_SUBSCRIBER, text, Executed.YES))
            return False
        elif subscriber.announced is None:
            self._let_out(subscriber, self._most)
        return True

    def _end_too_large(self, stream: int, size: int) -> None:
        text = str(MessageTooLarge(size, self._outbox.largest_message))
        self.end(stream, ErrorInfo(codes.MESSAGE_TOO_LARGE, text, Executed.YES))

    def grant(self, stream: int, size: int) -> bool:
        """Take note of a CREDIT and send what it lets out; returns whether it was a subscriber's."""
        subscriber = self._subscribers.get(stream)
        if subscriber is None:
            return False
        subscriber.credit.grant(size)
        self._let_out(subscriber, self._most)
        return True

    def resume(self) -> bool:
        """Go on with those that are `held`; returns whether there were any.

        The first has an event leave in any case: that a connection always has much to send is no reason to wait for
        ever.
        """
        if not self.held:
            return False
        held, self.held = self.held, {}
        self._turn = TURN
        most = max(self._most, self._outbox.scheduler.size + 1)
        for subscriber in held.values():
            self._let_out(subscriber, most)
        first = next(iter(held))
        if first in self.held:  # the next one's turn
            self.held[first] = self.held.pop(first)
        return True

    def _let_out(self, subscriber: Subscriber, most: int | None) -> None:
        """Send what there is credit for; announce what will not get credit by being waited for alone.

        With `most`, only as long as that many bytes do not wait to be written, and this turn is not over.
        """
        stream, credit, scheduler = subscriber.stream, subscriber.credit, self._outbox.scheduler
        while (head := subscriber.head) is not None:
            if most is not None and (scheduler.size >= most or self._turn <= 0):
                self.held[stream] = subscriber
                return
            sequence, payload, _ = head
            size = len(payload)
            announced = credit.announced
            if credit.left < size and not credit.announce(size):
                return
            if subscriber.lost and not announced:  # what was lost since it was announced comes after it
                self._outbox.send(FrameType.GAP, stream, pack([sequence - 1, subscriber.lost]))
                subscriber.lost = 0
            if credit.left < size:
                subscriber.hold()
                self._outbox.send(FrameType.BLOCKED, stream, pack([size]))
                return
            credit.spend(size)
            subscriber.pop()
            self._turn -= 1
            self._outbox.send(FrameType.EVENT, stream, payload)

    def end(self, stream: int, error: ErrorInfo | None = None) -> bool:
        """End a subscription with its terminal frame; returns whether there was one."""
        self.held.pop(stream, None)
        if stream in self._expected:
            del self._expected[stream]
        elif self._subscribers.pop(stream, None) is None:
            return False
        if error is None:
            self._outbox.send(FrameType.END, stream, b"\x90")
        else:
            self._outbox.send(FrameType.ERROR, stream, self._outbox.error(error))
        return True
