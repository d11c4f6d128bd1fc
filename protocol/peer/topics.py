"""Events on the side that publishes: one topic an event, and who subscribes to it.

An event is checked, converted and packed once, however many subscribe. Publishing waits for no subscriber: what
a slow one gets is its policy's matter (`protocol.wire.subscriber`).
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import trio

from protocol.interface import EventSpec, InvalidValue
from protocol.peer.delivery import Delivery
from protocol.wire.codec import pack
from protocol.wire.errors import LocalProtocolError
from protocol.wire.publications import encode_event
from protocol.wire.subscriber import Policy

if TYPE_CHECKING:
    from protocol.peer.peer import Peer

logger = logging.getLogger("appserver.events")

Prepared = tuple[bytes, Any]
"""A packed event, and the key by which `latest` tells it from others."""
MOST_POSTED = 100
"""Events of other threads that wait for the loop, after which these are slowed down."""
SLOWEST = 100
"""Milliseconds that one of them takes at most then."""


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

    def prepare(self, value: Any) -> Prepared:
        """Check and pack a value; in any thread.

        Raises:
            InvalidValue: the value is not what the event's annotation says.
            CodecError: it cannot be packed.
        """
        body = pack(self.spec.item.encode(value))
        key = self.spec.key(value) if self.spec.key is not None else None
        try:
            hash(key)
        except TypeError:  # of a list, or of a signalling NaN
            path = f"event.{self.spec.policy.key}"
            raise InvalidValue(path, "a key that can be hashed", type(key).__name__) from None
        return body, key

    def send(self, prepared: Prepared) -> None:
        """Send an event to all subscribers; in the loop's thread."""
        body, key = prepared
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
        self._token: trio.lowlevel.TrioToken | None = None  # while it is served
        self._served = 0  # so many times
        self._delivery = Delivery()
        self._posted: deque[tuple[Topic, Prepared]] = deque()  # and not sent yet
        self._posting: set[int] = set()  # threads that do
        self._sending = False

    def add(self, spec: EventSpec) -> None:
        """Have a topic for an event."""
        self._topics[spec.qualified] = Topic(spec, self._delivery.add)

    def get(self, name: str) -> Topic | None:
        """The topic of an event's qualified name."""
        return self._topics.get(name)

    def __iter__(self) -> Iterator[Topic]:
        return iter(self._topics.values())

    @contextlib.contextmanager
    def served(self) -> Iterator[None]:
        """While the body runs, in the running loop, other threads can publish to it.

        Raises:
            LocalProtocolError: this is served in another loop at the same time.
        """
        token = trio.lowlevel.current_trio_token()
        if self._token is not token:
            if self._token is not None:
                raise LocalProtocolError(
                    "this application is served in another thread at the same time: make one for each, as its "
                    "events belong to one loop"
                )
            while self._posted:  # to a loop that has ended: who comes back is told of a gap
                self._posted.popleft()[0].sequence += 1
            self._delivery.bind_loop(token)
        self._token = token
        self._served += 1
        try:
            if self._posted:  # while this began
                self._post(may_wait=False)
            yield
        finally:
            self._served -= 1
            if not self._served:
                self._token = None

    def publish(self, spec: EventSpec, value: Any) -> None:
        """Publish an event, from the loop or from any other thread.

        Where nobody serves it at the moment, it is counted: a subscriber that comes back is told of a gap.

        Raises:
            InvalidValue: the value is not what the event's annotation says.
            CodecError: it cannot be packed.
        """
        topic = self._topics[spec.qualified]
        prepared = topic.prepare(value)
        if self._token is None:
            topic.sequence += 1
            return
        self._posted.append((topic, prepared))
        here = trio.lowlevel.current_trio_token() if trio.lowlevel.in_trio_run() else None
        if here is not None and here is self._token:
            self._send_posted()
        else:
            self._post(may_wait=here is None)

    def _post(self, *, may_wait: bool) -> None:
        """Have the loop send what was published elsewhere.

        It is not waited for: a signal handler may have interrupted what the loop waits for, and trio's own posting.
        """
        thread = threading.get_ident()
        nested = thread in self._posting
        try:
            self._posting.add(thread)
            token = self._token  # after the event was posted: a loop that begins now finds it
            if token is not None:
                with contextlib.suppress(trio.RunFinishedError):
                    token.run_sync_soon(self._send_posted, idempotent=True)
        finally:
            if not nested:
                self._posting.discard(thread)
        if may_wait and not nested:
            self._slow_down()

    def _send_posted(self) -> None:
        """Send what was published, in order: nothing from within this, where a finalizer may publish as well."""
        if self._sending or trio.lowlevel.current_trio_token() is not self._token:
            return
        self._sending = True
        try:
            for _ in range(len(self._posted)):
                topic, prepared = self._posted.popleft()
                try:
                    topic.send(prepared)
                except Exception:  # its publisher may have gone on
                    logger.exception("an event could not be sent", extra={"event": topic.spec.qualified})
        finally:
            self._sending = False
            if self._posted:
                self._post(may_wait=False)

    def _slow_down(self) -> None:
        """Let the loop catch up with a thread that publishes faster than it sends, for a bounded time."""
        for _ in range(SLOWEST):
            if len(self._posted) <= MOST_POSTED:
                return
            time.sleep(0.001)

    def forget(self, peer: Peer) -> None:
        """Forget a connection's subscriptions."""
        for topic in self._topics.values():
            topic.forget(peer)
