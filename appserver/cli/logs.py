"""The server's log on standard error: the one door to structlog.

The rooms below log through the standard library, with `extra={...}` fields; here each record becomes a
line for people ("console") or one JSON object ("json"). Values may come from a peer: control
characters, with which one could forge lines or rewrite a screen, are shown as escapes.

Where standard error is a terminal, an exception is one line that names its place; with `--debug`, and
in a file or a journal, it is the whole traceback.
"""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, TextIO

import structlog

from appserver.cli.log_rate import RateLimit
from appserver.cli.printing import printable
from protocol.settings import LogSettings

Record = MutableMapping[str, Any]


def configure_logs(settings: LogSettings, *, debug: bool = False, stream: TextIO | None = None) -> None:
    """Send the process's log to a stream.

    Args:
        settings: form and least level.
        debug: log everything, with tracebacks.
        stream: where to; standard error without.
    """
    stream = stream or sys.stderr
    terminal = stream.isatty()
    console = settings.format == "console"
    chain: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="%Y-%m-%d %H:%M:%S" if console else "iso", utc=not console),
    ]
    if console:
        if terminal and not debug:
            chain.append(_shorten_exception)
        chain += [structlog.stdlib.ProcessorFormatter.remove_processors_meta, _escape]
        chain.append(structlog.dev.ConsoleRenderer(colors=terminal, exception_formatter=_plain_traceback))
    else:
        chain += [
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ]
    handler = logging.StreamHandler(stream)
    if not debug:
        handler.addFilter(RateLimit())
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processors=chain))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.DEBUG if debug else settings.level.upper())
    logging.captureWarnings(True)


def _shorten_exception(_logger: Any, _name: str, record: Record) -> Record:
    """Say what was raised and where, in place of the traceback."""
    info = record.pop("exc_info", None)
    if info:
        error = info[1] if isinstance(info, tuple) else sys.exc_info()[1]
        if error is not None:
            record["error"] = error_line(error)
    return record


def error_line(error: BaseException) -> str:
    """An exception in one line: its class, its text and the place that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    text = str(error)
    return f"{type(error).__name__}{': ' if text else ''}{text}{place}"


def _escape(_logger: Any, _name: str, record: Record) -> Record:
    for key, value in record.items():
        if isinstance(value, str):
            escaped = printable(value)
            record[key] = escaped if key == "event" or "\n" not in escaped else repr(value)
    return record


def _plain_traceback(stream: TextIO, info: Any) -> None:
    text = "".join(traceback.format_exception(*info))
    stream.write("\n" + printable(text))
