"""Calls that a thread outside of the loop makes by itself: it sends, reads and has its answer, and wakes nobody.

Theory of operation. Waking the loop's thread, and being woken by it, costs several times what a call does otherwise.
Where the leader has lent its reading (`protocol.peer.reading`), nobody else has anything to do with a call; the thread
may do it all, provided that the loop does nothing meanwhile. That is what the lock is for: the loop holds it
whenever it runs tasks, and so do threads while they touch a connection; nobody does who waits. In a thread nothing
of trio may be called: what concerns tasks is posted to the loop.

A thread reads for `PATIENCE` at most, then the leader goes on: so a call that takes long costs the loop no looks. Where
a signal handler keeps the thread from going on, the leader takes reading back itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from protocol.peer.peer import Peer
from protocol.peer.pending import SAME_DEADLINE, PendingCall
from protocol.transport import TransportError, is_foreign, poller
from protocol.wire import codes
from protocol.wire.errors import CodecError, ErrorInfo, MessageTooLarge

PATIENCE = 0.02
"""Seconds that a thread waits for the connection itself. The loss of it is noticed as late, at most."""
INTERRUPTED = "a call was interrupted while it was being sent or received"


class Late(Exception):
    """The time of a wait is over: no TimeoutError, which a signal handler may raise, too."""


class ThreadCall(PendingCall):
    """A call whose outcome a thread waits for.

    Attributes:
        stream: where it goes; 0 before it was sent.
    """

    __slots__ = ("_settled", "stream")
    in_thread = True

    def __init__(self, method: str) -> None:
        super().__init__(method)
        self.stream = 0
        self._settled = threading.Lock()
        self._settled.acquire()

    def settle(self, outcome: bytes | ErrorInfo) -> None:
        """Take the outcome, the first that comes, and wake who waits."""
        if not self.done:
            self.outcome = outcome
            self.done = True
            self._settled.release()

    def wait_in_thread(self, ends: float | None) -> None:
        """Wait for the outcome; raises Late when `time.monotonic` has reached `ends`."""
        seconds = -1 if ends is None else min(max(0.0, ends - time.monotonic()), threading.TIMEOUT_MAX)
        if not self.done and not self._settled.acquire(timeout=seconds):
            raise Late


class OutsideCaller:
    """Makes calls in threads outside of one loop.

    Args:
        lock: the loop holds it while it runs tasks.
        post: has a function called in the loop soon.

    Attributes:
        inside: threads in the midst of something that the loop waits for: they have a lock that it needs, or are
            about to.
    """

    def __init__(self, lock: threading.Lock, post: Callable[..., object]) -> None:
        self._lock = lock
        self._post = post
        self.inside: set[int] = set()

    @property
    def is_inside(self) -> bool:
        """Whether this thread is one of them: so it is in a signal handler, or in a finalizer, that interrupts it."""
        return threading.get_ident() in self.inside

    def call(self, peer: Peer, method: str, body: bytes, timeout: float | None) -> bytes | ErrorInfo | None:
        """Make a call and wait for its outcome.

        Args:
            peer: the connection.
            method: qualified name.
            body: packed arguments.
            timeout: seconds that it may take.

        Returns:
            The outcome; None where it cannot be made here now: nothing was sent then.

        Raises:
            TimeoutError: it took longer.
            MessageTooLarge: the other side takes no arguments of this size.
        """
        if not peer.reading.is_free or self._lock.locked() or self.is_inside:
            return None
        if timeout is not None and timeout <= 0:  # it must not run at all
            return None
        ends = None if timeout is None else time.monotonic() + timeout
        pending = ThreadCall(method)
        try:
            if not self._step(peer, self._open, pending, body, timeout):
                return None
            self._wait(peer, pending, ends)
            if ends is not None and _is_same_deadline(pending.outcome, ends):
                raise Late
        except Late:
            self._post(_give_up, peer, pending)
            raise TimeoutError(f"it took longer than {timeout:g} s") from None
        except BaseException:  # Ctrl+C, for example
            self._post(_give_up, peer, pending)
            raise
        return pending.outcome

    def _step(self, peer: Peer, step: Callable[..., bool], *args: object) -> bool:
        """Touch a connection while the loop does not.

        Ctrl+C, or what another signal handler raises, may come in the midst, and nobody knows then what has been
        done: that ends the connection.
        """
        thread = threading.get_ident()
        whole = True
        try:
            self.inside.add(thread)
            with self._lock:
                whole = False
                result = step(peer, *args)
                whole = True
        except (MessageTooLarge, CodecError):  # of `open_call`, which has done nothing then
            whole = True
            raise
        finally:
            try:
                if not whole:
                    # This thread's next call is the loop's, which has ended the connection by then.
                    peer.reading.lent = False
                    self._post(peer.end, INTERRUPTED)
            finally:
                self.inside.discard(thread)
        return result

    def _open(self, peer: Peer, pending: ThreadCall, body: bytes, timeout: float | None) -> bool:
        """Send the call; returns whether that can be done now."""
        if not peer.reading.is_free or not _is_quiet(peer):
            return False
        pending.stream = peer.connection.open_call(pending, pending.method, body, deadline=timeout)
        peer.reading.begin_turn(pending)
        self._flush(peer)
        return True

    def _wait(self, peer: Peer, pending: ThreadCall, ends: float | None) -> None:
        """Read until the outcome is there, for a while; then wait until the leader has read it."""
        now = time.monotonic()
        until = now + PATIENCE
        if ends is not None and ends < until:
            until = ends
        seconds = until - now
        while True:
            _wait_readable(peer, seconds)
            seconds = until - time.monotonic()
            if self._step(peer, self._take, pending, seconds <= 0):
                break
        if not pending.done:
            pending.wait_in_thread(ends)

    def _take(self, peer: Peer, pending: ThreadCall, last: bool) -> bool:
        """Take what has arrived; returns whether this thread has read enough, as it has at its `last` try."""
        reading = peer.reading
        if reading.reader is not pending:  # the leader has waited long enough
            return True
        over = True
        try:
            over = pending.done or reading.take(pending, reading.now()) or last
        except TransportError as exc:
            self._fail(peer, exc)
        self._flush(peer)
        if over:
            if reading.end_turn(pending):
                self._post(reading.wake_leader)
            if not _is_quiet(peer):
                self._post(peer.batch_done)
        return over

    def _flush(self, peer: Peer) -> None:
        try:
            if not peer.writer.flush_outside():
                self._post(peer.wake)
        except TransportError as exc:
            self._fail(peer, exc)

    def _fail(self, peer: Peer, error: TransportError) -> None:
        """End the connection for what went wrong with it; what is a signal handler's is raised instead."""
        cause = error.__cause__
        if isinstance(cause, OSError) and is_foreign(cause):
            raise cause from None
        self._post(peer.fail, error)


def _wait_readable(peer: Peer, seconds: float) -> None:
    """Wait until there may be something to read, or so long; busily where it comes at once every time."""
    reading, look = peer.reading, poller(peer.transport.fileno())
    if not (reading.polls_busily(reading.now()) and reading.busy_polling.poll_in_thread(look, seconds)):
        look(seconds)


def _give_up(peer: Peer, pending: ThreadCall) -> None:
    """Nobody waits for a call any more. Runs in the loop."""
    reading = peer.reading
    if reading.reader is pending:
        reading.end_turn(pending)
        reading.wake_leader()
    if pending.stream and not pending.done:
        peer.abandon(pending.stream)


def _is_quiet(peer: Peer) -> bool:
    """Whether nobody has anything to do with a connection but who calls next."""
    connection = peer.connection
    leaving = peer.ended or peer.goaway is not None or connection.draining
    return not leaving and not peer.slots and not connection.streams.opened and peer.takes_calls


def _is_same_deadline(outcome: bytes | ErrorInfo, ends: float) -> bool:
    """Whether the other side noticed the caller's own deadline, earlier than the caller."""
    if not isinstance(outcome, ErrorInfo) or outcome.code != codes.DEADLINE_EXCEEDED:
        return False
    return ends - time.monotonic() < SAME_DEADLINE
