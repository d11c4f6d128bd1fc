"""What protects a server's connections: chosen anew for each one that is accepted, and never changed.

A change of the certificate, the policy or the switch makes a new `Encryption`, with a context of its own
that was proven by a handshake in memory, and one reference is swapped. Nothing is loaded into a context
that serves: a certificate whose key has not arrived yet would leave it unable to serve anybody.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from ssl import SSLContext

import attrs

from protocol.certs import (
    CertificateFacts,
    ServerIdentity,
    ensure_server_identity,
    open_server_identity,
    prove_server_context,
    read_passphrase,
    server_context,
)
from protocol.settings import Settings, TlsSettings
from protocol.transport import Security

_OLD_VERSION = "TLSv1.2"


@attrs.frozen
class Encryption:
    """What new connections get.

    Attributes:
        encrypt: the switch, `client_server.encrypt`.
        policy: the settings' section.
        identity: the certificate, None without encryption.
        context: the TLS context, None without encryption. With the switch on and no context the server
            takes nobody: the files cannot be used, and plain text is no way out.
    """

    encrypt: bool
    policy: TlsSettings
    identity: ServerIdentity | None = None
    context: SSLContext | None = attrs.field(default=None, repr=False, eq=False)

    @property
    def is_closed(self) -> bool:
        """Whether nobody can be served."""
        return self.encrypt and self.context is None

    @property
    def certificate(self) -> CertificateFacts | None:
        """The certificate's facts, without the key."""
        if self.identity is None:
            return None
        names = [field.name for field in attrs.fields(CertificateFacts)]
        return CertificateFacts(**{name: getattr(self.identity, name) for name in names})

    def objection(self, security: Security, accepted: Encryption) -> str | None:
        """Why a connection no longer complies, as a sentence for its user; None where it does.

        Args:
            security: what the connection negotiated.
            accepted: what it was accepted under.
        """
        if self.encrypt != security.encrypted:
            switch = "on" if self.encrypt else "off"
            return f"encryption was switched {switch} at this server (client_server.encrypt)"
        if self.context is None:
            return None
        if self.policy.min_version == "1.3" and security.version == _OLD_VERSION:
            return "this server does not take TLS 1.2 any more (tls.min_version)"
        if security.cipher not in {cipher["name"] for cipher in self.context.get_ciphers()}:
            return f"this server does not take the cipher {security.cipher} any more (tls.ciphers)"
        if _asks_for_more(self.identity, accepted.identity):
            return "this server wants to see the client's certificate anew (clients-ca.pem)"
        return None


def _asks_for_more(now: ServerIdentity | None, then: ServerIdentity | None) -> bool:
    """Whether a client that was accepted then may have no certificate that counts now."""
    wanted = set(now.client_authorities) if now is not None else set()
    shown = set(then.client_authorities) if then is not None else set()
    return bool(wanted) and not (shown and shown <= wanted)


def load_identity(
    settings: Settings, resources: Path, *, create: bool = True, now: datetime | None = None
) -> tuple[ServerIdentity, SSLContext]:
    """The server's certificate and TLS context, made first where there is none.

    Args:
        settings: as read.
        resources: the server's Resources folder.
        create: whether missing files may be made.
        now: the present time, UTC; None takes the clock.

    Raises:
        ResourcesError: a file cannot be used; the server must not start then.
        PolicyError: the settings ask for what TLS must not do; likewise.
    """
    tls = settings.tls
    passphrase = read_passphrase(tls)
    if tls.auto_certificate:
        identity = ensure_server_identity(
            resources,
            names=tls.names,
            key_type=tls.key_type,
            passphrase=passphrase,
            create=create,
            now=now,
        )
    else:
        identity = open_server_identity(resources, passphrase=passphrase, now=now)
    return identity, server_context(identity, tls)


def load_encryption(
    settings: Settings, resources: Path, *, create: bool = True, now: datetime | None = None
) -> Encryption:
    """Read what new connections are to get, and prove it; arguments and errors as for `load_identity`."""
    if not settings.client_server.encrypt:
        return Encryption(encrypt=False, policy=settings.tls)
    identity, context = load_identity(settings, resources, create=create, now=now)
    prove_server_context(context, identity, settings.tls)
    return Encryption(encrypt=True, policy=settings.tls, identity=identity, context=context)
