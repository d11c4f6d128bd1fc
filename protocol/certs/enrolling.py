"""Enrolling clients at a server: an invitation is used up for a certificate, and the certificate renewed later.

Theory of operation. The client makes its key and sends a request that is signed with it; the key never travels.
Entering the client in the register uses the invitation up, and happens before the certificate leaves. Is the
reply lost then, the same key gets the same certificate by the same code until that expires; another key gets
nothing. A renewal keeps the key, so its request proves by its signature what the first one did, and a
request that somebody recorded gives him a certificate that he has no key for.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from protocol.certs import enrolment_errors as errors
from protocol.certs.authority import issue_client_certificate
from protocol.certs.certificates import encode_certificate, key_fingerprint, spki_fingerprint
from protocol.certs.first_start import (
    AUTHORITY_FILE,
    AUTHORITY_FOLDER,
    check_issues,
    load_authority,
    renewal_time,
)
from protocol.certs.keys import weakness
from protocol.certs.own_revocations import write_revocations
from protocol.certs.parsing import parse_certificate
from protocol.certs.register import EnrolledClient, Invitation, Register
from protocol.certs.register_file import changing_register, read_register, write_register

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from protocol.certs.keys import PrivateKey

LARGEST_REQUEST = 8192
"""Bytes of a request; one for RSA with 4096 bits has 1200."""


def admit_client(
    resources: Path, secret: bytes, request: bytes, *, now: datetime | None = None
) -> tuple[str, bytes]:
    """Use an invitation up: the client's certificate for its secret.

    Args:
        resources: the server's Resources folder.
        secret: of the code; not trusted.
        request: the client's, PKCS#10 as DER; not trusted.
        now: the present time, UTC; None takes the clock.

    Returns:
        The client's name, and its certificate as DER.

    Raises:
        RequestError: it is refused; one class for each reason.
        ResourcesError: the authority or the register cannot be used.
    """
    moment = (now or datetime.now(UTC)).replace(microsecond=0)
    _find_invitation(read_register(resources), secret)  # who guesses keeps nobody waiting
    with changing_register(resources) as register:
        invitation = _find_invitation(register, secret)
        public_key = _read_request(request)
        fingerprint = key_fingerprint(public_key)
        if invitation.used_by not in (None, fingerprint):
            raise _used()
        if moment > invitation.expires:
            raise errors.ExpiredInvitation("this code has expired")
        authority = load_authority(resources)
        check_issues(resources / AUTHORITY_FOLDER / AUTHORITY_FILE, authority[0], moment)
        if invitation.used_by is None:
            client = _enter(resources, register, invitation, public_key, authority, moment)
        else:
            client = _find_again(resources, register, invitation, authority, moment)
    return client.name, client.certificate


def _find_invitation(register: Register, secret: bytes) -> Invitation:
    invitation = register.find_invitation(secret)
    if invitation is None:
        raise errors.UnknownInvitation("this code is not known here")
    return invitation


def _enter(
    resources: Path,
    register: Register,
    invitation: Invitation,
    public_key: object,
    authority: tuple[Certificate, PrivateKey],
    now: datetime,
) -> EnrolledClient:
    """Enter a client in the register, and use its invitation up with that."""
    fingerprint = key_fingerprint(public_key)
    present = register.live_client(invitation.name, now)
    if present is not None and not invitation.replaces:
        raise errors.UsedInvitation("a client of this name has joined by another code")
    _check_new_key(register, fingerprint, present)
    certificate = issue_client_certificate(*authority, public_key, name=invitation.name, now=now)
    client = EnrolledClient(
        name=invitation.name,
        fingerprint=fingerprint,
        enrolled=now,
        certificate=encode_certificate(certificate),
        serials=(_serial(certificate),),
    )
    used = attrs.evolve(invitation, used_by=fingerprint)
    register = register.with_invitation(used, instead_of=invitation).with_client(client)
    if present is None:
        write_register(resources, register, now=now)
    else:
        register = register.with_client(attrs.evolve(present, revoked=now), instead_of=present)
        write_revocations(resources, register, *authority, now=now)
    return client


def _find_again(
    resources: Path,
    register: Register,
    invitation: Invitation,
    authority: tuple[Certificate, PrivateKey],
    now: datetime,
) -> EnrolledClient:
    """Find the client that has joined by an invitation: it has not got its answer."""
    client = register.live_client(invitation.name, now)
    if client is None or client.fingerprint != invitation.used_by:
        raise _used()
    if invitation.replaces:  # whoever was killed after the register was written has not come to this
        write_revocations(resources, register, *authority, now=now)
    return client


def _used() -> errors.UsedInvitation:
    return errors.UsedInvitation("this code was used already")


def _check_new_key(register: Register, fingerprint: str, replaced: EnrolledClient | None) -> None:
    """Check that a key is no other client's, and none that was revoked: somebody else may have it."""
    if any(each.fingerprint == fingerprint and each != replaced for each in register.clients):
        raise errors.UnfitRequest("this key was used for another client before: make a new one")


def renew_client(
    resources: Path, request: bytes, *, shown: bytes | None = None, now: datetime | None = None
) -> bytes:
    """Issue a client's certificate anew, for the same key.

    Args:
        resources: the server's Resources folder.
        request: the client's, PKCS#10 as DER; not trusted.
        shown: the certificate that the connection was made with, DER, where it was asked for one.
        now: the present time, UTC; None takes the clock.

    Returns:
        The certificate, DER; the newest one again where that has more than a third of its life left.

    Raises:
        RenewalRefused: the key is of no client that is enrolled here, revoked, or its certificate has ended.
        UnfitRequest: the request is not in order.
        ResourcesError: the authority or the register cannot be used.
    """
    moment = (now or datetime.now(UTC)).replace(microsecond=0)
    public_key = _read_request(request)
    fingerprint = key_fingerprint(public_key)
    if shown is not None and spki_fingerprint(shown) != fingerprint:
        raise errors.RenewalRefused("the connection was made with another key than the request")
    client = _find_client(read_register(resources), fingerprint, moment)
    authority, authority_key = load_authority(resources)
    if not _is_due(client, authority, moment):
        return client.certificate  # who asks too early keeps nobody waiting
    with changing_register(resources) as register:
        client = _find_client(register, fingerprint, moment)
        if not _is_due(client, authority, moment):
            return client.certificate
        certificate = issue_client_certificate(
            authority, authority_key, public_key, name=client.name, now=moment
        )
        serials = tuple(entry for entry in client.serials if entry[1] >= moment)
        renewed = attrs.evolve(
            client, certificate=encode_certificate(certificate), serials=(*serials, _serial(certificate))
        )
        write_register(resources, register.with_client(renewed, instead_of=client), now=moment)
    return renewed.certificate


def _find_client(register: Register, fingerprint: str, now: datetime) -> EnrolledClient:
    for client in register.clients:
        if client.fingerprint == fingerprint and client.is_live(now):
            return client
    raise errors.RenewalRefused("this server has no enrolled client with this key whose certificate counts")


def _is_due(client: EnrolledClient, authority: Certificate, now: datetime) -> bool:
    due = renewal_time(parse_certificate(client.certificate), authority)
    return due is not None and now >= due


def _read_request(request: bytes) -> object:
    """Check a request; returns the public key that it is for."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        if len(request) > LARGEST_REQUEST:
            raise ValueError
        read = x509.load_der_x509_csr(request)
        public_key = read.public_key()
        sound = read.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion):
        raise errors.UnfitRequest("the certificate request cannot be understood") from None
    if not sound:
        raise errors.UnfitRequest("the certificate request is not signed by its own key")
    if finding := weakness(public_key):
        raise errors.UnfitRequest(f"the certificate request is refused: {finding}")
    return public_key


def _serial(certificate: Certificate) -> tuple[int, datetime]:
    return certificate.serial_number, certificate.not_valid_after_utc
