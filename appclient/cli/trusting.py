"""`appclient trust`: looking at a server, accepting its key, and the list of those that were accepted.

Nothing is asked unless standard input is a terminal and the output is for a person.
"""

from __future__ import annotations

import sys
from pathlib import Path

import attrs
import trio

from appclient.asking import ServerFacts, look_at_server
from appclient.cli.arguments import UsageError
from appclient.cli.options import Options
from appclient.cli.output import print_item, print_json, print_text
from appclient.errors import TrustRefused
from appclient.opening import read_settings
from appclient.trusting import TrustedOpener, read_trust, store_pin, trust_command
from protocol.certs import (
    KNOWN_SERVERS_FILE,
    ChangedServerKey,
    KnownServer,
    PinMismatch,
    client_resources_folder,
    forget_server,
    parse_pin,
    read_known_servers,
    user_resources_folder,
)
from protocol.settings import Settings
from protocol.transport import Address


class NotTrusted(Exception):
    """The command could not do what it was asked to; the text says why and what helps."""


class NobodyToAsk(NotTrusted):
    """The answer needs a person, and there is no terminal, or a program reads the output."""


class NotKnown(NotTrusted):
    """There is nothing to forget."""


def list_servers(options: Options) -> None:
    """Print the servers that this client knows."""
    _, folder = _client(options)
    path = _folder(folder) / KNOWN_SERVERS_FILE
    servers = sorted(read_known_servers(path).items())
    if options.json:
        print_item([{"address": location, **attrs.asdict(server)} for location, server in servers])
    else:
        print_text("\n".join(_known_text(*known) for known in servers) or f"no servers are known in {path}")


def forget(text: str, options: Options) -> None:
    """Have this client forget a server: its key, and that it was encrypted.

    Raises:
        NotKnown: it does not know it.
    """
    address = Address.parse(text)
    _, folder = _client(options)
    path = _folder(folder) / KNOWN_SERVERS_FILE
    if not forget_server(path, address.host, address.port):
        raise NotKnown(
            f"{address.location}: this server is not in {path}. appclient trust --list shows those that are; "
            "--resources names another folder"
        )
    if options.json:
        print_json({"address": address.location, "forgotten": True})
    else:
        print_text(f"{address.location} is forgotten: the next connection meets it for the first time")


async def trust_server(text: str, fingerprint: str | None, options: Options) -> None:
    """Look at a server and, where that is wanted, store its key.

    Args:
        text: its address; a pin in it counts as the fingerprint.
        fingerprint: what its key must be, to be stored without asking.
        options: connection and output.

    Raises:
        ChangedServerKey: this client knows it by another key.
        PinMismatch: the fingerprint is not that of its key.
        NobodyToAsk: there is no fingerprint, and nobody can answer here.
        TrustRefused: the answer was no.
        PeerError: the anchors in Resources, or its certificate's time, speak against it.
    """
    address = Address.parse(text)
    expected = _expected(address, fingerprint)
    settings, folder = _client(options)
    facts, known = await _examine(address, settings, folder)
    if expected not in (None, facts.fingerprint):
        assert expected is not None
        raise PinMismatch(address.location, expected, facts.fingerprint, "the fingerprint that was given")
    agreed = known or expected is not None
    _print_facts(facts, options, trusted=agreed)
    path = _folder(folder) / KNOWN_SERVERS_FILE
    if not agreed:
        await _ask(facts, options)
    if not known:
        stored = await trio.to_thread.run_sync(store_pin, path.parent, address, facts.fingerprint)
        _check_known(address, stored, facts, folder)
    if not options.json:
        print_text(f"this server is trusted{' already' if known else ' from now on'}, see {path}")


def _client(options: Options) -> tuple[Settings, Path | None]:
    settings, loaded = read_settings(options.settings)
    return settings, client_resources_folder(loaded, options.resources)


def _folder(folder: Path | None) -> Path:
    return folder or user_resources_folder()


def _expected(address: Address, fingerprint: str | None) -> str | None:
    try:
        given = None if fingerprint is None else parse_pin(fingerprint)
    except ValueError as exc:
        raise UsageError(f"--fingerprint: {exc}") from exc
    if given is not None and address.pin not in (None, given):
        raise UsageError("the address has a pin, and --fingerprint is another one")
    return given or address.pin


async def _examine(address: Address, settings: Settings, folder: Path | None) -> tuple[ServerFacts, bool]:
    """Look at a server; whether this client knows it by the key that it shows."""
    trust = await trio.to_thread.run_sync(read_trust, folder, settings)
    known = trust.find_server(address.host, address.port)
    first_seen = known.first_seen if known is not None else None
    facts = await look_at_server(address, settings, first_seen=first_seen)
    if known is not None:
        _check_known(address, known, facts, folder)
    if trust.anchors:  # a pin counts beside them and not in their place: without them it would be of no use
        encrypted = attrs.evolve(settings, client_server=attrs.evolve(settings.client_server, encrypt=True))
        opener = TrustedOpener(attrs.evolve(address, pin=None), resources=folder, settings=encrypted)
        await (await opener.open()).aclose()
    return facts, known is not None and known.pin is not None


def _check_known(address: Address, known: KnownServer, facts: ServerFacts, folder: Path | None) -> None:
    if known.pin not in (None, facts.fingerprint):
        assert known.pin is not None
        raise ChangedServerKey(
            address.location,
            known.pin,
            facts.fingerprint,
            first_seen=known.first_seen,
            reset=f"run {trust_command(address, folder, '--forget')}",
        )


async def _ask(facts: ServerFacts, options: Options) -> None:
    if options.json or sys.stdin is None or not sys.stdin.isatty():
        why = "--json asks nothing" if options.json else "standard input is no terminal"
        raise NobodyToAsk(
            f"{facts.address}: the server's key was not stored, for nobody can be asked here ({why}). Get the "
            "fingerprint from the server's administrator and pass it as --fingerprint sha256:..."
        )
    print_text("Compare the fingerprint with what the server's administrator says, or the server printed.")
    answer = await trio.to_thread.run_sync(_read_answer, abandon_on_cancel=True)
    if answer != "yes":
        raise TrustRefused(facts.address, facts.fingerprint)


def _read_answer() -> str:
    sys.stdout.write("Trust this server? Type yes or no: ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower()


def _print_facts(facts: ServerFacts, options: Options, *, trusted: bool) -> None:
    if options.json:
        print_item({**attrs.asdict(facts), "trusted": trusted})
        return
    seen = f"{facts.first_seen:%Y-%m-%d %H:%M} UTC" if facts.first_seen is not None else "never"
    note = "" if facts.names_address else "   (NOT the host of this address)"
    rows = {
        "server": facts.address,
        "fingerprint": facts.fingerprint,
        "subject": facts.subject,
        "names": f"{', '.join(facts.names) or 'none'}{note}",
        "issuer": facts.issuer,
        "valid": f"{facts.not_before:%Y-%m-%d %H:%M} to {facts.not_after:%Y-%m-%d %H:%M} UTC",
        "seen before": seen,
    }
    # In one line each: a line break in a certificate's text must not make up further rows.
    print_text("\n".join(f"{title:12}{' '.join(value.split())}" for title, value in rows.items()))


def _known_text(location: str, server: KnownServer) -> str:
    pin = server.pin or "no pin"
    encrypted = "encrypted" if server.encrypted else "plain"
    return f"{location}  {pin}  first seen {server.first_seen:%Y-%m-%d %H:%M} UTC  {encrypted}"
