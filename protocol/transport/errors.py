"""What goes wrong on a connection: one class for each cause.

Every error carries where it happened, what happened and what to do about it. The classes say whose
affair the failure is: the first group arises while a connection is made, the second while it is used,
the third when the two sides speak different things (most often: encryption switched differently).
All that TLS itself refuses is a `TlsFailure`; `protocol.certs` tells its causes apart.
"""

from __future__ import annotations

SWITCH = "client_server.encrypt"
"""The setting that switches encryption; both sides must agree on it."""


class TransportError(Exception):
    """A connection could not be made or did not hold; the text says where, why and what next.

    Attributes:
        address: the other side, as `host:port`; for a listener, the own address.
        cause: what happened, half a sentence.
        next_step: what the reader can do about it, a sentence without its full stop; may be empty.
    """

    default_cause = "the connection failed"
    default_next_step = ""

    def __init__(self, address: str, cause: str = "", next_step: str = "") -> None:
        self.address = address
        self.cause = cause or self.default_cause
        self.next_step = next_step or self.default_next_step
        super().__init__(address, self.cause, self.next_step)

    def __str__(self) -> str:
        text = f"{self.address}: {self.cause}"
        return f"{text}. {self.next_step}." if self.next_step else text


class CannotListen(TransportError):
    """The server cannot take connections at that address: in use, not its own, or not permitted."""

    default_cause = "this address cannot be listened on"
    default_next_step = "Choose another client_server.host or client_server.port"


class ConnectionRefused(TransportError):
    """The host answers, but no program listens on that port."""

    default_cause = "no program listens there"
    default_next_step = "Check that the server is running and that the port is its client_server.port"


class UnknownHost(TransportError):
    """The host's name cannot be resolved."""

    default_cause = "this host name is not known"
    default_next_step = "Check the spelling and this computer's network connection"


class Unreachable(TransportError):
    """No way leads to the host: network down, no route, or blocked by a firewall."""

    default_cause = "the host cannot be reached"
    default_next_step = "Check this computer's network connection, its VPN and firewalls on the way"


class ConnectTimeout(TransportError):
    """Nobody answered in time, not even with a refusal."""

    default_cause = "nobody answered in time"
    default_next_step = "Check the address and whether a firewall drops connections to this port"


class HandshakeTimeout(TransportError):
    """The connection stands, but its opening was not finished in time (`timeouts.handshake`)."""

    default_cause = "the handshake was not finished in time"
    default_next_step = "Check that an appserver listens there and that it is not overloaded"


class ConnectionReset(TransportError):
    """The connection was broken off by the other side or by something between."""

    default_cause = "the connection was reset by the other side"
    default_next_step = "Check that the other side is running, then connect again"


class ConnectionTruncated(TransportError):
    """An encrypted connection ended without saying so: what was received may not be all there was.

    An attacker can end a connection like this, so the end is never taken for the sender's own.
    Source: RFC 8446, section 6.1.
    """

    default_cause = "the encrypted connection ended without a goodbye"
    default_next_step = "Check that the other side is running, then connect again"


class TransportClosed(TransportError):
    """This side has closed the connection already; a use after that is a mistake of the caller."""

    default_cause = "this side has closed the connection"


class TlsFailure(TransportError):
    """TLS could not be agreed on, or an encrypted record was damaged.

    The `ssl.SSLError` is the `__cause__`.

    Attributes:
        reason: OpenSSL's name of the reason, such as `CERTIFICATE_VERIFY_FAILED`, or an empty text.
        alert: the alert that the other side sent, such as `unknown_ca`, or None.
    """

    default_cause = "TLS failed"

    def __init__(
        self,
        address: str,
        cause: str = "",
        next_step: str = "",
        *,
        reason: str = "",
        alert: str | None = None,
    ) -> None:
        super().__init__(address, cause, next_step)
        self.reason = reason
        self.alert = alert


class ServerNotEncrypted(TransportError):
    """This client encrypts, and the server says that it does not."""

    default_cause = f"encryption is on here and off on the server (setting {SWITCH})"
    default_next_step = f"Set {SWITCH} to the same value on both sides"


class EncryptionRequired(TransportError):
    """This client does not encrypt, and the server takes encrypted connections only."""

    default_cause = f"encryption is off here and on at the server (setting {SWITCH})"
    default_next_step = f"Set {SWITCH} to the same value on both sides"


class NotAnAppserver(TransportError):
    """A program listens there, but it speaks something else."""

    default_cause = "the program that listens there is not an appserver"
    default_next_step = "Check the host and the port (client_server.port)"


class Mismatch(TransportError):
    """A client that speaks something else than this server; it was told and the connection is closed.

    Attributes:
        start: the first octets that it sent, at most 16.
    """

    default_cause = "the client speaks another protocol"

    def __init__(self, address: str, cause: str = "", next_step: str = "", *, start: bytes = b"") -> None:
        super().__init__(address, cause, next_step)
        self.start = start


class PlainClient(Mismatch):
    """A client that does not encrypt, at a server that does."""

    default_cause = f"the client does not encrypt and this server does (setting {SWITCH})"
    default_next_step = f"Set {SWITCH} to the same value on both sides"


class TlsClient(Mismatch):
    """A client that encrypts, at a server that does not."""

    default_cause = f"the client encrypts and this server does not (setting {SWITCH})"
    default_next_step = f"Set {SWITCH} to the same value on both sides"


class HttpClient(Mismatch):
    """A web browser or another HTTP client."""

    default_cause = "the client speaks HTTP"
    default_next_step = "This port is for appserver clients; the web server has a port of its own"


class UnknownClient(Mismatch):
    """A client that speaks none of the protocols that are recognised."""

    default_cause = "the client speaks an unknown protocol"
