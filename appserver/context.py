"""`current_call`: what a handler may know beside its arguments; `current_certificate`: whose client it is."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import TypeVar

import trio

from appserver.sessions import Session
from protocol.certs import ClientCertificate
from protocol.interface import Interface
from protocol.peer.context import Call, current
from protocol.wire.errors import LocalProtocolError

_signing_in: ContextVar[ClientCertificate | None] = ContextVar("signing_in", default=None)

InterfaceT = TypeVar("InterfaceT", bound=Interface)


class CurrentCall:
    """The call that is being handled.

    Attributes:
        method: qualified name, `Orders.find`.
        session: who calls.
    """

    __slots__ = ("_call", "method", "session")

    def __init__(self, call: Call, session: Session) -> None:
        self._call = call
        self.method = call.method
        self.session = session

    @property
    def peer_address(self) -> str:
        """Where the caller connects from."""
        return self.session.peer_address

    @property
    def cancel_scope(self) -> trio.CancelScope:
        """Cancelled when the caller cancels, its deadline passes, or its connection ends."""
        return self._call.cancel_scope

    @property
    def deadline(self) -> float:
        """When the caller stops waiting, on trio's clock; infinity where it waits for ever."""
        return self._call.deadline

    def use(self, cls: Callable[..., InterfaceT]) -> InterfaceT:
        """A proxy of an interface that the caller serves; a handler may await its calls."""
        return self.session.use(cls)


def current_call() -> CurrentCall:
    """The call that the running handler handles; in its worker thread and its tasks too.

    Raises:
        LocalProtocolError: no handler of a server is running here.
    """
    call = current.get(None)
    if call is None or not isinstance(call.peer.owner, Session):
        raise LocalProtocolError("current_call() is for handlers: no call is being handled here")
    return CurrentCall(call, call.peer.owner)


def current_certificate() -> ClientCertificate | None:
    """The verified certificate of the client that an `authenticate` function is asked about, or that calls.

    Returns:
        It; None where the server wants no certificates, and outside of both.
    """
    call = current.get(None)
    if call is not None and isinstance(call.peer.owner, Session):
        return call.peer.owner.certificate
    return _signing_in.get()


@contextlib.contextmanager
def signing_in(certificate: ClientCertificate | None) -> Iterator[None]:
    """Let `current_certificate` say what a client has shown, while the application is asked who it is."""
    token = _signing_in.set(certificate)
    try:
        yield
    finally:
        _signing_in.reset(token)
