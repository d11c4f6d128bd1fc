"""The sockets of one loop that are asked about together, and stay registered with the system.

Theory of operation. trio registers a descriptor anew for each wait, and each wait is a task that has to be woken: with
hundreds of connections that are read in turn, that costs more than reading does. Here a system task waits for one
descriptor, Linux's epoll, in which all the others stay; it calls what was given for those that may be read, and
no task of theirs has to run. What is registered and no longer watched is taken out when it is found readable, which a
connection that is watched again soon never is.

A descriptor stays in the set while a duplicate of it is open, whatever its number means by then: so whoever closes one
has it forgotten first. Where there is no epoll nothing is watched, and who asks waits as ever.
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


Call = Callable[[bool], bool]
"""Called with True where there may be something to read; returns whether that was read, and not only somebody woken for
it. Called with False when the descriptor is watched no more, as it is about to be closed or has to be looked at."""


class PollSet:
    """Calls a function whenever a descriptor may be read, as long as it is watched; to be made in a loop."""

    def __init__(self) -> None:
        self._calls: dict[int, Call] = {}
        self._registered: set[int] = set()
        self._epoll: select.epoll | None = None
        if sys.platform == "linux":
            with contextlib.suppress(OSError):  # too many files are open: nothing is watched
                self._epoll = select.epoll()
        if self._epoll is not None:
            trio.lowlevel.spawn_system_task(self._run, self._epoll, name="poll set of the connections")

    def watch(self, descriptor: int, call: Call) -> bool:
        """Call a function from now on.

        Args:
            descriptor: of a socket.
            call: what it raises is logged, and helps nobody.

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
        """Call nothing any more for a descriptor, which stays registered until it is found readable."""
        self._calls.pop(descriptor, None)

    def forget(self, descriptor: int) -> None:
        """Take a descriptor out of the set; who watches it is told."""
        if descriptor in self._registered:
            self._take_out(descriptor)
            call = self._calls.pop(descriptor, None)
            if call is not None:
                call(False)

    def _take_out(self, descriptor: int) -> None:
        self._registered.discard(descriptor)
        if self._epoll is not None:
            with contextlib.suppress(OSError):  # closed already
                self._epoll.unregister(descriptor)

    async def _run(self, epoll: select.epoll) -> None:
        try:
            while True:
                await trio.lowlevel.wait_readable(epoll.fileno())
                if not self._call_ready(epoll):
                    await (
                        trio.lowlevel.checkpoint()
                    )  # they read first; otherwise all of these were found again
        except OSError:  # the system lets nobody wait for it
            logger.exception("connections are not watched together any more")
            self._epoll = None
            for descriptor in list(self._registered):
                self.forget(descriptor)
        finally:
            self._epoll = None
            self._registered.clear()
            epoll.close()

    def _call_ready(self, epoll: select.epoll) -> bool:
        """Call for all that may be read; returns whether all of it was read."""
        done = True
        for descriptor, _ in epoll.poll(0, AT_ONCE):
            call = self._calls.get(descriptor)
            if call is None:
                self._take_out(descriptor)
                continue
            try:
                done = call(True) and done
            except Exception:  # one connection's; the others go on
                logger.exception("a connection could not be read")
        return done


_poll_set: trio.lowlevel.RunVar[PollSet] = trio.lowlevel.RunVar("connections' poll set")


def current_poll_set() -> PollSet:
    """That of the running loop."""
    try:
        return _poll_set.get()
    except LookupError:
        poll_set = PollSet()
        _poll_set.set(poll_set)
        return poll_set
