"""The first start: a private authority and a server certificate where there are none; and their renewal.

Nothing is ever written over that a person may have put there: each file is created only where its name
is free, and each step begins with what is on the disk. So a start that was killed anywhere, and two
starts at once, end with one consistent set:

    authority/ca-key.pem -> authority/ca.pem -> key.pem -> cert.pem -> dhparams.pem

A key without its certificate is therefore either a first start that was killed, or a key whose
certificate an authority elsewhere has not sent yet; both get a certificate from the private authority
until a better one comes. A certificate without its key is nobody's doing here, and an error.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from protocol.certs import errors
from protocol.certs.authority import issue_server_certificate, make_authority_certificate
from protocol.certs.certificates import check_chain, encode_certificate, load_certificates, names_of
from protocol.certs.dhparams import ensure_dh_parameters
from protocol.certs.identity import CERT_FILE, KEY_FILE, ServerIdentity, open_server_identity
from protocol.certs.keys import KeyType, encode_private_key, load_private_key, make_private_key
from protocol.certs.locking import locked
from protocol.certs.names import canonical_name, machine_names
from protocol.certs.pair import finish_pair, is_unfinished
from protocol.certs.pem import check_folder, encode_pem
from protocol.settings.atomic import PRIVATE, PUBLIC, create_file, remove_leftovers, replace_file

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from protocol.certs.keys import PrivateKey

AUTHORITY_FOLDER = "authority"
AUTHORITY_KEY_FILE = "ca-key.pem"
AUTHORITY_FILE = "ca.pem"

RENEW_AT = 1 / 3
"""The part of a certificate's life that is left when it is renewed, as ACME clients do."""


def ensure_server_identity(
    resources: Path,
    *,
    names: Sequence[str] = (),
    key_type: KeyType = "p256",
    passphrase: bytes | None = None,
    create: bool = True,
    now: datetime | None = None,
) -> ServerIdentity:
    """Open the server's identity; make it where there is none, and renew what was made here.

    Args:
        resources: the server's Resources folder; made where it is missing, for its owner alone.
        names: host names and addresses for the certificate, besides those of this machine.
        key_type: of new keys.
        passphrase: of an encrypted key that is there already. New keys are not encrypted: the
            passphrase would lie beside them.
        create: make what is missing; False for a server that runs, where a file that is away for a moment is
            being replaced by somebody.
        now: the present time, UTC; None takes the clock.

    Returns:
        The identity. A certificate that this function issued is issued anew, with the same key, when
        a third of its life is left or when `names` has one that it lacks.

    Raises:
        ResourcesError: one of its classes: the files that are there cannot be used, or the folder
            cannot be written.
    """
    moment = (now or datetime.now(UTC)).replace(microsecond=0)
    key_file, cert_file = resources / KEY_FILE, resources / CERT_FILE
    try:
        if create:
            make_folder(resources)
        if is_unfinished(resources, passphrase=passphrase):
            # Where the folder is closed to this process, the pair serves as it is.
            with contextlib.suppress(OSError), locked(cert_file):
                finish_pair(resources, passphrase=passphrase)
        if create and not os.path.lexists(cert_file):
            _make_missing(resources, names, key_type, passphrase, moment)
        else:
            _renew_if_due(resources, names, passphrase, moment)
        remove_leftovers(resources)
    except OSError as error:
        place = Path(error.filename) if isinstance(error.filename, str) else key_file.parent
        raise errors.UnwritableFolder(
            place,
            f"the server's certificate cannot be written ({error.strerror or error})",
            "Let the user who runs the server own the Resources folder, and make room on the disk",
        ) from error
    identity = open_server_identity(resources, passphrase=passphrase, now=moment)
    ensure_dh_parameters(resources)
    return identity


def check_can_make(resources: Path) -> None:
    """See that this process could make what is missing, without making anything.

    Args:
        resources: the server's Resources folder, there or not.

    Raises:
        UnwritableFolder: it is closed to this process, or cannot be made.
    """
    place = resources
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    effective = os.access in os.supports_effective_ids
    if not place.is_dir() or not os.access(place, os.W_OK | os.X_OK, effective_ids=effective):
        raise errors.UnwritableFolder(
            place,
            f"the server's certificate cannot be made in {resources}",
            "Let the user who runs the server own the folder, or name another with tls.resources",
        )


def _make_missing(
    resources: Path, names: Sequence[str], key_type: KeyType, passphrase: bytes | None, now: datetime
) -> None:
    authority, authority_key = _ensure_authority(resources / AUTHORITY_FOLDER, key_type, now)
    key = _ensure_key(resources / KEY_FILE, key_type, passphrase)
    chain = issue_chain(authority, authority_key, key, names=names, now=now)
    create_file(resources / CERT_FILE, encode_chain(chain), mode=PUBLIC)


def ensure_authority(
    resources: Path, *, key_type: KeyType = "p256", now: datetime | None = None
) -> tuple[Certificate, PrivateKey]:
    """Load the private authority, and make it where there is none: for clients it is needed beside any other.

    Args:
        resources: the server's Resources folder; made where it is missing, for its owner alone.
        key_type: of a new key.
        now: the present time, UTC; None takes the clock.

    Returns:
        The authority's certificate and key.

    Raises:
        ResourcesError: one of its classes.
        OSError: it cannot be written.
    """
    moment = (now or datetime.now(UTC)).replace(microsecond=0)
    make_folder(resources)
    return _ensure_authority(resources / AUTHORITY_FOLDER, key_type, moment)


def _ensure_authority(folder: Path, key_type: KeyType, now: datetime) -> tuple[Certificate, PrivateKey]:
    cert_file, key_file = folder / AUTHORITY_FILE, folder / AUTHORITY_KEY_FILE
    make_folder(folder)
    remove_leftovers(folder)
    if os.path.lexists(cert_file) and not os.path.lexists(key_file):
        raise errors.MissingFile(
            key_file,
            "the private authority's key is not there, so it cannot issue a certificate",
            "Bring the key back, or move the folder away for a new authority (clients must then trust it)",
        )
    key = _ensure_key(key_file, key_type, None)
    if not os.path.lexists(cert_file):
        certificate = make_authority_certificate(key, name=machine_names()[0], now=now)
        create_file(cert_file, encode_pem("CERTIFICATE", encode_certificate(certificate)), mode=PUBLIC)
    authority = _load_authority(folder, key)
    check_issues(cert_file, authority, now)
    return authority, key


def check_issues(path: Path, authority: Certificate, now: datetime) -> None:
    """Check that the private authority can issue certificates still.

    Args:
        path: its file, for the error.
        authority: its certificate.
        now: the present time, UTC.

    Raises:
        ExpiredCertificate: it has ended.
    """
    if now > authority.not_valid_after_utc:
        raise errors.ExpiredCertificate(
            path,
            f"the private authority expired on {authority.not_valid_after_utc:%Y-%m-%d}",
            f"Move the folder {path.parent} away for a new authority (clients must then trust it)",
        )


def load_authority(resources: Path) -> tuple[Certificate, PrivateKey]:
    """Load the private authority of a server's Resources folder.

    Args:
        resources: the folder.

    Returns:
        The authority's certificate and key.

    Raises:
        MissingFolder: there is none.
        ResourcesError: one of its other classes: its files cannot be used.
    """
    folder = resources / AUTHORITY_FOLDER
    key = load_private_key(folder / AUTHORITY_KEY_FILE)
    return _load_authority(folder, key), key


def _load_authority(folder: Path, key: PrivateKey) -> Certificate:
    path = folder / AUTHORITY_FILE
    certificates = load_certificates(path)[:1]
    check_chain(path, certificates, key)
    return certificates[0]


def _ensure_key(path: Path, key_type: KeyType, passphrase: bytes | None) -> PrivateKey:
    if not os.path.lexists(path):
        create_file(path, encode_private_key(make_private_key(key_type)), mode=PRIVATE)
    return load_private_key(path, passphrase=passphrase)


def issue_chain(
    authority: Certificate, authority_key: PrivateKey, key: PrivateKey, *, names: Sequence[str], now: datetime
) -> tuple[Certificate, Certificate]:
    """Issue a certificate of the private authority for this machine.

    Args:
        authority: the authority's certificate.
        authority_key: its key.
        key: the server's.
        names: host names and addresses besides those of this machine.
        now: the present time, UTC.

    Returns:
        The certificate with the authority behind it, so that a client which is given a copy of this one
        file trusts the authority, and goes on doing so when the certificate is renewed.
    """
    named = machine_names(names)
    return issue_server_certificate(authority, authority_key, key, names=named, now=now), authority


def encode_chain(chain: Sequence[Certificate]) -> bytes:
    """Write certificates as PEM, one after the other."""
    return b"".join(encode_pem("CERTIFICATE", encode_certificate(part)) for part in chain)


def _renew_if_due(resources: Path, names: Sequence[str], passphrase: bytes | None, now: datetime) -> None:
    folder, cert_file = resources / AUTHORITY_FOLDER, resources / CERT_FILE
    if not (folder / AUTHORITY_KEY_FILE).exists() or not (folder / AUTHORITY_FILE).exists():
        return
    if _due_chain(resources, names, passphrase, now) is None:
        return  # and no lock is written into a folder that may be closed to this process
    with locked(cert_file):
        # Somebody may have installed a better certificate meanwhile.
        if (chain := _due_chain(resources, names, passphrase, now)) is not None:
            replace_file(cert_file, encode_chain(chain))


def _due_chain(
    resources: Path, names: Sequence[str], passphrase: bytes | None, now: datetime
) -> tuple[Certificate, Certificate] | None:
    """The certificate that follows, where one is due."""
    cert_file = resources / CERT_FILE
    try:
        certificate = load_certificates(cert_file)[0]
        authority, authority_key = load_authority(resources)
        key = load_private_key(resources / KEY_FILE, passphrase=passphrase)
        check_chain(cert_file, (certificate, authority), key)
    except errors.ResourcesError:
        # Not of this authority, or not in order: opening the identity says so where it matters.
        return None
    missing = {canonical_name(name) for name in names} - set(names_of(certificate))
    due = renewal_time(certificate, authority)
    late = due is not None and now >= due
    if (
        now < certificate.not_valid_before_utc
        or now >= authority.not_valid_after_utc
        or not (missing or late)
    ):
        return None
    return issue_chain(authority, authority_key, key, names=names, now=now)


def renewal_time(certificate: Certificate, authority: Certificate) -> datetime | None:
    """Say when a certificate of the private authority is due to be renewed.

    Args:
        certificate: the server's.
        authority: the one that issued it.

    Returns:
        The moment, UTC, when a third of its life is left; None where it ends with its authority, and so
        a new one would not hold longer.
    """
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return None if end >= authority.not_valid_after_utc else end - (end - begin) * RENEW_AT


def make_folder(folder: Path) -> None:
    """Make a folder for its owner alone where there is none, and check one that there is.

    Raises:
        ResourcesError: it is no folder, or cannot be entered.
        OSError: it cannot be made.
    """
    if not os.path.lexists(folder):
        # On Windows this mode makes a folder that is its owner's alone (Python 3.11.10, 3.12.4 and later).
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    check_folder(folder, setting="[tls] resources")
