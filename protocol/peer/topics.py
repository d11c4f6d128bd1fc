"""Events on the side that publishes: one topic an event, and who subscribes to it.

An event is checked, converted and packed once, however many subscribe, and is kept for a while for those that come
back (`protocol.wire.replay`). Publishing waits for no subscriber: what a slow one gets is its policy's matter
(`protocol.wire.subscriber`).
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
from protocol.settings import LimitSettings
from protocol.wire.codec import pack
from protocol.wire.errors import LocalProtocolError
from protocol.wire.publications import encode_event
from protocol.wire.replay import Published, ReplayOfAll, ReplayOfLatest
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
HANDOVER = 1.0
"""Seconds that a loop waits before it serves, for a thread that is keeping an event at that moment."""


class Topic:
    """One event of one interface.

    Args:
        spec: the event.
        deliver: called with a connection that has something to be written.
        event_replay: bytes of events that are kept.

    Attributes:
        sequence: number of the last event.
        replay: the newest events.
        epoch: names this run of the publisher; the numbers of another run mean nothing.
    """

    def __init__(self, spec: EventSpec, deliver: Callable[[Peer], object], event_replay: int) -> None:
        self.spec = spec
        self._deliver = deliver
        self._policy = Policy(spec.policy.kind)
        self.sequence = 0
        self.replay = (ReplayOfLatest if self._policy is Policy.LATEST else ReplayOfAll)(event_replay)
        self.epoch = secrets.token_hex(8)
        self._subscribers: dict[Peer, set[int]] = {}

    @property
    def subscribers(self) -> int:
        """How many subscriptions there are."""
        return sum(map(len, self._subscribers.values()))

    def subscribe(self, peer: Peer, stream: int, extra: dict[str, Any]) -> None:
        """Take a subscription; `extra` may name the last event that a former one had seen: it goes on behind that."""
        publications, credit = peer.connection.publications, peer.connection.peer_limits.stream_credit
        limit = self.spec.policy.limit
        after, begin, lost = extra.get("after"), self.sequence, 0
        replay: list[Published] = []
        if extra.get("epoch") == self.epoch and type(after) is int and 0 <= after <= self.sequence:
            begin, replay = self.replay.since(after, limit=limit, credit=credit, room=publications.room)
            lost = begin - after
        if publications.accept(
            stream,
            self._policy,
            limit,
            credit=credit,
            sequence=begin,
            lost=lost,
            extra={"epoch": self.epoch},
            replay=replay,
        ):
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

    def keep(self, prepared: Prepared) -> Published:
        """Number an event, and keep it for who comes back."""
        body, key = prepared
        self.sequence = sequence = self.sequence + 1
        event = (sequence, encode_event(sequence, body), key)
        try:
            self.replay.add(event)
        except Exception:  # of a key that compares by code of its own; those who are here get it all the same
            logger.exception("an event could not be kept", extra={"event": self.spec.qualified})
            self.replay.begin_anew(sequence)
        return event

    def send(self, prepared: Prepared) -> None:
        """Send an event to all subscribers; in the loop's thread."""
        event = self.keep(prepared)
        for peer, streams in list(self._subscribers.items()):
            publish = peer.connection.publications.publish
            for stream in list(streams):
                if not publish(stream, event):
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
        self._keeping = threading.Lock()  # held by the thread that keeps what nobody sends
        self._event_replay = LimitSettings().event_replay  # until it is served

    def add(self, spec: EventSpec) -> None:
        """Have a topic for an event."""
        self._topics[spec.qualified] = Topic(spec, self._delivery.add, self._event_replay)

    def get(self, name: str) -> Topic | None:
        """The topic of an event's qualified name."""
        return self._topics.get(name)

    def __iter__(self) -> Iterator[Topic]:
        return iter(self._topics.values())

    def resize(self, event_replay: int) -> None:
        """Have another bound on what each topic keeps; in the loop that serves it."""
        self._event_replay = event_replay
        with self._undisturbed():
            for topic in self._topics.values():
                topic.replay.resize(event_replay)

    def subscribe(self, topic: Topic, peer: Peer, stream: int, extra: dict[str, Any]) -> None:
        """Have a topic take a subscription."""
        with self._undisturbed():
            topic.subscribe(peer, stream, extra)

    @contextlib.contextmanager
    def _undisturbed(self) -> Iterator[None]:
        """What a finalizer or a signal handler publishes in the midst of the body comes after it."""
        self._sending = True
        try:
            yield
        finally:
            self._sending = False
        self._send_posted()

    @contextlib.contextmanager
    def served(self, event_replay: int | None = None) -> Iterator[None]:
        """While the body runs, in the running loop, other threads can publish to it.

        Args:
            event_replay: bytes of events that each topic keeps from now on; unchanged without.

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
            self._keep_posted()  # to a loop that has ended: who comes back gets it
            self._delivery.bind_loop(token)
            free = self._keeping.acquire(timeout=HANDOVER)
            self._token = token
            if free:
                self._keeping.release()
        if event_replay is not None:
            self.resize(event_replay)
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

        Where nobody serves it at the moment, it is kept as others are: a subscriber that comes back gets it.

        Raises:
            InvalidValue: the value is not what the event's annotation says.
            CodecError: it cannot be packed.
        """
        topic = self._topics[spec.qualified]
        self._posted.append((topic, topic.prepare(value)))
        if self._token is None:
            self._keep_posted()
            return
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

    def _keep_posted(self) -> None:
        """Keep what was published while nobody serves this; in any thread, and in one at a time.

        None waits for another: who finds one at it leaves his event to that one, which looks again after it. Who finds
        that a loop has begun leaves it to that, which looks when it does.
        """
        while self._posted and self._token is None and self._keeping.acquire(blocking=False):
            try:
                while self._posted and self._token is None:
                    topic, prepared = self._posted.popleft()
                    topic.keep(prepared)
            finally:
                self._keeping.release()

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
