"""The groups of the key exchange: which ones, and how a context is held to them.

OpenSSL's own list has finite-field groups, the largest of which holds a server's loop for 159 ms a
handshake, whoever asks. Three ways lead to a list without them, by what there is:

- `SSLContext.set_groups`, where Python has it (3.15);
- a configuration of the whole process, read when OpenSSL starts (`openssl_config`): what the command
  `appserver` gives itself. That such a list is in force is read back and not believed;
- `SSLContext.set_ecdh_curve`, which sets a single group: for a server or a client inside somebody else's
  process, whose configuration is not ours. It is P-256, the one that every implementation of TLS 1.3 must
  have (RFC 8446 section 9.1), and the curve that the certificates of TLS 1.2 are on: there the list
  bounds those, too (RFC 8422 section 5.1.1), so X25519 alone would refuse them.

Source: the TLS Supported Groups registry of IANA for the numbers.
"""

from __future__ import annotations

import contextlib
import functools
import ssl
import struct

GROUPS = ("X25519", "P-256", "P-384")
HYBRID = "X25519MLKEM768"
"""Holds even against who records now and has a quantum computer later; OpenSSL has it from 3.5 on."""

GROUP_NAMES = {
    23: "P-256",
    24: "P-384",
    25: "P-521",
    29: "X25519",
    30: "X448",
    256: "ffdhe2048",
    257: "ffdhe3072",
    258: "ffdhe4096",
    259: "ffdhe6144",
    260: "ffdhe8192",
    4587: "SecP256r1MLKEM768",
    4588: HYBRID,
}

OPENSSL_NAMES = {"P-256": "prime256v1", "P-384": "secp384r1", "P-521": "secp521r1"}
"""What `set_ecdh_curve` calls a group, where it is another name."""

_HYBRID_SINCE = (3, 5)
_SUPPORTED_GROUPS = 10


def wanted_groups() -> tuple[str, ...]:
    """List the groups that a connection may use, the best first, for this process's OpenSSL."""
    return (HYBRID, *GROUPS) if ssl.OPENSSL_VERSION_INFO >= _HYBRID_SINCE else GROUPS


def set_groups(context: ssl.SSLContext) -> None:
    """Hold a context to `wanted_groups`, or to P-256 alone where Python and the process allow no list.

    Args:
        context: the context to change.
    """
    if hasattr(context, "set_groups"):
        context.set_groups(":".join(wanted_groups()))
    elif not process_is_limited():
        context.set_ecdh_curve(OPENSSL_NAMES["P-256"])


def process_is_limited() -> bool:
    """Tell whether this process's own configuration leaves no other groups than the wanted ones.

    A narrower list is somebody's decision, and stays.
    """
    found = process_groups()
    return bool(found) and set(found) <= set(wanted_groups())


@functools.cache
def process_groups() -> tuple[str, ...]:
    """Read the groups that a new context of this process has, from the greeting that it would send.

    OpenSSL reads its configuration once for each process, so the answer does not change.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    sent = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname="localhost").do_handshake()
    return offered_groups(sent.read())


def offered_groups(hello: bytes) -> tuple[str, ...]:
    """Read the groups from a ClientHello.

    Args:
        hello: the record that begins with it.

    Returns:
        The groups' names, their numbers where they have none here; none where the bytes do not say.
    """
    try:
        found = _extension(hello, _SUPPORTED_GROUPS)
        numbers = struct.unpack_from(f">{len(found) // 2 - 1}H", found, 2) if found else ()
    except (struct.error, IndexError):
        return ()
    return tuple(GROUP_NAMES.get(number, f"group {number}") for number in numbers)


def _extension(hello: bytes, wanted: int) -> bytes:
    at = 5 + 4 + 2 + 32  # record, message, version, random
    at += 1 + hello[at]  # session id
    at += 2 + int(struct.unpack_from(">H", hello, at)[0])  # suites
    at += 1 + hello[at]  # compression
    end = at + 2 + int(struct.unpack_from(">H", hello, at)[0])
    at += 2
    while at + 4 <= min(end, len(hello)):
        kind, length = struct.unpack_from(">HH", hello, at)
        if kind == wanted:
            return hello[at + 4 : at + 4 + length]
        at += 4 + length
    return b""
