"""Asking a person, which happens only where a command was told to and on a terminal."""

from __future__ import annotations

import getpass
import sys


class NotOnATerminal(Exception):
    """A command was told to ask, and nobody can answer."""


def ask(question: str, default: str | None = None) -> str | None:
    """Ask for a line of text.

    Args:
        question: what is asked for.
        default: what an empty answer means.

    Raises:
        NotOnATerminal: standard input is none.
    """
    _check_terminal()
    print(f"{question}{f' [{default}]' if default else ''}: ", end="", file=sys.stderr, flush=True)
    answer = sys.stdin.readline()
    if not answer:
        raise NotOnATerminal("the terminal was closed before all was answered")
    return answer.strip() or default


def ask_secret(question: str) -> str:
    """Ask for a line of text that is not shown.

    Raises:
        NotOnATerminal: standard input is none.
    """
    _check_terminal()
    try:
        return getpass.getpass(f"{question}: ", stream=sys.stderr)
    except EOFError as error:
        raise NotOnATerminal("the terminal was closed before all was answered") from error


def _check_terminal() -> None:
    if not sys.stdin.isatty():
        raise NotOnATerminal("--ask needs a terminal; give the values as options instead")
