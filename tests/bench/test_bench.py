"""The benchmark itself, with loads of a moment and without the peers' environment: what it prints is what happened."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench.environment import LaneFailed, Pythons
from tests.bench.lanes import Lane, Pair, Sample
from tests.bench.report import Report, facts
from tests.bench.rounds import LaneResult, Plan, RowResult, measure
from tests.bench.rows import OURS, Row, Scale, Target, all_rows
from tests.bench.sampling import Function, functions
from tests.bench.setting import make_folder
from tests.bench.table import lines
from tests.docs.pages import table

ROOT = Path(__file__).parents[2]
MOMENT = Plan(rounds=2, seconds=0.02, warm=0.01, fresh=False)
NO_PEERS = Pythons()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("bench"))


def silent(text: str) -> None:
    """Progress is for people."""


def result_of(row: Row, **values: list[float]) -> RowResult:
    """A row as if these had been measured; a lane without values failed."""
    made = [
        LaneResult(lane.name, [Sample(value, {"client_us": 2.0}) for value in values[lane.name]])
        if lane.name in values
        else LaneResult(lane.name, failure="it fell over")
        for lane in row.lanes
    ]
    return RowResult(row, made)


def row(*targets: Target, lanes: tuple[str, ...] = ("ours", "other")) -> Row:
    return Row("work", "some work", "calls/s", [Lane(name, "ours") for name in lanes], targets)


def test_a_row_is_measured_and_who_is_not_there_is_named(folder: Path) -> None:
    peer = Lane("peer", "aiohttp_websocket", library="aiohttp")
    work = Row("calls", "calls", "calls/s", [Lane(OURS, "ours", callers=3), peer], [Target(1.0, "peer")])
    result = measure(work, MOMENT, folder, NO_PEERS, silent)
    ours, other = result.lanes
    assert ours.failure is None
    assert len(ours.samples) == 2
    assert all(sample.value > 0 for sample in ours.samples)
    if sys.platform == "linux":
        assert all(sample.figures[side] > 0 for sample in ours.samples for side in ("client_us", "server_us"))
    assert other == LaneResult("peer", [], "the peers' environment is not made")
    assert [verdict.shown for verdict in result.verdicts()] == ["no figure"]


@pytest.mark.parametrize(
    "lane",
    [
        Lane(OURS, "ours", "events", connections=2),
        Lane(OURS, "ours", "replay", connections=2, callers=3),
        Lane("without", "ours", "replay", connections=2, callers=3, words=("no-replay",)),
        Lane(OURS, "ours", "up_beside", client="ours_blobs", size=1 << 20, warms=False),
        Lane("floor", "floors"),
    ],
    ids=lambda lane: f"{lane.work}-{lane.name}",
)
def test_other_work_runs_as_well(lane: Lane, folder: Path) -> None:
    pair = lane.open(folder, NO_PEERS)
    try:
        assert pair.measure(0.02).value > 0
    finally:
        pair.close()
    assert [process.poll() is not None for process in (pair.client, pair.server)] == [True, True]


def test_a_lane_that_fails_says_why_and_leaves_no_process(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[subprocess.Popen[str]] = []
    start = Pair._start

    def noting(pair: Pair, *words: object) -> subprocess.Popen[str]:
        started.append(start(pair, *words))  # type: ignore[arg-type]
        return started[-1]

    monkeypatch.setattr(Pair, "_start", noting)
    with pytest.raises(LaneFailed, match=r"the client ended: .*no_such_peer"):
        Lane("broken", "floors", client="no_such_peer").open(folder, NO_PEERS)
    assert len(started) == 2
    assert all(process.poll() is not None for process in started)


def test_targets_are_judged_by_medians() -> None:
    targets = (
        Target(2.0, "other", lane="ours"),
        Target(2.1, "other", lane="ours"),
        Target(3.0, figure="client_us", most=True, unit=" us", lane="ours"),
        Target(1.0, figure="client_us", most=True, unit=" us", lane="ours"),
    )
    verdicts = result_of(row(*targets), ours=[1.0, 20.0, 90.0], other=[10.0, 10.0, 70.0]).verdicts()
    assert [verdict.met for verdict in verdicts] == [True, False, True, False]
    assert [verdict.shown for verdict in verdicts] == ["2.00", "2.00", "2.00", "2.00"]
    assert verdicts[0].text == "ours at least 2x other"
    assert verdicts[2].text == "ours at most 3 us (client us)"


def test_the_table_shows_medians_spread_ratios_and_failures() -> None:
    result = result_of(row(Target(1.0, "other", lane="ours"), lanes=("ours", "other", "gone")),
                       ours=[100.0, 300.0, 200.0], other=[400.0])  # fmt: skip
    text = "\n".join(lines(result))
    assert "ours                                    200             100 - 300      1.00x          2" in text
    assert "0.50x" in text
    assert "gone                           failed: it fell over" in text
    assert "MISSED ours at least 1x other: 0.50" in text


def test_a_report_is_plain_json_and_sums_up() -> None:
    results = [result_of(row(Target(1.0, "other", lane="ours")), ours=[5.0], other=[10.0])]
    report = Report(facts(NO_PEERS), MOMENT, results)
    plain = json.loads(json.dumps(report.to_plain()))
    assert plain["rows"][0]["lanes"][0] == {
        "name": "ours",
        "failure": None,
        "median": 5.0,
        "samples": [{"value": 5.0, "client_us": 2.0}],
    }
    assert list(report.summary()) == ["0 of 1 targets met", "    work: ours at least 1x other: 0.50"]


def test_the_rows_name_each_other_rightly_and_the_page_has_them_all() -> None:
    rows = all_rows(Scale())
    assert len({row.name for row in rows}) == len(rows)
    for each in rows:
        names = [lane.name for lane in each.lanes]
        assert len(set(names)) == len(names)
        assert each.targets
        for target in each.targets:
            assert {target.lane, target.against or target.lane} <= set(names)
    page = table(ROOT / "docs" / "benchmarks.md", "row")
    assert {cells[0].strip("`") for cells in page} == {row.name for row in rows}


def test_samples_become_functions() -> None:
    stacks = [
        "run (a.py:1);call (a.py:5) 6",
        "run (a.py:1) 2",
        "run (a.py:1);EpollIOManager.get_events (trio/_core/_io_epoll.py:1) 90",
    ]
    assert functions(stacks) == [Function("call (a.py:5)", 0.75, 0.75), Function("run (a.py:1)", 0.25, 1.0)]
    assert functions([]) == []


def test_an_unknown_row_is_refused_with_the_names_of_all() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "bench"), "--only", "nonsense"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "no such work: nonsense; there are sequential, synchronous" in done.stderr
