"""Who is connected: one `Session` for each client, and the table of them."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import attrs
import trio

from protocol.certs import ClientCertificate, ClientChain
from protocol.interface import Interface, contract_of, make_proxy
from protocol.peer import OnePeer, Peer, PeerCaller, PeerStatistics
from protocol.transport import Security
from protocol.wire.errors import GoawayCode

InterfaceT = TypeVar("InterfaceT", bound=Interface)


@attrs.frozen
class SessionInfo:
    """A snapshot of one session, for lists.

    Attributes:
        id: name of the session.
        principal: who the client is, empty where nothing says so.
        application: what the client calls itself; not verified.
        connected: since when, UTC.
        security: what the connection negotiated.
        connection: its traffic now.
        certificate: the client's, None where the server wants none.
    """

    id: str
    principal: str
    application: str
    connected: datetime
    security: Security
    connection: PeerStatistics
    certificate: ClientCertificate | None = None


class Session:
    """One client, from its WELCOME to the end of its connection.

    Attributes:
        id: name of the session, unique while the server runs.
        principal: who the client is, as `authenticate` said or else its certificate; empty without either.
        application: what the client calls itself; not verified.
        peer_address: where it connects from.
        security: what the connection negotiated.
        connected: since when, UTC.
        chain: the client's certificate with those behind it, None where the server wants none.
        resources: the server's Resources folder, None without encryption.
        sent_away: its client was told to come back on another connection.
        hurried: likewise, and that its open calls have little time.
        gone: set when its connection has ended.
    """

    def __init__(
        self,
        peer_address: str,
        *,
        principal: str,
        application: str,
        security: Security,
        chain: ClientChain | None = None,
        resources: Path | None = None,
    ) -> None:
        self.id = secrets.token_hex(6)
        self.principal = principal
        self.application = application
        self.peer_address = peer_address
        self.security = security
        self.chain = chain
        self.resources = resources
        self.connected = datetime.now(UTC)
        self.sent_away = self.hurried = False  # `SessionTable.leave_place` sets them
        self.gone = trio.Event()
        self._peer: Peer | None = None

    def attach(self, peer: Peer) -> None:
        """Take the connection."""
        self._peer = peer

    @property
    def peer(self) -> Peer:
        """The connection."""
        assert self._peer is not None
        return self._peer

    @property
    def certificate(self) -> ClientCertificate | None:
        """The client's certificate, verified; None where the server wants none."""
        return self.chain.certificate if self.chain is not None else None

    def use(self, cls: Callable[..., InterfaceT]) -> InterfaceT:
        """A proxy of an interface that this client serves: the way to call it back.

        Args:
            cls: the contract class.
        """
        self.peer.service.errors.add(contract_of(cls))  # type: ignore[arg-type]
        return make_proxy(cls, PeerCaller(OnePeer(self.peer)))

    def kick(self, text: str) -> None:
        """End the session; the client is told why and does not come back by itself.

        Args:
            text: a sentence for the user.
        """
        self.peer.leave(GoawayCode.KICKED, text)

    def info(self) -> SessionInfo:
        """A snapshot."""
        return SessionInfo(
            self.id,
            self.principal,
            self.application,
            self.connected,
            self.security,
            self.peer.statistics(),
            self.certificate,
        )

    def __repr__(self) -> str:
        return f"<Session {self.id} of {self.principal or self.peer_address}>"


class SessionTable:
    """The sessions of one server.

    Attributes:
        sent_away: those whose clients were told to come back on another connection.
    """

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}
        self._reserved: set[str] = set()
        self.sent_away = 0

    def reserve(self, session: Session) -> None:
        """Keep a place for a session whose client is being told that it is welcome."""
        self._reserved.add(session.id)

    def add(self, session: Session) -> None:
        """Take a session in."""
        self._reserved.discard(session.id)
        self._sessions[session.id] = session

    def remove(self, session: Session) -> None:
        """Forget a session, or the place that was kept for it."""
        self._reserved.discard(session.id)
        if self._sessions.pop(session.id, None) is not None:
            self.sent_away -= session.sent_away
        session.gone.set()

    def leave_place(self, session: Session, *, hurried: bool = False) -> None:
        """Take note that a client was sent away: it comes back on another connection, and must find a place."""
        session.hurried = session.hurried or hurried
        if not session.sent_away:
            session.sent_away = True
            self.sent_away += session.id in self._sessions

    @property
    def places_taken(self) -> int:
        """The sessions, and those to come, without those whose clients were sent away."""
        return len(self._sessions) + len(self._reserved) - self.sent_away

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._sessions.values()))

    def __len__(self) -> int:
        return len(self._sessions)
