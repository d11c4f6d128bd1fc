"""Addresses of servers: what users type, and the canonical form that is printed and stored.

It knows nothing of networks: a name is not resolved here.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final
from urllib.parse import parse_qsl, urlsplit

import attrs

SCHEME: Final = "appserver"
DEFAULT_PORT: Final = 19813

_HOST = re.compile(r"[\w.-]+", re.ASCII)
_PIN = re.compile(r"sha256:[0-9a-f]{64}")
_PASSWORD = re.compile(r":[^/]*@")
"""Between a user name and the host, as other protocols have it."""


class AddressError(ValueError):
    """A text is not a server's address; it says what is wrong and shows the form.

    Attributes:
        text: what was given, without a password that may stand in it.
        finding: what is wrong.
    """

    def __init__(self, text: str, finding: str) -> None:
        text = _PASSWORD.sub(":…@", text)
        super().__init__(
            f"{text!r} is not a server's address: {finding}. Examples: orders.example, "
            f"orders.example:{DEFAULT_PORT}, [::1]:{DEFAULT_PORT}, {SCHEME}://orders.example/"
        )
        self.text = text
        self.finding = finding


@attrs.frozen
class Address:
    """Where a server is, and perhaps by which key it is known.

    Attributes:
        host: name or IP address, lower case, an IPv6 address without brackets.
        port: 1 to 65535.
        pin: `sha256:` and 64 hexadecimal digits of the server's public key, or None.
    """

    host: str
    port: int = DEFAULT_PORT
    pin: str | None = None

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read an address: `appserver://host:port/?pin=sha256:...`, `host`, `host:port` or `[::1]:port`.

        Args:
            text: as typed; not trusted.

        Raises:
            AddressError: the text is none of these.
        """
        trimmed = text.strip()
        if any(not char.isprintable() or char.isspace() for char in trimmed):  # urlsplit drops some of them
            raise AddressError(text, "it has a space or a control character in it")
        if "://" in trimmed:
            scheme, rest = trimmed.split("://", 1)
            if scheme.lower() != SCHEME:
                raise AddressError(
                    text, f"it starts with {scheme}://, an appserver's starts with {SCHEME}://"
                )
        else:
            rest = trimmed
            if "?" in rest or "/" in rest:
                raise AddressError(text, f"a path or a query needs {SCHEME}:// in front")
        try:
            parts = urlsplit(f"//{rest}")
        except ValueError as exc:
            raise AddressError(text, str(exc)) from exc
        if parts.path not in ("", "/") or parts.fragment:
            raise AddressError(text, "it has a path")
        if "@" in parts.netloc:
            raise AddressError(text, "a user name has no place in it")
        host, port = _split(text, parts.netloc)
        return cls(host, port, _pin(text, parts.query))

    @property
    def location(self) -> str:
        """`host:port`, with brackets where the host is an IPv6 address."""
        return format_location(self.host, self.port)

    def __str__(self) -> str:
        query = f"?pin={self.pin}" if self.pin else ""
        return f"{SCHEME}://{self.location}/{query}"


def format_location(host: str, port: int) -> str:
    """`host:port`, with brackets where the host is an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _split(text: str, location: str) -> tuple[str, int]:
    if location.startswith("["):
        host, closed, rest = location[1:].partition("]")
        if not closed or (rest and not rest.startswith(":")):
            raise AddressError(text, "the brackets do not enclose just the host")
        return _ipv6(text, host), _port(text, rest[1:]) if rest else DEFAULT_PORT
    if location.count(":") > 1:
        return _ipv6(text, location), DEFAULT_PORT
    host, colon, port = location.partition(":")
    if not host:
        raise AddressError(text, "the host is missing")
    return _name(text, host), _port(text, port) if colon else DEFAULT_PORT


def _name(text: str, host: str) -> str:
    try:
        ascii_host = host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError as exc:
        raise AddressError(text, "the host is not a valid name") from exc
    if not _HOST.fullmatch(ascii_host):
        raise AddressError(text, "the host has a character that no host name has")
    return ascii_host.lower()


def _ipv6(text: str, host: str) -> str:
    try:
        return str(ipaddress.IPv6Address(host))
    except ValueError as exc:
        raise AddressError(text, f"{host!r} is not an IPv6 address") from exc


def _port(text: str, digits: str) -> int:
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 5 and 0 < int(digits) <= 65535):
        raise AddressError(text, "the port is not a number from 1 to 65535")
    return int(digits)


def _pin(text: str, query: str) -> str | None:
    pin: str | None = None
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name != "pin":
            raise AddressError(text, f"{name!r} is not known; only pin= may follow the question mark")
        if pin is not None:
            raise AddressError(text, "it has two pins")
        pin = value.lower()
        if not _PIN.fullmatch(pin):
            raise AddressError(text, "the pin is not sha256: and 64 hexadecimal digits")
    return pin
