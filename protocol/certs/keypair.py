"""Making a server's key pair, for a certificate that an authority elsewhere will issue."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import attrs

from protocol.certs import errors
from protocol.certs.certificates import key_fingerprint
from protocol.certs.first_start import make_folder
from protocol.certs.identity import CERT_FILE, KEY_FILE, NEXT_KEY_FILE
from protocol.certs.keys import KeyType, make_private_key
from protocol.certs.pair import changing, put_key, writing

LONGEST_PASSPHRASE = 1023
"""Bytes that OpenSSL takes."""


@attrs.frozen
class NewKey:
    """A key that was made.

    Attributes:
        file: where it is.
        waiting: whether it waits for its certificate beside a pair that serves.
        encrypted: whether a passphrase opens it.
        fingerprint: "sha256:" and 64 hex digits, of its public half: the pin of the server, once it serves.
        kept: the file of the key whose place it took, if there was one.
    """

    file: Path
    waiting: bool
    encrypted: bool
    fingerprint: str
    kept: Path | None


def make_key_pair(
    resources: Path,
    *,
    key_type: KeyType = "p256",
    passphrase: bytes | None = None,
    replace: bool = False,
    now: datetime | None = None,
) -> NewKey:
    """Make a private key in a server's Resources folder; its public half goes into the request.

    Where a key and its certificate serve already, they go on doing so: the new key waits in
    `next-key.pem`, and takes its place when its certificate is installed.

    Args:
        resources: the server's Resources folder; made where it is missing, for its owner alone.
        key_type: of the key.
        passphrase: to encrypt it with; it is the one that `[tls]` names, as the server must open it.
        replace: whether a key that is there may be replaced; it is kept beside.
        now: the present time, UTC; None takes the clock.

    Returns:
        What was made.

    Raises:
        ExistingFile: there is a key already, and `replace` is false.
        ResourcesError: one of its other classes; nothing changed.
    """
    moment = now or datetime.now(UTC)
    check_passphrase(resources / KEY_FILE, passphrase)
    with writing(resources):
        make_folder(resources)
    with changing(resources, passphrase=passphrase):
        path = _free_place(resources, replace=replace)
        key = make_private_key(key_type)
        kept = put_key(path, key, passphrase=passphrase, now=moment)
    return NewKey(
        file=path,
        waiting=path.name == NEXT_KEY_FILE,
        encrypted=passphrase is not None,
        fingerprint=key_fingerprint(key.public_key()),
        kept=kept[0] if kept else None,
    )


def check_passphrase(path: Path, passphrase: bytes | None) -> None:
    """Check that a passphrase can encrypt a key.

    Raises:
        PassphraseNeeded: it is empty or too long.
    """
    if passphrase is not None and not 0 < len(passphrase) <= LONGEST_PASSPHRASE:
        raise errors.PassphraseNeeded(
            path,
            f"the passphrase for it has {len(passphrase)} bytes",
            f"Give one of 1 to {LONGEST_PASSPHRASE} bytes, or none",
        )


def _free_place(resources: Path, *, replace: bool) -> Path:
    key_file, waiting = resources / KEY_FILE, resources / NEXT_KEY_FILE
    if not os.path.lexists(key_file):
        return key_file
    for path in (waiting, key_file):
        if os.path.lexists(path) and not replace:
            raise errors.ExistingFile(
                path,
                "there is a key already, and a request can be made for it (certificates request)",
                "For another one say --replace: the present key is kept, and serves until the new one has"
                " its certificate; clients' pins then change",
            )
    return waiting if os.path.lexists(resources / CERT_FILE) else key_file
