"""What OpenSSL says, in the words of this room.

What a TLS error means to a user is said in `protocol.certs`; here it is told apart from a broken connection
and from another protocol. The `ssl.SSLError` is kept as `__cause__`.
"""

from __future__ import annotations

import ssl
from typing import Final

from protocol.certs import translate_ssl_error
from protocol.certs.verify_errors import reason_of
from protocol.transport.errors import (
    ConnectionReset,
    ConnectionTruncated,
    NotAnAppserver,
    ServerNotEncrypted,
    TlsFailure,
    TransportError,
)
from protocol.transport.sockets import translate_os_error

_ALERT: Final = "_ALERT_"

# What another protocol's first octets look like to a TLS client.
_FOREIGN: Final = frozenset(
    {
        "WRONG_VERSION_NUMBER",
        "HTTP_REQUEST",
        "HTTPS_PROXY_REQUEST",
        "RECORD_LAYER_FAILURE",
        "UNKNOWN_PROTOCOL",
        "PACKET_LENGTH_TOO_LONG",
        "ENCRYPTED_LENGTH_TOO_LONG",
        "DATA_LENGTH_TOO_LONG",
        "UNEXPECTED_MESSAGE",
        "UNEXPECTED_RECORD",
        "INVALID_ALERT",
        "BAD_RECORD_TYPE",
        "NO_APPLICATION_PROTOCOL",
    }
)


def translate_tls_error(error: OSError, address: str) -> TransportError:
    """The transport's name for what went wrong on an encrypted connection that stood.

    Args:
        error: as raised by a read or a write; `ssl.SSLError` is an OSError.
        address: the other side's.
    """
    if not isinstance(error, ssl.SSLError):
        return translate_os_error(error, address)
    if _is_reset(error):
        return ConnectionReset(address)
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return ConnectionTruncated(address)
    return _failure(error, address)


def translate_client_handshake(error: OSError, address: str) -> TransportError:
    """The client's name for what went wrong in a handshake: the server may speak something else."""
    if isinstance(error, ssl.SSLError):
        reason, alert = split_reason(error)
        if alert == "insufficient_security":
            return ServerNotEncrypted(address)
        if reason in _FOREIGN or alert == "no_application_protocol":
            return NotAnAppserver(
                address, "the program that listens there does not speak TLS as an appserver does"
            )
    return _handshake_failure(error, address)


def translate_server_handshake(error: OSError, address: str) -> TransportError:
    """The server's name for what went wrong in a handshake."""
    if isinstance(error, ssl.SSLCertVerificationError):
        cause = f"the client's certificate is not acceptable ({error.verify_message.rstrip('.')})"
        next_step = "Look at the client's cert.pem, and at clients-ca.pem in this server's Resources folder"
        return TlsFailure(address, cause, next_step, reason=error.reason or "")
    return _handshake_failure(error, address)


def _handshake_failure(error: OSError, address: str) -> TransportError:
    if _is_reset(error):
        return ConnectionReset(address, "the connection was reset during the TLS handshake")
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return ConnectionTruncated(address, "the other side closed the connection during the TLS handshake")
    return translate_tls_error(error, address)


def split_reason(error: ssl.SSLError) -> tuple[str, str | None]:
    """OpenSSL's reason, and the alert's name in lower case where the other side sent one."""
    reason = reason_of(error)
    _, found, alert = reason.partition(_ALERT)
    return reason, alert.lower() if found else None


def _is_reset(error: OSError) -> bool:
    """Whether the socket failed below TLS.

    Python 3.11 calls that an end of file too, because SSL_read_ex returns 0 for everything (gh-115627
    mended it later); but OpenSSL 3 gives a reason for a real end and none for a failed socket.
    """
    if isinstance(error, ssl.SSLEOFError):
        return not error.reason and ssl.OPENSSL_VERSION_INFO >= (3,)
    return isinstance(error, ssl.SSLSyscallError | ConnectionError)


def _failure(error: ssl.SSLError, address: str) -> TlsFailure:
    reason, alert = split_reason(error)
    told = translate_ssl_error(error, address)
    return TlsFailure(address, told.cause, told.next_step, reason=reason, alert=alert)
