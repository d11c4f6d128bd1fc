"""Everything that a test lets people read, gathered where it passes by.

Each function here puts an ear to one place and returns what takes it away. What is heard is judged at the test's end,
when all its secrets are known.
"""

from __future__ import annotations

import functools
import inspect
import io
import logging
import subprocess
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import attrs
import pytest

from tests.secrecy.canaries import secret

PACKAGES = ("protocol", "appserver", "appclient")
MOST = 32 * 1024 * 1024
"""Characters that are kept of one test."""

REPRS = 5
"""Objects of one class whose repr is taken in one test, when they are made."""

Undo: TypeAlias = Callable[[], None]


class Heard:
    """What was readable in the course of one test.

    Attributes:
        texts: each with the place where it was.
    """

    def __init__(self) -> None:
        self.texts: list[tuple[str, str]] = []
        self._size = 0
        self._reprs: Counter[type] = Counter()

    def clear(self) -> None:
        """Begin with the next test."""
        self.texts = []
        self._size = 0
        self._reprs.clear()

    def hear(self, place: str, text: object) -> None:
        """Keep a text; bytes are read as text."""
        if isinstance(text, bytes | bytearray):
            text = text.decode(errors="replace")
        if isinstance(text, str) and text and self._size < MOST:
            self._size += len(text)
            self.texts.append((place, text))

    def hear_error(self, place: str, error: BaseException) -> None:
        """Keep what a traceback shows: the texts of an exception, its causes and its group."""
        self.hear(place, "".join(traceback.format_exception(error)))

    def hear_repr(self, value: object) -> None:
        """Keep the repr of an object, of the first few of its class."""
        self._reprs[type(value)] += 1
        if self._reprs[type(value)] <= REPRS:
            try:
                text = repr(value)
            except AttributeError:  # one that is only half made: a subclass goes on
                return
            self.hear(f"repr of {type(value).__name__}", text)


def listen_to_logs(heard: Heard) -> Undo:
    """Every record that any logger makes, with its fields and its traceback, whatever handlers there are."""
    original = logging.Logger.callHandlers
    usual = frozenset(vars(logging.LogRecord("", 0, "", 0, "", (), None)))

    def call_handlers(self: logging.Logger, record: logging.LogRecord) -> None:
        fields = {name: value for name, value in vars(record).items() if name not in usual}
        heard.hear("log", f"{record.getMessage()} {fields or ''}")
        if record.exc_info and record.exc_info[1] is not None:
            heard.hear_error("log", record.exc_info[1])
        original(self, record)

    return _replace(logging.Logger, "callHandlers", call_handlers)


def listen_to_raises(heard: Heard) -> Undo:
    """Every exception that a test expected, as a traceback would have shown it."""
    cls = type(pytest.raises(KeyError))
    original = cls.__exit__

    def leave(self: Any, kind: Any, error: BaseException | None, trace: Any) -> bool:
        if error is not None:
            heard.hear_error("exception", error)
        return original(self, kind, error, trace)

    return _replace(cls, "__exit__", leave)


def listen_to_captures(heard: Heard) -> Undo:
    """What the test's own process has printed and the test has taken."""
    original = pytest.CaptureFixture.readouterr

    def read(self: Any) -> Any:
        taken = original(self)
        heard.hear("standard output", taken.out)
        heard.hear("standard error", taken.err)
        return taken

    return _replace(pytest.CaptureFixture, "readouterr", read)


def listen_to_processes(heard: Heard) -> Undo:
    """What other processes write into pipes that the test reads."""
    make, communicate = subprocess.Popen.__init__, subprocess.Popen.communicate

    @functools.wraps(make)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        make(self, *args, **kwargs)
        for name in ("stdout", "stderr"):
            pipe = getattr(self, name)
            if pipe is not None:
                setattr(self, name, _Pipe(pipe, name, heard))

    @functools.wraps(communicate)
    def talk(self: Any, *args: Any, **kwargs: Any) -> Any:
        answers = communicate(self, *args, **kwargs)
        for name, answer in zip(("stdout", "stderr"), answers, strict=True):
            heard.hear(f"a process's {name}", answer)
        return answers

    return _both(
        _replace(subprocess.Popen, "__init__", init), _replace(subprocess.Popen, "communicate", talk)
    )


class _Pipe:
    """A pipe of which everything that is read is heard, too."""

    def __init__(self, pipe: io.IOBase, name: str, heard: Heard) -> None:
        self._pipe, self._place, self._heard = pipe, f"a process's {name}", heard

    def read(self, *args: Any) -> Any:
        return self._told(self._pipe.read(*args))

    def readline(self, *args: Any) -> Any:
        return self._told(self._pipe.readline(*args))

    def __iter__(self) -> Iterator[Any]:
        return map(self._told, self._pipe)

    def _told(self, text: Any) -> Any:
        self._heard.hear(self._place, text)
        return text

    def __enter__(self) -> _Pipe:
        return self

    def __exit__(self, *args: object) -> None:
        self._pipe.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipe, name)


def listen_to_reprs(heard: Heard) -> Undo:
    """The reprs of the product's attrs objects, when they are made; and the tokens of its welcomes are registered.

    Classes that are loaded later are not heard: call it when the tests have been collected.
    """
    return _both(
        *(_replace(cls, "__init__", _told(cls.__init__, cls, heard)) for cls in _attrs_classes())  # type: ignore[misc]
    )


def _told(init: Callable[..., None], cls: type, heard: Heard) -> Callable[..., None]:
    keeps_token = cls.__name__ == "Welcome"

    @functools.wraps(init)
    def told(self: object, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **kwargs)
        if keeps_token:
            secret(self.token)  # type: ignore[attr-defined]
        if type(self) is cls:
            heard.hear_repr(self)

    return told


def _attrs_classes() -> set[type]:
    found: set[type] = set()
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] in PACKAGES:
            found |= {value for value in vars(module).values() if inspect.isclass(value) and _is_ours(value)}
    return found


def _is_ours(cls: type) -> bool:
    return cls.__module__.split(".")[0] in PACKAGES and attrs.has(cls) and "__init__" in vars(cls)


def _both(*steps: Undo) -> Undo:
    def undo() -> None:
        for step in steps:
            step()

    return undo


def _replace(owner: type, name: str, value: Any) -> Undo:
    original = vars(owner)[name]
    setattr(owner, name, value)
    return lambda: setattr(owner, name, original)
