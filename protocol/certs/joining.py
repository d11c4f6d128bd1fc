"""The files of a client that joins: its key is made here and stays here, and what it gets is put into place as one.

The key waits in `next-key.pem` from before the code is used until its certificate has come. So whatever kills a join,
the next one with the same code asks with the same key and gets the same certificate; and at any moment there is a whole
identity or none (`pair`). A line above the key says by which code it joins or has joined: so the next one knows, too,
that there is nothing left to do.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from protocol.certs import errors
from protocol.certs.authority import hash_for
from protocol.certs.certificates import (
    CertificateFacts,
    check_chain,
    check_times,
    encode_certificate,
    facts_of,
    is_authority,
    is_key_of,
    load_certificates,
    purposes_of,
)
from protocol.certs.client_certificates import UnfitName, common_name
from protocol.certs.enrolment_errors import UnfitRequest
from protocol.certs.first_start import AUTHORITY_FOLDER, encode_chain, make_folder
from protocol.certs.identity import (
    CERT_FILE,
    KEY_FILE,
    NEXT_KEY_FILE,
    ClientIdentity,
    check_not_servers,
)
from protocol.certs.keys import encode_private_key, load_private_key, make_private_key
from protocol.certs.locking import locked
from protocol.certs.pair import changing, is_unfinished, keep_old, put_pair, writing
from protocol.certs.parsing import parse_certificate
from protocol.certs.pem import read_file
from protocol.certs.trust import ANCHORS_FILE
from protocol.settings.atomic import PRIVATE, PUBLIC, create_file, replace_file

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from protocol.certs.keys import PrivateKey

_MARK = b"by the code "


@attrs.frozen(kw_only=True)
class Joined:
    """A client that has joined.

    Attributes:
        name: its name at the server.
        resources: its folder.
        host: the server, as the client is to call it.
        port: its port.
        certificate: the facts of its own certificate.
        kept: old files, which were kept beside.
    """

    name: str
    resources: Path
    host: str
    port: int
    certificate: CertificateFacts
    kept: tuple[Path, ...] = ()


def find_joined(resources: Path, mark: str, *, host: str, port: int) -> Joined | None:
    """Find out that this client has joined by a code already; what was killed meanwhile is completed.

    Args:
        resources: the client's Resources folder; it need not exist.
        mark: of the code.
        host: the server, for the result.
        port: likewise.

    Returns:
        What was done then, or None where it has not joined, or by another code.

    Raises:
        ResourcesError: the folder cannot be written.
    """
    key_file = resources / (NEXT_KEY_FILE if is_unfinished(resources) else KEY_FILE)
    if not os.path.lexists(key_file) or _mark_in(key_file) != mark:
        return None
    with changing(resources):
        own = load_certificates(resources / CERT_FILE)[0]
        if not is_key_of(load_private_key(resources / KEY_FILE), own):
            return None
    return _joined(resources, own, host, port)


def prepare_joining(resources: Path, *, mark: str = "", replace: bool = False) -> bytes:
    """Make the key of a client that is to join, or take the one that waits, and write its request.

    Args:
        resources: the client's Resources folder; made where it is missing, for its owner alone.
        mark: of the code, which is noted in the key's file.
        replace: whether an identity that is there may be replaced; it is kept beside.

    Returns:
        The request, PKCS#10 as DER. It holds the public half of the key and no name: the server knows that.

    Raises:
        ServerKeyInClientResources: this is a server's folder.
        ExistingFile: there is an identity, or an anchor in its place, and `replace` is false.
        ResourcesError: one of its other classes: no key is made that would find no place later.
    """
    with writing(resources):
        make_folder(resources)
    with changing(resources):
        _check_free(resources, replace)
        _anchors_in(resources)
        waiting = resources / NEXT_KEY_FILE
        if not os.path.lexists(waiting):
            create_file(waiting, _marked(make_private_key("p256"), mark), mode=PRIVATE)
        key = load_private_key(waiting)
        if _mark_in(waiting) != mark:
            replace_file(waiting, _marked(key, mark), mode=PRIVATE, keep_mode=False)
        return make_key_request(key)


def _marked(key: PrivateKey, mark: str) -> bytes:
    """A key's file with a line above it, which readers of PEM pass over."""
    return _MARK + mark.encode() + b"\n" + encode_private_key(key)


def _mark_in(key_file: Path) -> str:
    with contextlib.suppress(errors.ResourcesError):
        first, _, _ = read_file(key_file, private=True).partition(b"\n")
        if first.startswith(_MARK):
            return first.removeprefix(_MARK).decode("ascii", "replace")
    return ""


def make_key_request(key: PrivateKey) -> bytes:
    """Write a request for a client's certificate: the public half of its key, signed with the other."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hash_for(key))
    return request.public_bytes(Encoding.DER)


def discard_key(resources: Path) -> None:
    """Remove the waiting key: the server has said that it takes no request of it."""
    with changing(resources):
        (resources / NEXT_KEY_FILE).unlink(missing_ok=True)


def finish_joining(
    resources: Path,
    certificate: bytes,
    anchors: Sequence[bytes],
    *,
    authority: bytes,
    host: str,
    port: int,
    now: datetime | None = None,
) -> Joined:
    """Put what the server sent into place: `ca.pem`, then `cert.pem` and `key.pem` as one.

    Args:
        resources: the client's Resources folder, as `prepare_joining` left it.
        certificate: the client's own, DER.
        anchors: the authorities that the server's certificate comes of, DER; they are added to those there are.
        authority: what the client's certificate must be of, DER; verified.
        host: the server, for the result.
        port: likewise.
        now: the present time, UTC; None takes the clock.

    Returns:
        What was done.

    Raises:
        UnfitRequest: the server has sent something else than was asked for.
        ResourcesError: the folder cannot be written, or its files have changed meanwhile.
    """
    moment = now or datetime.now(UTC)
    own, issuer, *trusted = _read([certificate, authority, *anchors])
    with changing(resources):
        if _is_in_place(resources, own):  # another process with the same code was faster
            return _joined(resources, own, host, port)
        key = load_private_key(resources / NEXT_KEY_FILE)
        check_own(resources, own, issuer, key, moment)
        kept = _add_anchors(resources, trusted, moment)
        kept += put_pair(resources, (own,), new_key=True, now=moment)
    return attrs.evolve(_joined(resources, own, host, port), kept=kept)


def store_renewed(
    resources: Path, certificate: bytes, identity: ClientIdentity, *, now: datetime | None = None
) -> CertificateFacts | None:
    """Put a renewed certificate in the old one's place, in one step: the key is the same.

    Args:
        resources: the client's Resources folder.
        certificate: what the server sent, DER.
        identity: what it was asked with.
        now: the present time, UTC; None takes the clock.

    Returns:
        Its facts; None where the files are of another key by now, or as new already.

    Raises:
        UnfitRequest: the server has sent something else than was asked for.
        ResourcesError: the folder cannot be written.
    """
    moment = now or datetime.now(UTC)
    (own,) = _read([certificate])
    check_own(resources, own, None, identity.private_key, moment)
    with writing(resources), locked(resources / CERT_FILE):
        present = load_certificates(resources / CERT_FILE)
        if not is_key_of(identity.private_key, present[0]):
            return None
        if own.not_valid_after_utc <= present[0].not_valid_after_utc:
            return None
        replace_file(resources / CERT_FILE, encode_chain((own,)), mode=PUBLIC, keep_mode=False)
    return facts_of(own)


def check_own(
    resources: Path, own: Certificate, issuer: Certificate | None, key: PrivateKey, now: datetime
) -> None:
    """Check that a certificate is what a client asked for.

    Args:
        resources: its folder.
        own: the certificate.
        issuer: who must have issued it, where that is known.
        key: whose it must be.
        now: the present time, UTC.

    Raises:
        UnfitRequest: it is not.
    """
    path = resources / CERT_FILE
    try:
        check_chain(path, (own,) if issuer is None else (own, issuer), key)
        check_times(path, (own,), now)
        common_name(own.subject)
    except UnfitName as error:
        raise UnfitRequest(f"the server sent a certificate that is of no use: {error}") from error
    except errors.ResourcesError as error:
        raise UnfitRequest(f"the server sent a certificate that is of no use: {error.finding}") from error
    if is_authority(own) or purposes_of(own) != frozenset({"client"}):
        raise UnfitRequest("the server sent a certificate that is not for a client alone")


def _is_in_place(resources: Path, own: Certificate) -> bool:
    with contextlib.suppress(errors.ResourcesError):
        present = load_certificates(resources / CERT_FILE)[0]
        return present == own and is_key_of(load_private_key(resources / KEY_FILE), own)
    return False


def _check_free(resources: Path, replace: bool) -> None:
    key_file = resources / KEY_FILE
    if os.path.lexists(key_file) and _is_servers(resources):
        raise errors.ServerKeyInClientResources(
            key_file,
            "this is a server's private key, in a server's folder and not in a client's",
            "Name the client's own folder with --resources",
        )
    for path in (key_file, resources / CERT_FILE):
        if os.path.lexists(path) and not replace:
            raise errors.ExistingFile(
                path,
                "this client has an identity or an anchor there already",
                "Name another folder with --resources; or say --replace, which keeps the old files beside",
            )


def _is_servers(resources: Path) -> bool:
    try:
        check_not_servers(resources / KEY_FILE, load_certificates(resources / CERT_FILE))
    except errors.ServerKeyInClientResources:
        return True
    except errors.ResourcesError:
        pass  # whatever it is, it is kept beside
    return os.path.lexists(resources / AUTHORITY_FOLDER)


def _anchors_in(resources: Path) -> tuple[Certificate, ...]:
    path = resources / ANCHORS_FILE
    return load_certificates(path) if os.path.lexists(path) else ()


def _add_anchors(resources: Path, anchors: Sequence[Certificate], now: datetime) -> tuple[Path, ...]:
    path = resources / ANCHORS_FILE
    present = _anchors_in(resources)
    known = {encode_certificate(each) for each in present}
    new = [each for each in anchors if encode_certificate(each) not in known]
    if not new:
        return ()
    kept = keep_old(path, now=now)
    replace_file(path, encode_chain((*present, *new)), mode=PUBLIC)
    return kept


def _read(ders: Sequence[bytes]) -> list[Certificate]:
    try:
        return [parse_certificate(der) for der in ders]
    except ValueError as error:
        raise UnfitRequest("the server sent something that is no certificate") from error


def _joined(resources: Path, own: Certificate, host: str, port: int) -> Joined:
    return Joined(
        name=common_name(own.subject), resources=resources, host=host, port=port, certificate=facts_of(own)
    )
