"""The table: every row with its lanes and its targets."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from tests.bench.lanes import AnyLane, Lane
from tests.bench.starts import RUN, importing

MIB = 1024 * 1024
OURS = "appserver"
AIOHTTP = "aiohttp + uvloop"
TUNED = ", tuned malloc"
GRPC_AIO = "grpc.aio"
GRPC = "grpcio sync"
STREAMS = "asyncio streams"
FLOOR = "blocking ssl (floor)"


@attrs.frozen
class Scale:
    """How large the loads are that have a size.

    Attributes:
        blob: bytes of a blob.
        sessions: that are idle.
        idle: seconds in which their pings are counted; `timeouts.ping` is 30.
        many: connections, of the growth of costs.
        subscribers: of one event.
    """

    blob: int = 256 * MIB
    sessions: int = 5000
    idle: float = 62.0
    many: int = 1000
    subscribers: int = 500


QUICK_SCALE = Scale(blob=32 * MIB, sessions=500, idle=31.0)


@attrs.frozen
class Target:
    """What a row is to reach.

    Attributes:
        bound: of the figure, or of the ratio to another lane's.
        against: the other lane, None where the figure itself is bounded.
        figure: which one; `value` is the row's.
        most: whether the bound is an upper one.
        scale: what the figure is divided by before it is shown and compared.
        unit: of the bound.
        lane: which lane is judged.
    """

    bound: float
    against: str | None = None
    figure: str = "value"
    most: bool = False
    scale: float = 1.0
    unit: str = "x"
    lane: str = OURS

    @property
    def text(self) -> str:
        """As the table shows it."""
        bound = f"{self.lane} {'at most' if self.most else 'at least'} {self.bound:g}{self.unit}"
        figure = "" if self.figure == "value" else f" ({self.figure.replace('_', ' ')})"
        return bound + (f" {self.against}" if self.against else "") + figure


@attrs.frozen
class Row:
    """One kind of work.

    Attributes:
        name: for `--only`.
        title: for the table.
        unit: of the lanes' values.
        lanes: ours first.
        targets: which the row is to reach.
        rounds: at most so many: what is no ratio needs no turns.
    """

    name: str
    title: str
    unit: str
    lanes: Sequence[AnyLane]
    targets: Sequence[Target]
    rounds: int = 1000


def all_rows(scale: Scale) -> list[Row]:
    """The whole table."""
    return [
        *_calls(),
        _rows(),
        _events(scale),
        *_blobs(scale),
        *_encryption(),
        *_connections(scale),
        _starts(),
    ]


def _aiohttp(work: str = "add", connections: int = 1, callers: int = 1) -> Lane:
    return Lane(
        AIOHTTP, "aiohttp_websocket", work, connections=connections, callers=callers, library="aiohttp"
    )


def _tuned_aiohttp(work: str = "add", connections: int = 1, callers: int = 1) -> Lane:
    return attrs.evolve(_aiohttp(work, connections, callers), name=AIOHTTP + TUNED, tuned_malloc=True)


def _grpc_aio(work: str = "add", connections: int = 1, callers: int = 1) -> Lane:
    return Lane(GRPC_AIO, "grpc_aio", work, connections=connections, callers=callers, library="grpcio")


def _streams(work: str = "add", connections: int = 1, callers: int = 1) -> Lane:
    return Lane(STREAMS, "asyncio_streams", work, connections=connections, callers=callers)


def _calls() -> list[Row]:
    floor = Lane(FLOOR, "floors")
    peers = (_aiohttp, _tuned_aiohttp, _grpc_aio, _streams)
    return [
        Row(
            "sequential",
            "sequential small calls, async client",
            "calls/s",
            [
                Lane(OURS, "ours"),
                _aiohttp(),
                _tuned_aiohttp(),
                _grpc_aio(),
                Lane("RPyC", "rpyc_ssl", library="rpyc"),
                _streams(),
                floor,
            ],
            [Target(1.0, AIOHTTP), Target(6.0, GRPC_AIO), Target(1.5, "RPyC")],
        ),
        Row(
            "synchronous",
            "sequential small calls, synchronous client",
            "calls/s",
            [
                Lane(OURS, "ours", client="ours_blocking"),
                Lane("Pyro5", "pyro", library="Pyro5"),
                Lane(GRPC, "grpc_sync", library="grpcio"),
                floor,
            ],
            [Target(1.0, "Pyro5"), Target(4.0, GRPC)],
        ),
        Row(
            "callers",
            "64 callers on one connection",
            "calls/s",
            [Lane(OURS, "ours", callers=64), *(make(callers=64) for make in peers)],
            [Target(2.0, AIOHTTP), Target(15.0, GRPC_AIO)],
        ),
        Row(
            "suspending",
            "64 callers, handlers that suspend once",
            "calls/s",
            [
                Lane(OURS, "ours", "add_later", callers=64),
                *(make("add_later", callers=64) for make in peers),
            ],
            [Target(1.0, AIOHTTP)],
        ),
        Row(
            "connections",
            "16 connections x 4 callers",
            "calls/s",
            [
                Lane(OURS, "ours", connections=16, callers=4),
                *(make(connections=16, callers=4) for make in peers),
            ],
            [Target(2.0, AIOHTTP)],
        ),
    ]


def _rows() -> Row:
    plain = f"{OURS}, plain lists"
    return Row(
        "rows",
        "100 typed rows as a result",
        "calls/s",
        [
            Lane(OURS, "ours", "rows"),
            Lane(plain, "ours", "plain_rows"),
            Lane("Pyro5", "pyro", "rows", library="Pyro5"),
        ],
        [Target(0.5, plain), Target(1.5, "Pyro5")],
    )


def _events(scale: Scale) -> Row:
    many = scale.subscribers
    return Row(
        "events",
        f"one event to {many} subscribers",
        "deliveries/s",
        [
            Lane(OURS, "ours", "events", connections=many),
            _aiohttp("events", connections=many),
            _tuned_aiohttp("events", connections=many),
        ],
        [Target(1.5, AIOHTTP)],
    )


def _blobs(scale: Scale) -> list[Row]:
    raw, hashed = "raw ssl (floor)", "raw ssl, SHA-256 (floor)"
    size = f"{scale.blob // MIB} MiB blob"
    rows = []
    for work in ("down", "up"):
        grpc = Lane(GRPC, "grpc_sync", work, size=scale.blob, warms=False, library="grpcio")
        rows.append(
            Row(
                f"blob-{work}",
                f"{size}, {work}",
                "MiB/s",
                [
                    Lane(OURS, "ours", work, client="ours_blobs", size=scale.blob, warms=False),
                    Lane(raw, "floors", work, size=scale.blob, warms=False),
                    Lane(hashed, "floors", work, size=scale.blob, warms=False, words=("sha256",)),
                    grpc,
                    attrs.evolve(grpc, name=GRPC + TUNED, tuned_malloc=True),
                ],
                [
                    Target(0.7, raw),
                    Target(1.0, GRPC),
                    Target(16, figure="client_growth", most=True, scale=MIB, unit=" MiB"),
                    Target(16, figure="server_growth", most=True, scale=MIB, unit=" MiB"),
                ],
            )
        )
    for work in ("down", "up"):
        beside = Lane(OURS, "ours", f"{work}_beside", client="ours_blobs", size=scale.blob, warms=False)
        title = f"small calls beside a {size}, {work}: p99"
        rows.append(Row(f"latency-{work}", title, "ms", [beside], [Target(25, most=True, unit=" ms")]))
    return rows


def _encryption() -> list[Row]:
    plain = f"{OURS}, plain text"
    return [
        Row(
            name,
            f"encryption on and off, {title}",
            "calls/s",
            [Lane(OURS, "ours", callers=callers), Lane(plain, "ours", callers=callers, words=("plain",))],
            [Target(bound, plain)],
        )
        for name, title, callers, bound in (
            ("encryption-sequential", "sequential", 1, 0.8),
            ("encryption-callers", "64 callers", 64, 0.85),
        )
    ]


def _connections(scale: Scale) -> list[Row]:
    s_server = "openssl s_server"
    many = f"{scale.many:,} connections"
    idle = Lane(
        OURS, "ours", "idle", client="ours_idle", connections=scale.sessions, warms=False, seconds=scale.idle
    )
    return [
        Row(
            "handshakes",
            "handshakes, accept to WELCOME",
            "handshakes/s",
            [
                Lane(OURS, "ours", "welcomes", client="handshakes"),
                Lane(s_server, "openssl", "lines", client="handshakes"),
            ],
            [Target(0.5, s_server), Target(2.0, s_server, figure="server_us", most=True)],
        ),
        Row(
            "idle",
            f"{scale.sessions:,} idle signed-in sessions, server's memory each",
            "KiB",
            [idle],
            [
                Target(40, most=True, unit=" KiB"),
                Target(2, figure="core_share", most=True, unit=" %"),
            ],
            rounds=1,
        ),
        Row(
            "growth",
            "cost growth: one caller on each connection",
            "calls/s",
            [
                Lane(many, "ours", connections=scale.many),
                Lane("10 connections", "ours", connections=10),
            ],
            [Target(0.7, "10 connections", lane=many)],
        ),
        _replay(),
    ]


def _replay() -> Row:
    without = "without replay buffers"
    return Row(
        "replay",
        "cost growth: calls that publish, 1 MiB replay buffers in use",
        "calls/s",
        [
            Lane(OURS, "ours", "replay", connections=2, callers=64),
            Lane(without, "ours", "replay", connections=2, callers=64, words=("no-replay",)),
        ],
        [Target(0.9, without)],
    )


def _starts() -> Row:
    return Row(
        "starts",
        "start to listening, files present; import of the client",
        "ms",
        [RUN, importing("appclient"), importing("appserver"), importing("trio")],
        [
            Target(4, "import trio", most=True, lane=RUN.name),
            Target(2, "import trio", most=True, lane="import appclient"),
        ],
    )
