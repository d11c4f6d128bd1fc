"""What a proxy's methods return: calls, streams and blobs on whatever connection there is.

`PeerCaller` is the `Caller` behind every async proxy. It asks for a connection each time it needs one, so
that the client, whose connections come and go, and a handler that calls back on the one it has, use the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import trio

from protocol.interface import Blob, Channel, EventSpec, InvalidValue, Method, Stream
from protocol.peer.called import CalledBlob, CalledStream
from protocol.peer.connections import Connections
from protocol.peer.deadlines import effective_deadline
from protocol.peer.leaving import is_invitation
from protocol.peer.outgoing import open_call, sending, unsendable
from protocol.peer.outside import OutsideCaller
from protocol.peer.peer import Peer
from protocol.peer.pending import PendingCall, own_deadline_first
from protocol.peer.subscriptions import EventQueue, RemoteSubscription
from protocol.wire import codes
from protocol.wire.codec import pack, unpack
from protocol.wire.errors import CodecError, ErrorInfo, Executed, MessageTooLarge


class PeerCaller:
    """Carries out the calls of proxies.

    Args:
        connections: where the connection comes from.
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections

    def call(self, method: Method, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """A coroutine, a stream or a blob, by the method's form."""
        body, channel = method.encode_arguments(args, kwargs)
        match method.gives:
            case Channel.VALUES:
                return CalledStream(self._connections, method, body, channel)
            case Channel.BYTES:
                return CalledBlob(self._connections, method, body, channel)
        peer = self._connections.peer_nowait()
        if channel is not None:
            return self._call_sending(method, body, channel)
        if peer is None:
            return self._call_later(method, body)
        return call_on(peer, method, body, self._connections)

    def subscribe(self, event: EventSpec, **options: Any) -> Any:
        """A subscription, not begun yet."""
        queue = EventQueue(event)
        connections = self._connections
        return RemoteSubscription(queue, connections.subscribe, connections.unsubscribe, **options)

    async def _call_later(self, method: Method, body: list[Any]) -> Any:
        return await call_on(await self._connections.wait_peer(method), method, body, self._connections)

    async def _call_sending(self, method: Method, body: list[Any], channel: Stream[Any] | Blob) -> Any:
        """A call with a stream or blob among its arguments."""
        await trio.lowlevel.checkpoint_if_cancelled()
        peer = await self._connections.wait_peer(method)
        await peer.wait_slot()
        pending = PendingCall(method.qualified)
        stream = open_call(peer, pending, body)
        async with sending(peer, method, stream, channel):
            outcome = await pending.wait()
        return _decode(peer, method, outcome)


async def call_on(peer: Peer, method: Method, body: list[Any], connections: Connections) -> Any:
    """Make a plain call on a connection and wait for its result.

    A call that met the announcement of the connection's end, and so was not executed, goes to the next one.
    """
    if not peer.takes_calls:
        await peer.wait_slot()
    if peer.goaway is not None and is_invitation(peer.goaway):
        return await call_on(await connections.wait_peer(method), method, body, connections)
    deadline = effective_deadline()
    if deadline == -math.inf:  # cancelled: what nobody waits for any more must not run
        await trio.sleep_forever()
    pending = PendingCall(method.qualified)
    stream = open_call(peer, pending, body, deadline=deadline, reads=True)
    try:
        if peer.reading.is_free:
            outcome = await peer.reading.wait(pending)
        else:
            await pending.settled()
            outcome = pending.outcome
            if type(outcome) is not bytes:
                await own_deadline_first(outcome)
    except trio.Cancelled:
        peer.abandon(stream)
        raise
    if type(outcome) is not bytes and _goes_on(peer, outcome):
        return await call_on(await connections.wait_peer(method), method, body, connections)
    return _decode(peer, method, outcome)


def _goes_on(peer: Peer, outcome: bytes | ErrorInfo) -> bool:
    """Whether a call is to be made on the next connection, for this one's announced end met it."""
    return isinstance(outcome, ErrorInfo) and outcome.code == codes.DRAINING and is_invitation(peer.goaway)


NOT_HERE = object()
"""What `call_outside` gives where the loop has to make a call."""


def call_outside(
    caller: OutsideCaller,
    peer: Peer,
    method: Method,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    *,
    timeout: float | None,
) -> Any:
    """Make a plain call in a thread outside of the loop.

    Raises:
        TimeoutError: it took longer than `timeout` seconds.
    """
    body, _ = method.encode_arguments(args, kwargs)
    try:
        outcome = caller.call(peer, method.qualified, pack(body), timeout)
    except (MessageTooLarge, CodecError) as exc:
        raise unsendable(exc, method.qualified, "args", Executed.NO) from exc
    if outcome is None or _goes_on(peer, outcome):
        return NOT_HERE
    return _decode(peer, method, outcome)


def _decode(peer: Peer, method: Method, outcome: bytes | ErrorInfo) -> Any:
    if type(outcome) is not bytes:
        assert isinstance(outcome, ErrorInfo)
        raise peer.to_exception(outcome, method.qualified)
    try:
        return method.decode_result(unpack(outcome, peer.connection.limits))
    except (InvalidValue, CodecError, RecursionError) as exc:
        info = ErrorInfo(codes.INVALID_RESULT, str(exc), Executed.YES)
        raise peer.to_exception(info, method.qualified) from exc
