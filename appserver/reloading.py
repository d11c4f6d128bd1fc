"""Changing a running server: settings and certificates are read anew, proven, and taken over, or refused.

Theory of operation. Whatever asks (a changed file, SIGHUP, the timer of the renewal), all is read again,
from the beginning, and made into an `Encryption` of its own; only one that has passed a handshake in memory is
swapped in. A set that cannot be used leaves the old one in place, and the log and `Server.statistics` say
so. The exception: where encryption was off and is to be on now, there is no encrypted state to keep, and plain text is
what the administrator has just forbidden. The server then takes nobody until the files can be used.

Files are changed one after another. A watched change that does not fit together yet is tried again with each
further change, and is refused when nothing more has come for a while. What was refused is tried again now and then
without a change, since time alone can mend it. A watched change never opens a door by what is missing: only who asks
for a reload can mean that.
"""

from __future__ import annotations

import enum
import logging
import math
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import trio

from appserver.changes import changes_between, needs_restart
from appserver.encryption import Encryption, check_keeps_out, load_encryption
from appserver.sources import Signature, Source
from appserver.watching import watch_files
from protocol.certs import CertificatesError, PolicyError, ResourcesError
from protocol.settings import Settings, SettingsError, all_options, value_at

if TYPE_CHECKING:
    from appserver.server import Server

logger = logging.getLogger("appserver.reload")

SETTLE = 1.0
"""Seconds without a further change after which files that do not fit together are refused."""

SETTLE_MOST = 10.0
"""The same, where changes do not stop."""

RETRY = 30.0
"""Seconds after which a set that was refused is tried again: what is not valid yet becomes so by waiting."""

LOOK = 2.0
"""Seconds after which the files are looked at, told or not; it costs a few calls of the system."""


class Outcome(enum.Enum):
    """How a reload went."""

    CHANGED = "changed"
    """What was read is in use."""
    UNCHANGED = "unchanged"
    """It is the same as before."""
    REFUSED = "refused"
    """It cannot be used, and what was in use before still is."""


@attrs.frozen
class ReloadReport:
    """One reload.

    Attributes:
        time: when, UTC.
        outcome: how it went.
        changes: settings and files of Resources that are others now.
        file: what the finding is about, empty without one.
        finding: why it was refused.
        remedy: what to do.
    """

    time: datetime
    outcome: Outcome
    changes: tuple[str, ...] = ()
    file: str = ""
    finding: str = ""
    remedy: str = ""


class Reloader:
    """Takes changed settings and certificates over into a server.

    Args:
        server: which runs.
        source: where they are read.
        seen: the source's signature, taken before it was read for the start.
        now: the clock, UTC.

    Attributes:
        last: how the last reload went that changed or refused something or that somebody asked for.
    """

    def __init__(
        self,
        server: Server,
        source: Source,
        seen: Signature | None = None,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.server = server
        self.now = now
        self.last: ReloadReport | None = None
        self._source = source
        self._seen = seen
        self._touched = trio.Event()
        self._noted = trio.Event()
        self._started = server.settings
        self._waiting_for_restart: tuple[str, ...] = ()
        self._lock = trio.Lock()

    async def reload(self, *, asked: bool = True) -> ReloadReport:
        """Read all again and take it over, or keep what is in use.

        Args:
            asked: whether somebody wants it and waits for the outcome; without, one that is as before is
                not noted, and files whose absence lets more clients in must be there.
        """
        async with self._lock:
            result = await self._take_over(asked=asked)
            return self._note(result, asked=asked)

    async def wait_report(self) -> None:
        """Wait until there is another report in `last`."""
        await self._noted.wait()

    async def watch(self) -> None:
        """Reload whenever something has changed, until cancelled."""
        seen = self._seen if self._seen is not None else await self._look()
        while True:
            places = self._places(seen)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(watch_files, self._watched(), self._touch)
                while places == self._places(seen):  # else what is watched is no longer what is read
                    with trio.move_on_after(RETRY if self._is_refused else math.inf) as scope:
                        seen = await self._wait_change(seen)
                    if scope.cancelled_caught:
                        await self.reload(asked=False)
                    else:
                        seen = await self._take_change(seen)
                nursery.cancel_scope.cancel()

    async def _take_change(self, seen: Signature) -> Signature:
        """Reload until what is read fits together, or until nobody changes it any more."""
        async with self._lock:
            begun = trio.current_time()
            while True:
                result = await self._take_over(asked=False)
                if isinstance(result, tuple) or trio.current_time() > begun + SETTLE_MOST:
                    break
                logger.info("changed files do not fit together yet", extra={"finding": str(result)})
                with trio.move_on_after(SETTLE) as scope:
                    seen = await self._wait_change(seen)
                if scope.cancelled_caught:
                    break
            self._note(result, asked=False)
            return seen

    async def _wait_change(self, seen: Signature) -> Signature:
        while True:
            self._touched = trio.Event()
            found = await self._look()
            if found != seen:
                return found
            with trio.move_on_after(LOOK):
                await self._touched.wait()

    def _touch(self) -> None:
        self._touched.set()

    def _watched(self) -> list[Path]:
        folder = self._source.folder(self.server.settings)
        return [folder] if self._source.file is None else [folder, self._source.file]

    def _places(self, seen: Signature) -> list[tuple[int, ...] | None]:
        return [place[:2] if (place := seen.get(str(path))) else None for path in self._watched()]

    async def _look(self) -> Signature:
        return await trio.to_thread.run_sync(self._source.signature, self.server.settings)

    @property
    def _is_refused(self) -> bool:
        return self.last is not None and self.last.outcome is Outcome.REFUSED

    async def _take_over(self, *, asked: bool) -> tuple[str, ...] | Exception:
        """Read and take over; returns what has changed, or what went wrong in place of raising it."""
        server = self.server
        before = server.settings, server.encryption
        try:
            settings = await trio.to_thread.run_sync(self._source.read)
        except SettingsError as exc:
            return exc
        try:
            encryption = await trio.to_thread.run_sync(partial(self._load, settings, asked=asked))
        except Exception as exc:
            if not isinstance(exc, CertificatesError):
                logger.exception("reload failed")
            if not server.encryption.encrypt:
                server.take_over(settings, Encryption(encrypt=True, policy=settings.tls))
            return exc
        server.take_over(settings, encryption)
        self._name_what_waits(settings)
        return changes_between(before, (settings, encryption))

    def _load(self, settings: Settings, *, asked: bool) -> Encryption:
        # A server with a certificate never makes another one from nothing: who replaces a file may move
        # the old one away first.
        before = self.server.identity
        folder = self._source.folder(settings)
        encryption = load_encryption(settings, folder, create=before is None, settled=asked, now=self.now())
        if not asked:
            check_keeps_out(before, encryption.identity)
        return encryption

    def _name_what_waits(self, settings: Settings) -> None:
        waiting = tuple(
            key
            for key in all_options()
            if needs_restart(key) and value_at(settings, key) != value_at(self._started, key)
        )
        if waiting and waiting != self._waiting_for_restart:
            logger.warning("changed settings need a restart", extra={"settings": ", ".join(waiting)})
        self._waiting_for_restart = waiting

    def _note(self, result: tuple[str, ...] | Exception, *, asked: bool) -> ReloadReport:
        report = _report(self.now(), result)
        known = report.outcome is Outcome.UNCHANGED and not self._is_refused
        if self.last is not None and report.outcome is Outcome.REFUSED:
            known = attrs.evolve(self.last, time=report.time) == report
        if known and not asked:
            return report
        self.last = report
        self._noted.set()
        self._noted = trio.Event()
        if report.outcome is not Outcome.REFUSED:
            said = {"outcome": report.outcome.value, "changes": ", ".join(report.changes)}
            logger.info("reloaded", extra={**said, **_facts(self.server)})
            return report
        finding = {"file": report.file, "finding": report.finding, "remedy": report.remedy}
        if self.server.encryption.is_closed:
            logger.error("reload refused: nobody is served until the files can be used", extra=finding)
        else:
            logger.warning("reload refused: what was in use before still is", extra=finding)
        return report


def _report(time: datetime, result: tuple[str, ...] | Exception) -> ReloadReport:
    if isinstance(result, tuple):
        return ReloadReport(time, Outcome.CHANGED if result else Outcome.UNCHANGED, result)
    file, finding, remedy = _in_words(result)
    return ReloadReport(time, Outcome.REFUSED, (), file, finding, remedy)


def _in_words(error: Exception) -> tuple[str, str, str]:
    match error:
        case ResourcesError(file=file, finding=finding, remedy=remedy):
            return str(file), finding, remedy
        case PolicyError(key=key, finding=finding):
            return key, finding, "Correct it in the settings"
        case SettingsError(path=path, problems=problems):
            return str(path) if path is not None else "environment", "; ".join(problems), "Correct it"
        case _:
            return "", f"a defect ({type(error).__name__})", "Look into the log"


def _facts(server: Server) -> dict[str, object]:
    certificate = server.encryption.certificate
    if certificate is None:
        return {"encrypted": server.encrypted}
    return {
        "encrypted": True,
        "fingerprint": certificate.fingerprint,
        "until": certificate.not_after.isoformat(),
    }
