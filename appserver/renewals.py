"""Renewing clients' certificates over their sessions: what every server answers beside its application."""

from __future__ import annotations

import logging
from functools import partial
from weakref import WeakKeyDictionary

import trio

from appserver.context import current_call
from appserver.sessions import Session
from protocol.certs import CertificatesError, RequestError, facts_of_der, renew_client
from protocol.peer.enrolment import NotRenewed, Renewal
from protocol.peer.replies import Refusal
from protocol.wire import codes
from protocol.wire.errors import Executed

logger = logging.getLogger("appserver.joining")

MOST = 10
"""How often one connection may ask in a minute: ours asks once an hour, and only where its certificate is due."""

_MINUTE = 60.0


class Renewals(Renewal):
    """Answers `rpc.renew`.

    The request's signature proves the key, so it is answered on a connection that was not asked for a certificate, too.
    Each answer reads the register and leaves a line in the log, and so everybody gets a few.
    """

    def __init__(self) -> None:
        self._asked: WeakKeyDictionary[Session, tuple[float, int]] = WeakKeyDictionary()
        self._limiter = trio.CapacityLimiter(2)  # threads that sign, beside those of handlers

    async def renew(self, request: bytes) -> bytes:
        """See `Renewal.renew`."""
        session = current_call().session
        resources = session.resources
        if resources is None:
            raise NotRenewed("this connection is not encrypted")
        self._count(session)
        shown = session.security.peer_certificate
        try:
            certificate = await trio.to_thread.run_sync(
                partial(renew_client, resources, request, shown=shown), limiter=self._limiter
            )
        except RequestError as exc:
            logger.warning(
                "a certificate is not renewed", extra={"peer": session.peer_address, "finding": str(exc)}
            )
            raise NotRenewed(str(exc)) from None
        except CertificatesError as exc:
            logger.warning(
                "no certificate can be renewed", extra={"peer": session.peer_address, "finding": str(exc)}
            )
            raise NotRenewed("the server cannot renew a certificate now; its log says why") from None
        facts = facts_of_der(certificate)
        logger.info(
            "client's certificate renewed",
            extra={
                "peer": session.peer_address,
                "client": facts.subject,
                "until": facts.not_after.isoformat(),
            },
        )
        return certificate

    def _count(self, session: Session) -> None:
        now = trio.current_time()
        since, count = self._asked.get(session, (now, 0))
        if now >= since + _MINUTE:
            since, count = now, 0
        if count >= MOST:
            raise Refusal(codes.TOO_MANY_CALLS, "renewal was asked for too often: wait a minute", Executed.NO)
        self._asked[session] = since, count + 1
