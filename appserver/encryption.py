"""What protects a server's connections: chosen anew for each one that is accepted, and never changed.

A change of the certificate, the policy or the switch makes a new `Encryption`, with a context of its own
that was proven by a handshake in memory, and one reference is swapped. Nothing is loaded into a context
that serves: a certificate whose key has not arrived yet would leave it unable to serve anybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from ssl import SSLContext

import attrs

from protocol.certs import (
    CertificateFacts,
    ClientChain,
    Loss,
    ServerIdentity,
    ensure_server_identity,
    errors,
    open_server_identity,
    prove_server_context,
    read_passphrase,
    restore_revocations,
    server_context,
)
from protocol.certs.identity import CLIENTS_CA_FILE
from protocol.certs.revocation import authority_ids
from protocol.settings import Settings, TlsSettings
from protocol.transport import Security
from protocol.wire.errors import GoawayCode

_OLD_VERSION = "TLSv1.2"

_RELOAD = "tell the server to reload (`systemctl reload`, SIGHUP) or start it anew"


@attrs.frozen
class Objection:
    """Why a connection may not go on.

    Attributes:
        code: for GOAWAY.
        text: a sentence for its user.
        urgent: whether it is about who the client is: then its open calls have little time.
    """

    code: GoawayCode
    text: str
    urgent: bool = False


OBJECTIONS: Mapping[Loss, Objection] = {
    Loss.EXPIRED: Objection(
        GoawayCode.CERTIFICATE_EXPIRED,
        "the client's certificate, or its authority's, has expired",
        urgent=True,
    ),
    Loss.REVOKED: Objection(
        GoawayCode.CERTIFICATE_REVOKED, "the client's certificate was revoked", urgent=True
    ),
    Loss.UNTRUSTED: Objection(
        GoawayCode.CERTIFICATE_UNTRUSTED,
        "this server no longer trusts the authority of the client's certificate (clients-ca.pem)",
        urgent=True,
    ),
}
"""What becomes of a connection whose client's certificate counts no longer."""


@attrs.frozen
class Encryption:
    """What new connections get.

    Attributes:
        encrypt: the switch, `client_server.encrypt`.
        policy: the settings' section.
        identity: the certificate, None without encryption.
        context: the TLS context, None without encryption. With the switch on and no context the server
            takes nobody: the files cannot be used, and plain text is no way out.
        suites: names of the ciphers that the context takes.
        authorities: those whose clients are let in, by `authority_id`; without any, clients need no certificate.
    """

    encrypt: bool
    policy: TlsSettings
    identity: ServerIdentity | None = None
    context: SSLContext | None = attrs.field(default=None, repr=False, eq=False)
    suites: frozenset[str] = attrs.field(init=False, repr=False, eq=False)
    authorities: frozenset[bytes] = attrs.field(init=False, repr=False, eq=False)

    @suites.default
    def _read_suites(self) -> frozenset[str]:
        ciphers = self.context.get_ciphers() if self.context is not None else []
        return frozenset(cipher["name"] for cipher in ciphers)

    @authorities.default
    def _read_authorities(self) -> frozenset[bytes]:
        return authority_ids(self.identity.client_authorities if self.identity is not None else ())

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

    def objection(self, security: Security, chain: ClientChain | None, now: datetime) -> Objection | None:
        """Why a connection no longer complies; None where it does.

        Args:
            security: what the connection negotiated.
            chain: its client's certificate, None where it showed none.
            now: the present time, UTC.
        """
        wanted = self._objection_to_identity(chain, now)
        if wanted is not None:
            return wanted
        text = self._objection_to(security)
        return Objection(GoawayCode.POLICY, text) if text is not None else None

    def _objection_to_identity(self, chain: ClientChain | None, now: datetime) -> Objection | None:
        if self.identity is None:
            return None
        if chain is not None:
            loss = chain.loss(self.authorities, self.identity.revocations, now)
            return OBJECTIONS[loss] if loss is not None else None
        if self.authorities:
            text = "this server wants to see the client's certificate (clients-ca.pem)"
            return Objection(GoawayCode.POLICY, text, urgent=True)
        return None

    def _objection_to(self, security: Security) -> str | None:
        if self.encrypt != security.encrypted:
            switch = "on" if self.encrypt else "off"
            return f"encryption was switched {switch} at this server (client_server.encrypt)"
        if self.context is None:
            return None
        if self.policy.min_version == "1.3" and security.version == _OLD_VERSION:
            return "this server does not take TLS 1.2 any more (tls.min_version)"
        if security.cipher not in self.suites:
            return f"this server does not take the cipher {security.cipher} any more (tls.ciphers)"
        return None


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
    settings: Settings,
    resources: Path,
    *,
    create: bool = True,
    settled: bool = True,
    now: datetime | None = None,
) -> Encryption:
    """Read what new connections are to get, and prove it.

    Args:
        settings: as for `load_identity`; likewise the others.
        resources: likewise.
        create: likewise.
        settled: whether nobody is changing the files; without, one that is not there may be on its way.
        now: the present time, UTC; None takes the clock.

    Raises:
        ResourcesError: as for `load_identity`.
        PolicyError: likewise.
    """
    if not settings.client_server.encrypt:
        return Encryption(encrypt=False, policy=settings.tls)
    restore_revocations(resources, create=settled, now=now)
    identity, context = load_identity(settings, resources, create=create, now=now)
    prove_server_context(context, identity, settings.tls)
    return Encryption(encrypt=True, policy=settings.tls, identity=identity, context=context)


def check_keeps_out(before: ServerIdentity | None, after: ServerIdentity | None) -> None:
    """Check that no file is gone whose absence lets in who was kept out.

    Whoever replaces a file may move the old one away first, and a disk may be gone for a moment.

    Args:
        before: what is in use; None without encryption.
        after: what is to be.

    Raises:
        MissingFile: `clients-ca.pem` or `clients-crl.pem` was there, and is not.
    """
    if before is None or after is None:
        return
    if before.client_authorities and not after.client_authorities:
        raise errors.MissingFile(
            after.resources / CLIENTS_CA_FILE,
            "it is gone, and without it clients need no certificate",
            f"Put it back; if this is meant, {_RELOAD}",
        )
    old, new = before.revocations, after.revocations
    if old.lists and not (new.lists or new.strangers):
        raise errors.MissingFile(
            new.file,
            "it is gone, and without it clients that were revoked are let in again",
            f"Put it back (a list may be empty); if this is meant, {_RELOAD}",
        )
