"""The table as text."""

from __future__ import annotations

from collections.abc import Iterator

from tests.bench.rounds import LaneResult, RowResult


def lines(result: RowResult) -> Iterator[str]:
    """One row: its lanes, then its targets."""
    row = result.row
    yield f"{row.title} [{row.name}]"
    yield f"    {'':<30} {row.unit:>12} {'min - max':>21} {'ours to it':>10} {'client us':>10} {'server us':>10}"
    ours = result.lanes[0].median()
    for lane in result.lanes:
        yield from _lane(lane, ours)
    for verdict in result.verdicts():
        yield f"    {'met   ' if verdict.met else 'MISSED'} {verdict.text}: {verdict.shown}"
    yield ""


def _lane(lane: LaneResult, ours: float | None) -> Iterator[str]:
    value = lane.median()
    if value is not None:
        low, high = min(lane.figures("value")), max(lane.figures("value"))
        ratio = f"{ours / value:.2f}x" if ours and value else ""
        client, server = (_number(lane.median(name)) for name in ("client_us", "server_us"))
        spread = f"{_number(low)} - {_number(high)}"
        yield f"    {lane.lane:<30} {_number(value):>12} {spread:>21} {ratio:>10} {client:>10} {server:>10}"
    if lane.failure is not None:
        yield f"    {lane.lane:<30} failed: {lane.failure}"


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
