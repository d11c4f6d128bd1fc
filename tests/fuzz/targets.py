"""What is fuzzed: the frame reader, the codec, and whole connections of both roles with a user behind them."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from random import Random
from uuid import UUID

from protocol.wire import codes
from protocol.wire.codec import pack, unpack
from protocol.wire.connection import Connection, Role, State
from protocol.wire.envelope import Hello, InterfaceOffer, Refuse, Welcome
from protocol.wire.errors import (
    CodecError,
    ErrorInfo,
    Executed,
    GoawayCode,
    MessageTooLarge,
    RemoteProtocolError,
)
from protocol.wire.events import (
    BlockedReceived,
    CallReceived,
    CancelReceived,
    DataReceived,
    DataTooLarge,
    EndReceived,
    Event,
    EventReceived,
    Failed,
    HelloReceived,
    SubReceived,
    WelcomeReceived,
)
from protocol.wire.framing import FrameReader, encode_frame
from protocol.wire.limits import Limits
from protocol.wire.publications import encode_event
from protocol.wire.replay import Published
from protocol.wire.subscriber import Policy
from tests.fuzz.mutation import damage, damage_session, damage_value, split

LIMITS = Limits(frame=4096, message=20_000, open_calls=5, subscriptions=2, stream_credit=2000)

VALUES: tuple[object, ...] = (
    [1, "two", None, True, 3.5, b"four", -(1 << 40), 1 << 90],
    {"number": 7, "lines": [{"sku": "a", "price": Decimal("1.50")}, {"sku": "b", "price": Decimal("2")}]},
    [datetime(2030, 1, 1, tzinfo=UTC), date(2030, 1, 1), time(1, 2, 3), timedelta(1, 2, 3)],
    [UUID(int=5), complex(1, 2), {1, 2, 3}, {frozenset({1}), (2, 3)}],
    {str(number): [number] * 5 for number in range(40)},
    [[[[[[[[{"a": {"b": {"c": [1]}}}]]]]]]]],
    [{"row": number, "text": "x" * 20} for number in range(200)],
    bytes(range(256)) * 20,
)
PACKED = tuple(pack(value) for value in VALUES)


def fuzz_reader(chance: Random) -> None:
    """The frame reader: any octets are frames, wait for more, or are too long."""
    frames = [
        encode_frame(
            chance.randrange(256), chance.randrange(256), chance.getrandbits(32), chance.randbytes(n)
        )
        for n in (0, 3, chance.randrange(2000))
    ]
    data = damage(chance, b"".join(frames)) if chance.random() < 0.8 else chance.randbytes(500)
    reader = FrameReader(chance.choice((1024, 65536)))
    taken = 0
    try:
        for piece in split(chance, data):
            for frame in reader.feed(piece):
                taken += len(frame.payload) + 10
    except RemoteProtocolError:
        return
    assert taken + reader.held == len(data)


def fuzz_codec(chance: Random) -> None:
    """The codec: any octets are a value, which packs again, or a CodecError."""
    match chance.randrange(3):
        case 0:
            data = damage(chance, chance.choice(PACKED))
        case 1:
            data = pack(damage_value(chance, chance.choice(VALUES)))
        case _:
            data = damage(chance, chance.choice(PACKED)) + damage(chance, chance.choice(PACKED))
    try:
        value = unpack(data)
    except CodecError:
        return
    unpack(pack(value))


class User:
    """What an honest application does behind a connection; it makes no mistakes of its own."""

    def __init__(self, connection: Connection, chance: Random) -> None:
        self.connection = connection
        self.chance = chance
        self.streams: list[int] = []

    def begin(self) -> None:
        """What this side does unasked."""
        connection = self.connection
        for number in range(3):
            if connection.can_open:
                self.streams.append(
                    connection.open_call(number, "Orders.find", pack([number, {}]), deadline=5)
                )
        connection.send_head(self.streams[0], {"size": 9, "offset": 0})
        connection.send_data(self.streams[0], b"content", bulk=True)
        connection.send_data(self.streams[1], pack({"row": 1}))
        connection.send_end(self.streams[1])
        self.streams.append(connection.subscribe("owner", "Orders.changed"))
        connection.cancel(self.streams[2])

    def take(self, event: Event) -> None:
        """Act on what happened."""
        connection, chance = self.connection, self.chance
        match event:
            case HelloReceived(hello):
                if chance.random() < 0.1:
                    connection.refuse(Refuse("rpc.server_full", "full"))
                elif connection.state is State.HANDSHAKE:
                    offer = InterfaceOffer(((1, 0),), "f00d")
                    connection.welcome(
                        Welcome("s", b"t", interfaces={"Orders": offer}, limits=LIMITS), hello.limits
                    )
            case WelcomeReceived():
                self.begin()
            case CallReceived(stream):
                self.answer(stream)
            case CancelReceived(stream) | DataTooLarge(stream, None):
                if stream in connection.streams.taken:
                    connection.send_error(stream, ErrorInfo(codes.CANCELLED, "", Executed.MAYBE))
            case DataReceived(stream, _, data):
                connection.flow.consume(stream, len(data))
            case BlockedReceived(stream):
                if chance.random() < 0.8:
                    connection.flow.admit(stream)
            case EndReceived(stream, None):
                if stream in connection.streams.taken:
                    connection.send_result(stream, pack("done"))
            case EventReceived(_, _, _, size):
                connection.flow.consume(self.streams[-1], size)
                if chance.random() < 0.2:
                    connection.unsubscribe(self.streams[-1])
            case SubReceived(stream, topic):
                if topic != "Orders.changed":
                    connection.refuse_call(stream, codes.UNKNOWN_TOPIC, topic[:50])
                    return
                policy = chance.choice(list(Policy))
                credit = connection.peer_limits.stream_credit
                events: list[Published] = [
                    (number, encode_event(number, bytes(chance.choice((5, 500, 6000)))), number % 2)
                    for number in range(1, 9)
                ]
                again = chance.choice((0, 0, 4))  # it comes back
                accept, publish = connection.publications.accept, connection.publications.publish
                accept(stream, policy, 3, credit=credit, sequence=0, replay=events[:again])
                for published in events[again:]:
                    publish(stream, published)
            case _:
                pass

    def answer(self, stream: int) -> None:
        """Answer a call in one of the ways there are, or later."""
        connection, chance = self.connection, self.chance
        try:
            match chance.randrange(5):
                case 0:
                    connection.send_result(stream, pack(chance.choice(VALUES)))
                case 1:
                    connection.send_error(stream, ErrorInfo("orders.out", "none", Executed.YES, b"\x80"))
                case 2:
                    item = bytes(chance.choice((1, 3000)))
                    if not connection.announce_data(stream, len(item)):
                        connection.send_data(stream, item)
                    connection.send_end(stream)
                case _:
                    pass
        except MessageTooLarge as exc:
            if stream in connection.streams.taken:
                connection.refuse_call(stream, codes.MESSAGE_TOO_LARGE, str(exc))


def record(chance: Random) -> tuple[bytes, bytes]:
    """An honest session: all octets of the client and of the server."""
    client, server = Connection(Role.CLIENT, LIMITS), Connection(Role.SERVER, LIMITS)
    users = User(client, chance), User(server, chance)
    client.send_hello(Hello(application="fuzz", limits=LIMITS, credentials={"user": "ada"}))
    said = [b"", b""]
    for turn in range(12):
        if turn == 4 and server.state is State.OPEN:
            users[1].begin()
            server.ping()
        if turn == 8:
            client.goaway(GoawayCode.SHUTDOWN, "bye")
        for here, sender, receiver, user in ((0, client, server, users[1]), (1, server, client, users[0])):
            while data := sender.data_to_send():
                said[here] += data
                for event in receiver.receive(data, 0.0):
                    assert not isinstance(event, Failed), event
                    user.take(event)
    return said[0], said[1]


class Sessions:
    """Whole connections, both roles, fed with a damaged recording."""

    def __init__(self, chance: Random, count: int = 20) -> None:
        self.recorded = [record(chance) for _ in range(count)]

    def __call__(self, chance: Random) -> None:
        """One damaged session, in pieces, to one side with a user behind it."""
        role = chance.choice((Role.CLIENT, Role.SERVER))
        said = chance.choice(self.recorded)[0 if role is Role.SERVER else 1]
        pieces = split(chance, damage_session(chance, said))
        connection = Connection(role, LIMITS)
        user = User(connection, chance)
        if role is Role.CLIENT:
            connection.send_hello(Hello(limits=LIMITS))
        failed = False
        for piece in pieces:
            for event in connection.receive(piece, 0.0):
                assert not failed, "nothing follows a Failed"
                failed = isinstance(event, Failed)
                if connection.state is State.OPEN or isinstance(event, HelloReceived):
                    user.take(event)
            connection.data_to_send(chance.choice((1, 1 << 20)))
        connection.tick(100.0)
        while connection.data_to_send():
            pass
