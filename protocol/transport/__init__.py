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
from protocol.transport.memory import (
    Link,
    MemoryTransport,
)
from protocol.transport.memory_tls import (
    MemoryTlsTransport,
)
from protocol.transport.opening import (
    Verify,
    open_client,
    open_server,
)
from protocol.transport.pipe import (
    Cut,
    Pipe,
    PipeStatistics,
)
from protocol.transport.plain import (
    PlainTransport,
)
from protocol.transport.sockets import (
    is_foreign,
    poller,
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
    "Cut",
    "EncryptionRequired",
    "HandshakeTimeout",
    "HttpClient",
    "Link",
    "Listener",
    "ListenerStatistics",
    "MemoryTlsTransport",
    "MemoryTransport",
    "Mismatch",
    "NotAnAppserver",
    "Pipe",
    "PipeStatistics",
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
    "Verify",
    "accept_transport",
    "connect_tcp",
    "connect_transport",
    "format_location",
    "is_foreign",
    "open_client",
    "open_listeners",
    "open_server",
    "open_tls",
    "poller",
]
