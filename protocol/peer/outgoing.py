"""What calls of this side have in common: the CALL frame that opens them, and what is sent beside it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import trio

from protocol.interface import Blob, InvalidValue, Method, Stream
from protocol.peer.background import open_background
from protocol.peer.blobs import send_blob
from protocol.peer.deadlines import effective_deadline
from protocol.peer.errors import CallTooLarge
from protocol.peer.items import send_items
from protocol.peer.peer import Owner, Peer
from protocol.peer.pending import Extra
from protocol.wire import codes
from protocol.wire.errors import CodecError, ErrorInfo, Executed, MessageTooLarge


def open_call(
    peer: Peer,
    owner: Owner,
    body: list[Any],
    *,
    deadline: float | None = None,
    extra: Extra | None = None,
    reads: bool = False,
) -> int:
    """Send a call and return its stream.

    Args:
        peer: the connection, which takes calls.
        owner: what the answer's frames are for.
        body: the arguments.
        deadline: of the caller's cancel scopes, on the loop's clock, where it has asked for it already.
        extra: the CALL frame's optional map.
        reads: the caller reads for its result where that is lent.

    Raises:
        CallTooLarge: the other side takes no arguments of this size.
        InvalidValue: one of them cannot be packed.
        ConnectionLost: the connection is over; nothing was executed.
    """
    if deadline is None:
        deadline = effective_deadline()
    try:
        return peer.open(owner, peer.connection.pack(body), deadline, extra=extra, reads=reads)
    except (MessageTooLarge, CodecError) as exc:
        peer.batch_done()  # the slot that this call waited for is another's
        raise unsendable(exc, owner.method, "args", Executed.NO) from exc


def unsendable(
    error: MessageTooLarge | CodecError, method: str, place: str, executed: Executed
) -> CallTooLarge | InvalidValue:
    """What the caller sees where something of its own cannot be sent."""
    if isinstance(error, MessageTooLarge):
        return CallTooLarge(ErrorInfo(codes.MESSAGE_TOO_LARGE, str(error), executed), method)
    return InvalidValue(place, "a value that can be sent", str(error))


@asynccontextmanager
async def sending(
    peer: Peer, method: Method, stream: int, channel: Stream[Any] | Blob
) -> AsyncIterator[None]:
    """Send a call's stream or blob while the body runs, which usually waits for the outcome.

    Should the source fail, the call is cancelled and the source's own exception is what the caller sees.
    """
    failure: Exception | None = None

    async def send(nursery: trio.Nursery) -> None:
        nonlocal failure
        try:
            if isinstance(channel, Blob):
                await send_blob(peer, stream, channel)
            else:
                assert method.take_item is not None
                await send_items(peer, stream, channel, method.take_item)
                peer.connection.send_end(stream)
                peer.wake()
        except Exception as exc:
            if not peer.ended:  # otherwise the call's own outcome says it
                failure = exc
                if isinstance(exc, MessageTooLarge | CodecError):
                    failure = unsendable(exc, method.qualified, "item", Executed.MAYBE)
                nursery.cancel_scope.cancel()

    try:
        async with open_background() as nursery:
            nursery.start_soon(send, nursery)
            yield
    finally:
        peer.abandon(stream)  # nothing happens where the call has its outcome
    if failure is not None:
        raise failure
