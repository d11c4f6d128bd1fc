"""`Event[T]`: what an interface announces, and how a slow subscriber is treated.

One attribute, two sides: on the implementation `publish` sends, on a proxy `subscribe` listens. The
delivery itself (queues, gaps, credit) is the business of the room that runs calls; here are only the
declaration and the types that application code names.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from types import TracebackType
from typing import Any, Generic, Literal, Protocol, Self, TypeAlias, TypeVar, overload

import attrs

from protocol.interface.errors import ContractError
from protocol.wire.errors import LocalProtocolError

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

PolicyKind: TypeAlias = Literal["queue", "latest", "disconnect"]
POLICIES: tuple[PolicyKind, ...] = ("queue", "latest", "disconnect")
DEFAULT_LIMIT = 1000
"""Events that wait for one subscriber; a screen that is a thousand events behind wants a fresh start."""


@attrs.frozen
class Gap:
    """A place in a subscription where events were lost.

    Attributes:
        lost: number of events that were not delivered. At least so many: a publisher that was restarted does not
            know what it had sent before, and then this may be 0. After a lost connection, with the policy `latest`,
            at most so many: some of them may have been outdated.
        sequence: number of the next event, counted per event from the publisher's start.
    """

    lost: int
    sequence: int


class EventsLost(Exception):
    """Events were lost; the iteration may go on with the next one.

    Attributes:
        lost: number of events that were not delivered, at least; see `Gap`.
        sequence: number of the next event.
    """

    def __init__(self, lost: int, sequence: int) -> None:
        super().__init__(lost, sequence)
        self.lost = lost
        self.sequence = sequence

    def __str__(self) -> str:
        number = self.lost or "an unknown number of"
        return f"{number} events were lost before number {self.sequence}"


@attrs.frozen
class EventPolicy:
    """What happens when a subscriber is slower than the publisher, who waits for none.

    Attributes:
        kind: `queue` keeps `limit` events, then drops the oldest and says so with a `Gap`; `latest` keeps the
            newest event of each key; `disconnect` ends the subscription at `limit`.
        key: name of the value's field by which `latest` tells events apart, None otherwise.
        limit: events (with `latest`: keys) that wait for one subscriber.
    """

    kind: PolicyKind = "queue"
    key: str | None = None
    limit: int = DEFAULT_LIMIT

    def __attrs_post_init__(self) -> None:
        if self.kind not in POLICIES:
            raise ContractError(f"an event's policy is one of {', '.join(POLICIES)}, not {self.kind!r}")
        if (self.key is not None) != (self.kind == "latest"):
            raise ContractError('policy "latest" needs key="<field>", and no other policy takes one')
        if type(self.limit) is not int or self.limit < 1:
            raise ContractError(f"an event's limit is at least 1, not {self.limit!r}")


class Subscription(Protocol[T_co]):
    """The events from the moment of subscribing on: a context manager to iterate over.

    `async with` and `async for` in async code, `with` and `for` in blocking code. Leaving the context ends
    the subscription.
    """

    async def __aenter__(self) -> Self:
        """Subscribe."""
        ...

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        """End the subscription."""

    def __aiter__(self) -> AsyncIterator[T_co]:
        """Iterate over the events.

        Raises:
            EventsLost: out of the iteration, unless gaps were asked for as values.
        """
        ...

    def __enter__(self) -> Self:
        """Subscribe, in blocking code."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
        /,
    ) -> None:
        """End the subscription, in blocking code."""

    def __iter__(self) -> Iterator[T_co]:
        """Iterate over the events, in blocking code."""
        ...


class Event(Generic[T]):
    """An event of an interface: `publish` on the implementation, `subscribe` on a proxy.

    Application code does not build one: it declares `changed: Event[OrderChanged] = event()` and finds the
    attribute filled in.

    Args:
        name: qualified name for messages, `Orders.changed`.
        publish: what sends a value, None on a proxy.
        subscribe: what opens a subscription, None on an implementation; called with `gaps`.
    """

    __slots__ = ("_name", "_publish", "_subscribe")

    def __init__(
        self,
        name: str,
        *,
        publish: Callable[[T], object] | None = None,
        subscribe: Callable[..., Any] | None = None,
    ) -> None:
        self._name = name
        self._publish = publish
        self._subscribe = subscribe

    def __repr__(self) -> str:
        return f"<Event {self._name}>"

    def publish(self, value: T) -> None:
        """Send a value to every subscriber; waits for none of them.

        Raises:
            InvalidValue: the value is not what the event's annotation says.
            LocalProtocolError: this is a proxy's event, or the implementation serves no application yet.
        """
        if self._publish is None:
            raise LocalProtocolError(
                f"{self._name} cannot be published from here: only an implementation that was handed to an "
                "application publishes"
            )
        self._publish(value)

    @overload
    def subscribe(self) -> Subscription[T]: ...
    @overload
    def subscribe(self, *, gaps: Literal[False]) -> Subscription[T]: ...
    @overload
    def subscribe(self, *, gaps: Literal[True]) -> Subscription[T | Gap]: ...
    def subscribe(self, *, gaps: bool = False) -> Subscription[T] | Subscription[T | Gap]:
        """Return a subscription, which begins where its context is entered.

        Args:
            gaps: deliver lost events as `Gap` values in their place; otherwise the iteration raises
                `EventsLost` there and may be taken up again.

        Raises:
            LocalProtocolError: this is not a proxy's event.
        """
        if self._subscribe is None:
            raise LocalProtocolError(f"{self._name} cannot be subscribed to from here: subscribe on a proxy")
        subscription: Subscription[T] = self._subscribe(gaps=gaps)
        return subscription


class EventDeclaration(Event[Any]):
    """What `event()` leaves in the class body: the policy, until an instance gets a real event."""

    __slots__ = ("policy",)

    def __init__(self, policy: EventPolicy) -> None:
        super().__init__("this event")
        self.policy = policy

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = f"{owner.__name__}.{name}"


def event(*, policy: PolicyKind = "queue", key: str | None = None, limit: int = DEFAULT_LIMIT) -> Any:
    """Declare an event in an interface.

    For example `changed: Event[OrderChanged] = event(policy="latest", key="number")`.

    Args:
        policy: what happens to a slow subscriber, see `EventPolicy`.
        key: with `latest`, the field by which events are told apart.
        limit: events that wait for one subscriber.

    Raises:
        ContractError: a policy that does not exist, a key too many or too few, a limit under 1.
    """
    return EventDeclaration(EventPolicy(policy, key, limit))
