"""Calls that wait unhandled, because their caller does not read the answers to those before them."""

from __future__ import annotations

from protocol.wire.events import CallReceived


class DeferredCalls:
    """The calls of one connection that wait for room, in the order they came.

    Attributes:
        calls: each with the time since when it waits.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[CallReceived, float]] = []  # no more than limits.open_calls

    def add(self, call: CallReceived, now: float) -> None:
        """Have a call wait from now on, seconds of any steady clock."""
        self.calls.append((call, now))

    def take(self, now: float) -> CallReceived:
        """The next one, with what is left of its deadline: less than nothing where it has waited too long."""
        call, since = self.calls.pop(0)
        return call if call.deadline is None else call._replace(deadline=call.deadline - (now - since))

    def remove(self, stream: int) -> bool:
        """Forget the call of a stream; returns whether it waited."""
        for waiting in self.calls:
            if waiting[0].stream == stream:
                self.calls.remove(waiting)
                return True
        return False

    def __len__(self) -> int:
        return len(self.calls)
