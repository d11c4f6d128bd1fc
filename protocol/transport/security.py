"""What was agreed in a TLS handshake, as `Security`."""

from __future__ import annotations

import hashlib
import ssl

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

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
        key = x509.load_der_x509_certificate(certificate).public_key()
        der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, UnsupportedAlgorithm):  # a key that OpenSSL takes and cryptography does not know
        return None
    return f"sha256:{hashlib.sha256(der).hexdigest()}"
