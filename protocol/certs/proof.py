"""Proving a server's new context before anybody depends on it: one whole handshake, in memory."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from protocol.certs import errors
from protocol.certs.context import client_context
from protocol.certs.memory_handshake import shake_hands
from protocol.certs.trust import Trust
from protocol.settings import TlsSettings

if TYPE_CHECKING:
    from protocol.certs.identity import ServerIdentity


def prove_server_context(context: ssl.SSLContext, identity: ServerIdentity, policy: TlsSettings) -> None:
    """Do a handshake with a context that serves nobody yet.

    Where it wants certificates of clients, all but that is proven: the server has no client's key.

    Args:
        context: a server's, new. It is as before afterwards.
        identity: what it must show.
        policy: the settings it was made from.

    Raises:
        UnusableCertificate: no handshake comes about, or it shows something else.
    """
    wanted = context.verify_mode
    if wanted is ssl.CERT_REQUIRED:
        context.verify_mode = ssl.CERT_OPTIONAL
    try:
        # By the pin alone: what it shows is compared below, and no anchor is needed for that.
        client = client_context(Trust(), policy, pin=identity.fingerprint)
        shown = shake_hands(context, client, "localhost").getpeercert(binary_form=True)
    except ssl.SSLError as error:
        raise _unusable(identity, error.reason or str(error)) from error
    finally:
        context.verify_mode = wanted
    if shown != identity.chain[0]:
        raise _unusable(identity, "it showed another certificate")


def _unusable(identity: ServerIdentity, finding: str) -> errors.UnusableCertificate:
    return errors.UnusableCertificate(
        identity.cert_file,
        f"a handshake with it, tried in memory, fails: {finding}",
        "Get a certificate and key that TLS can use, or correct [tls] in the settings",
    )
