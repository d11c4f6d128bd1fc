"""Why a client has no connection, beyond what the transport and the certificates say.

What fails below has its own classes: `TransportError` for the network and a switch that is set differently,
`PeerError` for TLS and the server's certificate, `ResourcesError` for this client's own files. All of them
name the address or file, the cause and the next step; `CONNECT_ERRORS` is all of them, for one `except`.
"""

from __future__ import annotations

from collections.abc import Sequence

from protocol.certs import PeerError, ResourcesError
from protocol.transport import TransportError
from protocol.wire.envelope import Refuse


class ConnectError(Exception):
    """The server was reached, and this client cannot work with it.

    Attributes:
        address: of the server.
        cause: what happened.
        next_step: what to do.
    """

    def __init__(self, address: str, cause: str, next_step: str) -> None:
        super().__init__(address, cause, next_step)
        self.address = address
        self.cause = cause
        self.next_step = next_step

    def __str__(self) -> str:
        return f"{self.address}: {self.cause}. {self.next_step}"


class Refused(ConnectError):
    """The server refused this client.

    Attributes:
        code: stable string.
        reference: under which the administrator finds the refusal in the server's log.
        retry_after: seconds after which another try makes sense, or None.
    """

    def __init__(self, address: str, refuse: Refuse) -> None:
        reference = f" with the reference {refuse.reference}" if refuse.reference else ""
        super().__init__(address, refuse.text, f"Ask the administrator{reference}")
        self.code = refuse.code
        self.reference = refuse.reference
        self.retry_after = refuse.retry_after


class InterfaceMismatch(ConnectError):
    """The server's interface is not the one this client was written against.

    Attributes:
        interface: its name.
        differences: one sentence for each breaking difference.
    """

    def __init__(self, address: str, interface: str, differences: Sequence[str]) -> None:
        super().__init__(
            address,
            f"the interface {interface} differs: {'; '.join(differences)}",
            "Update the client or the server",
        )
        self.interface = interface
        self.differences = tuple(differences)


class HandshakeIncomplete(ConnectError):
    """The server did not complete the handshake.

    Attributes:
        retry_after: seconds after which it asks to be tried again, or None.
    """

    def __init__(self, address: str, cause: str, next_step: str, *, retry_after: float | None = None) -> None:
        super().__init__(address, cause, next_step)
        self.retry_after = retry_after


class EncryptionDowngrade(ConnectError):
    """This client has seen the server encrypted before and will not talk to it in plain text."""


class TrustRefused(ConnectError):
    """Nothing vouches for the server, and whoever was asked (`trust="ask"`) did not accept it.

    Attributes:
        fingerprint: of the key that was not accepted.
    """

    def __init__(self, address: str, fingerprint: str) -> None:
        super().__init__(
            address,
            f"the server was not accepted: nothing vouches for its key {fingerprint}, and the answer was no",
            "Ask the server's administrator for the fingerprint by another way, compare, then connect again",
        )
        self.fingerprint = fingerprint


class JoinRefused(ConnectError):
    """The server does not take this client in."""


class UnknownCode(JoinRefused):
    """The server has no invitation with this code."""


class UsedCode(JoinRefused):
    """Somebody has joined by this code, or under its name, with another key."""


class ExpiredCode(JoinRefused):
    """The code's time is over."""


class JoinInterrupted(ConnectError):
    """Joining was cut off; with the same code it goes on where it ended."""


class NotConnected(ConnectError):
    """There was no connection for a call, for longer than `timeouts.reconnect_wait`; it was not executed."""


class Closed(ConnectError):
    """The client was closed."""


CONNECT_ERRORS = (ConnectError, TransportError, PeerError, ResourcesError)
"""Everything that `connect` raises where there is no connection to be had."""
