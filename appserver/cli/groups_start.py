"""Starting OpenSSL with our groups: the commands that serve begin anew, once, with a configuration of their own.

Python before 3.15 can set one group and no list; OpenSSL takes a list from its configuration, which it
reads while `import ssl` runs. By the time that any code of ours runs, that has happened. So the process
replaces itself by itself (the process id stays, and with it what a service manager knows), and then
removes every trace: the application and its children see the environment that the user gave.

Where this cannot be done, on Windows and in a packaged program, nothing happens here, and the contexts
fall back to a single group (`protocol.certs.groups`).
"""

from __future__ import annotations

import contextlib
import os
import ssl
import sys
from collections.abc import Sequence
from pathlib import Path

from protocol.certs.groups import process_is_limited, wanted_groups
from protocol.certs.openssl_config import VARIABLE, limited_config, user_config

SERVING = frozenset({"run", "check"})
"""Commands that serve, or say how it would be served."""

_MARK = "_APPSERVER_OPENSSL_CONF"
"""Set in the second life alone: what OPENSSL_CONF was, empty for unset."""

_PREFIX = "appserver-openssl-"
_DESCRIPTOR = "/proc/self/fd/"


def start_with_groups(words: Sequence[str]) -> None:
    """Begin this process anew with our groups where that is needed and possible; otherwise do nothing.

    Args:
        words: of the command line, after the program's name.
    """
    if _MARK in os.environ:
        _remove_traces()
    elif SERVING.intersection(words[:1]) and _can_begin_anew() and not process_is_limited():
        with contextlib.suppress(OSError):  # no place for the file: then a single group
            _begin_anew()


def _can_begin_anew() -> bool:
    packaged = getattr(sys, "frozen", False)
    return (
        os.name == "posix"
        and bool(sys.executable)
        and not packaged
        and not hasattr(ssl.SSLContext, "set_groups")
    )


def _begin_anew() -> None:
    user = user_config(os.environ, ssl.get_default_verify_paths().openssl_capath)
    path = _write(limited_config(user, wanted_groups()).encode())
    environment = {**os.environ, VARIABLE: path, _MARK: os.environ.get(VARIABLE, "")}
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], environment)


def _write(content: bytes) -> str:
    """Put the configuration where the second life finds it: in memory where the system can."""
    if hasattr(os, "memfd_create") and Path(_DESCRIPTOR).is_dir():
        descriptor = os.memfd_create(_PREFIX, 0)  # without CLOEXEC: it is inherited
        path = f"{_DESCRIPTOR}{descriptor}"
    else:
        import tempfile  # not in the first life of most systems, which is to be short

        descriptor, path = tempfile.mkstemp(prefix=_PREFIX, suffix=".cnf")
    with open(descriptor, "wb", closefd=not path.startswith(_DESCRIPTOR)) as file:
        file.write(content)
    return path


def _remove_traces() -> None:
    before = os.environ.pop(_MARK)
    path = os.environ.pop(VARIABLE, "")
    if before:
        os.environ[VARIABLE] = before
    with contextlib.suppress(OSError, ValueError):
        if path.startswith(_DESCRIPTOR):
            os.close(int(path.removeprefix(_DESCRIPTOR)))
        elif Path(path).name.startswith(_PREFIX):
            Path(path).unlink()
