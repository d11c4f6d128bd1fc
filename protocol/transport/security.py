"""What was agreed in a TLS handshake, as `Security`."""

from __future__ import annotations

import ssl

from protocol.certs import spki_fingerprint
from protocol.transport.base import Security


def describe_tls(tls: ssl.SSLSocket | ssl.SSLObject, group: str | None = None) -> Security:
    """Tell what a finished handshake has agreed on.

    Args:
        tls: its handshake is done.
        group: the key exchange's group where it is known from elsewhere.
    """
    cipher = tls.cipher()
    certificate = tls.getpeercert(binary_form=True)
    ask_group = getattr(tls, "group", None)  # Python 3.15
    return Security(
        encrypted=True,
        version=tls.version(),
        cipher=cipher[0] if cipher else None,
        protocol=tls.selected_alpn_protocol(),
        group=group or (ask_group() if ask_group is not None else None),
        fingerprint=_fingerprint(certificate) if certificate else None,
        peer_certificate=certificate,
    )


def _fingerprint(certificate: bytes) -> str | None:
    try:
        return spki_fingerprint(certificate)
    except Exception:
        # OpenSSL takes keys that the certificate library does not know, and what that raises is its own
        # affair. Without a fingerprint no pin matches.
        return None
