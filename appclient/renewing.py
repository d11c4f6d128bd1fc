"""A client's own certificate, renewed over its session before it ends.

With the same key, so that one file is replaced in one step, whatever kills the client and however many share its
folder; and because a new key would keep nobody out who has stolen the old one: a thief can ask for a renewal, too,
until the administrator revokes the client. The connection goes on as it is; the next one shows the new certificate.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import trio

from appclient.client import Client
from appclient.state import ConnectionState
from appclient.trusting import read_trust
from protocol.certs import CertificatesError, ClientIdentity
from protocol.certs.first_start import RENEW_AT
from protocol.certs.identity import KEY_FILE
from protocol.certs.joining import make_key_request, store_renewed
from protocol.interface import make_proxy
from protocol.peer import CallError, PeerCaller
from protocol.peer.enrolment import NotRenewed, Renewal
from protocol.settings import Settings

logger = logging.getLogger("appclient")

LOOK = 3600.0
"""Seconds between two looks at the certificate's end."""

SECONDS = 30.0
"""How long the server may take for its answer."""


async def keep_identity(
    client: Client,
    resources: Path,
    settings: Settings,
    *,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    pause: float = LOOK,
) -> None:
    """Renew a client's certificate whenever it is due, until cancelled.

    Args:
        client: whose session is used.
        resources: its folder.
        settings: say where the passphrase of its key is.
        now: the clock, UTC.
        pause: seconds between two looks.
    """
    told: str | None = None
    while True:
        await client.wait_state(ConnectionState.CONNECTED, ConnectionState.BUSY)
        finding = await _renew_if_due(client, resources, settings, now())
        if finding is not None and finding != told:  # once, and not with every look
            logger.warning(
                "this client's certificate ends soon and was not renewed",
                extra={"folder": str(resources), "finding": finding},
            )
        told = finding
        await trio.sleep(pause)


async def _renew_if_due(client: Client, resources: Path, settings: Settings, now: datetime) -> str | None:
    """Renew; returns what went wrong."""
    try:
        identity = await trio.to_thread.run_sync(_read_identity, resources, settings)
        if identity is None or not is_due(identity, now):
            return None
        renewal = make_proxy(Renewal, PeerCaller(client))
        with trio.fail_after(SECONDS):
            certificate = await renewal.renew(make_key_request(identity.private_key))
        store = partial(store_renewed, resources, certificate, identity, now=now)
        facts = await trio.to_thread.run_sync(store)
    except (CallError, CertificatesError, NotRenewed, OSError) as exc:
        return str(exc)
    except trio.TooSlowError:
        return f"the server did not answer in {SECONDS:g} s"
    except Exception as exc:  # the connection is for good: what it ended with is told to those who call
        return f"{type(exc).__name__}: {exc}"
    if facts is not None:
        logger.info(
            "this client's certificate was renewed",
            extra={"folder": str(resources), "until": facts.not_after.isoformat()},
        )
    return None


def _read_identity(resources: Path, settings: Settings) -> ClientIdentity | None:
    if not os.path.lexists(resources / KEY_FILE):  # most have none, and pay nothing for it
        return None
    return read_trust(resources, settings).identity


def is_due(identity: ClientIdentity, now: datetime) -> bool:
    """Whether so little of a certificate's life is left that it is renewed."""
    return identity.not_after - now < (identity.not_after - identity.not_before) * RENEW_AT
