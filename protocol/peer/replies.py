"""Exceptions to ERROR frames and back: the one table between the two.

A registered exception class travels with its attributes and arrives as itself. Everything else that a
handler raises arrives as `rpc.internal`, a broad sentence and a trace; the detail stays in the log of
the side where it happened.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterable

from protocol.interface import Contract, ErrorSpec, InvalidValue
from protocol.peer.errors import CLASSES, CallError
from protocol.wire import codes
from protocol.wire.codec import pack, unpack
from protocol.wire.envelope import MAX_CAUSE_DEPTH, MAX_CAUSES
from protocol.wire.errors import CodecError, ErrorInfo, Executed, MessageTooLarge
from protocol.wire.limits import Limits

logger = logging.getLogger("appserver.calls")

ITS_OWN = frozenset({codes.INVALID_ARGUMENTS, codes.MESSAGE_TOO_LARGE, codes.BLOB_DAMAGED})
"""What reading the stream or blob of a call may fail with."""


class Refusal(Exception):
    """A call that is failed with one of the protocol's codes, before or after its handler ran."""

    def __init__(self, code: str, message: str, executed: Executed) -> None:
        super().__init__(code, message)
        self.info = ErrorInfo(code, message, executed)


class ErrorTable:
    """The registered exception classes of the interfaces that one side serves and uses."""

    def __init__(self, contracts: Iterable[Contract] = ()) -> None:
        self._contracts: dict[str, Contract] = {}
        self._by_code: dict[str, ErrorSpec] = {}
        for contract in contracts:
            self.add(contract)

    def add(self, contract: Contract) -> None:
        """Take a contract's classes in."""
        self._contracts[contract.name] = contract
        self._by_code.update(contract.errors)

    def to_info(self, error: BaseException, method: str, *, depth: int = 0) -> ErrorInfo:
        """What the other side is told of a handler's exception.

        Args:
            error: what the handler raised.
            method: qualified name, for the log.
            depth: groups around it; a group deeper than the wire allows is logged and told as one failure.
        """
        if isinstance(error, Refusal):
            return error.info
        if isinstance(error, CallError) and error.code in ITS_OWN and error.method == method:
            return error.info  # what the caller sends on this very call is wrong: the handler only noticed
        if isinstance(error, MessageTooLarge):
            return ErrorInfo(codes.MESSAGE_TOO_LARGE, str(error), Executed.YES)
        if isinstance(error, BaseExceptionGroup) and depth < MAX_CAUSE_DEPTH:
            causes = tuple(
                self.to_info(cause, method, depth=depth + 1) for cause in error.exceptions[:MAX_CAUSES]
            )
            # Its own message is as little meant for the caller as any unregistered exception's.
            text = f"the handler raised a group of {len(error.exceptions)}"
            return ErrorInfo(codes.GROUP, text, Executed.YES, causes=causes)
        contract = self._contracts.get(method.partition(".")[0])
        spec = contract.error_for(error) if contract is not None else None
        if spec is not None:
            try:
                return ErrorInfo(spec.code, str(error), Executed.YES, data=pack(spec.encode(error)))
            except Exception as exc:  # the class is the application's
                error.add_note(f"it could not be sent as itself: {type(exc).__name__}")
        trace = secrets.token_hex(4)
        logger.error(
            "handler failed",
            exc_info=error,
            extra={"method": method, "trace": trace},
        )
        return ErrorInfo(
            codes.INTERNAL, "the handler failed; the server's log says why", Executed.YES, trace=trace
        )

    def to_exception(self, info: ErrorInfo, method: str, limits: Limits) -> BaseException:
        """The exception that the caller sees.

        Args:
            info: as received; untrusted.
            method: qualified name of what was called.
            limits: for decoding the attributes.
        """
        if info.code == codes.GROUP and info.causes:
            causes = [self.to_exception(cause, method, limits) for cause in info.causes]
            return BaseExceptionGroup(info.message, causes)
        spec = self._by_code.get(info.code)
        if spec is not None and info.data is not None:
            try:
                return spec.decode(unpack(info.data, limits))
            except (InvalidValue, CodecError) as exc:
                error = CallError(info, method)
                error.add_note(f"its attributes could not be read: {exc}")
                return error
        return CLASSES.get(info.code, CallError)(info, method)
