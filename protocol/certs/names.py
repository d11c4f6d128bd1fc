"""The names and addresses that clients may know this machine by, without asking any name server.

`socket.getfqdn` and looking up the own host name can wait for a name server for many seconds, and a
first start must not.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterable

from protocol.certs.authority import parse_address
from protocol.settings.checks import is_host

# Documentation addresses (RFC 5737, RFC 3849): connecting a UDP socket sends nothing, it only makes the
# system choose the address that it would send from.
_OUTSIDE = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))


def machine_names(extra: Iterable[str] = ()) -> tuple[str, ...]:
    """List the names for this machine's certificate.

    Args:
        extra: further host names and addresses, from the settings; they come first.

    Returns:
        Names and addresses, each once: the extra ones, the host's, its outgoing addresses, and those
        of the loopback.
    """
    found = [*extra, socket.gethostname(), *_outgoing_addresses(), "localhost", "127.0.0.1", "::1"]
    return tuple(dict.fromkeys(canonical_name(name) for name in found if is_host(name)))


def canonical_name(name: str) -> str:
    """Write a host name or address in the one way that a certificate shows it in."""
    address = parse_address(name)
    return name.rstrip(".").lower() if address is None else str(address)


def is_named(host: str, names: Iterable[str]) -> bool:
    """Tell whether a certificate's names hold a host; a wildcard stands for one label (RFC 9525, section 6.3).

    What a person is shown. Whether a server is accepted is decided by OpenSSL.
    """
    name = canonical_name(host)
    held = {canonical_name(each) for each in names}
    _, dot, rest = name.partition(".")
    return name in held or (bool(dot) and parse_address(name) is None and f"*.{rest}" in held)


def is_loopback(host: str) -> bool:
    """Tell whether a host name or address is one under which each machine finds itself."""
    address = parse_address(host)
    return canonical_name(host) == "localhost" if address is None else address.is_loopback


def _outgoing_addresses() -> Iterable[str]:
    for family, outside in _OUTSIDE:
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((outside, 9))
            yield str(probe.getsockname()[0])
