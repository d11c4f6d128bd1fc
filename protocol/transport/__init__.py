"""The only room with sockets: connections, plain or encrypted, over TCP or in memory."""

from protocol.transport.accepting import (
    accept_transport,
)
from protocol.transport.address import (
    Address,
    AddressError,
    format_location,
)
from protocol.transport.base import (
    Carrier,
    Security,
    Transport,
)
from protocol.transport.connecting import (
    connect_tcp,
    connect_transport,
)
from protocol.transport.errors import (
    CannotListen,
    ConnectionRefused,
    ConnectionReset,
    ConnectionTruncated,
    ConnectTimeout,
    EncryptionRequired,
    HandshakeTimeout,
    HttpClient,
    Mismatch,
    NotAnAppserver,
    PlainClient,
    ServerNotEncrypted,
    TlsClient,
    TlsFailure,
    TransportClosed,
    TransportError,
    UnknownClient,
    UnknownHost,
    Unreachable,
)
from protocol.transport.listener import (
    Listener,
    ListenerStatistics,
    open_listeners,
)
from protocol.transport.plain import (
    PlainTransport,
)
from protocol.transport.tls import (
    TlsTransport,
    open_tls,
)

__all__ = [
    "Address",
    "AddressError",
    "CannotListen",
    "Carrier",
    "ConnectTimeout",
    "ConnectionRefused",
    "ConnectionReset",
    "ConnectionTruncated",
    "EncryptionRequired",
    "HandshakeTimeout",
    "HttpClient",
    "Listener",
    "ListenerStatistics",
    "Mismatch",
    "NotAnAppserver",
    "PlainClient",
    "PlainTransport",
    "Security",
    "ServerNotEncrypted",
    "TlsClient",
    "TlsFailure",
    "TlsTransport",
    "Transport",
    "TransportClosed",
    "TransportError",
    "UnknownClient",
    "UnknownHost",
    "Unreachable",
    "accept_transport",
    "connect_tcp",
    "connect_transport",
    "format_location",
    "open_listeners",
    "open_tls",
]
