"""The TLS contexts of both sides: the one place where `[tls]` becomes options of OpenSSL.

A context is made new for every change and is never changed once it serves: OpenSSL leaves a context
unusable after a failed load, and old session tickets pass a client authority that was replaced.

What is switched off, and why:

- session tickets, by `OP_NO_TICKET` and `num_tickets = 0` both: each alone leaves a way by which a
  client certificate that has expired goes on being accepted, ticket after ticket;
- the common name as a host name (RFC 9525), compression (CRIME), renegotiation (CVE-2009-3555);
- the key log: `SSLKEYLOGFILE` in the environment would write every session's keys to a file. A bare
  `SSLContext`, unlike `create_default_context`, does not look at it;
- the finite-field groups of TLS 1.3: see `groups`.

Verification flags are set in full, because Python 3.13 changed their default.
"""

from __future__ import annotations

import contextlib
import os
import ssl
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from protocol.certs.ciphers import set_ciphers
from protocol.certs.errors import UnusableCertificate
from protocol.certs.groups import set_groups
from protocol.certs.pem import encode_pem
from protocol.certs.revocation import REVOCATIONS_LABEL
from protocol.certs.system_store import load_system_authorities, system_context_class
from protocol.settings import TlsSettings

if TYPE_CHECKING:
    from protocol.certs.identity import Identity, ServerIdentity
    from protocol.certs.trust import Trust

ALPN_PROTOCOL = "appserver/1"
"""Name of the protocol in TLS: a client of another service on this machine is told apart by it."""

VERIFY_FLAGS = (
    ssl.VerifyFlags.VERIFY_X509_STRICT
    | ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    | ssl.VerifyFlags.VERIFY_X509_TRUSTED_FIRST
)

_OPTIONS = (
    ssl.Options.OP_NO_TICKET
    | ssl.Options.OP_NO_COMPRESSION
    | ssl.Options.OP_NO_RENEGOTIATION
    | ssl.Options.OP_CIPHER_SERVER_PREFERENCE
    | ssl.Options.OP_SINGLE_DH_USE
    | ssl.Options.OP_SINGLE_ECDH_USE
)


def server_context(identity: ServerIdentity, policy: TlsSettings) -> ssl.SSLContext:
    """Make the context of a server.

    Args:
        identity: the server's key and certificate, checked.
        policy: the settings' section.

    Returns:
        A new context. Where the identity has client authorities, a client must show a certificate
        from one of them.

    Raises:
        PolicyError: the cipher list is not acceptable.
        UnusableCertificate: OpenSSL refuses key or certificate.
    """
    context = _new_context(ssl.PROTOCOL_TLS_SERVER, policy)
    context.num_tickets = 0
    _load_identity(context, identity)
    with _readable(identity.dh_parameters.encode()) as path:
        context.load_dh_params(path)
    if identity.client_authorities:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=_as_pem(identity.client_authorities))
        _load_revocations(context, identity)
    return context


def client_context(trust: Trust, policy: TlsSettings, *, pin: str | None = None) -> ssl.SSLContext:
    """Make the context of a client, for one server.

    All that is there to judge the server by must agree: a pin and the anchors of Resources, or the one
    of them that there is, or else the operating system's authorities. The host name is checked except
    where a pin alone names the server.

    Args:
        trust: the client's anchors, and its own identity for servers that want one.
        policy: the settings' section.
        pin: the server's fingerprint, from the address or from `known_servers.toml`. Whoever gives it
            must call `check_peer_certificate` with it after the handshake and before sending: without
            anchors the context itself accepts any certificate, and the pin is the only check. That the
            server holds the key of that certificate is proven by the handshake in any case.

    Returns:
        A new context.

    Raises:
        PolicyError: the cipher list is not acceptable.
        UnusableCertificate: OpenSSL refuses the client's own key or certificate.
    """
    system = not trust.anchors and pin is None
    context = _new_context(
        ssl.PROTOCOL_TLS_CLIENT, policy, system_context_class() if system else ssl.SSLContext
    )
    if trust.anchors:
        context.load_verify_locations(cadata=_as_pem(trust.anchors))
    elif system:
        load_system_authorities(context)
    else:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if trust.identity is not None:
        _load_identity(context, trust.identity)
    return context


def looking_context(policy: TlsSettings) -> ssl.SSLContext:
    """Make the context of a client that only looks at a server's certificate, for a person to judge it.

    It verifies nothing and shows no certificate of its own. Nothing may be sent over such a connection; it
    is closed after the handshake.

    Args:
        policy: the settings' section.

    Raises:
        PolicyError: the cipher list is not acceptable.
    """
    context = _new_context(ssl.PROTOCOL_TLS_CLIENT, policy)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _new_context(
    protocol: int, policy: TlsSettings, kind: type[ssl.SSLContext] = ssl.SSLContext
) -> ssl.SSLContext:
    context = kind(protocol)
    context.minimum_version = (
        ssl.TLSVersion.TLSv1_3 if policy.min_version == "1.3" else ssl.TLSVersion.TLSv1_2
    )
    context.maximum_version = ssl.TLSVersion.MAXIMUM_SUPPORTED
    context.options |= _OPTIONS
    context.verify_flags = VERIFY_FLAGS
    # A build against an OpenSSL without the fallback has nothing to switch off, and no such attribute.
    with contextlib.suppress(AttributeError):
        context.hostname_checks_common_name = False
    set_ciphers(context, policy.ciphers)
    set_groups(context)
    context.set_alpn_protocols([ALPN_PROTOCOL])
    return context


def _load_revocations(context: ssl.SSLContext, identity: ServerIdentity) -> None:
    """Let OpenSSL refuse the revoked clients, by the alert that says so, where it can do that alone.

    It asks for a list of every client's authority or of none's. So it looks only where all authorities have one;
    otherwise the certificate is looked at right after the handshake, as it is in any case.
    """
    revocations = identity.revocations
    if not revocations.cover(identity.client_authorities):
        return
    lists = b"".join(encode_pem(REVOCATIONS_LABEL, part.der) for part in revocations.lists)
    with _readable(lists) as path:  # from memory, OpenSSL's door in Python takes certificates alone
        context.load_verify_locations(cafile=path)
    context.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF


def _load_identity(context: ssl.SSLContext, identity: Identity) -> None:
    from protocol.certs.keys import encrypt_private_key

    # OpenSSL takes keys from files alone. It gets the bytes that were checked, and not the files that
    # they came from, which may have changed; encrypted, since the file may be on a disk.
    key, passphrase = encrypt_private_key(identity.private_key)
    try:
        with _readable(_as_pem(identity.chain).encode() + key) as path:
            context.load_cert_chain(path, password=passphrase)
    except ssl.SSLError as error:
        raise UnusableCertificate(
            identity.cert_file,
            f"OpenSSL refuses the certificate or its key ({error.reason or error})",
            "Get another certificate",
        ) from error


@contextlib.contextmanager
def _readable(content: bytes) -> Iterator[str]:
    """Give content a path for as long as OpenSSL reads it: in memory where the system can."""
    if hasattr(os, "memfd_create") and Path("/proc/self/fd").is_dir():
        with open(os.memfd_create("identity", os.MFD_CLOEXEC), "wb") as file:
            file.write(content)
            file.flush()
            yield f"/proc/self/fd/{file.fileno()}"
        return
    with tempfile.TemporaryDirectory(prefix="appserver-") as folder:
        path = Path(folder) / "identity.pem"
        path.touch(mode=0o600)
        path.write_bytes(content)
        yield str(path)


def _as_pem(certificates: tuple[bytes, ...]) -> str:
    return b"".join(encode_pem("CERTIFICATE", der) for der in certificates).decode()
