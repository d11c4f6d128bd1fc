"""The log shows the fields that the rooms below give in `extra`, in both forms."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from appserver.cli.logs import configure_logs, error_line
from protocol.settings import LogSettings

logger = logging.getLogger("appserver.tests")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(False)


def fail() -> None:
    raise ValueError("no good")


def log_failure() -> None:
    try:
        fail()
    except ValueError:
        logger.exception("handler failed", extra={"method": "Orders.find"})


def test_json_has_one_object_a_line() -> None:
    stream = io.StringIO()
    configure_logs(LogSettings(format="json"), stream=stream)
    logger.info("client %s", "connected", extra={"peer": "127.0.0.1:1", "session": "a\nb", "count": 3})
    log_failure()
    first, second = (json.loads(line) for line in stream.getvalue().splitlines())
    assert first.pop("timestamp").endswith("Z")
    assert first == {
        "event": "client connected",
        "level": "info",
        "logger": "appserver.tests",
        "peer": "127.0.0.1:1",
        "session": "a\nb",
        "count": 3,
    }
    assert second["method"] == "Orders.find"
    assert "ValueError: no good" in second["exception"]
    assert "Traceback" in second["exception"]


def test_console_has_one_line_with_the_fields() -> None:
    stream = io.StringIO()
    configure_logs(LogSettings(), stream=stream)
    logger.warning("client refused", extra={"peer": "127.0.0.1:1", "text": "two words"})
    (line,) = stream.getvalue().splitlines()
    assert "warning" in line
    assert "client refused" in line
    assert "peer=127.0.0.1:1" in line
    assert "text='two words'" in line


def test_what_a_peer_says_cannot_forge_a_line() -> None:
    stream = io.StringIO()
    configure_logs(LogSettings(), stream=stream)
    logger.info("client connected", extra={"application": "x\n2030-01-01 [error] stolen\x1b[2J"})
    (line,) = stream.getvalue().splitlines()
    assert "\x1b" not in line


def test_a_terminal_gets_one_line_of_an_exception_unless_debug_asks() -> None:
    stream = Terminal()
    configure_logs(LogSettings(), stream=stream)
    log_failure()
    assert "Traceback" not in stream.getvalue()
    assert "no good (test_logs.py:" in stream.getvalue()
    assert len(stream.getvalue().splitlines()) == 1
    stream = Terminal()
    configure_logs(LogSettings(), debug=True, stream=stream)
    log_failure()
    assert "Traceback" in stream.getvalue()


def test_a_file_gets_the_traceback() -> None:
    stream = io.StringIO()
    configure_logs(LogSettings(), stream=stream)
    log_failure()
    assert "Traceback" in stream.getvalue()


def test_the_level_holds() -> None:
    stream = io.StringIO()
    configure_logs(LogSettings(level="error"), stream=stream)
    logger.warning("not this")
    logger.error("this")
    assert "not this" not in stream.getvalue()
    assert "this" in stream.getvalue()
    configure_logs(LogSettings(level="error"), debug=True, stream=stream)
    logger.debug("everything")
    assert "everything" in stream.getvalue()


def test_an_exception_without_a_text_is_its_name() -> None:
    assert error_line(KeyError()) == "KeyError"
