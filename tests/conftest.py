"""What every test is held to: an ERROR in the log that the test did not take fails it; and when it may run."""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Iterator

import hypothesis
import pytest
import trio.testing

from tests.turns import take_turn

# The suite starts hundreds of interpreters. Each would compile the whole project anew where this is set, as it is
# in most containers: a quarter of a second of every start.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# A shell lets what it starts in the background ignore Ctrl+C, and all that this starts in turn. Tests press it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# An example that takes long is a busy machine's more often than ours.
hypothesis.settings.register_profile("busy machine", deadline=None)
hypothesis.settings.load_profile("busy machine")


class ErrorLog(logging.Handler):
    """Keeps the records of level ERROR and above."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a record."""
        self.records.append(record)

    def take(self, text: str) -> list[logging.LogRecord]:
        """Take out the records whose message contains a text: the test has expected them."""
        taken = [record for record in self.records if text in record.getMessage()]
        self.records = [record for record in self.records if record not in taken]
        return taken


@pytest.fixture(autouse=True)
def error_log() -> Iterator[ErrorLog]:
    """The errors that were logged; what the test has not taken by its end fails it."""
    log = ErrorLog()
    root = logging.getLogger()
    level = root.level
    root.addHandler(log)
    try:
        yield log
    finally:
        root.removeHandler(log)
        # A command that was run in this process has set up logging to a stream of this test's.
        root.handlers[:] = [
            handler for handler in root.handlers if type(handler) is not logging.StreamHandler
        ]
        root.setLevel(level)
    left = [f"{record.name}: {record.getMessage()} ({record.exc_info})" for record in log.records]
    assert not left, "errors in the log that the test did not announce:\n" + "\n".join(left)


@pytest.fixture(autouse=True)
def turn(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The room for a test to run in, where there are several workers; one marked `alone` has it for itself."""
    if not hasattr(request.config, "workerinput"):
        yield
        return
    alone = request.node.get_closest_marker("alone") is not None
    with take_turn(tmp_path_factory.getbasetemp().parent, alone=alone):
        yield


@pytest.fixture
def patient_clock() -> trio.testing.MockClock:
    """A clock that jumps once nothing has happened for a moment: for tests with worker threads."""
    return trio.testing.MockClock(autojump_threshold=0.05)
