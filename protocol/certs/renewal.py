"""Renewing the certificate that the server's own authority issued: when it is due, and now.

A start renews by itself what is due (`first_start`), and a server that runs for longer does the same when the end of
its certificate comes near. `next_renewal` tells people when.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from protocol.certs import errors
from protocol.certs.certificates import check_chain, facts_of, load_certificates
from protocol.certs.first_start import AUTHORITY_FOLDER, issue_chain, load_authority, renewal_time
from protocol.certs.identity import CERT_FILE, NEXT_KEY_FILE, load_server_key
from protocol.certs.install import Installed
from protocol.certs.keys import KeyType, make_private_key
from protocol.certs.pair import changing, put_key, put_pair


def next_renewal(resources: Path) -> datetime | None:
    """Say when `ensure_server_identity` will renew the server's certificate.

    Args:
        resources: the server's Resources folder.

    Returns:
        The moment, UTC, which may be over; None where it will not: another authority issued the
        certificate, this one's files are not there or not in order, or it ends soon itself.
    """
    cert_file = resources / CERT_FILE
    try:
        certificate = load_certificates(cert_file)[0]
        authority, _ = load_authority(resources)
        check_chain(cert_file, (certificate, authority), None)
    except errors.ResourcesError:
        return None
    return renewal_time(certificate, authority)


def renew_server_certificate(
    resources: Path,
    *,
    names: Sequence[str] = (),
    new_key: bool = False,
    key_type: KeyType = "p256",
    passphrase: bytes | None = None,
    now: datetime | None = None,
) -> Installed:
    """Renew the certificate of the server's own authority now, due or not.

    Args:
        resources: the server's Resources folder.
        names: host names and addresses for the certificate, besides those of this machine.
        new_key: whether it gets a new key; clients that pin the present one must then be told.
        key_type: of a new key.
        passphrase: of the key, where it is encrypted; a new one is encrypted with it.
        now: the present time, UTC; None takes the clock.

    Returns:
        What was installed; the old files are kept beside.

    Raises:
        NotIssuedHere: another authority issued the certificate.
        ResourcesError: one of its other classes; nothing changed.
    """
    moment = (now or datetime.now(UTC)).replace(microsecond=0)
    cert_file = resources / CERT_FILE
    with changing(resources, passphrase=passphrase):
        present = load_certificates(cert_file)
        if not os.path.lexists(resources / AUTHORITY_FOLDER):
            raise _not_issued_here(cert_file)
        authority, authority_key = load_authority(resources)
        try:
            check_chain(cert_file, (present[0], authority), None)
        except errors.WrongChainOrder:
            raise _not_issued_here(cert_file) from None
        _check_not_over(resources, authority.not_valid_after_utc, moment)
        kept: tuple[Path, ...] = ()
        if new_key:
            key = make_private_key(key_type)
            kept = put_key(resources / NEXT_KEY_FILE, key, passphrase=passphrase, now=moment)
        else:
            key = load_server_key(resources, present, passphrase=passphrase)
            check_chain(cert_file, present, key)
        chain = issue_chain(authority, authority_key, key, names=names, now=moment)
        kept += put_pair(resources, chain, new_key=new_key, now=moment)
    return Installed(
        cert_file=cert_file,
        certificate=facts_of(chain[0]),
        chain=tuple(part.subject.rfc4514_string() for part in chain),
        new_key=new_key,
        kept=kept,
        notes=(),
    )


def _not_issued_here(cert_file: Path) -> errors.NotIssuedHere:
    return errors.NotIssuedHere(
        cert_file,
        "the certificate is not of this server's own authority",
        "Make a request for the same key (appserver certificates request), send it to its authority, and"
        " install what comes back",
    )


def _check_not_over(resources: Path, end: datetime, now: datetime) -> None:
    if now >= end:
        folder = resources / AUTHORITY_FOLDER
        raise errors.ExpiredCertificate(
            folder,
            f"the private authority expired on {end:%Y-%m-%d}",
            "Move this folder and cert.pem away and start for a new authority (clients must then trust it)",
        )
