"""A handshake in memory: what strict clients will make of a server's certificate, before they meet it.

The checks of `certificates` name the faults that people make. This one finds the rest, such as a missing
authority key identifier, by asking the same OpenSSL with the same flags as our clients do.
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import attrs

from protocol.certs import errors
from protocol.certs.context import client_context, server_context
from protocol.certs.memory_handshake import shake_hands
from protocol.certs.trust import Trust
from protocol.settings import TlsSettings

if TYPE_CHECKING:
    from protocol.certs.identity import ServerIdentity

_NO_CHECK_TIME = ssl.VerifyFlags(0x200000)
"""X509_V_FLAG_NO_CHECK_TIME, which Python has no name for: `check_times` has looked, by the caller's clock."""


def rehearse(identity: ServerIdentity, anchor: bytes) -> None:
    """Do the handshake of a strict client that trusts an authority.

    Args:
        identity: the server's key and certificate; its file is blamed for what is found.
        anchor: what the client trusts, as DER: the root, or the last certificate that is known.

    Raises:
        UnusableCertificate: OpenSSL refuses it, on either side; the finding says why.
    """
    policy = TlsSettings()
    # Without client authorities: this is about the server's certificate alone.
    server = server_context(attrs.evolve(identity, client_authorities=()), policy)
    client = client_context(Trust(anchors=(anchor,)), policy)
    client.verify_flags |= _NO_CHECK_TIME
    name = identity.names[0].replace("*", "any")
    try:
        shake_hands(server, client, name)
    except ssl.SSLError as error:
        reason = getattr(error, "verify_message", "") or error.reason or str(error)
        raise errors.UnusableCertificate(
            identity.cert_file,
            f"strict clients refuse the certificate ({reason})",
            "Ask the authority for one as RFC 5280 wants it, for a TLS server",
        ) from error
