"""The client SDK: typed proxies of a server's interfaces over a connection that comes back by itself."""

from appclient.client import Client, ClientStatistics
from appclient.errors import (
    CONNECT_ERRORS,
    Closed,
    ConnectError,
    EncryptionDowngrade,
    HandshakeIncomplete,
    InterfaceMismatch,
    NotConnected,
    Refused,
)
from appclient.opening import connect
from appclient.state import ConnectionState, StateChange

__all__ = [
    "CONNECT_ERRORS",
    "Client",
    "ClientStatistics",
    "Closed",
    "ConnectError",
    "ConnectionState",
    "EncryptionDowngrade",
    "HandshakeIncomplete",
    "InterfaceMismatch",
    "NotConnected",
    "Refused",
    "StateChange",
    "connect",
]
