"""The TLS policy in force, read back from a server's context and from handshakes with it in memory.

Settings say what somebody wished for; a library, its version and its configuration decide what comes of
it. So nothing here looks at a setting: each version, suite and group is asked for by a client that has it
alone, and what the server's first flight answers is what counts. Where the server wants a client's certificate
the handshake is not finished, and need not be.
"""

from __future__ import annotations

import contextlib
import ssl

import attrs

from protocol.certs import ServerIdentity, Trust, check_peer_certificate, client_context
from protocol.certs.groups import GROUP_NAMES, OPENSSL_NAMES
from protocol.settings import TlsSettings
from protocol.transport.server_hello import group_of

_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_HANDSHAKE_RECORD = 22
_ROUNDS = 4
_NAME = "localhost"
"""Asked for, and not checked: the pin is."""


@attrs.frozen
class PolicyInForce:
    """What a server's context does.

    Attributes:
        agreed: version, suite and group that a client of ours gets; empty where none is served.
        versions: TLS versions that it agrees to.
        suites: suites that it agrees to; those of TLS 1.3 as the context lists them, in its order.
        groups: of the key exchange in TLS 1.3, that it agrees to.
        protocol: what it answers to a client that names the protocol (ALPN).
        tickets: whether it gave a session ticket, or would by its options.
        renegotiation: whether its options allow it.
        compression: whether its options allow it.
        client_certificates: whether a client must show a certificate.
        verify_flags: OpenSSL's names for how strictly certificates are verified.
        common_names: whether a certificate's common name is taken for a host name.
        key_log: file that the sessions' keys are written to.
    """

    agreed: tuple[str, ...]
    versions: tuple[str, ...]
    suites: tuple[str, ...]
    groups: tuple[str, ...]
    protocol: str | None
    tickets: bool
    renegotiation: bool
    compression: bool
    client_certificates: bool
    verify_flags: tuple[str, ...]
    common_names: bool
    key_log: str | None


@attrs.frozen
class _Answer:
    """What a server made of one client."""

    suite: str | None
    protocol: str | None
    group: str | None
    ticket: bool


def read_policy(context: ssl.SSLContext, identity: ServerIdentity) -> PolicyInForce:
    """Read the policy of a server's context.

    Args:
        context: the server's.
        identity: the certificate that it shows, to be sure of whom is asked.

    Raises:
        PeerError: it shows another certificate.
    """
    answers = {version: _ask(context, identity, version) for version in _VERSIONS}
    spoken = {version: answer for version, answer in answers.items() if answer is not None}
    newest = max(spoken, default="")
    last = spoken.get(newest, _Answer(None, None, None, ticket=False))
    groups = _groups(context, identity, last.group) if "1.3" in spoken else ()
    no_tickets = context.options & ssl.OP_NO_TICKET and not context.num_tickets
    return PolicyInForce(
        agreed=tuple(part for part in (newest, last.suite, last.group) if part),
        versions=tuple(spoken),
        suites=_suites(context, identity, spoken),
        groups=groups,
        protocol=last.protocol,
        tickets=not no_tickets or any(answer.ticket for answer in spoken.values()),
        renegotiation=not context.options & ssl.OP_NO_RENEGOTIATION,
        compression=not context.options & ssl.OP_NO_COMPRESSION,
        client_certificates=context.verify_mode is ssl.CERT_REQUIRED,
        verify_flags=_flags(context.verify_flags),
        common_names=bool(getattr(context, "hostname_checks_common_name", False)),
        key_log=context.keylog_filename,
    )


def _suites(context: ssl.SSLContext, identity: ServerIdentity, spoken: dict[str, _Answer]) -> tuple[str, ...]:
    found = [
        suite["name"] for suite in context.get_ciphers() if suite["protocol"] == "TLSv1.3" and "1.3" in spoken
    ]
    if "1.2" in spoken:
        everything = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        everything.set_ciphers("@SECLEVEL=0:ALL:COMPLEMENTOFALL")
        names = [suite["name"] for suite in everything.get_ciphers() if suite["protocol"] != "TLSv1.3"]
        found += [name for name in names if _ask(context, identity, "1.2", suite=name) is not None]
    return tuple(found)


def _groups(context: ssl.SSLContext, identity: ServerIdentity, agreed: str | None) -> tuple[str, ...]:
    found = [
        group
        for group in GROUP_NAMES.values()
        if group == agreed or _ask(context, identity, "1.3", group=group) is not None
    ]
    return tuple(sorted(found, key=lambda group: group != agreed))


def _ask(
    context: ssl.SSLContext,
    identity: ServerIdentity,
    version: str,
    *,
    suite: str | None = None,
    group: str | None = None,
) -> _Answer | None:
    """What the server answers to a client that has one thing alone; None where it refuses."""
    client = client_context(Trust(), TlsSettings(), pin=identity.fingerprint)
    try:
        client.minimum_version = client.maximum_version = _VERSIONS[version]
        if suite is not None:
            client.set_ciphers(f"@SECLEVEL=0:{suite}")
        if group is not None:
            client.set_ecdh_curve(OPENSSL_NAMES.get(group, group))
    except (ssl.SSLError, ValueError):
        return None  # this library cannot even ask
    return _shake_hands(context, client, identity)


def _shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, identity: ServerIdentity) -> _Answer | None:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ours = client.wrap_bio(to_client, to_server, server_hostname=_NAME)
    theirs = server.wrap_bio(to_server, to_client, server_side=True)
    flight = b""
    for _ in range(_ROUNDS):
        with contextlib.suppress(ssl.SSLError):  # also: wants to read
            ours.do_handshake()
        with contextlib.suppress(ssl.SSLError):
            theirs.do_handshake()
        if not flight:
            flight = to_client.read()
            to_client.write(flight)
    if not flight or flight[0] != _HANDSHAKE_RECORD:
        return None
    shown = ours.getpeercert(binary_form=True) if ours.version() is not None else None
    if shown is not None:
        check_peer_certificate(shown, identity.fingerprint, address="the server's context")
    with contextlib.suppress(ssl.SSLError):
        ours.read()  # tickets of TLS 1.3 come after the handshake
    cipher = theirs.cipher()
    return _Answer(
        suite=cipher[0] if cipher is not None else None,
        protocol=theirs.selected_alpn_protocol(),
        group=group_of(flight),
        ticket=ours.session is not None and ours.session.has_ticket,
    )


def _flags(flags: ssl.VerifyFlags) -> tuple[str, ...]:
    return tuple(
        flag.name.removeprefix("VERIFY_")
        for flag in ssl.VerifyFlags
        if flag.name is not None and flag and flag in flags
    )
