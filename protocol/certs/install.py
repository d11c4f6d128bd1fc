"""Installing what an authority sent: read in any form, checked against the key, put into place as one.

Nothing in Resources changes before all checks have passed. Then the old files are kept beside, and the new
ones replace them in such an order that a pair which fits is there at any moment (`pair`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from protocol.certs import errors
from protocol.certs.bundles import read_certificates, read_pkcs12
from protocol.certs.certificates import (
    CertificateFacts,
    certificate_name,
    check_chain,
    check_server_leaf,
    check_strength,
    check_times,
    encode_certificate,
    facts_of,
    is_key_of,
    load_certificates,
)
from protocol.certs.chains import Chain, find_key, order_chain
from protocol.certs.first_start import make_folder
from protocol.certs.identity import CERT_FILE, KEY_FILE, NEXT_KEY_FILE, ServerIdentity
from protocol.certs.keypair import check_passphrase
from protocol.certs.keys import load_private_key
from protocol.certs.pair import changing, put_key, put_pair, writing
from protocol.certs.rehearsal import rehearse

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from protocol.certs.keys import PrivateKey


@attrs.frozen
class Installed:
    """What was installed.

    Attributes:
        cert_file: the certificate's file.
        certificate: its facts.
        chain: subjects of the certificates in the file, the server's first.
        new_key: whether another key than before serves now: clients that pin the old one must be told.
        kept: the old files, which were kept beside.
        notes: what is worth knowing.
    """

    cert_file: Path
    certificate: CertificateFacts
    chain: tuple[str, ...]
    new_key: bool
    kept: tuple[Path, ...]
    notes: tuple[str, ...]


def install_certificates(
    resources: Path,
    files: Sequence[Path],
    *,
    passphrase: bytes | None = None,
    now: datetime | None = None,
) -> Installed:
    """Install a certificate for the key in Resources, or for the one that waits in `next-key.pem`.

    Args:
        resources: the server's Resources folder.
        files: what the authority sent, at least one file: PEM, DER or PKCS#7, in any order.
        passphrase: of the key in Resources, where it is encrypted.
        now: the present time, UTC; None takes the clock.

    Returns:
        What was installed.

    Raises:
        KeyMismatch: no certificate is for one of the keys.
        ResourcesError: one of its other classes; nothing changed.
    """
    moment = now or datetime.now(UTC)
    came = [certificate for file in files for certificate in read_certificates(file)]
    with changing(resources, passphrase=passphrase):
        keys = _load_keys(resources, passphrase)
        key, leaf = find_key(files[0], came, keys.values(), moment)
        chain = _check(resources, files[0], key, _order(resources, leaf, came, moment), moment)
        return _put(resources, chain, new_key=not _serves(keys, leaf), now=moment)


def import_pkcs12(
    resources: Path,
    file: Path,
    *,
    file_passphrase: bytes | None = None,
    passphrase: bytes | None = None,
    now: datetime | None = None,
) -> Installed:
    """Install the key and the certificate of a PKCS#12 file.

    Args:
        resources: the server's Resources folder; made where it is missing, for its owner alone.
        file: the file (.p12, .pfx).
        file_passphrase: of that file.
        passphrase: to encrypt the key in Resources with, and of the key that is there; it is the one that
            `[tls]` names, as the server must open it.
        now: the present time, UTC; None takes the clock.

    Returns:
        What was installed.

    Raises:
        ResourcesError: one of its classes; the pair that serves has not changed.
    """
    moment = now or datetime.now(UTC)
    check_passphrase(resources / KEY_FILE, passphrase)
    bundle = read_pkcs12(file, passphrase=file_passphrase)
    with writing(resources):
        make_folder(resources)
    with changing(resources, passphrase=passphrase):
        key, leaf = find_key(file, bundle.certificates, [bundle.key], moment)
        chain = _check(resources, file, key, _order(resources, leaf, bundle.certificates, moment), moment)
        keys = _load_keys(resources, passphrase, needed=False)
        kept: tuple[Path, ...] = ()
        if not any(is_key_of(known, leaf) for known in keys.values()):
            kept = put_key(resources / NEXT_KEY_FILE, key, passphrase=passphrase, now=moment)
        installed = _put(resources, chain, new_key=not _serves(keys, leaf), now=moment)
    return attrs.evolve(installed, kept=kept + installed.kept)


def _load_keys(resources: Path, passphrase: bytes | None, *, needed: bool = True) -> dict[str, PrivateKey]:
    """Load the waiting key and the one that serves, those of them that there are.

    Args:
        resources: the server's Resources folder.
        passphrase: of the keys.
        needed: whether one is needed; otherwise those that cannot be used do not count.
    """
    keys = {}
    for name in (NEXT_KEY_FILE, KEY_FILE):
        if os.path.lexists(resources / name):
            try:
                keys[name] = load_private_key(resources / name, passphrase=passphrase)
            except errors.ResourcesError:
                if needed:
                    raise
    if needed and not keys:
        raise errors.MissingFile(
            resources / KEY_FILE,
            "there is no such file, and a certificate is of no use without its key",
            "Put the key there that the certificate was requested for; where both are in one file"
            " (.p12, .pfx) use: appserver certificates import",
        )
    return keys


def _serves(keys: Mapping[str, PrivateKey], leaf: Certificate) -> bool:
    serving = keys.get(KEY_FILE)
    return serving is not None and is_key_of(serving, leaf)


def _order(resources: Path, leaf: Certificate, came: Sequence[Certificate], now: datetime) -> Chain:
    """Order what came; the chain of the certificate before may complete it.

    Authorities that renew a certificate often send it alone, and the one who installed the chain a year
    ago is gone.
    """
    try:
        spare = load_certificates(resources / CERT_FILE)[1:]
    except errors.ResourcesError:
        spare = ()
    return order_chain(leaf, came, spare=spare, now=now)


def _check(resources: Path, file: Path, key: PrivateKey, chain: Chain, now: datetime) -> Chain:
    leaf = chain.certificates[0]
    check_times(file, chain.certificates, now)
    check_server_leaf(file, leaf)
    check_strength(file, chain.certificates)
    check_chain(file, chain.certificates, key)
    identity = ServerIdentity(
        **attrs.asdict(facts_of(leaf)),
        resources=resources,
        key_file=resources / KEY_FILE,
        cert_file=file,
        chain=tuple(encode_certificate(part) for part in chain.certificates),
        private_key=key,
    )
    rehearse(identity, encode_certificate(chain.root or chain.certificates[-1]))
    return chain


def _put(resources: Path, chain: Chain, *, new_key: bool, now: datetime) -> Installed:
    kept = put_pair(resources, chain.certificates, new_key=new_key, now=now)
    return Installed(
        cert_file=resources / CERT_FILE,
        certificate=facts_of(chain.certificates[0]),
        chain=tuple(part.subject.rfc4514_string() for part in chain.certificates),
        new_key=new_key,
        kept=kept,
        notes=tuple(_notes(chain)),
    )


def _notes(chain: Chain) -> Iterator[str]:
    leaf, last = chain.certificates[0], chain.certificates[-1]
    if chain.root == leaf:
        yield "it signed itself: clients trust it only with a copy of it in their Resources"
    elif not chain.complete:
        yield (
            f'the issuer of {certificate_name(last)}, "{last.issuer.rfc4514_string()}", was not among the'
            " certificates: if it is no root that clients have, install again with its certificate added"
        )
    for part in chain.left_out:
        yield f"{certificate_name(part)} does not belong to the chain and was left out"
