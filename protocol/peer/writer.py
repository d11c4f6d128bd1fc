"""What leaves a connection, from its core to its transport.

Whoever has queued something asks for it to be written in one of two ways. `flush` writes here and now:
for a task that is about to wait anyway, so that all it queued leaves in one piece. `wake` has it done
in the loop's next pass (`protocol.peer.flusher`): for many tasks that queue a little each, whose messages
then leave together. Where the transport takes nothing more, a writing task begins, which waits for it.
"""

from __future__ import annotations

from collections.abc import Callable

import trio

from protocol.peer.company import current_company
from protocol.peer.flusher import current_flusher
from protocol.peer.waiting import Waiters
from protocol.transport import Transport
from protocol.wire.connection import Connection

STALLED = 1.0
"""Seconds without a byte taken after which too much waiting output ends the connection."""
SLOW_LINK = 4
"""So many times the bound may wait for a peer that takes something now and then: memory has an end."""


class PeerTooSlow(Exception):
    """The other side takes what is sent too slowly, or not at all."""


class Writer:
    """The writing half of one connection.

    Args:
        transport: where to.
        connection: where from.
        timeout: seconds that the transport may take nothing.
        most_pending: bytes that may wait while the other side takes nothing.
        on_room: called when the other side has taken something and no more than `most_pending` waits.
    """

    def __init__(
        self,
        transport: Transport,
        connection: Connection,
        *,
        timeout: float,
        most_pending: int,
        on_room: Callable[[], object],
    ) -> None:
        self._send = transport.send_nowait
        self._pull = connection.data_to_send
        self._transport = transport
        self._connection = connection
        self._outbox = connection.outbox
        self._publications = connection.publications
        self._timeout = timeout
        self._most_pending = most_pending
        self._on_room = on_room
        self._rest: bytes | memoryview = b""
        self._blocked = False
        self._blocked_since = 0.0
        self._flusher = current_flusher()
        self._wanted = False  # to be written by the flusher, or once `open` was called
        self._parked = Waiters()  # the writing task, while the transport takes everything
        self._begin: Callable[[], object] | None = None  # the writing task, which has begun or not
        self._begun = False
        self._failure: BaseException | None = None  # in the flusher's task; the writing task raises it
        self._company = current_company()
        self._changes = 0
        self._crowded = False  # several calls were open at the same time

    def open(self, begin: Callable[[], object]) -> None:
        """From now on `wake` writes, and the writing task may be needed: most connections never have one.

        Args:
            begin: has a task of its own `run`; called when it is needed first.
        """
        self._begin = begin
        if self._wanted:
            self._flusher.add(self._write)
        if self._blocked:
            self._wake_task()

    def close(self) -> None:
        """Write no more and begin no task; what waits is left to `drain`."""
        self._begin = None

    def leaves_at_once(self, alone: bool) -> bool:
        """Whether a call that was queued is written here and now; otherwise in the loop's next pass.

        The only open call is. But where several have just been answered, their callers come again: then it waits for
        the others, unless this connection is the only one that is busy (`protocol.peer.company`).

        Args:
            alone: no other call is open.
        """
        if not alone:
            self._crowded = True
            return False
        if self._crowded:
            self._crowded = False
            changes, self._changes = self._changes, self._company.changes
            return changes == self._changes
        return True

    def flush(self) -> None:
        """Write what waits, as far as the transport takes it now.

        Raises:
            TransportError: the connection is broken.
            PeerTooSlow: too much waits.
        """
        if self._blocked:
            self._check_pending()
            return
        outbox = self._outbox
        while self._rest or outbox.scheduler.size:
            data = self._rest or self._pull()
            if not data:  # what waits is held back
                return
            sent = self._send(data)
            if sent == len(data):
                self._rest = b""
            elif sent:
                self._rest = memoryview(data)[sent:]
            else:
                self._rest = data
                self._blocked = True
                self._blocked_since = trio.current_time()
                self._wake_task()
                return
        if self._publications.held:
            self.wake()

    def flush_outside(self) -> bool:
        """Write what waits, in a thread that keeps the loop from running.

        Returns:
            Whether all has left and nothing follows; otherwise the writing task has to be woken.

        Raises:
            TransportError: the connection is broken.
        """
        if not self._outbox.scheduler.size and not self._rest:
            return True
        if self._blocked or self._rest:
            return False
        data = self._pull()
        sent = self._send(data) if data else 0
        self._rest = memoryview(data)[sent:] if sent < len(data) else b""
        return not self._rest and not self._outbox.scheduler.size and not self._publications.held

    def _check_pending(self) -> None:
        """Give up a peer that lets much wait and takes none of it; one on a slow link is left its time."""
        pending = self._connection.pending
        stalled = trio.current_time() - self._blocked_since > STALLED
        if pending > self._most_pending * (1 if stalled else SLOW_LINK):
            raise PeerTooSlow(
                f"slow consumer: {pending} bytes wait to be sent, at most {self._most_pending} may "
                "(limits.pending_output)"
            )

    def wake(self) -> None:
        """Have what waits written in the loop's next pass."""
        if not self._wanted:
            if self._begin is not None:
                self._flusher.add(self._write)
            self._wanted = True

    def _write(self) -> None:
        """Write what waits, in the flusher's task."""
        try:
            self._wanted = False
            if not self._blocked and self._begin is not None:
                self.flush()
                self._tell_room()
        except BaseException as exc:  # this connection's, and not the others'
            self._failure = exc
            self._wake_task()

    def _wake_task(self) -> None:
        """Have the writing task look: the transport takes nothing now, or writing has failed."""
        if self._parked:
            self._parked.wake()
        elif self._begin is not None and not self._begun:
            self._begun = True
            self._begin()

    async def run(self) -> None:
        """Be the writing task: wait for the transport, and write, whenever it takes nothing.

        Raises:
            TransportError: the connection is broken.
            PeerTooSlow: nothing could be written for too long, or too much waits.
        """
        while True:
            if self._failure is not None:
                raise self._failure
            while self._blocked:
                with trio.move_on_after(self._timeout) as scope:
                    await self._transport.wait_writable()
                if scope.cancelled_caught:
                    raise PeerTooSlow(
                        f"the other side has taken nothing for {self._timeout:g} s (timeouts.write)"
                    )
                self._blocked = False
                self.flush()
                self._tell_room()
            await self._parked.wait()

    def _tell_room(self) -> None:
        if self._connection.pending <= self._most_pending:
            if self._publications.resume():
                self.wake()
            self._on_room()

    def discard(self) -> None:
        """Forget what was not written: the connection is over."""
        self._rest = b""
        self._connection.outbox.clear()

    def hold_back(self) -> None:
        """Of what is still queued, let only leave what goes before all messages: the connection is over."""
        self._rest = bytes(self._rest) + self._pull(0)
        self._pull = _nothing

    async def drain(self) -> None:
        """Write what waits, from a task of its own after `run` has ended."""
        self._blocked = False
        self.flush()
        while self._blocked:
            await self._transport.wait_writable()
            self._blocked = False
            self.flush()


def _nothing(most: int = 0) -> bytes:
    return b""
