"""`appserver status`: how the server of this folder is, from its own process's point of view."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs

from appserver import Outcome, ReloadReport
from appserver.cli.certificate_texts import days_left_line, facts_lines
from appserver.cli.printing import printable
from appserver.status import BEAT, Protection, ServerStatus
from appserver.status_file import Life, look
from protocol.settings import load_settings

PATIENCE = 2.5 * BEAT
"""Seconds without a writing after which a server does not answer."""


@attrs.frozen
class Found:
    """The server of a folder.

    Attributes:
        folder: the application folder.
        life: whether it runs.
        status: what it last said, None where it has said nothing.
        now: when it was looked at, UTC.
    """

    folder: Path
    life: Life
    status: ServerStatus | None
    now: datetime

    @property
    def is_running(self) -> bool:
        """Whether there is a server, and it answers."""
        return self.life is Life.RUNNING


def look_at_server(settings: Path | None, *, patience: float = PATIENCE) -> Found:
    """Look at the server whose settings these are.

    Args:
        settings: the settings file; `settings.toml` in the working folder without.
        patience: seconds to wait for a server that seems to hang.

    Raises:
        SettingsError: the settings cannot be used.
        UnreadableStatus: what it wrote cannot be understood.
        OSError: it cannot be read by this user.
    """
    folder = load_settings(settings).folder
    seen = look(folder, ServerStatus, patience=patience)
    return Found(folder, seen.life, seen.status, datetime.now(UTC))


def status_json(found: Found) -> str:
    """All of it, for programs."""
    data: dict[str, object] = {"state": found.life.value, "running": found.is_running, "folder": found.folder}
    if found.status is not None:
        data |= attrs.asdict(found.status)
        data["uptime"] = (found.now - found.status.started).total_seconds() if found.is_running else None
        certificate = found.status.protection.certificate
        data["days_left"] = (certificate.not_after - found.now).days if certificate is not None else None
    return json.dumps(data, default=_plain)


def _plain(value: object) -> object:
    if isinstance(value, Outcome):
        return value.value
    return value.isoformat() if isinstance(value, datetime) else str(value)


def status_text(found: Found) -> str:
    """The lines for people."""
    return printable("\n".join(_lines(found)))


def _lines(found: Found) -> Iterator[str]:
    status = found.status
    if found.life is Life.NONE or (status is None and found.life is Life.KILLED):
        yield f"no server of {found.folder} is running"
        return
    if status is None:
        yield f"a server of {found.folder} is running and says nothing"
        return
    if found.life is Life.KILLED:
        yield f"no server of {found.folder} is running"
        yield (
            f"the last one ({status.application}, process {status.pid}) did not end in order; its last sign is of"
            f" {_moment(status.written)}"
        )
        return
    if found.life is Life.SILENT:
        yield f"{status.application} DOES NOT ANSWER: process {status.pid} is there, and something holds its event loop"
        yield f"last sign    {_moment(status.written)}; what follows was true then"
    else:
        yield f"{status.application} is running"
    yield from _server_lines(status, found.now)
    yield from _protection_lines(status.protection, found.now)
    yield (
        f"sessions     {status.sessions}, and {status.connecting} connecting; {status.accepted} connections since"
        f" the start, {status.turned_away} of them turned away"
    )
    yield from _reload_lines(status.reload, serves=status.protection.serves)


def _server_lines(status: ServerStatus, now: datetime) -> Iterator[str]:
    yield f"process      {status.pid}, since {_moment(status.started)} ({_duration(now - status.started)})"
    yield f"listens on   {', '.join(status.listening)}"
    yield f"address      {status.address}"


def _protection_lines(protection: Protection, now: datetime) -> Iterator[str]:
    if not protection.encrypt:
        yield "encryption   OFF (client_server.encrypt): everybody on the way can read along"
        return
    if not protection.serves:
        yield "encryption   on, and NOBODY IS SERVED: the files cannot be used"
        return
    policy, certificate = protection.policy, protection.certificate
    if policy is None or certificate is None:
        yield "encryption   on; what is in force is being read back"
        return
    yield f"encryption   on, {', '.join(f'TLS {version}' for version in policy.versions)}"
    yield f"suites       {', '.join(policy.suites)}"
    yield f"groups       {', '.join(policy.groups)}"
    yield f"clients      {'must show a certificate' if policy.client_certificates else 'need no certificate'}"
    yield f"certificate  {certificate.file}"
    yield from facts_lines(certificate)
    yield f"fingerprint  {certificate.certificate_fingerprint}"
    yield days_left_line((certificate.not_after - now).days)
    if certificate.renewal is not None:
        yield f"renewed      by itself from {certificate.renewal:%Y-%m-%d} on, with the same key"


def _reload_lines(report: ReloadReport | None, *, serves: bool) -> Iterator[str]:
    if report is None:
        yield "last reload  none since the start"
    elif report.outcome is not Outcome.REFUSED:
        yield f"last reload  {_moment(report.time)}: {', '.join(report.changes) or 'nothing was new'}"
    else:
        kept = "what was in use before still is" if serves else "nobody is served"
        yield f"last reload  {_moment(report.time)}: REFUSED, {kept}"
        yield f"problem      {report.file}: {report.finding}"
        yield f"             {report.remedy}"


def _moment(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S} UTC"


def _duration(elapsed: timedelta) -> str:
    minutes, _ = divmod(max(int(elapsed.total_seconds()), 0), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h {minutes} min" if days else f"{hours} h {minutes} min"
