"""How a running server is, for whoever asks from another process: what it tells, and telling it.

A server that runs writes its status into a small file of its application folder, at the start, after each
reload and every two seconds, as `appserver.status_file` has it. There is nothing to connect to and nobody to
sign in: whoever runs the server may know. All of it is public; no key, passphrase or session is in it.
"""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime
from pathlib import Path

import attrs
import trio

from appserver.encryption import Encryption
from appserver.reloading import ReloadReport
from appserver.server import Server
from appserver.status_file import StatusFile
from protocol.certs import CertificateFacts, next_renewal
from protocol.certs.certificates import fingerprint_of
from protocol.transport.policy import PolicyInForce, read_policy

logger = logging.getLogger("appserver.status")

BEAT = 2.0
"""Seconds between two writings: one costs a fifth of a millisecond, and none waits for the disk."""


@attrs.frozen(kw_only=True)
class ServedCertificate(CertificateFacts):
    """The certificate that new connections are shown.

    Attributes:
        file: where it comes from.
        certificate_fingerprint: "sha256:" and 64 hex digits, of the whole certificate; `fingerprint` is of its key.
        renewal: when the server renews it by itself, UTC; None where another authority has to.
    """

    file: Path
    certificate_fingerprint: str
    renewal: datetime | None


@attrs.frozen(kw_only=True)
class Protection:
    """What protects new connections.

    Attributes:
        encrypt: the switch, `client_server.encrypt`.
        serves: whether anybody is served: not where the switch is on and the files cannot be used.
        certificate: None with encryption off.
        policy: what TLS negotiates, read back from handshakes in memory; None with encryption off, and until that
            is done.
    """

    encrypt: bool
    serves: bool
    certificate: ServedCertificate | None = None
    policy: PolicyInForce | None = None


@attrs.frozen(kw_only=True)
class ServerStatus:
    """What a running server tells of itself.

    Attributes:
        application: its name.
        pid: of its process.
        started: since when it listens, UTC.
        written: when this was true, UTC.
        listening: `host:port` of each listener.
        address: what clients connect to, with the pin.
        protection: what new connections get.
        sessions: welcomed clients.
        connecting: connections that are still in their handshake.
        accepted: connections since the start.
        turned_away: of these, closed at once because too many were in their handshake.
        reload: how the last change of settings or certificates went, None where there was none.
    """

    application: str
    pid: int
    started: datetime
    written: datetime
    listening: tuple[str, ...]
    address: str
    protection: Protection
    sessions: int
    connecting: int
    accepted: int
    turned_away: int
    reload: ReloadReport | None


async def publish_status(
    server: Server,
    folder: Path,
    *,
    pause: float = BEAT,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Write a server's status until cancelled; a folder that cannot be written is logged, and stops nothing.

    Args:
        server: which listens, from `open_server`.
        folder: the application folder, where `appserver status` looks.
        pause: seconds between two writings.
        task_status: started when the status was written, or cannot be.
    """
    started = datetime.now(UTC)
    file = StatusFile(folder, ServerStatus)
    described: Encryption | None = None
    protection = _first_look(server.encryption)
    try:
        while True:
            await trio.to_thread.run_sync(file.write, _status_of(server, started, protection))
            task_status.started()
            task_status = trio.TASK_STATUS_IGNORED
            if described is not server.encryption:
                described = server.encryption
                protection = await trio.to_thread.run_sync(_look, described)
                continue
            with trio.move_on_after(pause):
                await _wait_report(server)
    finally:
        file.close()


async def _wait_report(server: Server) -> None:
    if server.reloader is None:
        await trio.sleep_forever()
    else:
        await server.reloader.wait_report()


def _status_of(server: Server, started: datetime, protection: Protection) -> ServerStatus:
    facts = server.statistics()
    return ServerStatus(
        application=server.application.name,
        pid=os.getpid(),
        started=started,
        written=datetime.now(UTC),
        listening=server.addresses,
        address=str(server.connection_address()),
        protection=protection,
        sessions=facts.sessions,
        connecting=facts.connecting,
        accepted=facts.accepted,
        turned_away=facts.turned_away,
        reload=facts.reload,
    )


def _first_look(encryption: Encryption) -> Protection:
    """What can be said at once."""
    return Protection(encrypt=encryption.encrypt, serves=not encryption.is_closed)


def _look(encryption: Encryption) -> Protection:
    """What takes files and some handshakes, which are a tenth of a second: for a thread."""
    found = _first_look(encryption)
    identity, context, facts = encryption.identity, encryption.context, encryption.certificate
    if identity is None or context is None or facts is None:
        return found
    certificate = ServedCertificate(
        **attrs.asdict(facts, recurse=False),
        file=identity.cert_file,
        certificate_fingerprint=fingerprint_of(identity.chain[0]),
        renewal=next_renewal(identity.resources) if encryption.policy.auto_certificate else None,
    )
    return attrs.evolve(found, certificate=certificate, policy=read_policy(context, identity))
