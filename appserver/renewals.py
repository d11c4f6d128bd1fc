"""Renewing clients' certificates over their sessions: what every server answers beside its application."""

from __future__ import annotations

import logging
from functools import partial

import trio

from appserver.context import current_call
from protocol.certs import CertificatesError, RequestError, facts_of_der, renew_client
from protocol.peer.enrolment import NotRenewed, Renewal

logger = logging.getLogger("appserver.joining")


class Renewals(Renewal):
    """Answers `rpc.renew`.

    The request's signature proves the key, so it is answered on a connection that was not asked for a certificate, too.
    """

    async def renew(self, request: bytes) -> bytes:
        """See `Renewal.renew`."""
        session = current_call().session
        resources = session.resources
        if resources is None:
            raise NotRenewed("this connection is not encrypted")
        shown = session.security.peer_certificate
        try:
            certificate = await trio.to_thread.run_sync(
                partial(renew_client, resources, request, shown=shown)
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
