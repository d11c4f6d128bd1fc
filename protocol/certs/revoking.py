"""Revoking clients: the register remembers it, and `clients-crl.pem` tells it to TLS."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import attrs

from protocol.certs.enrolment_errors import NotEnrolled
from protocol.certs.first_start import load_authority
from protocol.certs.identity import CLIENTS_CA_FILE
from protocol.certs.own_revocations import write_revocations
from protocol.certs.register import EnrolledClient, folded
from protocol.certs.register_file import changing_register, read_register, write_register


@attrs.frozen(kw_only=True)
class Revoked:
    """What a revocation came to.

    Attributes:
        name: the client's.
        since: when it was revoked, UTC; None where it had not joined yet.
        certificates: how many of its certificates are on the list.
        invitations: how many open codes for it are worthless now.
        file: the list, None where it needs none.
        required: whether clients must show a certificate that counts: where not, it comes in without one.
    """

    name: str
    since: datetime | None
    certificates: int
    invitations: int
    file: Path | None
    required: bool


@attrs.frozen(kw_only=True)
class ClientEntry:
    """A client or an invitation, for lists.

    Attributes:
        name: the client's.
        state: "enrolled", "invited", "revoked", "ended" (its certificate did), or "expired" (its code did).
        since: when it joined or was revoked, UTC; None for an invitation.
        until: the end of its newest certificate, or of its code, UTC.
        fingerprint: of its key; None for an invitation.
    """

    name: str
    state: str
    since: datetime | None
    until: datetime
    fingerprint: str | None


def list_clients(resources: Path, *, now: datetime | None = None) -> tuple[ClientEntry, ...]:
    """List the clients that have joined, and those that are invited.

    Args:
        resources: the server's Resources folder.
        now: the present time, UTC; None takes the clock.

    Raises:
        ResourcesError: the register cannot be used.
    """
    moment = now or datetime.now(UTC)
    register = read_register(resources)
    entries = [_client_entry(client, moment) for client in register.clients]
    entries += [
        ClientEntry(
            name=each.name,
            state="invited" if moment <= each.expires else "expired",
            since=None,
            until=each.expires,
            fingerprint=None,
        )
        for each in register.invitations
        if each.used_by is None
    ]
    return tuple(sorted(entries, key=lambda entry: (folded(entry.name), entry.until)))


def _client_entry(client: EnrolledClient, now: datetime) -> ClientEntry:
    state = "revoked" if client.revoked is not None else "enrolled" if client.is_live(now) else "ended"
    return ClientEntry(
        name=client.name,
        state=state,
        since=client.revoked or client.enrolled,
        until=client.until,
        fingerprint=client.fingerprint,
    )


def revoke_client(resources: Path, name: str, *, now: datetime | None = None) -> Revoked:
    """Revoke a client, and withdraw invitations for its name. It may be done again, which writes the list anew.

    Args:
        resources: the server's Resources folder.
        name: the client's.
        now: the present time, UTC; None takes the clock.

    Returns:
        What came of it.

    Raises:
        NotEnrolled: nobody has the name.
        ResourcesError: a file cannot be used or written. The register may have it already: do it again.
    """
    moment = (now or datetime.now(UTC)).replace(microsecond=0)
    with changing_register(resources) as register:
        left = register.without_open_invitations(name)
        withdrawn = len(register.invitations) - len(left.invitations)
        named = [client for client in register.clients if folded(client.name) == folded(name)]
        if not named and not withdrawn:
            raise NotEnrolled(
                name, "no client has this name, and nobody is invited by it", "See appserver clients list"
            )
        for client in named:
            if client.revoked is None:
                left = left.with_client(attrs.evolve(client, revoked=moment), instead_of=client)
        write_register(resources, left, now=moment)
        file = None
        if named:
            file = write_revocations(resources, left, *load_authority(resources), now=moment)
    return Revoked(
        name=named[-1].name if named else name,
        since=max((client.revoked or moment for client in named), default=None),
        certificates=sum(len(client.serials) for client in named),
        invitations=withdrawn,
        file=file,
        required=os.path.lexists(resources / CLIENTS_CA_FILE),
    )
