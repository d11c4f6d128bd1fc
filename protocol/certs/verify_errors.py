"""Translating OpenSSL's errors into this package's, each with the address, the cause and the next step.

OpenSSL says what a verification found by a number (X509_V_ERR_...) and what the other side said by an
alert. Python gives both on `ssl.SSLError`; the texts of OpenSSL are for its developers.

Where the operating system judges (`system_store`), the numbers are its own.

Source: openssl/x509_vfy.h, winerror.h and SecBase.h for the numbers, RFC 8446 section 6.2 for the alerts.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable

from protocol.certs import errors

# X509_V_ERR_..., then Windows' CERT_E_... and CRYPT_E_..., then macOS' errSec...
_NOT_YET_VALID = {9, 11, 13, -67819}
_EXPIRED = {10, 12, 14, 0x800B0101, -67818}
_REVOKED = {23, 0x800B010C, 0x80092010, -67820}
# A signature that does not verify (7) or key identifiers that differ (29, 30, 31) come of an authority
# with the same name and another key: another authority.
_UNKNOWN_AUTHORITY = {2, 3, 4, 5, 6, 7, 18, 19, 20, 21, 24, 27, 28, 29, 30, 31}
_UNKNOWN_AUTHORITY |= {0x800B0109, 0x800B010A, 0x800B0112, -67843, -25318}
_WRONG_NAME = {62, 63, 64, 0x800B010F, -67602}

_CERTIFICATE_ALERTS = {
    "UNKNOWN_CA": "it comes from an authority that the other side does not trust",
    "CERTIFICATE_EXPIRED": "it has expired, or the server's list of revoked certificates has",
    "CERTIFICATE_REVOKED": "it was revoked",
    "BAD_CERTIFICATE": "it is not in order",
    "UNSUPPORTED_CERTIFICATE": "it is of a kind that the server does not accept",
    "CERTIFICATE_UNKNOWN": "the server does not say why",
    "ACCESS_DENIED": "this client has no access",
}
_VERSION_REASONS = {"PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL", "NO_PROTOCOLS_AVAILABLE", "WRONG_SSL_VERSION"}
_CIPHER_REASONS = {
    "INSUFFICIENT_SECURITY",
    "NO_SHARED_CIPHER",
    "NO_SUITABLE_KEY_SHARE",
    "NO_SUITABLE_GROUPS",
}
_SERVICE_REASONS = {"NO_APPLICATION_PROTOCOL"}


def reason_of(error: ssl.SSLError) -> str:
    """OpenSSL's name of what went wrong, also where this Python's table of names is older than OpenSSL."""
    if error.reason:
        return str(error.reason)
    # "[SSL] tlsv1 alert no application protocol (_ssl.c:1006)"
    told = re.search(r"\] ([a-z0-9 ]+) \(", str(error))
    return told[1].replace(" ", "_").upper() if told else ""


def translate_ssl_error(error: ssl.SSLError, address: object) -> errors.PeerError:
    """Say in words why a handshake, or the first read after it, failed.

    Args:
        error: what `ssl` raised.
        address: the other side, as the user names it.

    Returns:
        The error to raise `from error`.
    """
    name = str(address)
    if isinstance(error, ssl.SSLCertVerificationError):
        return _verification_error(error, name)
    reason = reason_of(error)
    # "TLSV1_ALERT_UNKNOWN_CA", "SSLV3_ALERT_HANDSHAKE_FAILURE", "TLSV13_ALERT_CERTIFICATE_REQUIRED"
    said = reason.partition("_ALERT_")[2] or reason
    if said == "CERTIFICATE_REQUIRED" or reason == "PEER_DID_NOT_RETURN_A_CERTIFICATE":
        return errors.ClientCertificateRequired(
            name,
            "the server wants a certificate of this client",
            "Ask the administrator for an invitation (appclient join CODE), or put cert.pem and key.pem into this "
            "client's Resources folder",
        )
    if said in _CERTIFICATE_ALERTS and "_ALERT_" in reason:
        return errors.ClientCertificateRefused(
            name,
            f"the other side refused this side's certificate: {_CERTIFICATE_ALERTS[said]}",
            "Look at cert.pem in Resources, and at what the other side trusts",
        )
    for reasons, make in _REASONS:
        if said in reasons:
            return make(name)
    return errors.HandshakeFailed(
        name, f"the TLS connection failed ({reason or error})", "Look into the server's log"
    )


def _verification_error(error: ssl.SSLCertVerificationError, name: str) -> errors.PeerError:
    code = error.verify_code
    if code in _WRONG_NAME:
        return errors.WrongServerName(
            name,
            f"the server's certificate is for another name ({error.verify_message.rstrip('.')})",
            "Connect by a name that it has, or add this one to [tls] names on the server",
        )
    if code in _EXPIRED:
        return errors.expired_server(name)
    if code in _NOT_YET_VALID:
        return errors.not_yet_valid_server(name)
    if code in _REVOKED:
        return errors.RevokedServerCertificate(
            name, "the server's certificate was revoked", "Give the server another certificate"
        )
    if code in _UNKNOWN_AUTHORITY:
        return errors.UnknownAuthority(
            name,
            "the server's certificate comes from an authority that this client does not trust "
            f"({error.verify_message.rstrip('.')})",
            "Copy the server's cert.pem into this client's Resources folder, or connect by an address "
            "with the server's pin",
        )
    return errors.UnfitServerCertificate(
        name,
        f"the server's certificate is not acceptable ({error.verify_message.rstrip('.')})",
        "Give the server another certificate",
    )


def _no_common_version(name: str) -> errors.PeerError:
    return errors.NoCommonVersion(
        name,
        "the two sides have no TLS version in common",
        "Compare [tls] min_version on both sides; what cannot do TLS 1.2 must be updated",
    )


def _no_common_cipher(name: str) -> errors.PeerError:
    return errors.NoCommonCipher(
        name, "the two sides have no cipher in common", "Compare [tls] ciphers on both sides"
    )


def _handshake_failure(name: str) -> errors.PeerError:
    # In TLS 1.2 this one alert says both.
    return errors.NoCommonCipher(
        name,
        "the two sides have no cipher in common, or the other side wants a certificate of this client",
        "Compare [tls] ciphers on both sides, and ask whether clients need certificates there",
    )


def _wrong_service(name: str) -> errors.PeerError:
    return errors.WrongService(
        name, "this is not an application server, but something else that speaks TLS", "Check host and port"
    )


_REASONS: tuple[tuple[set[str], Callable[[str], errors.PeerError]], ...] = (
    (_VERSION_REASONS, _no_common_version),
    (_CIPHER_REASONS, _no_common_cipher),
    ({"HANDSHAKE_FAILURE"}, _handshake_failure),
    (_SERVICE_REASONS, _wrong_service),
)
