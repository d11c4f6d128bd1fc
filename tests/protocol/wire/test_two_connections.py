"""Two connections talk: whatever they do, in whatever order and pieces it arrives, nothing is lost or broken."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from protocol.wire.connection import Connection, State
from protocol.wire.errors import ErrorInfo, Executed, GoawayCode, MessageTooLarge
from protocol.wire.events import (
    BlockedReceived,
    CallReceived,
    CancelReceived,
    CreditReceived,
    DataReceived,
    EndReceived,
    ErrorReceived,
    Event,
    EventReceived,
    GapReceived,
    GoawayReceived,
    HeadReceived,
    ResultReceived,
    SubReceived,
    UnsubReceived,
)
from protocol.wire.framing import MAX_STREAM
from protocol.wire.limits import Limits
from protocol.wire.publications import encode_event
from protocol.wire.subscriber import Policy
from tests.protocol.wire.talk import Talk

LIMITS = Limits(
    frame=1024,
    message=5000,
    open_calls=4,
    subscriptions=2,
    stream_credit=600,
    stream_window=3000,
    connection_credit=6000,
)
SIZES = st.sampled_from([1, 10, 500, 1023, 1024, 2500, 4900, 6000])
SIDES = st.sampled_from([0, 1])


class Call:
    """What the model knows of one call: what was sent each way and how it ended."""

    def __init__(self, stream: int, body: bytes) -> None:
        self.stream = stream
        self.body = body
        self.up: list[bytes] = []
        self.down: list[bytes] = []
        self.up_seen: list[bytes] = []
        self.down_seen: list[bytes] = []
        self.announced: list[bytes | None] = [None, None]  # an item that waits for credit, up and down
        self.up_ended = self.taken = self.cancelled = self.told_cancelled = False
        self.outcome: object = None
        self.outcome_seen: object = None
        self.used_up = self.used_down = 0


class Subscription:
    def __init__(self, stream: int) -> None:
        self.stream = stream
        self.accepted = False
        self.published = 0
        self.seen = 0
        self.last = 0
        self.size = 0
        self.gone = False


class TwoSides(RuleBasedStateMachine):
    @initialize(wrapping=st.booleans())
    def open(self, wrapping: bool) -> None:
        self.talk = Talk(LIMITS, LIMITS)
        self.sides: list[Connection] = [self.talk.client, self.talk.server]
        if wrapping:
            for side in self.sides:
                side.streams._next += MAX_STREAM - 5
        self.calls: list[dict[int, Call]] = [{}, {}]  # by the side that opened them
        self.subscriptions: list[dict[int, Subscription]] = [{}, {}]
        self.wires: list[bytes] = [b"", b""]  # on the way from each side
        self.marker = 0
        self.draining = False

    def mark(self, size: int) -> bytes:
        self.marker += 1
        return self.marker.to_bytes(4, "big") + bytes(max(0, size - 4))

    # Things to do

    @precondition(lambda self: not self.draining)
    @rule(side=SIDES, size=SIZES)
    def call(self, side: int, size: int) -> None:
        sender = self.sides[side]
        if not sender.can_open:
            return
        body = self.mark(size)
        call = Call(0, body)
        try:
            call.stream = sender.open_call(call, "a.b", body)
        except MessageTooLarge:
            assert size > 4900
            return
        assert call.stream not in self.calls[side]
        self.calls[side][call.stream] = call

    @rule(side=SIDES, size=SIZES, number=st.integers(0, 3), bulk=st.booleans(), down=st.booleans())
    def send(self, side: int, size: int, number: int, bulk: bool, down: bool) -> None:
        calls = [
            call
            for call in self.calls[side].values()
            if (
                call.taken and call.outcome is None
                if down
                else call.outcome_seen is None and not call.up_ended
            )
        ]
        if not calls:
            return
        call = calls[number % len(calls)]
        sender = self.sides[1 - side if down else side]
        data = call.announced[down] or self.mark(size)
        try:
            if sender.announce_data(call.stream, len(data)):
                if sender.flow.credit(call.stream).announced:
                    call.announced[down] = data
                return
            sender.send_data(call.stream, data, bulk=bulk)
        except MessageTooLarge:
            assert size > 5000
            return
        call.announced[down] = None
        (call.down if down else call.up).append(data)

    @rule(side=SIDES, number=st.integers(0, 3))
    def end_up(self, side: int, number: int) -> None:
        calls = [
            call for call in self.calls[side].values() if call.outcome_seen is None and not call.up_ended
        ]
        if calls:
            call = calls[number % len(calls)]
            self.sides[side].send_end(call.stream)
            call.up_ended = True

    @rule(side=SIDES, number=st.integers(0, 3), how=st.sampled_from(["result", "error", "end"]), size=SIZES)
    def finish(self, side: int, number: int, how: str, size: int) -> None:
        calls = [call for call in self.calls[side].values() if call.taken and call.outcome is None]
        if not calls:
            return
        call, sender = calls[number % len(calls)], self.sides[1 - side]
        match how:
            case "result":
                body = self.mark(min(size, 4900))
                sender.send_result(call.stream, body)
                call.outcome = body
            case "error":
                call.outcome = ErrorInfo("a.b", str(self.marker), Executed.YES)
                sender.send_error(call.stream, call.outcome)
            case _:
                sender.send_end(call.stream, {"n": 1})
                call.outcome = "end"

    @rule(side=SIDES, number=st.integers(0, 3))
    def cancel(self, side: int, number: int) -> None:
        calls = [call for call in self.calls[side].values() if call.outcome_seen is None]
        if calls:
            call = calls[number % len(calls)]
            self.sides[side].cancel(call.stream)
            call.cancelled = True

    @rule(side=SIDES, number=st.integers(0, 3))
    def stop_waiting(self, side: int, number: int) -> None:
        """The application of both sides does not wait for a call's items any more."""
        for call in list(self.calls[side].values())[number : number + 1]:
            for one in self.sides:
                one.flow.withdraw(call.stream)

    @rule(side=SIDES, number=st.integers(0, 3))
    def consume(self, side: int, number: int) -> None:
        """Use all that arrived on one call, on both sides."""
        calls = [call for call in self.calls[side].values() if call.outcome_seen is None]
        if not calls:
            return
        call = calls[number % len(calls)]
        up, down = sum(map(len, call.up_seen)), sum(map(len, call.down_seen))
        if call.outcome is None and up > call.used_up:
            self.sides[1 - side].flow.consume(call.stream, up - call.used_up)
            call.used_up = up
        if down > call.used_down:
            self.sides[side].flow.consume(call.stream, down - call.used_down)
            call.used_down = down
        for one in self.sides:  # and wait for more
            one.flow.admit(call.stream)

    @precondition(lambda self: not self.draining)
    @rule(side=SIDES)
    def subscribe(self, side: int) -> None:
        sender = self.sides[side]
        if len(sender.streams.subscriptions) < LIMITS.subscriptions:
            subscription = Subscription(0)
            subscription.stream = sender.subscribe(subscription, "t")
            self.subscriptions[side][subscription.stream] = subscription

    @rule(side=SIDES, count=st.integers(1, 8), size=st.sampled_from([10, 900, 2000]))
    def publish(self, side: int, count: int, size: int) -> None:
        for subscription in self.subscriptions[side].values():
            for _ in range(count if subscription.accepted and not subscription.gone else 0):
                subscription.published += 1
                number = subscription.published
                payload = encode_event(number, bytes(size))
                assert self.sides[1 - side].publications.publish(subscription.stream, (number, payload, None))

    @rule(side=SIDES)
    def use_events(self, side: int) -> None:
        for subscription in self.subscriptions[side].values():
            if subscription.size and not subscription.gone:
                self.sides[side].flow.consume(subscription.stream, subscription.size)
                subscription.size = 0
            self.sides[side].flow.admit(subscription.stream)

    @rule(side=SIDES)
    def unsubscribe(self, side: int) -> None:
        for subscription in list(self.subscriptions[side].values())[:1]:
            subscription.gone = True
            self.sides[side].unsubscribe(subscription.stream)

    @rule(side=SIDES)
    def ping(self, side: int) -> None:
        self.sides[side].ping()

    @precondition(lambda self: not self.draining)
    @rule()
    def drain(self) -> None:
        for side in self.sides:
            side.goaway(GoawayCode.SHUTDOWN, "restart")
        self.draining = True

    # Carrying

    @rule(side=SIDES, most=st.sampled_from([1, 2000, 1 << 20]))
    def write(self, side: int, most: int) -> None:
        self.wires[side] += self.sides[side].data_to_send(most)

    @rule(side=SIDES, size=st.sampled_from([1, 9, 11, 700, 1 << 20]))
    def carry(self, side: int, size: int) -> None:
        data, self.wires[side] = self.wires[side][:size], self.wires[side][size:]
        if data:
            for event in self.sides[1 - side].receive(data, 0.0):
                self.take(1 - side, event)

    def take(self, side: int, event: Event) -> None:
        """What a side is told fits what the other did."""
        mine, others = self.calls[side], self.calls[1 - side]
        match event:
            case CallReceived(stream, "a.b", None, body, {}):
                assert others[stream].body == body
                assert not others[stream].taken
                others[stream].taken = True
            case DataReceived(stream, owner, data):
                call: Any = owner or others[stream]
                assert not (call.cancelled if owner else call.told_cancelled), "nobody wants it"
                (call.up_seen if owner is None else call.down_seen).append(data)
            case EndReceived(stream, None, {}):
                assert others[stream].up_seen == others[stream].up
                assert not others[stream].told_cancelled
            case EndReceived(stream, owner, {"n": 1}):
                self.settle_call(side, owner, "end")
                if owner.cancelled:  # what crossed the CANCEL was dropped
                    assert owner.down_seen == owner.down[: len(owner.down_seen)]
                else:
                    assert owner.down_seen == owner.down
            case ResultReceived(owner, body):
                self.settle_call(side, owner, body)
            case ErrorReceived(Call() as owner, error):
                if owner.taken:
                    self.settle_call(side, owner, error)
                else:
                    assert self.draining
                    assert error.executed is Executed.NO
                    del mine[owner.stream]
            case ErrorReceived(Subscription(), error):
                assert self.draining
                assert error.executed is Executed.NO
            case CancelReceived(stream):
                assert others[stream].taken
                assert others[stream].outcome is None
                others[stream].told_cancelled = True
            case SubReceived(stream, "t", {}):
                self.subscriptions[1 - side][stream].accepted = True
                self.sides[side].publications.accept(
                    stream, Policy.QUEUE, 3, credit=LIMITS.stream_credit, sequence=0
                )
            case UnsubReceived(stream):
                del self.subscriptions[1 - side][stream]
            case GapReceived(owner, sequence, lost, _):
                assert sequence == owner.last + lost, "a gap says exactly what is missing"
                owner.last = sequence
            case EventReceived(owner, sequence, _, size):
                assert sequence == owner.last + 1, "nothing is dropped silently"
                owner.last = sequence
                owner.size += size
            case GoawayReceived(_, untaken):
                for owner in untaken:
                    assert not owner.taken, "a call that runs is never said not to have run"
                    del mine[owner.stream]
            case CreditReceived() | BlockedReceived() | HeadReceived():
                pass
            case other if type(other).__name__ == "PongReceived":
                pass
            case other:
                raise AssertionError(f"unexpected {other}")

    def settle_call(self, side: int, call: Call, outcome: object) -> None:
        assert call.outcome_seen is None, "one outcome"
        assert call.outcome == outcome
        call.outcome_seen = outcome
        assert call.stream not in self.sides[side].streams.opened
        del self.calls[side][call.stream]

    # What always holds

    @invariant()
    def nobody_broke_the_protocol(self) -> None:
        for side in getattr(self, "sides", []):
            assert side.state is State.OPEN

    @invariant()
    def what_was_granted_is_bounded(self) -> None:
        for side in getattr(self, "sides", []):
            windows = side.flow._windows.values()
            began = LIMITS.stream_credit * len(windows)
            assert (
                sum(window._left for window in windows) <= began + LIMITS.connection_credit + LIMITS.message
            )
            assert 0 <= side.flow._free <= LIMITS.message

    def teardown(self) -> None:
        """Carry everything: what was sent has arrived, and the books are empty."""
        if not hasattr(self, "sides"):
            return
        for _ in range(60):
            for side in (0, 1):
                for number in range(4):
                    self.consume(side, number)
                self.use_events(side)
                for _ in range(40):
                    self.write(side, 1 << 20)
                self.carry(side, 1 << 24)
            for side in (0, 1):
                for call in list(self.calls[side].values()):
                    if call.taken and call.outcome is None:
                        self.sides[1 - side].send_result(call.stream, b"")
                        call.outcome = b""
                self.use_events(side)  # and wait for more: what came may have announced a large one
            if not any((*self.wires, *self.calls, *(side.pending for side in self.sides))):
                break
        self.nobody_broke_the_protocol()
        assert self.calls == [{}, {}]
        for here, there in ((0, 1), (1, 0)):
            one, other = self.sides[here], self.sides[there]
            assert one.sent_position == other.session.received
            assert one.streams.taken == set()
            assert one.streams.ended == {}
            assert one.streams.unwanted == {}
            assert one.flow._credits == {}
            assert one.flow._free == LIMITS.message
            assert one.flow.awaited == {}
            assert one.outbox.scheduler._messages == 0
            assert one.outbox.scheduler._lanes == {}
            assert not one.reassembly.incomplete
            for subscription in self.subscriptions[here].values():
                if subscription.accepted and not subscription.gone:
                    assert subscription.last == subscription.published


TwoSides.TestCase.settings = settings(
    max_examples=60, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck)
)
TestTwoSides = TwoSides.TestCase
