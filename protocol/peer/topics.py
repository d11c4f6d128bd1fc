"""Events on the side that publishes: one topic an event, and who subscribes to it.

An event is checked, converted and packed once, however many subscribe. Publishing never waits: what
a slow subscriber gets is its policy's matter (`protocol.wire.subscriber`).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import trio

from protocol.interface import EventSpec
from protocol.peer.delivery import Delivery
from protocol.wire.codec import pack
from protocol.wire.publications import encode_event
from protocol.wire.subscriber import Policy

if TYPE_CHECKING:
    from protocol.peer.peer import Peer


class Topic:
    """One event of one interface.

    Args:
        spec: the event.
        deliver: called with a connection that has something to be written.

    Attributes:
        sequence: number of the last event.
        epoch: names this run of the publisher; the numbers of another run mean nothing.
    """

    def __init__(self, spec: EventSpec, deliver: Callable[[Peer], object]) -> None:
        self.spec = spec
        self._deliver = deliver
        self.sequence = 0
        self.epoch = secrets.token_hex(8)
        self._subscribers: dict[Peer, set[int]] = {}

    @property
    def subscribers(self) -> int:
        """How many subscriptions there are."""
        return sum(map(len, self._subscribers.values()))

    def subscribe(self, peer: Peer, stream: int, extra: dict[str, Any]) -> None:
        """Take a subscription; `extra` may name the last event that a former one had seen."""
        after = extra.get("after")
        lost = 0
        if extra.get("epoch") == self.epoch and type(after) is int and 0 <= after <= self.sequence:
            lost = self.sequence - after
        policy = self.spec.policy
        peer.connection.publications.accept(
            stream,
            Policy(policy.kind),
            policy.limit,
            credit=peer.connection.peer_limits.stream_credit,
            sequence=self.sequence,
            lost=lost,
            extra={"epoch": self.epoch},
        )
        self._subscribers.setdefault(peer, set()).add(stream)

    def unsubscribe(self, peer: Peer, stream: int) -> None:
        """Forget a subscription."""
        streams = self._subscribers.get(peer)
        if streams is not None:
            streams.discard(stream)
            if not streams:
                del self._subscribers[peer]

    def forget(self, peer: Peer) -> None:
        """Forget a connection's subscriptions."""
        self._subscribers.pop(peer, None)

    def publish(self, value: Any) -> None:
        """Send an event to all subscribers; from the loop's thread.

        Raises:
            InvalidValue: the value is not what the event's annotation says.
            CodecError: it cannot be packed.
        """
        body = pack(self.spec.item.encode(value))
        key = self.spec.key(value) if self.spec.key is not None else None
        self.sequence += 1
        payload = encode_event(self.sequence, body)
        for peer, streams in list(self._subscribers.items()):
            publish = peer.connection.publications.publish
            for stream in list(streams):
                if not publish(stream, self.sequence, payload, key):
                    self.unsubscribe(peer, stream)
            self._deliver(peer)


class TopicTable:
    """The topics of one side."""

    def __init__(self) -> None:
        self._topics: dict[str, Topic] = {}
        self._token: trio.lowlevel.TrioToken | None = None
        self._delivery = Delivery()

    def add(self, spec: EventSpec) -> None:
        """Have a topic for an event."""
        self._topics[spec.qualified] = Topic(spec, self._delivery.add)

    def get(self, name: str) -> Topic | None:
        """The topic of an event's qualified name."""
        return self._topics.get(name)

    def __iter__(self) -> Iterator[Topic]:
        return iter(self._topics.values())

    def bind_loop(self) -> None:
        """Remember the running loop, so that other threads can publish."""
        self._token = trio.lowlevel.current_trio_token()
        self._delivery.bind_loop(self._token)

    def publish(self, spec: EventSpec, value: Any) -> None:
        """Publish an event, from the loop or from any other thread.

        Raises:
            InvalidValue: the value is not what the event's annotation says.
        """
        topic = self._topics[spec.qualified]
        here = trio.lowlevel.current_trio_token() if trio.lowlevel.in_trio_run() else None
        if self._token is None or here is self._token:
            topic.publish(value)
        elif here is not None:  # another loop, such as a blocking client's in this process: it must not wait
            topic.spec.item.encode(value)  # what is wrong with the value is said here
            self._token.run_sync_soon(topic.publish, value)
        else:
            trio.from_thread.run_sync(topic.publish, value, trio_token=self._token)

    def forget(self, peer: Peer) -> None:
        """Forget a connection's subscriptions."""
        for topic in self._topics.values():
            topic.forget(peer)
