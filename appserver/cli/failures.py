"""The failures that are expected, and what a person is told of each."""

from __future__ import annotations

from cyclopts import CycloptsError

from appserver.cli.loading import ApplicationNotFound
from appserver.cli.new_application import CannotInitialize
from protocol.certs import CertificatesError
from protocol.interface import ContractError
from protocol.settings import SettingsError
from protocol.transport import AddressError, TransportError

_PLAIN = (
    AddressError,
    ApplicationNotFound,
    CannotInitialize,
    CertificatesError,
    ContractError,
    SettingsError,
    TransportError,
)
"""Classes whose own text says it all."""

_ESCAPED = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}


def explain(exc: BaseException) -> tuple[str, int] | None:
    """What a person is told of a failure.

    Args:
        exc: what ended the command; no group.

    Returns:
        A message, harmless to a terminal, and the exit status; None where the failure was not expected.
    """
    if isinstance(exc, CycloptsError):
        return f"{exc}".strip(), 2
    if isinstance(exc, _PLAIN):
        return str(exc).translate(_ESCAPED), 1
    if isinstance(exc, OSError):
        return f"{exc.filename}: {exc.strerror}" if exc.filename else str(exc), 1
    return None
