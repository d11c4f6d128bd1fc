"""Handlers that are more than `async def` with values: those in threads, and those that give streams and blobs."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import trio

from protocol.interface import Blob, Channel, InvalidValue, Stream
from protocol.peer.blobs import send_blob
from protocol.peer.incoming import IncomingTable
from protocol.peer.items import send_items
from protocol.peer.replies import Refusal
from protocol.peer.service import Handler
from protocol.wire import codes
from protocol.wire.errors import Executed
from protocol.wire.events import CallReceived

if TYPE_CHECKING:
    from protocol.peer.peer import Peer

logger = logging.getLogger("appserver.calls")


class OtherHandlers:
    """Runs them for one connection.

    Args:
        peer: the connection.
        incoming: what callers send beside their arguments.
        limiter: worker threads for `def` handlers, shared with other connections.
    """

    def __init__(self, peer: Peer, incoming: IncomingTable, limiter: trio.CapacityLimiter) -> None:
        self._peer = peer
        self._incoming = incoming
        self._limiter = limiter
        # No connection takes more than a share of the threads: the others' calls would wait behind its.
        self._share = trio.CapacityLimiter(max(1, int(limiter.total_tokens) // 4))

    async def run(self, handler: Handler, call: CallReceived, args: list[Any], kwargs: Any) -> object:
        """Run a handler that is not simply `async def` with values: threads, streams and blobs."""
        if handler.method.takes is Channel.BYTES:
            await self._incoming[call.stream].wait_head()  # its size and name, for the handler to judge by
        if handler.asynchronous:
            result = await handler.function(*args, **kwargs)
        else:
            async with self._share:
                result = await trio.to_thread.run_sync(
                    lambda: handler.function(*args, **kwargs), limiter=self._limiter
                )
        match handler.method.gives:
            case Channel.VALUES:
                await self._send_stream(handler, call.stream, result)
            case Channel.BYTES:
                await self._send_blob(handler, call, result)
        return result

    async def _send_stream(self, handler: Handler, stream: int, result: object) -> None:
        converter = handler.method.give_item
        if not isinstance(result, Stream) or converter is None:
            raise Refusal(codes.INVALID_RESULT, "result: expected Stream", Executed.YES)
        try:
            await send_items(self._peer, stream, result, converter)
        except InvalidValue as exc:
            raise wrong_result(handler, exc) from exc
        self._peer.connection.send_end(stream)

    async def _send_blob(self, handler: Handler, call: CallReceived, result: object) -> None:
        if not isinstance(result, Blob):
            raise Refusal(codes.INVALID_RESULT, "result: expected Blob", Executed.YES)
        offset = call.extra.get("offset")
        await send_blob(self._peer, call.stream, result, offset=offset if type(offset) is int else 0)


def wrong_result(handler: Handler, finding: Exception) -> Refusal:
    """Log that a handler breaks its contract; returns what fails the call."""
    logger.error(
        "handler returned what its interface does not say",
        extra={"method": handler.method.qualified, "finding": str(finding)},
    )
    return Refusal(codes.INVALID_RESULT, str(finding), Executed.YES)
