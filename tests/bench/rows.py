"""The table: every row with its lanes and its targets."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from tests.bench.lanes import Lane

MIB = 1024 * 1024
OURS = "appserver"
AIOHTTP = "aiohttp + uvloop"


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
        what = self.against or self.figure.replace("_", " ")
        return f"{self.lane}: {'at most' if self.most else 'at least'} {self.bound:g}{self.unit} {what}"


@attrs.frozen
class Row:
    """One kind of work.

    Attributes:
        name: for `--only`.
        title: for the table.
        unit: of the lanes' values.
        lanes: ours first.
        targets: which the row is to reach.
        absent: why it has no lanes, where the product has no such thing.
    """

    name: str
    title: str
    unit: str
    lanes: Sequence[Lane] = ()
    targets: Sequence[Target] = ()
    absent: str | None = None


def all_rows() -> list[Row]:
    """The whole table."""
    return [
        Row(
            "sequential",
            "sequential small calls, async client",
            "calls/s",
            [
                Lane(OURS, "ours"),
                Lane(AIOHTTP, "aiohttp_websocket", library="aiohttp"),
            ],
            [Target(1.0, AIOHTTP)],
        ),
    ]
