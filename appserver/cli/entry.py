"""`main`: runs a command and turns whatever goes wrong into one message and an exit status.

Status 0: done. 1: it could not be done, or `check` found something; standard error says why. 2: the
command line is wrong. 130: interrupted from the keyboard. A traceback appears only with `--debug`.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator, Sequence

PROGRAM = "appserver"
EXTRA = "appserver[server]"
NEEDED = ("cyclopts", "rich", "structlog", "tomlkit")
"""Libraries that an installation without the extra does not have."""

FAILED, INTERRUPTED = 1, 130


def main(words: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        words: of the command line, after the program's name; the process's own without.

    Returns:
        The exit status.
    """
    own = words is None
    words = sys.argv[1:] if words is None else list(words)
    debug = "--debug" in words
    try:
        if own:  # a caller's process is not ours to begin anew
            from appserver.cli.groups_start import start_with_groups

            start_with_groups(words)
        from appserver.cli.commands import app

        status = app(words)
        return status if isinstance(status, int) else 0
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # whoever read our output has enough: `appserver settings show | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as exc:
        if debug:
            traceback.print_exception(exc)
        status = FAILED
        for leaf in _leaves(exc):
            text, status = _explain(leaf, debug=debug)
            print(f"{PROGRAM}: {text}", file=sys.stderr)
        return status


def _leaves(exc: BaseException) -> Iterator[BaseException]:
    if isinstance(exc, BaseExceptionGroup):
        for inner in exc.exceptions:
            yield from _leaves(inner)
    else:
        yield exc


def _explain(exc: BaseException, *, debug: bool) -> tuple[str, int]:
    if isinstance(exc, ModuleNotFoundError) and (exc.name or "").split(".")[0] in NEEDED:
        return f"this command needs {exc.name}, which is not installed: pip install '{EXTRA}'", FAILED
    try:
        from appserver.cli.failures import explain
    except ImportError:
        return f"{type(exc).__name__}: {exc}", FAILED
    explained = explain(exc)
    if explained is not None:
        return explained
    hint = "" if debug else " (--debug shows where)"
    return f"unexpected {type(exc).__name__}: {exc}{hint}", FAILED
