"""Putting a key and its certificate into place: two files that have to change as one.

No system renames two files in one step. So a new key waits in `next-key.pem`, beside the pair that
serves, until there is a certificate for it, and then:

    cert.pem and key.pem are copied aside -> cert.pem is replaced -> key.pem is replaced
    -> next-key.pem is removed

In the moment between the second and the third step, and for as long as a killed process leaves it like
that, readers take the waiting key because it is the certificate's (`identity.load_server_key`). The next
start or command completes the steps that are missing. A certificate for the key that serves already is
replaced in one step.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from protocol.certs import errors
from protocol.certs.certificates import encode_certificate, is_key_of, load_certificates
from protocol.certs.identity import CERT_FILE, KEY_FILE, NEXT_KEY_FILE
from protocol.certs.keys import encode_private_key, load_private_key
from protocol.certs.locking import locked
from protocol.certs.pem import check_folder, encode_pem, read_file
from protocol.settings.atomic import PRIVATE, PUBLIC, create_file, remove_leftovers, replace_file

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from protocol.certs.keys import PrivateKey


@contextlib.contextmanager
def changing(resources: Path, *, passphrase: bytes | None = None) -> Iterator[None]:
    """Hold the folder for a change; complete before it what a killed process left.

    Args:
        resources: the server's Resources folder; it exists.
        passphrase: of its key.

    Raises:
        ResourcesError: the folder cannot be used or written, or another process keeps it.
    """
    check_folder(resources, setting="[tls] resources")
    with writing(resources), locked(resources / CERT_FILE):
        remove_leftovers(resources)
        finish_pair(resources, passphrase=passphrase)
        yield


@contextlib.contextmanager
def writing(resources: Path) -> Iterator[None]:
    """Tell of a file that cannot be written as of everything else that is wrong with Resources.

    Raises:
        UnwritableFolder: in place of an OSError.
    """
    try:
        yield
    except OSError as error:
        place = Path(error.filename) if isinstance(error.filename, str) else resources
        raise errors.UnwritableFolder(
            place,
            f"it cannot be written ({error.strerror or error})",
            "Let the user who runs this own the folder, and make room on the disk",
        ) from error


def is_unfinished(resources: Path, *, passphrase: bytes | None = None) -> bool:
    """Tell whether a new key still waits although its certificate is in place.

    Args:
        resources: the server's Resources folder.
        passphrase: of the waiting key.
    """
    waiting = resources / NEXT_KEY_FILE
    if not os.path.lexists(waiting):
        return False
    try:
        certificates = load_certificates(resources / CERT_FILE)
        return is_key_of(load_private_key(waiting, passphrase=passphrase), certificates[0])
    except errors.ResourcesError:
        return False  # it still waits, or what is wrong is told by whoever opens the pair


def finish_pair(resources: Path, *, passphrase: bytes | None = None) -> None:
    """Complete the installation of a new key that was killed after its certificate was in place.

    Args:
        resources: the server's Resources folder, held by a lock.
        passphrase: of the waiting key.

    Raises:
        OSError: the folder cannot be written.
    """
    if is_unfinished(resources, passphrase=passphrase):
        _put_waiting_key(resources)


def put_key(path: Path, key: PrivateKey, *, passphrase: bytes | None, now: datetime) -> tuple[Path, ...]:
    """Write a new private key; one that is there is kept beside.

    Args:
        path: its file.
        key: the key.
        passphrase: to encrypt it with, or None.
        now: the present time, UTC, for the name of what is kept.

    Returns:
        What was kept.

    Raises:
        OSError: it cannot be written; what was there is still there.
    """
    kept = keep_old(path, now=now, secret=True)
    replace_file(path, encode_private_key(key, passphrase), mode=PRIVATE, keep_mode=False)
    return kept


def put_pair(
    resources: Path, chain: Sequence[Certificate], *, new_key: bool, now: datetime
) -> tuple[Path, ...]:
    """Put a certificate into place, and the waiting key with it where it is the one of that.

    Args:
        resources: the server's Resources folder, held by `changing`.
        chain: the certificate and those behind it, checked.
        new_key: whether it is the waiting key's.
        now: the present time, UTC.

    Returns:
        The old files, which were kept beside.

    Raises:
        OSError: it cannot be written; the pair is the old one or the new one.
    """
    cert_file = resources / CERT_FILE
    kept = keep_old(cert_file, now=now)
    if new_key:
        kept += keep_old(resources / KEY_FILE, now=now, secret=True)
    pem = b"".join(encode_pem("CERTIFICATE", encode_certificate(part)) for part in chain)
    # A certificate is public, and clients' programs copy it; an odd mode of the old one does not live on.
    replace_file(cert_file, pem, mode=PUBLIC, keep_mode=False)
    if new_key:
        _put_waiting_key(resources)
    return kept


def keep_old(path: Path, *, now: datetime, secret: bool = False) -> tuple[Path, ...]:
    """Copy a file aside, under its name and the time, before another takes its place.

    Args:
        path: the file; where it does not exist or is empty there is nothing to keep.
        now: the present time, UTC.
        secret: whether nobody else may read the copy.

    Returns:
        The copy's path, if there was anything to keep.

    Raises:
        ResourcesError: what stands there is no file.
        OSError: the copy cannot be written.
    """
    if not os.path.lexists(path):
        return ()
    try:
        content = read_file(path)
    except errors.EmptyFile:
        return ()
    stem = f"{path.name}.{now:%Y%m%d-%H%M%S}"
    for number in range(1, 100):
        kept = path.with_name(stem if number == 1 else f"{stem}-{number}")
        if create_file(kept, content, mode=PRIVATE if secret else PUBLIC):
            return (kept,)
    raise errors.ExistingFile(kept, "there are too many copies of one second", "Remove old ones")


def _put_waiting_key(resources: Path) -> None:
    waiting = resources / NEXT_KEY_FILE
    content = read_file(waiting, private=True)
    replace_file(resources / KEY_FILE, content, mode=PRIVATE, keep_mode=False)
    waiting.unlink(missing_ok=True)
