"""The subscriptions that the other side has opened, and what this side publishes to them.

It knows nothing of topics: which stream subscribes to what is the user's to keep.
"""

from __future__ import annotations

from typing import Any

from protocol.wire import codes
from protocol.wire.codec import pack
from protocol.wire.errors import ErrorInfo, Executed, MessageTooLarge
from protocol.wire.framing import FrameType
from protocol.wire.outbox import Outbox
from protocol.wire.subscriber import Policy, Subscriber


def encode_event(sequence: int, body: bytes, extra: dict[str, Any] | None = None) -> bytes:
    """The payload of EVENT, the same for all subscribers."""
    return pack([sequence, body, extra] if extra else [sequence, body])


class Publications:
    """The subscribers of one connection."""

    __slots__ = ("_expected", "_outbox", "_subscribers")

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._subscribers: dict[int, Subscriber] = {}
        self._expected: dict[int, None] = {}  # asked for, and neither accepted nor refused yet

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
    ) -> None:
        """Take a subscription; nothing happens where it was ended meanwhile.

        Args:
            stream: its stream, as `SubReceived` named it.
            policy: what to do when it is slow.
            limit: events that may wait for it.
            credit: bytes it has room for at first: the other side's `stream_credit`.
            sequence: the number that its first event will follow.
            lost: events since the number it named that it will never get.
            extra: the map of the GAP that confirms the subscription.
        """
        if stream not in self._expected:
            return
        del self._expected[stream]
        self._subscribers[stream] = Subscriber(stream, policy, limit, credit)
        self._outbox.send(FrameType.GAP, stream, pack([sequence, lost, extra or {}]))

    def publish(self, stream: int, sequence: int, payload: bytes, key: object = None) -> bool:
        """Send an event to one subscriber, now or when it has room.

        Args:
            stream: the subscription.
            sequence: the event's number in its topic.
            payload: what `encode_event` made, once for all subscribers.
            key: for the policy `latest`, what the event replaces.

        Returns:
            Whether the subscription goes on: False where the policy `disconnect` has ended it, or the
            event is larger than the other side accepts.
        """
        subscriber = self._subscribers.get(stream)
        if subscriber is None:
            return False
        try:
            self._outbox.check_size(len(payload))
        except MessageTooLarge as exc:
            self.end(stream, ErrorInfo(codes.MESSAGE_TOO_LARGE, str(exc), Executed.YES))
            return False
        if subscriber.offer(sequence, payload, key):
            subscriber.credit.spend(len(payload))
            self._outbox.send(FrameType.EVENT, stream, payload)
        elif subscriber.overflowed:
            text = f"the subscriber has fallen more than {subscriber.limit} events behind"
            self.end(stream, ErrorInfo(codes.SLOW_SUBSCRIBER, text, Executed.YES))
            return False
        elif subscriber.announced is None:
            self._let_out(subscriber)
        return True

    def grant(self, stream: int, size: int) -> bool:
        """Take note of a CREDIT and send what it lets out; returns whether it was a subscriber's."""
        subscriber = self._subscribers.get(stream)
        if subscriber is None:
            return False
        subscriber.credit.grant(size)
        self._let_out(subscriber)
        return True

    def _let_out(self, subscriber: Subscriber) -> None:
        """Send what there is credit for, and announce what will not get it by being waited for alone."""
        stream, credit = subscriber.stream, subscriber.credit
        while (head := subscriber.head) is not None:
            sequence, payload = head
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
            self._outbox.send(FrameType.EVENT, stream, payload)

    def end(self, stream: int, error: ErrorInfo | None = None) -> bool:
        """End a subscription with its terminal frame; returns whether there was one."""
        if stream in self._expected:
            del self._expected[stream]
        elif self._subscribers.pop(stream, None) is None:
            return False
        if error is None:
            self._outbox.send(FrameType.END, stream, b"\x90")
        else:
            self._outbox.send(FrameType.ERROR, stream, self._outbox.error(error))
        return True
