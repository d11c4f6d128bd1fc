"""Pins: a server named by its public key, in the address or in `known_servers.toml`.

A pin is stronger than any authority: nobody but the holder of that one key passes. `known_servers.toml`
also remembers that a server was encrypted, so that a later switch to plain text is noticed.

The file is read with the standard library and written whole:

    ["host.example:19813"]
    pin = "sha256:..."
    first_seen = 2026-01-01T00:00:00Z
    encrypted = true
"""

from __future__ import annotations

import os
import re
import tomllib
import types
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import attrs

from protocol.certs import errors
from protocol.certs.locking import locked
from protocol.certs.pem import read_file
from protocol.settings.atomic import PRIVATE, replace_file

KNOWN_SERVERS_FILE = "known_servers.toml"

_PIN = re.compile(r"sha256:[0-9a-f]{64}")


@attrs.frozen
class KnownServer:
    """What a client remembers of a server.

    Attributes:
        pin: fingerprint of its public key, "sha256:" and 64 hex digits; None where it is not pinned.
        first_seen: when it was first seen, UTC.
        encrypted: whether its connection was encrypted then.
    """

    pin: str | None
    first_seen: datetime
    encrypted: bool = True


def parse_pin(text: str) -> str:
    """Read a pin as a person gives it.

    Args:
        text: "sha256:" and 64 hex digits, of either case, with or without colons between them.

    Returns:
        The pin in its canonical form.

    Raises:
        ValueError: this is no pin.
    """
    prefix, _, digits = text.strip().lower().partition(":")
    pin = f"{prefix}:{digits.replace(':', '')}"
    if _PIN.fullmatch(pin) is None:
        raise ValueError(f"a pin is sha256: and 64 hex digits, not {text!r}")
    return pin


def server_key(host: str, port: int) -> str:
    """Write a server's address as `known_servers.toml` does: "host:19813", "[::1]:19813"."""
    name = host.rstrip(".").lower()
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"


def read_known_servers(path: Path) -> Mapping[str, KnownServer]:
    """Read `known_servers.toml`.

    Args:
        path: the file; where there is none, no server is known.

    Returns:
        The servers by `server_key`.

    Raises:
        DamagedKnownServers: it cannot be understood. It is never taken for empty: that would let
            whoever can damage it make a changed key look new.
        ResourcesError: it cannot be read.
    """
    if not os.path.lexists(path):
        return types.MappingProxyType({})
    try:
        document = tomllib.loads(read_file(path).decode("utf-8-sig"))
        return types.MappingProxyType({key: _from_entry(entry) for key, entry in document.items()})
    except (ValueError, KeyError, TypeError) as error:
        raise errors.DamagedKnownServers(
            path,
            f"the file cannot be understood ({error})",
            "Mend it, or remove it and trust the servers anew",
        ) from error


def note_server(
    path: Path, host: str, port: int, *, pin: str | None = None, now: datetime | None = None
) -> KnownServer:
    """Note that a server was met encrypted, and perhaps its pin; what is known already stays.

    Args:
        path: the file; made where there is none.
        host: the server's host name or address.
        port: its port.
        pin: of its key, once somebody has accepted it; None to note the server alone.
        now: the present time, UTC; None takes the clock.

    Returns:
        What is in the file now. Its pin may be another one than was given, where another process was
        first: a pin is never replaced, only forgotten.

    Raises:
        ResourcesError: the present file cannot be read or understood.
        OSError: it cannot be written; it is as before.
    """
    moment = (now or datetime.now(UTC)).replace(microsecond=0)
    with locked(path):
        servers = dict(read_known_servers(path))
        known = servers.get(server_key(host, port), KnownServer(None, moment))
        server = KnownServer(known.pin or pin, known.first_seen)
        if servers.get(server_key(host, port)) != server:
            servers[server_key(host, port)] = server
            replace_file(path, _to_toml(servers).encode(), mode=PRIVATE)
    return server


def forget_server(path: Path, host: str, port: int) -> bool:
    """Remove a server from `known_servers.toml`.

    Returns:
        Whether it was there.

    Raises:
        ResourcesError: as `note_server`.
        OSError: likewise.
    """
    if server_key(host, port) not in read_known_servers(path):
        return False
    with locked(path):
        servers = dict(read_known_servers(path))
        known = servers.pop(server_key(host, port), None)
        if known is not None:
            replace_file(path, _to_toml(servers).encode(), mode=PRIVATE)
    return known is not None


def check_peer_certificate(
    der: bytes | None,
    pin: str | None,
    *,
    address: str,
    known: KnownServer | None = None,
    reset: str = errors.REMOVE_ENTRY,
    now: datetime | None = None,
) -> None:
    """Check the certificate that a server showed, after the handshake and before anything is sent.

    Whoever connects with a pin must call this: such a context may leave the decision to it.

    Args:
        der: the certificate, from `getpeercert(binary_form=True)`.
        pin: what it must match, or None where an authority decides: then nothing is left to check.
        address: the server, as the user names it.
        known: where the pin comes from `known_servers.toml`: what stands there.
        reset: likewise: what removes it from there, as a part of a sentence.
        now: the present time, UTC; None takes the clock.

    Raises:
        ChangedServerKey: it has another key than the one that it is known by.
        PinMismatch: it has another key than the address says.
        ExpiredServerCertificate: its time is over.
        ServerCertificateNotYetValid: its time has not begun.
        UnfitServerCertificate: there is none, or it cannot be understood.
    """
    if pin is None:
        return
    from protocol.certs.certificates import key_fingerprint
    from protocol.certs.parsing import parse_certificate

    try:
        certificate = parse_certificate(der or b"")
        found = key_fingerprint(certificate.public_key())
    except ValueError as error:
        raise errors.UnfitServerCertificate(
            address, "the server's certificate cannot be understood", "Give the server another certificate"
        ) from error
    if found != parse_pin(pin):
        if known is None:
            raise errors.PinMismatch(address, parse_pin(pin), found)
        raise errors.ChangedServerKey(
            address, parse_pin(pin), found, first_seen=known.first_seen, reset=reset
        )
    moment = now or datetime.now(UTC)
    if moment > certificate.not_valid_after_utc:
        raise errors.expired_server(address, f"on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC")
    if moment < certificate.not_valid_before_utc:
        raise errors.not_yet_valid_server(
            address, f"before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
        )


def _from_entry(entry: object) -> KnownServer:
    if not isinstance(entry, dict):
        raise ValueError("expected one section for each server")
    pin, first_seen, encrypted = entry.get("pin"), entry["first_seen"], entry.get("encrypted", True)
    if not isinstance(first_seen, datetime) or first_seen.tzinfo is None:
        raise ValueError("first_seen: expected a date and time with its zone")
    if not isinstance(encrypted, bool):
        raise ValueError("encrypted: expected true or false")
    if pin is not None and not isinstance(pin, str):
        raise ValueError("pin: expected text")
    return KnownServer(None if pin is None else parse_pin(pin), first_seen.astimezone(UTC), encrypted)


def _to_toml(servers: Mapping[str, KnownServer]) -> str:
    parts = ["# Servers that this client has met. A pin is the SHA-256 of a server's public key.\n"]
    for key, server in sorted(servers.items()):
        # Host names and addresses need no escapes; what does is not one.
        if re.fullmatch(r"[A-Za-z0-9_.:%\[\]*-]+", key) is None:
            raise ValueError(f"not a host and port: {key!r}")
        pin = "" if server.pin is None else f'pin = "{server.pin}"\n'
        seen = server.first_seen.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        encrypted = str(server.encrypted).lower()
        parts.append(f'["{key}"]\n{pin}first_seen = {seen}\nencrypted = {encrypted}\n')
    return "\n".join(parts)
