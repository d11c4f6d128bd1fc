"""The failures that are expected, and what a person is told of each."""

from __future__ import annotations

import trio
from cyclopts import CycloptsError

from appclient import ConnectError
from appclient.cli.arguments import UsageError
from appclient.cli.described import NoSuchInterface, UnreadableDescription
from appclient.cli.output import dumped, printable
from appclient.cli.trusting import NotTrusted
from appclient.cli.values import to_json
from protocol.certs import CertificatesError
from protocol.interface import ContractError, InvalidValue
from protocol.peer import CallError
from protocol.settings import SettingsError
from protocol.transport import AddressError, TransportError
from protocol.wire.codec import unpack
from protocol.wire.errors import CodecError
from protocol.wire.limits import Limits

_PLAIN = (
    AddressError,
    CertificatesError,
    ConnectError,
    ContractError,
    InvalidValue,
    NoSuchInterface,
    NotTrusted,
    SettingsError,
    TransportError,
    UnreadableDescription,
)
"""Classes whose own text says it all."""


def explain(exc: BaseException) -> tuple[str, int] | None:
    """What a person is told of a failure.

    Args:
        exc: what ended the command; no group.

    Returns:
        A message, harmless to a terminal, and the exit status; None where the failure was not expected.
    """
    if isinstance(exc, UsageError):
        return printable(str(exc)), 2
    if isinstance(exc, CycloptsError):
        return f"{exc}".strip(), 2
    if isinstance(exc, CallError):
        return printable(_call_text(exc)), 1
    if isinstance(exc, trio.TooSlowError):
        return "this took longer than --timeout allows", 1
    if isinstance(exc, OSError):
        return printable(f"{exc.filename}: {exc.strerror}" if exc.filename else str(exc)), 1
    if isinstance(exc, _PLAIN):
        return printable(str(exc)), 1
    return None


def _call_text(exc: CallError) -> str:
    """The error of a call; one that the application registered has a code and attributes of its own."""
    if exc.code.startswith("rpc."):
        return str(exc)
    text = f"{exc} [{exc.code}]"
    info = exc.args[0]
    if info.data is None:
        return text
    try:
        data = unpack(info.data, Limits())
    except CodecError:
        return text
    return f"{text} {dumped(to_json(data))}" if data else text
