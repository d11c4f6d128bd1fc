"""The client SDK: typed proxies of a server's interfaces over a connection that comes back by itself."""

from appclient.asking import ServerFacts
from appclient.client import Client, ClientStatistics
from appclient.errors import (
    CONNECT_ERRORS,
    Closed,
    ConnectError,
    EncryptionDowngrade,
    ExpiredCode,
    HandshakeIncomplete,
    InterfaceMismatch,
    JoinInterrupted,
    JoinRefused,
    NotConnected,
    Refused,
    TrustRefused,
    UnknownCode,
    UsedCode,
)
from appclient.joining import join
from appclient.opening import connect
from appclient.state import ConnectionState, StateChange
from protocol.certs import Joined
from protocol.peer import (
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
from protocol.wire.errors import Executed

__all__ = [
    "CONNECT_ERRORS",
    "BlobDamaged",
    "CallCancelled",
    "CallError",
    "CallTooLarge",
    "Client",
    "ClientStatistics",
    "Closed",
    "ConnectError",
    "ConnectionLost",
    "ConnectionState",
    "DeadlineExceeded",
    "Draining",
    "EncryptionDowngrade",
    "Executed",
    "ExpiredCode",
    "HandshakeIncomplete",
    "InterfaceMismatch",
    "InternalError",
    "InvalidArguments",
    "InvalidResult",
    "JoinInterrupted",
    "JoinRefused",
    "Joined",
    "NotConnected",
    "Refused",
    "ServerFacts",
    "SlowSubscriber",
    "StateChange",
    "TooManyCalls",
    "TrustRefused",
    "UnknownCode",
    "UnknownMethod",
    "UsedCode",
    "connect",
    "join",
]
