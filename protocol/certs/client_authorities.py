"""Whether clients must show a certificate, and whether those of the private authority count: `clients-ca.pem`."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from protocol.certs.certificates import encode_certificate, load_certificates
from protocol.certs.first_start import AUTHORITY_FILE, AUTHORITY_FOLDER, encode_chain, ensure_authority
from protocol.certs.identity import CERT_FILE, CLIENTS_CA_FILE
from protocol.certs.locking import locked
from protocol.certs.pair import writing
from protocol.settings.atomic import PUBLIC, replace_file


def enrolled_are_accepted(resources: Path) -> bool:
    """Whether clients without a certificate are refused, and enrolled ones are not.

    Args:
        resources: the server's Resources folder.

    Raises:
        ResourcesError: a file cannot be used.
    """
    authority, accepted = resources / AUTHORITY_FOLDER / AUTHORITY_FILE, resources / CLIENTS_CA_FILE
    if not os.path.lexists(authority) or not os.path.lexists(accepted):
        return False
    return load_certificates(authority)[0] in load_certificates(accepted)


def accept_enrolled(resources: Path) -> bool:
    """Add the private authority to `clients-ca.pem`.

    Args:
        resources: the server's Resources folder.

    Returns:
        Whether it was not there yet.

    Raises:
        ResourcesError: a file cannot be used or written.
    """
    path = resources / CLIENTS_CA_FILE
    with writing(resources):
        authority, _ = ensure_authority(resources)
        with locked(resources / CERT_FILE):
            present = load_certificates(path) if os.path.lexists(path) else ()
            if encode_certificate(authority) in [encode_certificate(each) for each in present]:
                return False
            replace_file(path, encode_chain((*present, authority)), mode=PUBLIC)
    return True


def require_certificates(resources: Path, *, now: datetime | None = None) -> bool:
    """Refuse clients without a certificate from now on: those of the private authority count, among others.

    Args:
        resources: the server's Resources folder.
        now: the present time, UTC; None takes the clock.

    Returns:
        Whether that is new.

    Raises:
        ResourcesError: a file cannot be used or written.
    """
    with writing(resources):
        ensure_authority(resources, now=now or datetime.now(UTC))
    return accept_enrolled(resources)
