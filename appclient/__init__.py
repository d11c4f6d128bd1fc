"""The client SDK: typed proxies of a server's interfaces over a connection that comes back by itself."""

from appclient.client import Client, ClientStatistics, connect
from appclient.errors import (
    Closed,
    ConnectError,
    EncryptionDowngrade,
    HandshakeFailed,
    InterfaceMismatch,
    NotConnected,
    Refused,
)
from appclient.state import ConnectionState, StateChange

__all__ = [
    "Client",
    "ClientStatistics",
    "Closed",
    "ConnectError",
    "ConnectionState",
    "EncryptionDowngrade",
    "HandshakeFailed",
    "InterfaceMismatch",
    "NotConnected",
    "Refused",
    "StateChange",
    "connect",
]
