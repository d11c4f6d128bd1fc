"""What was agreed in a TLS handshake, as `Security`."""

from __future__ import annotations

import ssl
import sys
from typing import Final, Protocol

from protocol.certs import spki_fingerprint
from protocol.transport.base import Security

_DER: Final = 2
"""`_ssl.ENCODING_DER`."""


class _Certificate(Protocol):
    """What is used of `_ssl.Certificate`."""

    def public_bytes(self, encoding: int, /) -> bytes: ...


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
        client_chain=_verified_chain(tls) if certificate and tls.server_side else (),
        peer_chain=() if tls.server_side else _shown_chain(tls),
    )


def _verified_chain(tls: ssl.SSLSocket | ssl.SSLObject) -> tuple[bytes, ...]:
    if sys.version_info >= (3, 13):
        return tuple(tls.get_verified_chain())
    # The C object has had this method since Python 3.10; there it gives objects that can write themselves, or None.
    chain: list[_Certificate] = tls._sslobj.get_verified_chain() or []  # type: ignore[union-attr]
    return tuple(certificate.public_bytes(_DER) for certificate in chain)


def _shown_chain(tls: ssl.SSLSocket | ssl.SSLObject) -> tuple[bytes, ...]:
    ask = getattr(tls, "get_unverified_chain", None)  # Python 3.13
    if ask is not None:
        return tuple(ask())
    # What that calls has been there since 3.10.
    chain = tls._sslobj.get_unverified_chain()  # type: ignore[union-attr]
    return tuple(part.public_bytes(_DER) for part in chain or ())


def _fingerprint(certificate: bytes) -> str | None:
    try:
        return spki_fingerprint(certificate)
    except Exception:
        # OpenSSL takes keys that the certificate library does not know, and what that raises is its own
        # affair. Without a fingerprint no pin matches.
        return None
