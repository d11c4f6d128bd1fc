"""Finite-field Diffie-Hellman parameters for TLS 1.2: `dhparams.pem`.

They are public, and no secret comes of reading them. A server without the file uses ffdhe2048, a group
that is published with the way it was found, so no start ever waits for a search. TLS 1.3 and clients
with elliptic curves, which are all of the last fifteen years, do not use them.

The few octets of DER are read and written here: the certificate library gives finite fields up.

Source: PKCS #3 section 9 (the form), RFC 7919 appendix A.1 (ffdhe2048), NIST SP 800-57 part 1 (size).
"""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Callable
from pathlib import Path

import attrs

from protocol.certs import errors
from protocol.certs.pem import check_folder, encode_pem, read_blocks
from protocol.certs.primes import find_safe_prime, is_prime
from protocol.settings.atomic import PUBLIC, create_file, replace_file

DH_FILE = "dhparams.pem"
LABEL = "DH PARAMETERS"

LEAST_BITS = 2048
MOST_BITS = 4096
"""Above, each handshake that a stranger asks for holds the server for too long: 159 ms with 8192 bits."""

_LABELS = {LABEL, "X9.42 DH PARAMETERS"}
_ROUNDS = 5
_MAKE_NEW = "Make it anew: appserver certificates dhparams --generate, or delete it for the default group"


@attrs.frozen
class DhParameters:
    """A group of a finite field.

    Attributes:
        prime: its modulus.
        generator: of the part of it that is used.
    """

    prime: int = attrs.field(repr=lambda prime: f"<{prime.bit_length()} bits>")
    generator: int

    @property
    def bits(self) -> int:
        """The size of the prime."""
        return self.prime.bit_length()

    @property
    def name(self) -> str:
        """The group's published name, or "own"."""
        return "ffdhe2048" if self == FFDHE2048 else "own"

    def encode(self) -> bytes:
        """The file's content, as PEM."""
        body = _integer(self.prime) + _integer(self.generator)
        return encode_pem(LABEL, b"\x30" + _length(len(body)) + body)


FFDHE2048 = DhParameters(
    int.from_bytes(
        bytes.fromhex(
            """
    FFFFFFFFFFFFFFFFADF85458A2BB4A9AAFDC5620273D3CF1D8B9C583CE2D3695
    A9E13641146433FBCC939DCE249B3EF97D2FE363630C75D8F681B202AEC4617A
    D3DF1ED5D5FD65612433F51F5F066ED0856365553DED1AF3B557135E7F57C935
    984F0C70E0E68B77E2A689DAF3EFE8721DF158A136ADE73530ACCA4F483A797A
    BC0AB182B324FB61D108A94BB2C8E3FBB96ADAB760D7F4681D4F42A3DE394DF4
    AE56EDE76372BB190B07A7C8EE0A6D709E02FCE1CDF7E2ECC03404CD28342F61
    9172FE9CE98583FF8E4F1232EEF28183C3FE3B1B4C6FAD733BB5FCBC2EC22005
    C58EF1837D1683B2C6F34A26C1B2EFFA886B423861285C97FFFFFFFFFFFFFFFF
            """
        )
    ),
    2,
)
"""RFC 7919 appendix A.1: from the digits of e, so that nobody could choose it for a weakness."""


def load_dh_parameters(resources: Path) -> DhParameters:
    """Read the parameters of a server's Resources folder.

    Args:
        resources: the folder.

    Returns:
        Those of the file, checked, or ffdhe2048 where there is none.

    Raises:
        ShortDhParameters: the prime is too short.
        UnsafeDhParameters: the number is no prime, the generator is unfit, or the prime is too long.
        ResourcesError: one of its other classes, for what can be wrong with a PEM file.
    """
    path = resources / DH_FILE
    # A dangling link is an error and not an absent file: somebody meant a group of their own.
    if not os.path.lexists(path):
        return FFDHE2048
    blocks = read_blocks(path)
    if len(blocks) != 1 or blocks[0].label not in _LABELS:
        found = ", ".join(block.label for block in blocks)
        raise errors.WrongContents(path, f"one block of {LABEL} is expected, it holds {found}", _MAKE_NEW)
    try:
        parameters = _decode(blocks[0].content)
    except (ValueError, IndexError):
        raise errors.DamagedPem(path, f"the {LABEL} in it are damaged", "Copy it again") from None
    _check(path, parameters)
    return parameters


def ensure_dh_parameters(resources: Path) -> bool:
    """Write `dhparams.pem` with ffdhe2048 where there is none; takes no time worth naming.

    A folder that cannot be written is no error: the same group is used without the file.

    Args:
        resources: the server's Resources folder.

    Returns:
        Whether it was written now.
    """
    with contextlib.suppress(OSError):
        return create_file(resources / DH_FILE, FFDHE2048.encode(), mode=PUBLIC)
    return False


def generate_dh_parameters(
    resources: Path, *, bits: int = LEAST_BITS, progress: Callable[[float], object] = lambda chance: None
) -> DhParameters:
    """Make a group of one's own and put it into `dhparams.pem`; takes a minute or two with 2048 bits.

    Until it is found, the file stays as it is; then it is replaced in one step.

    Args:
        resources: the server's Resources folder.
        bits: the prime's size.
        progress: see `primes.find_safe_prime`; an exception from it ends the search.

    Returns:
        The group.

    Raises:
        ResourcesError: there is no such folder; found before the search.
        OSError: the file cannot be written.
    """
    check_folder(resources, setting="[tls] resources")
    parameters = DhParameters(find_safe_prime(bits, progress=progress), 2)
    replace_file(resources / DH_FILE, parameters.encode(), mode=PUBLIC)
    return parameters


def _check(path: Path, parameters: DhParameters) -> None:
    if parameters.bits < LEAST_BITS:
        raise errors.ShortDhParameters(
            path, f"the prime has {parameters.bits} bits, at least {LEAST_BITS} are needed", _MAKE_NEW
        )
    if finding := _finding(parameters):
        raise errors.UnsafeDhParameters(path, finding, _MAKE_NEW)


@functools.lru_cache(maxsize=16)
def _finding(parameters: DhParameters) -> str | None:
    """What is wrong with the numbers. Kept, since a watched folder is read again and again."""
    prime, generator = parameters.prime, parameters.generator
    if parameters == FFDHE2048:
        return None
    if parameters.bits > MOST_BITS:
        return f"the prime has {parameters.bits} bits: a handshake would hold the server, {MOST_BITS} are the most"
    if not 1 < generator < prime - 1:
        return "its generator generates nothing"
    return None if is_prime(prime, rounds=_ROUNDS) else "its modulus is not a prime number"


def _integer(number: int) -> bytes:
    content = number.to_bytes(number.bit_length() // 8 + 1)  # with a sign bit
    return b"\x02" + _length(len(content)) + content


def _length(length: int) -> bytes:
    if length < 0x80:
        return bytes([length])
    content = length.to_bytes((length.bit_length() + 7) // 8)
    return bytes([0x80 | len(content)]) + content


def _decode(content: bytes) -> DhParameters:
    """Read prime and generator; what may follow them (PKCS #3's length, X9.42's order) is not needed."""
    body, rest = _element(content, 0x30)
    prime, body = _element(body, 0x02)
    generator, _ = _element(body, 0x02)
    if rest or not prime or not generator or (prime[0] | generator[0]) & 0x80:
        raise ValueError("not a sequence of two positive numbers")
    return DhParameters(int.from_bytes(prime), int.from_bytes(generator))


def _element(content: bytes, tag: int) -> tuple[bytes, bytes]:
    """The first element's octets, and what follows it."""
    if content[0] != tag:
        raise ValueError("another type")
    start, length = 2, content[1]
    if length & 0x80:
        start = 2 + (length & 0x7F)
        length = int.from_bytes(content[2:start])
    if len(content) < start + length:
        raise ValueError("cut off")
    return content[start : start + length], content[start + length :]
