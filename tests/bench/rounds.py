"""Measuring a row: its lanes in turn, round after round. A machine that slows down, slows all of them down."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import median

import attrs

from tests.bench.environment import LaneFailed, Pythons
from tests.bench.lanes import AnyLane, Measured, Sample
from tests.bench.rows import Row, Target


@attrs.frozen
class Plan:
    """How much is measured.

    Attributes:
        rounds: orders to each lane.
        seconds: of one order.
        warm: seconds before it that are not counted, once for each start of the processes.
        fresh: whether every round starts its processes anew: what differs from one start to the next (hash
            seeds, addresses) is in the spread then.
    """

    rounds: int = 5
    seconds: float = 1.0
    warm: float = 0.3
    fresh: bool = True

    def with_rounds(self, rounds: int) -> Plan:
        """The same with another number of rounds."""
        return attrs.evolve(self, rounds=rounds)


FULL = Plan()
QUICK = Plan(seconds=0.2, warm=0.1, fresh=False)


@attrs.frozen
class LaneResult:
    """A lane's samples.

    Attributes:
        lane: its name.
        samples: one for each round.
        failure: why there are none, or no more.
    """

    lane: str
    samples: list[Sample] = attrs.field(factory=list)
    failure: str | None = None

    def figures(self, name: str) -> list[float]:
        """One figure of all rounds that gave it."""
        if name == "value":
            return [sample.value for sample in self.samples]
        return [sample.figures[name] for sample in self.samples if name in sample.figures]

    def median(self, name: str = "value") -> float | None:
        """The median of a figure."""
        figures = self.figures(name)
        return median(figures) if figures else None


@attrs.frozen
class Verdict:
    """What became of a target.

    Attributes:
        text: the target.
        reached: the figure or the ratio, None where a lane of it failed.
        met: whether it was reached.
    """

    text: str
    reached: float | None
    met: bool

    @property
    def shown(self) -> str:
        """What was reached, for the table."""
        return "no figure" if self.reached is None else f"{self.reached:.2f}"


@attrs.frozen
class RowResult:
    """A row as measured."""

    row: Row
    lanes: list[LaneResult]

    def lane(self, name: str) -> LaneResult:
        """One of its lanes."""
        return next(lane for lane in self.lanes if lane.lane == name)

    def verdicts(self) -> list[Verdict]:
        """What became of its targets."""
        return [self._judge(target) for target in self.row.targets]

    def _judge(self, target: Target) -> Verdict:
        reached = self.lane(target.lane).median(target.figure)
        if reached is not None and target.against is not None:
            other = self.lane(target.against).median(target.figure)
            reached = reached / other if other else None
        if reached is None:
            return Verdict(target.text, None, False)
        reached /= target.scale
        return Verdict(
            target.text, reached, reached <= target.bound if target.most else reached >= target.bound
        )


def measure(row: Row, plan: Plan, folder: Path, pythons: Pythons, say: Callable[[str], None]) -> RowResult:
    """Measure a row.

    Args:
        row: which.
        plan: how much.
        folder: with the certificate.
        pythons: which Python runs what.
        say: is told what is being done.
    """
    results = {lane.name: LaneResult(lane.name) for lane in row.lanes}
    kept: dict[str, Measured] = {}
    try:
        for number in range(min(plan.rounds, row.rounds)):
            for lane in row.lanes:
                if results[lane.name].failure is not None:
                    continue
                say(f"{row.name}: round {number + 1} of {min(plan.rounds, row.rounds)}, {lane.name}")
                try:
                    sample = _one(lane, plan, folder, pythons, kept)
                except LaneFailed as exc:
                    results[lane.name] = attrs.evolve(results[lane.name], failure=str(exc))
                else:
                    results[lane.name].samples.append(sample)
    finally:
        for pair in kept.values():
            pair.close()
    return RowResult(row, list(results.values()))


def _one(lane: AnyLane, plan: Plan, folder: Path, pythons: Pythons, kept: dict[str, Measured]) -> Sample:
    """One round of a lane; its processes stay in `kept` where they are to go on."""
    pair = kept.pop(lane.name, None)
    try:
        if pair is None:
            pair = lane.open(folder, pythons)
            if plan.warm and lane.warms:
                pair.measure(plan.warm)
        sample = pair.measure(lane.seconds or plan.seconds)
        if not plan.fresh:
            kept[lane.name], pair = pair, None
        return sample
    finally:
        if pair is not None:
            pair.close()
