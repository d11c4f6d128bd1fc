"""A trio loop in a thread of its own, and functions run in it from other threads.

A job's exception goes to whoever waits for the job. Ctrl+C or a timeout in the waiting thread cancels
the job; closing completes every job that is still waited for.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import trio

from appclient.bridge.outcome import Outcome
from protocol.peer.outside import OutsideCaller

T = TypeVar("T")


class PortalClosed(Exception):
    """The loop's thread has ended, or was ended while the job ran."""


class Portal:
    """Runs async functions for blocking code.

    Args:
        name: of the thread.

    Attributes:
        outside: makes calls of other threads that the loop has no part in.
    """

    def __init__(self, name: str) -> None:
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._started: Outcome[None] = Outcome()
        self._token: trio.lowlevel.TrioToken | None = None
        self._nursery: trio.Nursery | None = None
        self._jobs: set[Outcome[Any]] = set()
        self._process = os.getpid()
        self._running = _Running()
        self.outside = OutsideCaller(self._running.lock, self.post)

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.wait()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _run(self) -> None:
        trio.run(self._main, instruments=[self._running])

    async def _main(self) -> None:
        try:
            async with trio.open_nursery() as nursery:
                self._nursery = nursery
                self._token = trio.lowlevel.current_trio_token()
                self._started.set_result(None)
                await trio.sleep_forever()
        finally:
            self._nursery = None
            for job in list(self._jobs):
                job.set_exception(PortalClosed("the client was closed"))

    def call(self, function: Callable[..., Awaitable[T]], *args: Any, timeout: float | None = None) -> T:
        """Run an async function in the loop and wait for what it returns.

        Args:
            function: the function.
            args: its positional arguments.
            timeout: seconds that it may take; cancelled then.

        Raises:
            TimeoutError: it took longer.
            PortalClosed: the loop has ended.
        """
        self.check_thread()
        job: Job[T] = Job(self)
        try:
            self._start(job, timeout, function, args)
            return job.outcome.wait()
        except BaseException:
            if not job.outcome.done:  # Ctrl+C while waiting
                job.cancel()
            raise

    @property
    def is_elsewhere(self) -> bool:
        """Whether this is a child that was forked from the portal's process."""
        # A fork copies the memory and not the threads: whoever waited for the loop there waited for ever,
        # and what woke it would go to the parent's loop, for both have the same socket.
        return os.getpid() != self._process

    @property
    def waits_for_this(self) -> bool:
        """Whether the loop goes on only when the function that asks has returned.

        So it is in a callback, which the loop itself calls, and in a signal handler or a finalizer that interrupts
        this thread while it has a lock that the loop needs.
        """
        # Idents of threads are given out again: an ended loop's may be this one's.
        return threading.current_thread() is self._thread or self.outside.is_inside

    def check_thread(self) -> None:
        """Raise where waiting for the loop would block the loop."""
        if self.waits_for_this:
            raise RuntimeError(
                "the client's loop waits for this callback or signal handler to return, and this call would wait for "
                "the loop: make it from another thread, or later"
            )

    def start(
        self, function: Callable[..., Awaitable[T]], *args: Any, timeout: float | None = None
    ) -> Job[T]:
        """Run an async function in the loop without waiting for it.

        Raises:
            PortalClosed: the loop has ended, or this is a forked child, which has no such thread.
        """
        job: Job[T] = Job(self)
        self._start(job, timeout, function, args)
        return job

    def _start(
        self, job: Job[Any], timeout: float | None, function: Callable[..., Any], args: tuple[Any, ...]
    ) -> None:
        if self.is_elsewhere:
            raise PortalClosed("the client belongs to the process that this one was forked from")
        self._jobs.add(job.outcome)
        job.outcome.on_done(partial(self._jobs.discard, job.outcome))
        try:
            if self._token is None:
                raise trio.RunFinishedError
            self._soon(self._begin, job, timeout, function, args)
        except BaseException as exc:
            self._jobs.discard(job.outcome)
            if isinstance(exc, trio.RunFinishedError):
                raise PortalClosed("the client was closed") from exc
            raise

    def post(self, function: Callable[..., object], *args: Any) -> None:
        """Have a function called in the loop soon; nothing happens where the loop has ended."""
        if self._token is not None and not self.is_elsewhere:
            with contextlib.suppress(trio.RunFinishedError):
                self._soon(function, *args)

    def _soon(self, function: Callable[..., object], *args: Any) -> None:
        """Post, marked as inside: the loop needs trio's own lock for that, too."""
        assert self._token is not None
        inside, thread = self.outside.inside, threading.get_ident()
        if thread in inside:
            self._token.run_sync_soon(function, *args)
            return
        try:
            inside.add(thread)
            self._token.run_sync_soon(function, *args)
        finally:
            inside.discard(thread)

    def close(self) -> None:
        """End the loop and its thread; may be called twice, and does not wait where the loop waits for the caller."""
        if self.is_elsewhere or self._thread.ident is None:
            return
        self._started.wait()  # Ctrl+C may have come before there was a loop to end
        self.post(self._end)
        if not self.waits_for_this:
            self._thread.join()

    def _end(self) -> None:
        nursery, self._nursery = self._nursery, None  # a job that comes now is told so
        if nursery is not None:
            nursery.cancel_scope.cancel()

    def _begin(self, job: Job[Any], *args: Any) -> None:
        if job.outcome.done:
            pass  # the loop ended before this job's turn came
        elif self._nursery is None:
            job.outcome.set_exception(PortalClosed("the client was closed"))
        else:
            self._nursery.start_soon(self._work, job, *args)

    async def _work(
        self,
        job: Job[Any],
        timeout: float | None,
        function: Callable[..., Awaitable[Any]],
        args: tuple[Any, ...],
    ) -> None:
        scope = job.scope
        if timeout is not None:
            scope.deadline = trio.current_time() + timeout
        try:
            with scope:
                result = await function(*args)
        except trio.Cancelled:
            raise
        except BaseException as exc:
            job.outcome.set_exception(exc)
            return
        if not scope.cancelled_caught:
            job.outcome.set_result(result)
        elif timeout is not None and trio.current_time() >= scope.deadline:
            job.outcome.set_exception(TimeoutError(f"it took longer than {timeout:g} s"))
        else:
            job.outcome.set_exception(PortalClosed("the call was cancelled"))


class _Running(trio.abc.Instrument):
    """Holds a lock while a loop runs tasks, and leaves it to others while the loop waits."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def before_run(self) -> None:
        self.lock.acquire()

    def before_io_wait(self, timeout: float) -> None:
        self.lock.release()

    def after_io_wait(self, timeout: float) -> None:
        self.lock.acquire()

    def after_run(self) -> None:
        self.lock.release()


class Job(Generic[T]):
    """One function that runs in a portal's loop.

    Attributes:
        outcome: what it returned or raised.
        scope: around it; belongs to the loop's thread.
    """

    def __init__(self, portal: Portal) -> None:
        self.outcome: Outcome[T] = Outcome()
        self.scope = trio.CancelScope()
        self._portal = portal

    def wait(self) -> None:
        """Wait until it has ended, but not where the loop waits for the caller."""
        if not self._portal.waits_for_this and not self._portal.is_elsewhere:
            with contextlib.suppress(PortalClosed):
                self.outcome.wait()

    def cancel(self) -> None:
        """Cancel it, from any thread."""
        self._portal.post(self.scope.cancel)
