"""What OpenSSL says, in the words of this room.

It knows the alerts and reasons that mean something to a user; verification of certificates has its own
causes, which `protocol.certs` tells apart from the `ssl.SSLError` that is kept as `__cause__`.
"""

from __future__ import annotations

import ssl
from typing import Final

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

_NO_COMMON_VERSION: Final = (
    "the two sides have no TLS version in common",
    "Compare tls.min_version on both sides",
)
_NO_COMMON_CIPHER: Final = (
    "the two sides have no cipher suite or group in common",
    "Compare tls.ciphers on both sides",
)

# OpenSSL's reasons, with the prefix of an alert cut off: (cause, next step).
_REASONS: Final = {
    "protocol_version": _NO_COMMON_VERSION,
    "unsupported_protocol": _NO_COMMON_VERSION,
    "version_too_low": _NO_COMMON_VERSION,
    "handshake_failure": _NO_COMMON_CIPHER,
    "no_shared_cipher": _NO_COMMON_CIPHER,
    "no_suitable_groups": _NO_COMMON_CIPHER,
    "no_suitable_key_share": _NO_COMMON_CIPHER,
    "no_ciphers_available": _NO_COMMON_CIPHER,
    "unknown_ca": (
        "the other side does not trust this side's certificate",
        "Check that its ca.pem holds the authority that issued the certificate",
    ),
    "bad_certificate": (
        "the other side refuses this side's certificate",
        "Check the certificate with `appserver certificates check`",
    ),
    "certificate_expired": (
        "this side's certificate has expired, says the other side",
        "Renew the certificate, or set the other side's clock",
    ),
    "certificate_revoked": (
        "this side's certificate has been revoked",
        "Ask the administrator for a new invitation",
    ),
    "certificate_unknown": (
        "the other side refuses this side's certificate",
        "Check the certificate with `appserver certificates check`",
    ),
    "certificate_required": (
        "the server demands a client certificate",
        "Put cert.pem and key.pem into the client's Resources folder",
    ),
    "peer_did_not_return_a_certificate": (
        "the client showed no certificate and this server demands one",
        "Put cert.pem and key.pem into the client's Resources folder",
    ),
    "certificate_verify_failed": (
        "the other side's certificate is not trusted",
        "Check the Resources folders of both sides",
    ),
}


def translate_tls_error(error: OSError, address: str) -> TransportError:
    """The transport's name for what went wrong on an encrypted connection that stood.

    Args:
        error: as raised by a read or a write; `ssl.SSLError` is an OSError.
        address: the other side's.
    """
    if not isinstance(error, ssl.SSLError):
        return translate_os_error(error, address)
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return ConnectionTruncated(address)
    if isinstance(error, ssl.SSLSyscallError):
        return ConnectionReset(address)
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
    return translate_server_handshake(error, address)


def translate_server_handshake(error: OSError, address: str) -> TransportError:
    """The name for what went wrong in a handshake, for both sides."""
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return ConnectionTruncated(address, "the other side closed the connection during the TLS handshake")
    if isinstance(error, ssl.SSLSyscallError | ConnectionError):
        return ConnectionReset(address, "the connection was reset during the TLS handshake")
    return translate_tls_error(error, address)


def split_reason(error: ssl.SSLError) -> tuple[str, str | None]:
    """OpenSSL's reason, and the alert's name in lower case where the other side sent one."""
    reason: str = error.reason or ""
    _, found, alert = reason.partition(_ALERT)
    return reason, alert.lower() if found else None


def _failure(error: ssl.SSLError, address: str) -> TlsFailure:
    reason, alert = split_reason(error)
    known = _REASONS.get(alert or reason.lower())
    if known is not None:
        return TlsFailure(address, *known, reason=reason, alert=alert)
    words = (alert or reason or str(error)).replace("_", " ").lower()
    cause = f"the other side refused TLS ({words})" if alert else f"TLS failed ({words})"
    return TlsFailure(address, cause, reason=reason, alert=alert)
