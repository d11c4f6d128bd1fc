"""Asking whether a server is to be trusted: what there is to show of it, and taking the answer.

Here a server is looked at and nothing more: the handshake shows its certificate, and proves that it holds the
key. Then the connection is closed; what was looked at is never used for anything else.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Literal, TypeAlias

import attrs
import trio

from protocol.certs import CertificateFacts, check_peer_certificate, facts_of_der, is_named, looking_context
from protocol.settings import Settings
from protocol.transport import Address, Security
from protocol.transport.connecting import connect_transport


@attrs.frozen(kw_only=True)
class ServerFacts(CertificateFacts):
    """What a server shows of itself, for a person who decides whether to trust it.

    Only the key is proven: `fingerprint` is what to compare with what the server's administrator says. All
    other texts were written by whoever made the certificate; show them as plain text.

    Attributes:
        address: the server, as `host:port`.
        names_address: whether the certificate is for the host of that address.
        first_seen: when this client first met the server, UTC; None where it never did.
    """

    address: str
    names_address: bool
    first_seen: datetime | None = None

    @property
    def seen_before(self) -> bool:
        """Whether this client has met the server before, encrypted but without storing its key."""
        return self.first_seen is not None


TrustMode: TypeAlias = Literal["verify", "ask"]

Ask: TypeAlias = Callable[[ServerFacts], bool | Awaitable[bool]]
"""Answers whether to trust a server; anything but True is no."""


def check_mode(trust: TrustMode, ask: Ask | None) -> Ask | None:
    """Check that there is somebody to ask exactly where asking is wanted.

    Args:
        trust: as given to `connect`.
        ask: likewise.

    Returns:
        Whom to ask, or None.

    Raises:
        ValueError: the two do not go together.
    """
    if trust not in ("verify", "ask"):
        raise ValueError(f'trust is "verify" or "ask", not {trust!r}')
    if (trust == "ask") is (ask is None):
        raise ValueError('trust="ask" and ask=callback go together: neither is of use without the other')
    return ask


async def look_at_server(
    address: Address, settings: Settings, *, first_seen: datetime | None = None
) -> ServerFacts:
    """Look at the certificate that a server shows, and hang up. Nothing of the application's is sent.

    Args:
        address: the server; its pin is not looked at.
        settings: for TLS and the timeouts.
        first_seen: for the facts.

    Raises:
        TransportError: the network or TLS failed.
        ExpiredServerCertificate: its time is over; no answer could make it usable.
        ServerCertificateNotYetValid: likewise, it has not begun.
        UnfitServerCertificate: it cannot be understood.
    """
    context = await trio.to_thread.run_sync(looking_context, settings.tls)

    def verify(security: Security) -> None:
        # Against its own key: what is left to check is that it can be read, and its time.
        check_peer_certificate(security.peer_certificate, security.fingerprint or "", address=str(address))

    transport = await connect_transport(address, context=context, timeouts=settings.timeouts, verify=verify)
    certificate = transport.security.peer_certificate
    with trio.CancelScope(shield=True):
        await transport.aclose(settings.timeouts.close)
    assert certificate is not None
    facts = facts_of_der(certificate)
    return ServerFacts(
        **attrs.asdict(facts),
        address=address.location,
        names_address=is_named(address.host, facts.names),
        first_seen=first_seen,
    )


async def answer_of(ask: Ask, facts: ServerFacts) -> bool:
    """Ask, and wait as long as it takes.

    Args:
        ask: an async function, called in this loop; or a plain one, called in a worker thread, for it may
            wait for a person.
        facts: of the server.

    Returns:
        Whether the answer was True itself: a dialog's "No" is a number that counts as true.
    """
    if inspect.iscoroutinefunction(ask) or inspect.iscoroutinefunction(type(ask).__call__):
        answer = ask(facts)
    else:  # in a tuple, for trio wants no coroutine from a thread, and a lambda may well give one
        (answer,) = await trio.to_thread.run_sync(lambda: (ask(facts),), abandon_on_cancel=True)
    if inspect.isawaitable(answer):
        answer = await answer
    return answer is True
