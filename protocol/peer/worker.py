"""The tasks of one connection that read it and run its handlers: what each of them is doing."""

from __future__ import annotations

import trio

from protocol.wire.events import CallReceived


class Worker:
    """One task that leads, handles or waits in reserve."""

    __slots__ = ("call", "cancelled", "is_reusable", "scope", "scope_used", "task")

    def __init__(self) -> None:
        self.scope = trio.CancelScope()
        self.scope_used = False  # by a call: it must not lead in there any more
        self.call: CallReceived | None = None  # once its handler has suspended
        self.is_reusable = False  # its scope, once the handler that suspended in there has ended
        self.cancelled = False  # by the caller, rather than by the deadline
        self.task: trio.lowlevel.Task | None = None  # while in reserve
