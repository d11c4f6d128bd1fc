"""The runtime of one connection, the same for server and client: calls, streams, blobs and events."""

from protocol.peer.calling import PeerCaller
from protocol.peer.connections import OnePeer
from protocol.peer.errors import (
    BlobDamaged,
    CallCancelled,
    CallError,
    CallTooLarge,
    ConnectionLost,
    DeadlineExceeded,
    Draining,
    InternalError,
    InvalidArguments,
    InvalidResult,
    SlowSubscriber,
    TooManyCalls,
    UnknownMethod,
)
from protocol.peer.handshake import (
    HandshakeEnded,
    check_plain_server,
    receive_hello,
    receive_welcome,
    send_pending,
)
from protocol.peer.limits import connection_limits
from protocol.peer.peer import Peer
from protocol.peer.service import Service
from protocol.peer.statistics import PeerStatistics
from protocol.peer.subscriptions import EventQueue

__all__ = [
    "BlobDamaged",
    "CallCancelled",
    "CallError",
    "CallTooLarge",
    "ConnectionLost",
    "DeadlineExceeded",
    "Draining",
    "EventQueue",
    "HandshakeEnded",
    "InternalError",
    "InvalidArguments",
    "InvalidResult",
    "OnePeer",
    "Peer",
    "PeerCaller",
    "PeerStatistics",
    "Service",
    "SlowSubscriber",
    "TooManyCalls",
    "UnknownMethod",
    "check_plain_server",
    "connection_limits",
    "receive_hello",
    "receive_welcome",
    "send_pending",
]
