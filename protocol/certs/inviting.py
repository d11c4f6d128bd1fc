"""Inviting clients: a code is made, and the register learns the hash of its secret."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs

from protocol.certs import enrolment_errors as errors
from protocol.certs.certificates import key_fingerprint, load_certificates, names_of
from protocol.certs.client_authorities import accept_enrolled, enrolled_are_accepted
from protocol.certs.errors import ResourcesError
from protocol.certs.first_start import ensure_authority
from protocol.certs.identity import CERT_FILE, CLIENTS_CA_FILE
from protocol.certs.invitation_code import InvitationCode
from protocol.certs.keys import KeyType
from protocol.certs.names import is_named, machine_names
from protocol.certs.pair import writing
from protocol.certs.register import Invitation, check_name, digest_of
from protocol.certs.register_file import changing_register, write_register

LIFETIME = timedelta(hours=1)
SHORTEST, LONGEST = timedelta(minutes=1), timedelta(days=30)


@attrs.frozen(kw_only=True)
class Invited:
    """An invitation that was made.

    Attributes:
        name: the client's.
        code: for the client. Whoever has it can join in the client's place: never log it.
        host: what the client will call the server.
        port: its port.
        expires: the end of its time, UTC.
        replaces: whether the client that has the name now is revoked when another joins by the code.
        withdrawn: whether an earlier code for the name was made worthless.
        required: whether clients without a certificate are refused by now (`clients-ca.pem`).
        accepted: whether the authority was added to `clients-ca.pem` now.
    """

    name: str
    code: str = attrs.field(repr=False)
    host: str
    port: int
    expires: datetime
    replaces: bool
    withdrawn: bool
    required: bool
    accepted: bool


def invite_client(
    resources: Path,
    name: str,
    *,
    host: str,
    port: int,
    names: Sequence[str] = (),
    lifetime: timedelta = LIFETIME,
    replace: bool = False,
    key_type: KeyType = "p256",
    now: datetime | None = None,
) -> Invited:
    """Make an invitation. Whether clients must show certificates is not changed by it.

    Args:
        resources: the server's Resources folder; the private authority is made where there is none.
        name: of the client.
        host: host name or address by which the client reaches the server.
        port: the server's.
        names: host names and addresses of the server, besides those of this machine and of its certificate.
        lifetime: of the code, a minute to 30 days.
        replace: whether the client may take the place of one that has the name; that is revoked then.
        key_type: of an authority that is made.
        now: the present time, UTC; None takes the clock.

    Returns:
        What was made.

    Raises:
        SubjectError: the name is not fit for a certificate.
        AlreadyEnrolled: a client has the name, and `replace` is false.
        CannotInvite: a client could not join by it.
        ResourcesError: the folder cannot be used or written.
    """
    moment = (now or datetime.now(UTC)).replace(microsecond=0)
    name = check_name(name)
    _check_invitation(resources, name, host, names, lifetime)
    with writing(resources):
        authority, _ = ensure_authority(resources, key_type=key_type, now=moment)
    code = InvitationCode.make(host, port, key_fingerprint(authority.public_key()))
    invitation = Invitation(
        name=name, digest=digest_of(code.secret), expires=moment + lifetime, replaces=replace
    )
    with changing_register(resources) as register:
        if register.live_client(name, moment) is not None and not replace:
            raise errors.AlreadyEnrolled(
                name,
                "a client of this name is enrolled",
                "Choose another name; say --replace if a new client takes its place, which revokes the old one as"
                " soon as the new one joins; or revoke it (appserver clients revoke)",
            )
        left = register.without_open_invitations(name)
        write_register(resources, left.with_invitation(invitation), now=moment)
        accepted = os.path.lexists(resources / CLIENTS_CA_FILE) and accept_enrolled(resources)
    return Invited(
        name=name,
        code=code.encode(),
        host=host,
        port=port,
        expires=invitation.expires,
        replaces=register.live_client(name, moment) is not None,
        withdrawn=left != register,
        required=enrolled_are_accepted(resources),
        accepted=accepted,
    )


def _check_invitation(
    resources: Path, name: str, host: str, names: Sequence[str], lifetime: timedelta
) -> None:
    if not SHORTEST <= lifetime <= LONGEST:
        raise errors.CannotInvite(name, "a code holds for a minute to 30 days", "Give another --expires")
    if not is_named(host, server_names(resources, names)):
        raise errors.CannotInvite(
            name,
            f"clients would refuse a server that they are to call {host}: no certificate is for that name",
            "Add it to tls.names, or name another one with --address",
        )


def server_names(resources: Path, extra: Sequence[str] = ()) -> tuple[str, ...]:
    """List the host names and addresses under which a server may be joined.

    Args:
        resources: its Resources folder.
        extra: further ones, from the settings.
    """
    try:
        served = names_of(load_certificates(resources / CERT_FILE)[0])
    except ResourcesError:
        served = ()
    return machine_names((*extra, *served))
