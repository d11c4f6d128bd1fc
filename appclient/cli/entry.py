"""`main`: runs a command and turns whatever goes wrong into one message and an exit status.

Status 0: done. 1: it could not be done; standard error says why. 2: the command line is wrong.
130: interrupted from the keyboard. A traceback appears only with `--debug`.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from collections.abc import Iterator, Sequence

PROGRAM = "appclient"
EXTRA = "appserver[cli]"
NEEDED = ("cyclopts", "rich")
"""Libraries that an installation without the extra does not have."""

FAILED, USAGE, INTERRUPTED = 1, 2, 130


def main(words: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        words: of the command line, after the program's name; the process's own without.

    Returns:
        The exit status.
    """
    words = sys.argv[1:] if words is None else list(words)
    debug = "--debug" in (words[: words.index("--")] if "--" in words else words)
    try:
        return _run(words, debug=debug)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # whoever read our output has enough: `appclient call ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except BaseException as exc:
        if isinstance(exc, SystemExit | GeneratorExit):
            raise
        if debug:
            traceback.print_exception(exc)
        return _report(exc, debug=debug)


def _run(words: list[str], *, debug: bool) -> int:
    if debug:
        logging.basicConfig(level=logging.DEBUG, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    from appclient.cli.commands import app

    app(words)
    return 0


def _report(exc: BaseException, *, debug: bool) -> int:
    """Print what went wrong and choose the status."""
    leaves = list(_leaves(exc))
    if any(isinstance(leaf, KeyboardInterrupt) for leaf in leaves):
        return INTERRUPTED
    status = FAILED
    for leaf in leaves:
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
        from appclient.cli.failures import explain
    except ImportError:
        return f"{type(exc).__name__}: {exc}", FAILED
    explained = explain(exc)
    if explained is not None:
        return explained
    hint = "" if debug else " (--debug shows where)"
    return f"unexpected {type(exc).__name__}: {exc}{hint}", FAILED
