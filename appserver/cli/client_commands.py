"""What `appserver invite` and `appserver clients` do: the functions of `protocol.certs`, and texts."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import attrs

from appserver.cli.certificate_commands import Outcome, Place
from protocol.certs import (
    CannotInvite,
    ClientEntry,
    Invited,
    Revoked,
    enrolled_are_accepted,
    invite_client,
    list_clients,
    require_certificates,
    revoke_client,
)
from protocol.certs.identity import CLIENTS_CA_FILE
from protocol.certs.inviting import server_names
from protocol.certs.names import is_loopback
from protocol.transport import Address, format_location

_EVERYWHERE = ("0.0.0.0", "::", "")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def invite(place: Place, name: str, *, expires: str, address: str | None, replace: bool) -> Outcome:
    """`invite`.

    Args:
        place: where.
        name: the client's.
        expires: how long the code holds.
        address: of the server, as the client is to call it; from the settings without.
        replace: whether the client that has the name may be replaced.

    Raises:
        CannotInvite: a client could not join.
    """
    if not place.loaded.settings.client_server.encrypt:
        raise CannotInvite(
            name,
            "encryption is off (client_server.encrypt), and without it there are no certificates",
            "Set client_server.encrypt to true",
        )
    reached = _address(place, name, address)
    invited = invite_client(
        place.folder,
        name,
        host=reached.host,
        port=reached.port,
        names=place.tls.names,
        lifetime=_lifetime(name, expires),
        replace=replace,
        key_type=place.tls.key_type,
    )
    return Outcome(attrs.asdict(invited), list(_invited_lines(invited)))


def list_all(place: Place) -> Outcome:
    """`clients list`."""
    entries = list_clients(place.folder)
    lines = [_entry_line(entry) for entry in entries] or ["no client has joined, and none is invited"]
    required = enrolled_are_accepted(place.folder)
    data = {"clients": [attrs.asdict(entry) for entry in entries], "required": required}
    return Outcome(data, [*lines, *_required_lines(place, required)])


def revoke(place: Place, name: str) -> Outcome:
    """`clients revoke`."""
    revoked = revoke_client(place.folder, name)
    return Outcome(attrs.asdict(revoked), list(_revoked_lines(revoked)))


def require(place: Place) -> Outcome:
    """`clients require`."""
    new = require_certificates(place.folder)
    now = datetime.now(UTC)
    enrolled = sum(entry.state == "enrolled" for entry in list_clients(place.folder, now=now))
    lines = [
        f"clients without a certificate are refused{'' if new else ' already'}, see {place.folder / CLIENTS_CA_FILE}",
        f"enrolled     {enrolled}",
    ]
    if new:
        lines.append(
            "a running server takes it over by itself, and sends those away that are connected without one"
        )
    if not enrolled:
        lines.append(
            "NOBODY IS ENROLLED: no client of this server's authority can connect until one has joined"
        )
    return Outcome({"required": True, "changed": new, "enrolled": enrolled}, lines)


def _address(place: Place, name: str, given: str | None) -> Address:
    if given is not None:
        return Address.parse(given)
    section = place.loaded.settings.client_server
    host = section.host if section.host not in _EVERYWHERE else server_names(place.folder, place.tls.names)[0]
    if not section.port:
        raise CannotInvite(
            name, "the server takes any free port (client_server.port)", "Say --address host:port"
        )
    return Address(host, section.port)


def _lifetime(name: str, text: str) -> timedelta:
    found = re.fullmatch(r"([0-9]{1,6})([smhd])", text.strip())
    if found is None:
        raise CannotInvite(name, f"{text!r} is no time for --expires", "Say it as 30m, 1h or 7d")
    return timedelta(seconds=int(found[1]) * _UNITS[found[2]])


def _invited_lines(invited: Invited) -> Iterator[str]:
    yield invited.code
    yield f"for          {invited.name}"
    yield f"server       {format_location(invited.host, invited.port)}"
    if is_loopback(invited.host):
        yield "             which only clients on this machine reach; for others: client_server.host, or --address"
    yield f"expires      {invited.expires:%Y-%m-%d %H:%M} UTC; it can be used once"
    if invited.withdrawn:
        yield "             the earlier code for this name is worthless now"
    if invited.replaces:
        yield "             the client that has the name now is revoked as soon as another joins by the code"
    if invited.accepted:
        yield f"accepted     this server's own authority was added to {CLIENTS_CA_FILE}"
    if invited.required:
        yield "required     yes: clients without a certificate are refused"
    else:
        yield "required     NO: clients without a certificate are let in as well, which this command does not change;"
        yield "             when all that should have joined: appserver clients require"
    yield "next: appclient join CODE at the client; send the code by a way that nobody else can read"


def _entry_line(entry: ClientEntry) -> str:
    since = "" if entry.since is None else f"since {entry.since:%Y-%m-%d %H:%M}  "
    key = "" if entry.fingerprint is None else f"  {entry.fingerprint}"
    return f"{entry.name:20} {entry.state:9} {since}until {entry.until:%Y-%m-%d %H:%M} UTC{key}"


def _required_lines(place: Place, required: bool) -> Iterator[str]:
    if required:
        yield "clients without a certificate are refused"
    elif os.path.lexists(place.folder / CLIENTS_CA_FILE):
        yield f"CLIENTS LISTED HERE ARE REFUSED: {CLIENTS_CA_FILE} is without this server's own authority"
        yield "next: appserver clients require, which adds it"
    else:
        yield "CLIENTS WITHOUT A CERTIFICATE ARE LET IN: appserver clients require changes that"


def _revoked_lines(revoked: Revoked) -> Iterator[str]:
    if revoked.since is None:
        yield f"withdrawn    the invitation of {revoked.name}; it had not joined"
        return
    yield f"revoked      {revoked.name}, on {revoked.since:%Y-%m-%d %H:%M} UTC"
    yield f"list         {revoked.file}"
    if revoked.invitations:
        yield "withdrawn    the open code for it"
    if not revoked.required:
        yield "THIS KEEPS NOBODY OUT YET: clients without a certificate are let in, so that one is, too"
        yield "next: appserver clients require"
