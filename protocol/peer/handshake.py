"""The first frames of a connection, before a `Peer` takes over.

Each side waits for one frame of the other, in a time that its caller bounds. Whatever came with that
frame is handed on.
"""

from __future__ import annotations

import trio

from protocol.transport import Transport
from protocol.wire.connection import Connection
from protocol.wire.envelope import Refuse
from protocol.wire.errors import RemoteProtocolError
from protocol.wire.events import (
    Event,
    Failed,
    GoawayReceived,
    HelloReceived,
    PongReceived,
    RefuseReceived,
    WelcomeReceived,
)


class HandshakeEnded(Exception):
    """The other side closed the connection, or announced it, before the handshake was complete.

    Attributes:
        refuse: the server's refusal that came before HELLO was sent, or None.
        retry_after: seconds after which the other side asks to be tried again, or None.
    """

    def __init__(self, text: str, *, refuse: Refuse | None = None, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.refuse = refuse
        self.retry_after = retry_after


async def send_pending(transport: Transport, connection: Connection) -> None:
    """Write all that waits.

    Raises:
        TransportError: the connection is broken.
    """
    while data := connection.data_to_send():
        rest = memoryview(data)
        while rest:
            sent = transport.send_nowait(rest)
            rest = rest[sent:]
            if not sent:
                await transport.wait_writable()


async def receive_hello(transport: Transport, connection: Connection) -> tuple[HelloReceived, list[Event]]:
    """Wait for a client's HELLO.

    Returns:
        It, and what came with it.

    Raises:
        RemoteProtocolError: something else came; the GOAWAY that says so has been sent.
        HandshakeEnded: the client left.
        TransportError: the connection is broken.
    """
    while True:
        events = await _receive(transport, connection)
        for number, event in enumerate(events):
            if isinstance(event, HelloReceived):
                return event, events[number + 1 :]
            _check_goes_on(event)


async def check_plain_server(transport: Transport, connection: Connection) -> None:
    """Make sure that a server speaks plain text before anything is said to it: a PING says nothing.

    A client whose encryption was switched off by mistake would otherwise show its credentials to
    everybody on the way, and learn only then that the server wants encryption.

    Raises:
        HandshakeEnded: the server refuses, or left.
        RemoteProtocolError: something else came.
        TransportError: the connection is broken, or the server takes encrypted connections only.
    """
    connection.ping()
    while True:
        events = await _receive(transport, connection)
        for event in events:  # all of them, for nobody sees those again that came with the PONG
            if isinstance(event, RefuseReceived):
                raise HandshakeEnded(event.refuse.text, refuse=event.refuse)
            _check_goes_on(event)
        if any(isinstance(event, PongReceived) for event in events):
            return


async def receive_welcome(
    transport: Transport, connection: Connection
) -> tuple[WelcomeReceived | RefuseReceived, list[Event]]:
    """Wait for a server's answer to HELLO; see `receive_hello`."""
    while True:
        events = await _receive(transport, connection)
        for number, event in enumerate(events):
            if isinstance(event, WelcomeReceived | RefuseReceived):
                return event, events[number + 1 :]
            _check_goes_on(event)


async def _receive(transport: Transport, connection: Connection) -> list[Event]:
    await send_pending(transport, connection)
    while (data := transport.receive_nowait()) is None:
        await transport.wait_readable()
    if not data:
        raise HandshakeEnded("the connection was closed during the handshake")
    events = connection.receive(data, trio.current_time())
    for event in events:
        if isinstance(event, Failed):
            await send_pending(transport, connection)
            raise RemoteProtocolError(str(event.error), event.error.code)
    return events


def _check_goes_on(event: Event) -> None:
    """Raise for a GOAWAY before the frame that is waited for; one after it is the `Peer`'s to act on."""
    if isinstance(event, GoawayReceived):
        raise HandshakeEnded(event.goaway.text, retry_after=event.goaway.reconnect_after)
