"""A client of servers that say unusual things, by hand and frame by frame."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable

import attrs
import pytest
import trio
import trio.testing

from appclient import (
    Client,
    ConnectionState,
    HandshakeIncomplete,
    InterfaceMismatch,
    InvalidResult,
    Refused,
    StateChange,
)
from appclient.connecting import Connector
from appclient.opening import run_client
from protocol.interface import Interface
from protocol.peer.handshake import receive_hello, send_pending
from protocol.settings import ClientServerSettings, Settings
from protocol.transport import Address, Transport, TransportError
from protocol.transport.memory import Link
from protocol.wire.codec import pack
from protocol.wire.connection import Connection, Role
from protocol.wire.envelope import InterfaceOffer, Refuse, Welcome
from protocol.wire.errors import GoawayCode
from protocol.wire.events import CallReceived
from protocol.wire.limits import Limits

Clock = trio.testing.MockClock
State = ConnectionState
Answer = Callable[[Connection], object]


def welcome(connection: Connection) -> None:
    """Accept the client."""
    connection.welcome(Welcome("1", b"t" * 16, application="odd"), Limits())


def send_away(reconnect_after: float | None) -> Answer:
    """Accept the client and announce the end in the same segment."""

    def answer(connection: Connection) -> None:
        welcome(connection)
        connection.goaway(GoawayCode.SHUTDOWN, "off with you", reconnect_after=reconnect_after)

    return answer


def refuse(retry_after: float | None) -> Answer:
    """Refuse the client."""
    return lambda connection: connection.refuse(Refuse("odd.later", "come later", "", retry_after))


def goaway(reconnect_after: float | None) -> Answer:
    """Announce the end in place of an answer."""
    return lambda connection: connection.goaway(GoawayCode.SHUTDOWN, "no", reconnect_after=reconnect_after)


@attrs.define
class OddServer:
    """Answers each client's HELLO as the test says.

    Attributes:
        answers: to one connection after another; the last one stays.
        times: at which there was a connection.
        connection: the present one.
    """

    nursery: trio.Nursery
    answers: list[Answer]
    times: list[float] = attrs.field(factory=list)
    connection: Connection | None = None
    transport: Transport | None = None
    result: bytes = b""

    async def open_transport(self) -> Transport:
        """The client's end of a new connection."""
        link = Link()
        self.nursery.start_soon(self._serve, link)
        return link.client

    async def _serve(self, link: Link) -> None:
        self.times.append(trio.current_time())
        self.transport = link.server
        connection = self.connection = Connection(Role.SERVER, ping_interval=0, now=trio.current_time())
        with contextlib.suppress(TransportError):
            await receive_hello(link.server, connection)
            (self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])(connection)
            await send_pending(link.server, connection)
            while (data := link.server.receive_nowait()) != b"":
                if data is None:
                    await link.server.wait_readable()
                else:
                    for event in connection.receive(data, trio.current_time()):
                        if isinstance(event, CallReceived):
                            connection.send_result(event.stream, self.result)
                    await send_pending(link.server, connection)
        link.server.abort()

    @contextlib.asynccontextmanager
    async def connect(self, on_state: Callable[[StateChange], object] | None = None) -> AsyncIterator[Client]:
        """A client of it."""
        settings = Settings(client_server=ClientServerSettings(encrypt=False))
        connector = Connector(Address("odd"), self.open_transport, settings=settings)
        async with run_client(connector, settings=settings, on_state=on_state) as client:
            yield client


@contextlib.asynccontextmanager
async def odd_server(*answers: Answer) -> AsyncIterator[OddServer]:
    """Run a server that gives these answers."""
    with trio.fail_after(10_000):
        async with trio.open_nursery() as nursery:
            yield OddServer(nursery, list(answers))
            nursery.cancel_scope.cancel()


async def test_a_server_that_sends_its_clients_away_at_once_is_not_asked_in_a_loop(
    autojump_clock: Clock,
) -> None:
    async with odd_server(send_away(0.0)) as server, server.connect():
        await trio.sleep(60)
        assert 4 <= len(server.times) <= 10


async def test_a_goaway_in_one_segment_with_the_welcome_does_not_fail_connect(autojump_clock: Clock) -> None:
    async with odd_server(send_away(5.0), welcome) as server, server.connect() as client:
        await client.wait_state(State.RECONNECTING)
        await client.wait_state(State.CONNECTED)
        assert 4 <= server.times[1] - server.times[0] <= 6


async def test_a_goaway_in_place_of_a_welcome_ends_the_handshake(autojump_clock: Clock) -> None:
    async with odd_server(goaway(7.0)) as server:
        with pytest.raises(HandshakeIncomplete) as caught:
            async with server.connect():
                pass
        assert caught.value.retry_after == 7.0


@pytest.mark.parametrize("no", [refuse, goaway])
@pytest.mark.parametrize(("asked", "least", "most"), [(60.0, 48, 72), (1e9, 96, 120), (0.0, 1.28, 1.92)])
async def test_the_time_that_a_refusal_names_is_waited_within_bounds(
    no: Callable[[float], Answer], asked: float, least: float, most: float, autojump_clock: Clock
) -> None:
    async with odd_server(send_away(None), no(asked), welcome) as server, server.connect() as client:
        await client.wait_state(State.RECONNECTING)
        await client.wait_state(State.CONNECTED)
        assert 0.8 <= server.times[1] - server.times[0] <= 1.3
        assert least <= server.times[2] - server.times[1] <= most + 0.1


async def test_a_refusal_before_hello_is_a_refusal(autojump_clock: Clock) -> None:
    async with odd_server(welcome) as server:

        async def open_refusing() -> Transport:
            link = Link()
            connection = Connection(Role.SERVER, ping_interval=0, now=trio.current_time())
            connection.refuse(Refuse("odd.full", "too many clients", "", 30.0))
            await send_pending(link.server, connection)
            return link.client

        settings = Settings(client_server=ClientServerSettings(encrypt=False))
        connector = Connector(Address("odd"), open_refusing, settings=settings)
        with pytest.raises(Refused, match="too many") as caught:
            await connector.establish()
        assert caught.value.retry_after == 30.0
        assert server.times == []


class Shop(Interface, version=(1, 0)):
    """Offered with another fingerprint, so that the first call asks for its description."""

    async def buy(self, number: int) -> int:
        """Buy something."""
        raise NotImplementedError


UNREADABLE = [b"", b"\xc1", pack(None), pack([1]), pack("Shop"), pack({"Shop": 7}), pack({7: {}})]
INCOMPLETE = [pack({}), pack({"Shop": {}}), pack({"Shop": {"name": 1, "version": None, "methods": 5}})]


@pytest.mark.parametrize("result", UNREADABLE)
async def test_a_description_that_cannot_be_read_is_an_invalid_result(
    result: bytes, autojump_clock: Clock
) -> None:
    async with odd_server(offer_shop) as server, server.connect() as client:
        server.result = result
        with pytest.raises(InvalidResult):
            await client.describe()
        with pytest.raises(InvalidResult):
            await client.use(Shop).buy(1)


@pytest.mark.parametrize("result", INCOMPLETE)
async def test_a_description_that_lacks_something_is_a_mismatch(result: bytes, autojump_clock: Clock) -> None:
    async with odd_server(offer_shop) as server, server.connect() as client:
        server.result = result
        with pytest.raises(InterfaceMismatch):
            await client.use(Shop).buy(1)


def offer_shop(connection: Connection) -> None:
    """Accept the client and offer another shop than it knows."""
    offers = {"Shop": InterfaceOffer(((1, 0),), "another")}
    connection.welcome(Welcome("1", b"t" * 16, interfaces=offers), Limits())
