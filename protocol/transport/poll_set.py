"""The sockets of one loop that are asked about together, and stay registered with the system.

Theory of operation. trio registers a descriptor anew for each wait, and each wait is a task that has to be woken: with
hundreds of connections that are read in turn, that costs more than reading does. Here a system task waits for one
descriptor, Linux's epoll, in which all the others stay; it calls what was given for those that may be read, and
no task of theirs has to run. What is registered and no longer watched is taken out when it is found readable, which a
connection that is watched again soon never is.

A descriptor stays in the set while a duplicate of it is open, whatever its number means by then: so whoever closes one
says so first, with `forget`. Where there is no epoll nothing is watched, and who asks waits as ever.
"""

from __future__ import annotations

import contextlib
import logging
import select
import sys
from collections.abc import Callable

import trio

logger = logging.getLogger("appserver.connections")

AT_ONCE = 256
"""Descriptors that are acted on before other tasks have their turn."""


class PollSet:
    """Calls a function whenever a descriptor may be read, as long as it is watched; to be made in a loop."""

    def __init__(self) -> None:
        self._calls: dict[int, Callable[[], object]] = {}
        self._registered: set[int] = set()
        self._epoll: select.epoll | None = None
        if sys.platform == "linux":
            with contextlib.suppress(OSError):  # too many files are open: nothing is watched
                self._epoll = select.epoll()
        if self._epoll is not None:
            trio.lowlevel.spawn_system_task(self._run, name="poll set of the connections")

    def watch(self, descriptor: int, call: Callable[[], object]) -> bool:
        """Call a function whenever there may be something to read, and when the descriptor is forgotten.

        Args:
            descriptor: of a socket.
            call: must not raise, and may well be called once too often.

        Returns:
            Whether it is watched now; it cannot be on every system.
        """
        if descriptor not in self._registered:
            if self._epoll is None:
                return False
            try:
                self._epoll.register(descriptor, select.EPOLLIN)
            except OSError:  # the system watches as many as it may
                return False
            self._registered.add(descriptor)
        self._calls[descriptor] = call
        return True

    def unwatch(self, descriptor: int) -> None:
        """Call nothing any more for a descriptor."""
        self._calls.pop(descriptor, None)

    def forget(self, descriptor: int) -> None:
        """Take a descriptor out of the set, as it is about to be closed; who watches it is told."""
        if descriptor in self._registered:
            self._take_out(descriptor)
            call = self._calls.pop(descriptor, None)
            if call is not None:
                call()

    def _take_out(self, descriptor: int) -> None:
        self._registered.discard(descriptor)
        if self._epoll is not None:
            with contextlib.suppress(OSError):  # closed already
                self._epoll.unregister(descriptor)

    async def _run(self) -> None:
        assert self._epoll is not None
        try:
            while True:
                await trio.lowlevel.wait_readable(self._epoll.fileno())
                if self._call_ready(self._epoll):
                    await trio.lowlevel.checkpoint()
        finally:
            self._epoll.close()
            self._epoll = None
            self._registered.clear()

    def _call_ready(self, epoll: select.epoll) -> bool:
        """Call for all that may be read; returns whether somebody was only woken for it, and has to read yet."""
        calls = self._calls
        left = False
        for descriptor, _ in epoll.poll(0, AT_ONCE):
            call = calls.get(descriptor)
            if call is None:
                self._take_out(descriptor)
                continue
            try:
                call()
            except Exception:  # one connection's; the others go on
                logger.exception("a connection could not be read")
            left = left or descriptor not in calls
        return left


_poll_set: trio.lowlevel.RunVar[PollSet] = trio.lowlevel.RunVar("connections' poll set")


def current_poll_set() -> PollSet:
    """That of the running loop."""
    try:
        return _poll_set.get()
    except LookupError:
        poll_set = PollSet()
        _poll_set.set(poll_set)
        return poll_set


def forget(descriptor: int) -> None:
    """As `PollSet.forget`, where there is a loop and it has one."""
    with contextlib.suppress(RuntimeError, LookupError):
        _poll_set.get().forget(descriptor)
