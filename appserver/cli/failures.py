"""The failures that are expected, and what a person is told of each."""

from __future__ import annotations

from cyclopts import CycloptsError

from appserver.cli.asking import NotOnATerminal
from appserver.cli.loading import ApplicationNotFound
from appserver.cli.new_application import CannotInitialize
from appserver.cli.printing import printable
from appserver.status_file import UnreadableStatus
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
    NotOnATerminal,
    SettingsError,
    TransportError,
    UnreadableStatus,
)
"""Classes whose own text says it all."""


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
        return printable(str(exc)), 1
    if isinstance(exc, OSError):
        return f"{exc.filename}: {exc.strerror}" if exc.filename else str(exc), 1
    return None
