"""Reading a connection and running its handlers, in the same task as long as that goes.

Theory of operation. One task, the leader, reads, and runs the handler of each call it has read itself;
the result is queued, and what a batch of calls has queued leaves in few writes. Nothing is spawned for
a call. When a handler first suspends (`protocol.peer.coroutines`), its task stops leading: another, kept
in reserve or new, goes on reading where it stopped, and the first one sees its handler to the end and then
joins the reserve.

Where more has come than the call whose handler suspended, several workers go on with it, for those may suspend as well,
and each would cost a pass of the loop. They take what has come in turn; the last of them that finds nothing reads.

A caller that does not read its answers must not make this side hold them: while much waits to be sent, further
calls wait unhandled, and are begun one after another as there is room. None waits for another one's handler, which may
itself be waiting for it. Everything else is still read, so that credit, pings and cancels get through.

Every worker leads inside a cancel scope of its own. While it leads, nothing cancels that scope; once
a handler has suspended, the scope is that call's alone, and CANCEL or the deadline cancel it. So a call
that never suspends pays nothing for being cancellable. A scope to which nothing has happened serves again.
"""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any

import trio

from protocol.interface import Blob, Channel, InvalidValue, Stream
from protocol.peer import builtins
from protocol.peer.appetite import Appetite
from protocol.peer.blobs import ReceivedBlob
from protocol.peer.company import current_company
from protocol.peer.context import Call, current
from protocol.peer.coroutines import begin, finish
from protocol.peer.deferred import DeferredCalls
from protocol.peer.errors import ConnectionLost
from protocol.peer.incoming import IncomingTable
from protocol.peer.items import ReceivedStream
from protocol.peer.other_handlers import OtherHandlers, wrong_result
from protocol.peer.reading import Reading
from protocol.peer.service import Handler
from protocol.peer.stalls import check_stall
from protocol.peer.worker import Worker
from protocol.peer.writer import PeerTooSlow
from protocol.transport import TransportError
from protocol.transport.base import RECORD
from protocol.wire import codes
from protocol.wire.codec import unpack
from protocol.wire.errors import CodecError, ErrorInfo, Executed
from protocol.wire.events import CallReceived, Event, ResultReceived

if TYPE_CHECKING:
    from protocol.peer.peer import Peer

logger = logging.getLogger("appserver.calls")

RESERVE = 16
"""Idle workers that one connection keeps."""
READS_IN_A_ROW = 8
"""Reads after which the leader lets other tasks run, should there always be more to read."""
TOGETHER = 16
"""Answers that leave in one write at most: the other side goes on with them while this one handles the next."""


class Dispatcher:
    """The reading half of one connection.

    Args:
        peer: the connection.
        limiter: worker threads for `def` handlers, shared with others.

    Attributes:
        incoming: what callers send beside their arguments, also of calls that wait for room.
        reading: who reads.
    """

    def __init__(self, peer: Peer, limiter: trio.CapacityLimiter) -> None:
        self._peer = peer
        self._connection = peer.connection
        self._transport = peer.transport
        self._events: deque[Event] = deque()
        self.reading = Reading(peer, self._events)
        self._running: dict[int, Worker] = {}  # suspended handlers, by stream
        self.incoming = IncomingTable(peer.credit.consume)
        self._others = OtherHandlers(peer, self.incoming, limiter)
        self._deferred = DeferredCalls()
        self._resuming = False
        self._appetite = Appetite()
        self._reserve: list[Worker] = []
        self._leaders = 1  # workers that handle what has come; the last of them reads
        self._nursery: trio.Nursery  # while it runs
        self._context = Context()

    @property
    def running(self) -> int:
        """Handlers that are suspended."""
        return len(self._running)

    def cancel(self, stream: int) -> None:
        """Cancel the handler of a call."""
        worker = self._running.get(stream)
        if worker is not None:
            worker.cancelled = True
            worker.scope.cancel()
            info = ErrorInfo(codes.CANCELLED, "the caller cancelled the call", Executed.MAYBE)
            self.incoming.fail(stream, info)  # a handler that shields itself may read on
            return
        if self._deferred.remove(stream):
            self._refuse(stream, codes.CANCELLED, "the caller cancelled the call")

    def resume_calls(self) -> None:
        """There is room for answers again."""
        if self._deferred.calls and not self._resuming and not self._peer.ended:
            self._resuming = True
            self._nursery.start_soon(self._handle_deferred)

    def _defer(self, call: CallReceived) -> None:
        """Have a call wait for room; what its caller sends beside the arguments is received all the same."""
        handler = self._peer.service.handlers.get(call.method)
        if handler is not None and handler.method.takes is not Channel.NONE:
            self.incoming.open(call.stream, call.method)
        self._deferred.add(call, trio.current_time())

    async def _handle_deferred(self) -> None:
        """Begin the calls that had to wait while there is room for their answers; none waits for a handler."""
        while self._deferred.calls and self._peer.has_room and not self._peer.ended:
            call = self._deferred.take(trio.current_time())
            worker = Worker()
            worker.call = call  # so it is never taken for the leader
            self._running[call.stream] = worker
            with worker.scope:
                await self._handle(worker, call)
            if worker.scope.cancelled_caught:
                self._answer_cancelled(call, worker)
            self._done(call)
            if worker.scope_used:  # it suspended: another task has gone on with the others
                return
            await trio.lowlevel.checkpoint()
        self._resuming = False

    async def run(self, events: list[Event]) -> None:
        """Read until the connection ends; cancels handlers that still run then.

        Args:
            events: what was received already.
        """
        self._context = copy_context()
        self._events.extend(events)
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            await self._work()  # the first worker is this task: a session that is idle has one less

    async def _work(self) -> None:
        worker = Worker()
        while True:
            with worker.scope:
                try:
                    await self._lead(worker)
                except (TransportError, PeerTooSlow) as exc:
                    self._peer.fail(exc)  # now: the nursery may have to wait for handlers
            if not worker.scope_used:  # the connection has ended
                self._nursery.cancel_scope.cancel()
                return
            call = worker.call
            if call is not None:
                if worker.scope.cancelled_caught:
                    self._answer_cancelled(call, worker)
                self._done(call)
                if len(self._reserve) >= RESERVE:
                    return
            worker.scope = trio.CancelScope()
            worker.scope_used = False
            worker.call = None
            worker.cancelled = False
            if call is not None:
                await self._wait_in_reserve(worker)

    async def _wait_in_reserve(self, worker: Worker) -> None:
        self._reserve.append(worker)
        worker.task = trio.lowlevel.current_task()

        def abort(_: object) -> trio.lowlevel.Abort:
            self._reserve.remove(worker)
            return trio.lowlevel.Abort.SUCCEEDED

        await trio.lowlevel.wait_task_rescheduled(abort)

    def _hand_over(self, worker: Worker, call: CallReceived) -> None:
        """A handler has suspended: have another worker lead, or begin what else has to wait."""
        worker.scope_used = True
        if worker.call is not None:  # this one was not leading
            self._resuming = False
            self.resume_calls()
            return
        worker.call = call
        self._running[call.stream] = worker
        self._leaders -= 1
        # What has suspended once will again: several begin with what is left, in one pass of the loop.
        wanted = max(1, min(len(self._events), RESERVE))
        while self._leaders < wanted:
            self._leaders += 1
            if self._reserve:
                task = self._reserve.pop().task
                assert task is not None
                trio.lowlevel.reschedule(task)
            else:
                self._nursery.start_soon(self._work)

    async def _lead_again(self, worker: Worker) -> None:
        """The handler of a suspended call has ended, and nothing has happened to its scope: go on in there."""
        call = worker.call
        assert call is not None
        self._done(call)
        worker.scope_used = False
        worker.call = None
        await self._wait_in_reserve(worker)

    async def _lead(self, worker: Worker) -> None:
        """Read and handle, until the connection ends or a handler that suspended has ended."""
        events = self._events
        connection = self._connection
        receive = self._transport.receive_nowait
        peer = self._peer
        appetite = self._appetite
        company = current_company()
        reading = self.reading
        reads = handled = 0
        more = True
        while True:
            while events:
                event = events.popleft()
                kind = type(event)
                if kind is CallReceived:
                    if self._deferred.calls or not peer.has_room:
                        self._defer(event)  # type: ignore[arg-type]
                        continue
                    await self._handle(worker, event)  # type: ignore[arg-type]
                    handled += 1
                    if not handled % TOGETHER:
                        peer.flush()
                    if worker.scope_used:
                        if not worker.is_reusable:
                            return
                        await self._lead_again(worker)
                elif kind is ResultReceived:
                    event.owner.settle(event.body)  # type: ignore[union-attr]
                else:
                    peer.take_event(event)
            if peer.ended:
                return
            if self._leaders > 1:  # another one reads
                self._leaders -= 1
                await self._wait_in_reserve(worker)
                continue
            peer.batch_done()
            peer.flush()
            if self._deferred.calls and peer.has_room:
                self.resume_calls()
            data = receive() if more else None
            if data is None:
                reads = 0
                more = True
                await reading.wait_in_lead()
                reading.resume_lead()
            elif data:
                company.note(reading)
                now = trio.current_time()
                while data:
                    events.extend(connection.receive(data, now))
                    reads += 1
                    more = len(data) >= RECORD or appetite.is_due()
                    if not more or reads >= READS_IN_A_ROW:
                        break
                    data = receive()
                    appetite.tried(bool(data))
                    more = data is not None
                if reads >= READS_IN_A_ROW:
                    reads = 0
                    peer.flush()
                    await trio.lowlevel.cancel_shielded_checkpoint()
            else:
                said = peer.goaway.text if peer.goaway is not None else ""
                peer.end(said or "the other side closed the connection")
                return

    async def _handle(self, worker: Worker, call: CallReceived) -> None:
        """Run one call's handler and queue its answer."""
        stream = call.stream
        connection = self._connection
        handler = self._peer.service.handlers.get(call.method)
        if handler is None:
            builtins.answer(self._peer, call)
            return
        method = handler.method
        try:
            channel = None if method.takes is Channel.NONE else self._channel(call, handler)
            args, kwargs = method.decode_arguments(unpack(call.body, connection.limits), channel)
        except (InvalidValue, CodecError, RecursionError) as exc:
            self._refuse(stream, codes.INVALID_ARGUMENTS, str(exc))
            return
        if call.deadline is not None:
            if call.deadline < 0:
                self._refuse(stream, codes.DEADLINE_EXCEEDED, "the call waited longer for its turn")
                return
            worker.scope.deadline = trio.current_time() + call.deadline
        context = self._context.copy()
        told = Call(call.method, self._peer, stream, worker.scope)
        context.run(current.set, told)
        started = time.monotonic()
        try:
            if handler.is_plain:
                coroutine = handler.function(*args, **kwargs)
            else:
                coroutine = self._others.run(handler, call, args, kwargs)
            try:
                trap = begin(coroutine, context)
            except StopIteration as stop:  # it has not suspended
                result = stop.value
            else:
                check_stall(started, call.method)
                self._hand_over(worker, call)
                result = await finish(coroutine, context, trap)
            if method.gives is Channel.NONE:
                self._answer(handler, stream, result)
        except BaseException as exc:
            self._answer_failure(call, exc)
        told.end()
        if worker.call is not None:
            untouched = not (told.scope_taken or worker.scope.cancel_called) and call.deadline is None
            worker.is_reusable = untouched and len(self._reserve) < RESERVE
        else:
            worker.is_reusable = False
            worker.scope_used = told.scope_taken
            check_stall(started, call.method)
            if self.incoming:
                self.incoming.pop(stream, None)
            if call.deadline is not None:
                worker.scope.deadline = math.inf

    def _refuse(self, stream: int, code: str, text: str) -> None:
        """Fail a call whose handler has not begun."""
        self.incoming.pop(stream, None)
        self._connection.refuse_call(stream, code, text)

    def _answer_failure(self, call: CallReceived, error: BaseException) -> None:
        """Fail a call with what its handler raised; a cancellation and Ctrl+C go on their way."""
        if isinstance(error, trio.Cancelled | KeyboardInterrupt):
            raise error
        cancelled = None
        if isinstance(error, BaseExceptionGroup) and not isinstance(error, Exception):
            if error.subgroup(KeyboardInterrupt) is not None:
                raise error
            cancelled, failed = error.split(trio.Cancelled)
            if failed is None:
                raise error
            error = failed
        if self._peer.ended and isinstance(error, ConnectionLost):
            return  # nobody is there to be told, and nothing is wrong here
        self._connection.send_error(call.stream, self._peer.service.errors.to_info(error, call.method))
        if cancelled is not None:
            raise cancelled

    def _answer(self, handler: Handler, stream: int, result: object) -> None:
        """Queue a call's result."""
        try:
            body = self._connection.pack(handler.method.encode_result(result))
        except (InvalidValue, CodecError, RecursionError) as exc:
            raise wrong_result(handler, exc) from exc
        self._connection.send_result(stream, body)

    def _channel(self, call: CallReceived, handler: Handler) -> Stream[Any] | Blob:
        """What a handler receives beside its arguments."""
        incoming = self.incoming.open(call.stream, call.method)
        if handler.method.takes is Channel.BYTES:
            return ReceivedBlob(incoming, self._peer)
        assert handler.method.take_item is not None
        return ReceivedStream(incoming, handler.method.take_item, self._peer)

    def _answer_cancelled(self, call: CallReceived, worker: Worker) -> None:
        if call.stream not in self._connection.streams.taken:
            return  # it was answered before it noticed
        if worker.cancelled:
            code, text = codes.CANCELLED, "the caller cancelled the call"
        elif trio.current_time() >= worker.scope.deadline:
            code, text = codes.DEADLINE_EXCEEDED, "the handler did not finish before the caller's deadline"
        else:
            code, text = codes.CANCELLED, "the handler cancelled itself"
        self._connection.send_error(call.stream, ErrorInfo(code, text, Executed.MAYBE))

    def _done(self, call: CallReceived) -> None:
        """A handler that had suspended has ended."""
        self._running.pop(call.stream, None)
        self.incoming.pop(call.stream, None)
        self._peer.wake()
        self._peer.call_done()
