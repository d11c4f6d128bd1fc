"""The pytest plugin that fails a test in whose course a secret became readable.

Searched, in each test of the whole run and in each worker: every log record with its fields and traceback; standard
output and error of this process; those of other processes, where a test reads them from a pipe or has sent them into a
file `*.log` of its `tmp_path`; the status file; every exception that a test expected or failed by, with its causes,
without locals; the reprs of the product's attrs objects when they are made, of the first five of each class in a test.

Secrets are: canaries (`tests.secrecy.canaries`), everything that a test registers, the tokens of sessions, and every
private key in a file below the test's `tmp_path` at its end, by its PEM.

What it cannot see: a log level that nobody has set (records below WARNING are not made where a test does not ask for
them); a child's output that goes to nobody; keys that were replaced before the test's end; secrets in an encoding of
which it does not know; attributes of mutable objects that change after they were made; and secrets that no test
plants. The control is `tests/secrecy/test_secrecy.py`, which runs this plugin on tests that leak.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest

from tests.secrecy import listening
from tests.secrecy.canaries import present

KEY_FILES = ("*key*", "*.p12")
LOGS = ("*.log", ".appserver-status")
_FILES = 200
_SIZE = 1 << 20


class Secrecy:
    """Listens from the end of the collection on."""

    def __init__(self) -> None:
        self._heard = listening.Heard()
        self._undo: list[listening.Undo] = []

    @pytest.hookimpl
    def pytest_collection_finish(self) -> None:
        """Begin: the product's modules are loaded by now."""
        if self._undo:
            return
        for listen in (
            listening.listen_to_logs,
            listening.listen_to_raises,
            listening.listen_to_captures,
            listening.listen_to_processes,
            listening.listen_to_reprs,
        ):
            self._undo.append(listen(self._heard))

    def pytest_unconfigure(self) -> None:
        """Leave everything as it was."""
        while self._undo:
            self._undo.pop()()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
        """Hear the exception and what pytest has captured; judge all at the end of the teardown."""
        if call.excinfo is not None:
            self._heard.hear_error("exception", call.excinfo.value)
        report = yield
        for _, text in report.sections:  # type: ignore[attr-defined]
            self._heard.hear("captured output", text)
        if call.when == "teardown":
            found = self._judge(item)
            if found:
                report.outcome = "failed"  # type: ignore[attr-defined]
                report.longrepr = "\n".join(("secrets became readable:", *found))  # type: ignore[attr-defined]
        return report

    def _judge(self, item: pytest.Item) -> list[str]:
        folder = getattr(item, "funcargs", {}).get("tmp_path")
        if isinstance(folder, Path):
            for text in _contents(folder, KEY_FILES):
                present.add_keys(text)
            for text in _contents(folder, LOGS):
                self._heard.hear("a file of the server", text)
        found: dict[str, str] = {}
        for place, text in self._heard.texts:
            for leaked in present.found_in(text):
                found.setdefault(f"{leaked} in {place}", text)
        self._heard.clear()
        present.clear()
        return list(found)


def _contents(folder: Path, patterns: tuple[str, ...]) -> Iterator[str]:
    for pattern in patterns:
        for path in islice(folder.rglob(pattern), _FILES):
            try:
                if path.is_file() and path.stat().st_size <= _SIZE:
                    yield path.read_text("utf-8", errors="replace")
            except OSError:  # a test has closed it, or taken it away
                continue


def pytest_configure(config: pytest.Config) -> None:
    """Join the run."""
    config.pluginmanager.register(Secrecy(), "secrecy of the product")
