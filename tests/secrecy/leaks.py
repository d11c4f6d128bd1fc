"""Tests that leak, one at each place: `test_secrecy` runs them, and each must fail."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from protocol.certs.keys import encode_private_key, make_private_key
from protocol.settings import Settings
from protocol.settings.options import with_values
from protocol.wire.envelope import Welcome
from tests.secrecy.canaries import canary, secret

SECRET = canary("planted")
logger = logging.getLogger("appserver.leaks")


def test_log_message() -> None:
    logger.warning("signing in with %s", SECRET)


def test_log_field() -> None:
    logger.warning("signing in", extra={"password": SECRET})


def test_log_traceback() -> None:
    try:
        raise ValueError(SECRET)
    except ValueError:
        logger.warning("failed", exc_info=True)


def test_log_of_a_logger_whose_handlers_were_replaced() -> None:
    root = logging.getLogger()
    handlers = list(root.handlers)
    root.handlers[:] = [logging.NullHandler()]
    logger.warning("signing in with %s", SECRET)
    root.handlers[:] = handlers


def test_exception() -> None:
    with pytest.raises(ValueError, match="wrong"):
        raise ValueError(f"wrong passphrase {SECRET}")


def test_cause_of_an_exception() -> None:
    error = ValueError("wrong")
    error.__cause__ = KeyError(SECRET)
    with pytest.raises(ValueError, match="wrong"):
        raise error


def test_member_of_a_group() -> None:
    with pytest.raises(ExceptionGroup):
        raise ExceptionGroup("several", [ValueError(SECRET)])


def test_repr() -> None:
    with_values(Settings(), {"application.name": SECRET})


def test_print() -> None:
    print(SECRET)


def test_print_that_is_taken(capsys: pytest.CaptureFixture[str]) -> None:
    print(SECRET, file=sys.stderr)
    capsys.readouterr()


def test_output_of_a_process() -> None:
    subprocess.run([sys.executable, "-c", f"print('{SECRET}')"], check=True, stdout=subprocess.PIPE)


def test_line_of_a_process() -> None:
    with subprocess.Popen([sys.executable, "-c", f"print('{SECRET}')"], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()


def test_log_file_of_a_process(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "server.log").write_text(f"signing in with {SECRET}")


def test_private_key(tmp_path: Path) -> None:
    pem = encode_private_key(make_private_key("p256"))
    (tmp_path / "key.pem").write_bytes(pem)
    logger.warning("loaded %r", pem.split(b"\n")[1][-20:])


def test_private_key_of_rsa(tmp_path: Path) -> None:
    pem = encode_private_key(make_private_key("rsa3072"))
    (tmp_path / "next-key.pem").write_bytes(pem)
    logger.warning("loaded %r", pem.split(b"\n")[20])


def test_whole_private_key_that_is_in_no_file() -> None:
    logger.warning("made %s", encode_private_key(make_private_key("p256")))


def test_code_that_was_registered() -> None:
    secret("ABCD-EFGH-1234")
    logger.warning("the code is ABCD-EFGH-1234")


def test_token_of_a_session() -> None:
    welcome = Welcome("name", bytes(range(40, 56)))
    logger.warning("welcome %r", welcome.token)


def test_token_of_a_session_in_hex() -> None:
    welcome = Welcome("name", bytes(range(60, 76)))
    logger.warning("welcome %s", welcome.token.hex())


def test_failing_test() -> None:
    raise AssertionError(SECRET)
