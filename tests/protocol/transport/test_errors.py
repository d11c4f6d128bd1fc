"""The errors: each names where, what and what to do."""

from __future__ import annotations

import errno
import ssl

import pytest

from protocol.transport import ConnectionReset, TransportError, Unreachable, errors
from protocol.transport.sockets import translate_os_error

CLASSES = [
    thing
    for thing in vars(errors).values()
    if isinstance(thing, type) and issubclass(thing, TransportError) and thing is not TransportError
]


@pytest.mark.parametrize("kind", CLASSES)
def test_each_error_names_address_cause_and_next_step(kind: type[TransportError]) -> None:
    error = kind("host:19813")
    assert error.address == "host:19813"
    assert error.cause in str(error)
    assert str(error).startswith("host:19813: ")
    assert error.next_step in str(error)
    given = kind("host:1", "it rains", "Take an umbrella")
    assert str(given) == "host:1: it rains. Take an umbrella."


def test_each_error_has_its_own_text() -> None:
    texts = [kind("host:1").cause for kind in CLASSES if kind is not errors.Mismatch]
    assert len(set(texts)) == len(texts)


@pytest.mark.parametrize(
    "kind", [errors.ServerNotEncrypted, errors.EncryptionRequired, errors.PlainClient, errors.TlsClient]
)
def test_a_mismatch_of_encryption_names_the_setting(kind: type[TransportError]) -> None:
    assert "client_server.encrypt" in str(kind("host:1"))


@pytest.mark.parametrize(
    ("error", "expected", "words"),
    [
        (ConnectionResetError(errno.ECONNRESET, "reset"), ConnectionReset, "reset by the other side"),
        (BrokenPipeError(errno.EPIPE, "pipe"), ConnectionReset, "reset by the other side"),
        (TimeoutError(errno.ETIMEDOUT, "late"), ConnectionReset, "no longer answers"),
        (OSError(errno.EHOSTUNREACH, "No route to host"), Unreachable, "No route to host"),
        (OSError(errno.EIO, "Input/output error"), ConnectionReset, "Input/output error"),
    ],
)
def test_the_operating_systems_errors_are_translated(
    error: OSError, expected: type[TransportError], words: str
) -> None:
    translated = translate_os_error(error, "host:1")
    assert type(translated) is expected
    assert words in str(translated)
    assert not isinstance(translated, ssl.SSLError)
