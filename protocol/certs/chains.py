"""Finding a server's certificate and its chain among certificates that came in any order. Pure.

An authority sends the certificate alone, or with what is behind it in one order or the other, with the
root or without, twice, or with certificates of a second way to another root. TLS wants the server's
first and then each one's issuer; the root has no place there, since who lacks it has no reason to trust
it (RFC 8446 section 4.4.2).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import attrs

from protocol.certs import errors
from protocol.certs.certificates import is_authority, is_key_of

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from protocol.certs.keys import PrivateKey


@attrs.frozen
class Chain:
    """A server's certificate with its chain in order.

    Attributes:
        certificates: the server's first; without the root.
        root: the root, where it was among them.
        left_out: certificates that do not belong to the chain.
        complete: whether it ends below a known root. Where it does not, the issuer of the last
            certificate is either a root that clients have, or one that is missing.
    """

    certificates: tuple[Certificate, ...]
    root: Certificate | None
    left_out: tuple[Certificate, ...]
    complete: bool


def find_key(
    path: Path, certificates: Sequence[Certificate], keys: Iterable[PrivateKey], now: datetime
) -> tuple[PrivateKey, Certificate]:
    """Find the key that one of the certificates is for, and that certificate.

    Args:
        path: the file they come from.
        certificates: in any order.
        keys: the private keys that are there, the preferred one first.
        now: the present time, UTC: of several certificates for a key one in its time is taken, and of
            those the one that holds longest.

    Raises:
        KeyMismatch: none is for any of the keys.
    """
    for key in keys:
        own = [certificate for certificate in certificates if is_key_of(key, certificate)]
        if own:
            return key, max(own, key=lambda found: _preference(found, now))
    raise errors.KeyMismatch(
        path,
        "no certificate in it is for the private key in Resources",
        "Install the certificate that was issued for this key's request, or make a new request",
    )


def order_chain(
    leaf: Certificate, others: Iterable[Certificate], *, spare: Iterable[Certificate] = (), now: datetime
) -> Chain:
    """Put the certificates behind a server's own in order.

    Args:
        leaf: the server's certificate.
        others: what came with it, in any order; it may be among them.
        spare: what else may serve to complete the chain, as that of the certificate before.
        now: the present time, UTC, which decides between two certificates of one authority.
    """
    came = list(dict.fromkeys(other for other in others if other != leaf))
    known = list(dict.fromkeys([*came, *spare]))
    chain, root = [leaf], None
    if _signed_itself(leaf):
        root = leaf
    while root is None:
        issuers = [other for other in known if other not in chain and _is_issued_by(chain[-1], other)]
        if not issuers:
            break
        issuer = max(issuers, key=lambda found: (found in came, _preference(found, now)))
        if _signed_itself(issuer):
            root = issuer
        else:
            chain.append(issuer)
    left_out = tuple(other for other in came if other not in chain and other != root)
    return Chain(tuple(chain), root, left_out, root is not None)


def _preference(certificate: Certificate, now: datetime) -> tuple[bool, bool, datetime]:
    in_time = certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc
    return in_time, not is_authority(certificate), certificate.not_valid_after_utc


def _is_issued_by(lower: Certificate, upper: Certificate) -> bool:
    try:
        lower.verify_directly_issued_by(upper)
    except Exception:  # ValueError, TypeError or InvalidSignature: all say that it was not
        return False
    return True


def _signed_itself(certificate: Certificate) -> bool:
    return _is_issued_by(certificate, certificate)
