"""SIGHUP: read settings and certificates again, as daemons do; the end, where it means that the terminal is gone."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable

import trio

from appserver import Outcome, Server
from appserver.cli.notify import Notifier


async def reload_at_hangup(
    server: Server,
    notifier: Notifier,
    stop: Callable[[], object],
    *,
    task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Reload at each SIGHUP, until cancelled; returns at once where there is no such signal.

    Args:
        server: which runs.
        notifier: the service manager is told of it.
        stop: called where the signal says that the terminal was closed: nobody could stop the server there.
        task_status: started when the signal is taken care of.
    """
    if sys.platform == "win32" or threading.current_thread() is not threading.main_thread():
        task_status.started()
        return
    terminal = _has_terminal()
    signal.signal(
        signal.SIGHUP, signal.SIG_IGN
    )  # what is left when the receiver ends: a stop is in order then, too
    with trio.open_signal_receiver(signal.SIGHUP) as signals:
        task_status.started()
        async for _ in signals:
            if terminal and not _has_terminal():
                stop()
                return
            notifier.reloading()
            await server.reload()
            notifier.ready(status_of(server))


def status_of(server: Server) -> str:
    """The line that the service manager shows."""
    facts = server.statistics()
    line = f"{server.application.name} on {', '.join(server.addresses)}"
    line += (
        f", encrypted until {facts.certificate.not_after:%Y-%m-%d}"
        if facts.certificate
        else ", not encrypted"
    )
    if facts.reload is not None and facts.reload.outcome is Outcome.REFUSED:
        line += f"; the last reload was refused: {facts.reload.file}: {facts.reload.finding}"
    return line


def _has_terminal() -> bool:
    try:
        return os.isatty(0)
    except OSError:
        return False
