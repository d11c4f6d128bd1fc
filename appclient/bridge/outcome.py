"""What the loop settles and other threads wait for.

Theory of operation. `concurrent.futures.Future` has a lock that who waits holds for moments, in Python code. Ctrl+C
there leaves it held for ever, and a signal handler that waits for the loop there waits for a loop that waits for that
lock. Here the loop needs nothing that a waiting thread could hold: each has a lock of its own, which the loop releases.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar, cast

from protocol.peer.outside import Late

T = TypeVar("T")


class Outcome(Generic[T]):
    """A value or an exception that comes once.

    Attributes:
        done: whether it is there.
    """

    def __init__(self) -> None:
        self.done = False
        self._value: T | None = None
        self._error: BaseException | None = None
        self._callbacks: list[Callable[[], object]] = []

    def set_result(self, value: T) -> None:
        """Take the value, where nothing is there yet."""
        self._settle(value, None)

    def set_exception(self, error: BaseException) -> None:
        """Take the exception, where nothing is there yet."""
        self._settle(None, error)

    def _settle(self, value: T | None, error: BaseException | None) -> None:
        if self.done:
            return
        self._value, self._error = value, error
        self.done = True
        while self._callbacks:
            try:
                callback = self._callbacks.pop(0)
            except IndexError:  # the other thread was faster
                return
            callback()

    def on_done(self, callback: Callable[[], object]) -> None:
        """Have a function called once it is there: in the thread that settles it, or here and now."""
        self._callbacks.append(callback)
        if self.done:
            try:
                self._callbacks.remove(callback)
            except ValueError:  # the other thread was faster
                return
            callback()

    def wait(self, timeout: float | None = None) -> T:
        """Wait for it.

        Args:
            timeout: seconds.

        Returns:
            The value.

        Raises:
            Late: it did not come in time.
            BaseException: the exception.
        """
        waiter = threading.Lock()
        waiter.acquire()
        self.on_done(waiter.release)
        seconds = -1 if timeout is None else min(max(0.0, timeout), threading.TIMEOUT_MAX)
        if not waiter.acquire(timeout=seconds) and not self.done:
            raise Late
        if self._error is not None:
            raise self._error
        return cast(T, self._value)
