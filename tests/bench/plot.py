"""`python -m tests.bench.plot FILE.png`: a picture of the report that comes as JSON on standard input.

It runs in the peers' environment, which has matplotlib.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import matplotlib

matplotlib.use("agg")

from matplotlib import pyplot

COLUMNS = 3
OURS, OTHERS = "#1f6f8b", "#b8c4cc"


def draw(report: dict[str, Any], file: str) -> None:
    """Draw one panel for each row: a bar for each lane's median, a line for what was the least and the most."""
    rows = [row for row in report["rows"] if any(lane["samples"] for lane in row["lanes"])]
    height = -(-len(rows) // COLUMNS)
    figure, axes = pyplot.subplots(
        height, COLUMNS, figsize=(15, 2.3 * height), squeeze=False, layout="constrained"
    )
    for axis in axes.flat[len(rows) :]:
        axis.set_visible(False)
    for row, axis in zip(rows, axes.flat, strict=False):
        _panel(axis, row)
    facts = report["facts"]
    figure.suptitle(f"{facts['processor']}, Python {facts['python']}, {facts['openssl']}", fontsize=9)
    figure.savefig(file, dpi=90)


def _panel(axis: Any, row: dict[str, Any]) -> None:
    lanes = [lane for lane in row["lanes"] if lane["samples"]][::-1]
    medians = [lane["median"] for lane in lanes]
    values = [[sample["value"] for sample in lane["samples"]] for lane in lanes]
    low = [median - min(of) for median, of in zip(medians, values, strict=True)]
    high = [max(of) - median for median, of in zip(medians, values, strict=True)]
    colors = [OURS if lane is lanes[-1] else OTHERS for lane in lanes]
    axis.barh([lane["name"] for lane in lanes], medians, xerr=[low, high], color=colors, ecolor="#555555")
    axis.set_title(row["title"], fontsize=9, loc="left")
    axis.set_xlabel(row["unit"], fontsize=8)
    axis.tick_params(labelsize=8)
    axis.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    draw(json.load(sys.stdin), sys.argv[1])
