"""`appserver check`: everything that would keep the application from starting, found without starting it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import attrs

from appserver.cli.loading import ApplicationNotFound, load_application
from protocol.certs import (
    CertificatesError,
    PassphraseNeeded,
    PolicyError,
    ResourcesError,
    ServerIdentity,
    check_resources,
    client_resources_folder,
    ensure_server_identity,
    facts_of_der,
    open_server_identity,
    read_passphrase,
    server_context,
    server_resources_folder,
)
from protocol.certs.first_start import check_can_make
from protocol.certs.identity import CERT_FILE
from protocol.settings import LoadedSettings, SettingsError, TlsSettings, load_settings
from protocol.transport.policy import PolicyInForce, read_policy


@attrs.frozen
class Problem:
    """One thing that is wrong.

    Attributes:
        file: where.
        finding: what.
        remedy: what to do.
    """

    file: str
    finding: str
    remedy: str


@attrs.frozen
class Report:
    """What a check found.

    Attributes:
        problems: each keeps the application from starting or clients from connecting.
        notes: what is as it should be, or worth knowing.
        policy: what TLS would negotiate, read back; None with encryption off or nothing to serve with.
    """

    problems: tuple[Problem, ...]
    notes: tuple[str, ...]
    policy: PolicyInForce | None = None


def check(named: str | None, *, settings: Path | None, resources: Path | None) -> Report:
    """Check settings, Resources folders and the application.

    Args:
        named: the application as `module:attribute`; the settings' without.
        settings: the settings file; `settings.toml` in the working folder without.
        resources: the server's Resources folder; the settings' without.
    """
    problems: list[Problem] = []
    notes: list[str] = []
    policy: PolicyInForce | None = None
    loaded: LoadedSettings | None = None
    try:
        loaded = load_settings(settings)
        notes.append(f"settings: {loaded.path or 'no file, defaults only'}")
    except SettingsError as exc:
        problems += _settings_problems(exc)
    if loaded is not None:
        policy = _check_resources(loaded, resources, problems, notes)
    problems += _check_application(named, loaded, notes)
    return Report(tuple(problems), tuple(notes), policy)


def _settings_problems(exc: SettingsError) -> Iterator[Problem]:
    for text in exc.problems:
        file = next((name for name in (str(exc.path), *_variable(text)) if text.startswith(f"{name}: ")), "")
        finding = text.removeprefix(f"{file}: ") if file else text
        yield Problem(
            file or str(exc.path),
            finding,
            "`appserver settings show` in a folder without problems lists every key and its value"
            if "unknown" in finding
            else "Correct it there, or take it out for the default",
        )


def _variable(text: str) -> tuple[str, ...]:
    head = text.partition(": ")[0]
    return (head,) if head.startswith("environment ") else ()


def _check_resources(
    loaded: LoadedSettings, resources: Path | None, problems: list[Problem], notes: list[str]
) -> PolicyInForce | None:
    tls = loaded.settings.tls
    if not loaded.settings.client_server.encrypt:
        notes.append(
            "encryption is off (client_server.encrypt): no certificate is needed, everybody can read along"
        )
        return None
    folder, client = server_resources_folder(loaded, resources), client_resources_folder(loaded)
    passphrase: bytes | None = None
    unread: tuple[type[ResourcesError], ...] = ()
    try:
        passphrase = read_passphrase(tls)
    except ResourcesError as exc:
        problems.append(_resources_problem(exc))
        unread = (PassphraseNeeded,)  # what that comes from is told already
    in_server = check_resources(folder, None, passphrase=passphrase, makes_missing=tls.auto_certificate)
    in_client = check_resources(None, client, passphrase=passphrase)
    problems += [_resources_problem(exc) for exc in in_server if not isinstance(exc, unread)]
    policy = None if in_server or unread else _try_server(loaded, folder, passphrase, problems, notes)
    problems += [_resources_problem(exc) for exc in in_client if not isinstance(exc, unread)]
    if client is not None and not in_client:
        notes.append(f"client's Resources: {client}")
    return policy


def _try_server(
    loaded: LoadedSettings, folder: Path, passphrase: bytes | None, problems: list[Problem], notes: list[str]
) -> PolicyInForce | None:
    """Make the context that a server would serve with, from files in which nothing was found."""
    tls = loaded.settings.tls
    try:
        if not os.path.lexists(folder / CERT_FILE):
            check_can_make(folder)
            notes.append(f"server's Resources: {folder}; a certificate is made there at the first start")
            with tempfile.TemporaryDirectory() as elsewhere:
                return _read_policy(ensure_server_identity(Path(elsewhere), key_type=tls.key_type), tls)
        identity = open_server_identity(folder, passphrase=passphrase)
        policy = _read_policy(identity, tls)
    except PolicyError as exc:
        problems.append(
            Problem(str(loaded.path), str(exc), f"Change {exc.key}, or take it out for the default")
        )
        return None
    except CertificatesError as exc:
        problems.append(_resources_problem(exc))
        return None
    names = ", ".join(identity.names)
    notes.append(f"server's Resources: {folder}; certificate for {names} until {identity.not_after:%Y-%m-%d}")
    if identity.client_authorities:
        notes.append(_clients_note(identity))
    return policy


def _clients_note(identity: ServerIdentity) -> str:
    authorities = ", ".join(facts_of_der(der).subject for der in identity.client_authorities)
    lists = [
        f"{part.issuer}: {len(part.serials)} revoked"
        + (f", next list by {part.until:%Y-%m-%d %H:%M} UTC" if part.until is not None else "")
        for part in identity.revocations.lists
    ]
    return f"clients need a certificate from {authorities}; {'; '.join(lists) or 'nobody is revoked'}"


def _read_policy(identity: ServerIdentity, tls: TlsSettings) -> PolicyInForce:
    return read_policy(server_context(identity, tls), identity)


def _resources_problem(exc: CertificatesError) -> Problem:
    if isinstance(exc, ResourcesError):
        return Problem(str(exc.file), exc.finding, exc.remedy)
    return Problem("", str(exc), "")


def _check_application(
    named: str | None, loaded: LoadedSettings | None, notes: list[str]
) -> Iterator[Problem]:
    if named is None and loaded is None:
        return  # the settings would have named it
    folders = [Path.cwd()] if loaded is None else [Path.cwd(), loaded.folder]
    try:
        application = load_application(
            named or (loaded.settings.application.module if loaded else None), folders
        )
    except ApplicationNotFound as exc:
        yield Problem(exc.file, exc.finding, exc.remedy)
        return
    interfaces = application.service.contracts
    notes.append(f"application: {application.name} with {', '.join(interfaces) or 'no interface'}")
    if not interfaces:
        yield Problem("application", "it serves nothing", "Call register() with an implementation")


def report_text(report: Report) -> str:
    """The report for people: what is fine first, then each problem with its remedy."""
    lines = [f"ok       {note}" for note in report.notes]
    if report.policy is not None:
        lines += _policy_lines(report.policy)
    for problem in report.problems:
        lines.append(f"problem  {problem.file}: {problem.finding}")
        if problem.remedy:
            lines.append(f"         {problem.remedy}")
    count = len(report.problems)
    lines.append("nothing keeps it from starting" if not count else f"{count} problem{'s' * (count > 1)}")
    return "\n".join(lines)


def _policy_lines(policy: PolicyInForce) -> list[str]:
    said = {
        "a client gets": f"TLS {', '.join(policy.agreed)}",
        "versions": ", ".join(f"TLS {version}" for version in policy.versions),
        "suites": ", ".join(policy.suites),
        "groups": ", ".join(policy.groups),
        "protocol": policy.protocol or "none",
        "tickets": _given(policy.tickets),
        "renegotiation": _given(policy.renegotiation),
        "compression": _given(policy.compression),
        "clients": "must show a certificate" if policy.client_certificates else "need no certificate",
        "verification": ", ".join(policy.verify_flags),
        "common name": "taken for a host name" if policy.common_names else "is no host name",
        "key log": policy.key_log or "none",
    }
    heading = "TLS as it is in force, read back from a handshake:"
    return [f"ok       {heading}", *(f"         {name:<13} {what}" for name, what in said.items())]


def _given(allowed: bool) -> str:
    return "yes" if allowed else "none"
