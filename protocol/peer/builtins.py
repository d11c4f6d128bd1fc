"""What every side answers without an application: its description, and who may subscribe to what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from protocol.wire import codes
from protocol.wire.codec import pack, unpack
from protocol.wire.errors import CodecError
from protocol.wire.events import CallReceived

if TYPE_CHECKING:
    from protocol.peer.peer import Peer

DESCRIBE = "rpc.describe"
"""Takes the name of an interface, or nil for all; returns descriptions by name."""


def answer(peer: Peer, call: CallReceived) -> None:
    """Answer a call that no interface has a handler for."""
    connection = peer.connection
    if call.method != DESCRIBE:
        connection.refuse_call(call.stream, codes.UNKNOWN_METHOD, f"there is no method {call.method} here")
        return
    try:
        match unpack(call.body, connection.limits):
            case [None, dict()] | [dict()]:
                described = peer.service.describe()
            case [str(name), dict()]:
                described = peer.service.describe([name])
            case _:
                raise CodecError("expected the name of an interface, or nothing")
        connection.send_result(call.stream, pack(described))
    except CodecError as exc:
        connection.refuse_call(call.stream, codes.INVALID_ARGUMENTS, str(exc))


def subscribe(peer: Peer, stream: int, name: str, extra: dict[str, Any]) -> None:
    """Answer a SUB."""
    topic = peer.service.topics.get(name)
    if topic is None:
        peer.connection.refuse_call(stream, codes.UNKNOWN_TOPIC, f"there is no event {name} here")
    else:
        peer.service.topics.subscribe(topic, peer, stream, extra)
