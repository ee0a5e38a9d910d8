"""What the figures of a study's page are drawn from: places on axes, worked out in advance. No text is made here twice.

Places on the forest plot are percent of its width; those of the other plots are units of their pictures.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.ticker import MaxNLocator

Row = dict[str, Any]
"""A row of ``study.json``."""
Ticks = list[tuple[float, str]]

CURVE_WIDTH, CURVE_HEIGHT = 240, 150
CURVE_LEFT, CURVE_RIGHT, CURVE_TOP, CURVE_BOTTOM = 34, 232, 8, 124
STRAY_WIDTH, STRAY_HEIGHT = 360, 190
STRAY_LEFT, STRAY_RIGHT = 16, 344
STRAY_LINES = {"published": 34, "means": 78, "folds": 128}
STRAY_AXIS = 156
"""Heights of the lines of the stray plot, in its picture's units."""


@dataclass(frozen=True)
class Mark:
    """A value and its interval on a forest plot."""

    at: float
    start: float
    width: float
    words: str


@dataclass(frozen=True)
class ForestRow:
    """One row of a forest plot; what it lacks is None."""

    row: Row
    recording: Mark | None
    segment: Mark | None
    published: Mark | None


@dataclass(frozen=True)
class Forest:
    """Every row with its intervals on one axis."""

    ticks: Ticks
    chance: float | None
    """None where chance lies outside the axis."""
    rows: list[ForestRow]


@dataclass(frozen=True)
class CurvePlot:
    """Learning curves of one row."""

    name: str
    training: str
    validation: str
    x_ticks: Ticks
    y_ticks: Ticks
    words: str


@dataclass(frozen=True)
class StrayPlot:
    """How far single cross-validations stray: places of folds, of each draw's mean, of what was published."""

    row: Row
    level: str
    ticks: Ticks
    folds: list[tuple[float, float]]
    means: list[tuple[float, float]]
    published: tuple[float, float, float] | None
    """Mean, and mean minus and plus sd."""
    lowest: float
    highest: float
    lowest_fold: float
    highest_fold: float


def forest(rows: Sequence[Row], chance: float) -> Forest | None:
    """Place every row that has a result on one axis, just wide enough; None if no row has any."""
    spans = [span for row in rows for span in _spans(row)]
    if not spans:
        return None
    low = math.floor(20 * max(0.0, min(spans, key=lambda span: span[0])[0])) / 20
    high = math.ceil(20 * min(1.0, max(spans, key=lambda span: span[1])[1])) / 20
    high = max(high, low + 0.05)

    def place(share: float) -> float:
        return round(100 * (min(max(share, low), high) - low) / (high - low), 2)

    def mark(mean: float, bounds: Sequence[float], what: str) -> Mark:
        start, stop = place(bounds[0]), place(bounds[1])
        words = f"{what} {_percent(mean)}, {_percent(bounds[0])} to {_percent(bounds[1])}"
        return Mark(place(mean), start, round(stop - start, 2), words)

    placed = []
    for row in rows:
        scores = (
            {level: row["summary"][level]["accuracy"] for level in ("recording", "segment")} if row["summary"] else {}
        )
        marks = {level: mark(score["mean"], score["ci95"], f"per {level}") for level, score in scores.items()}
        published = row["published"]
        placed.append(
            ForestRow(
                row,
                marks.get("recording"),
                marks.get("segment"),
                mark(published["accuracy"] / 100, _published_span(published), "published") if published else None,
            )
        )
    step = 0.05 if high - low <= 0.3 else 0.1
    first = math.ceil(round(low / step, 6))
    values = [number * step for number in range(first, math.floor(round(high / step, 6)) + 1)]
    ticks = [(place(value), f"{100 * value:.0f}") for value in values]
    return Forest(ticks, place(chance) if low <= chance <= high else None, placed)


def curve_plots(rows: Sequence[Row], measure: str) -> list[CurvePlot]:
    """Return the learning curves of the rows that have them.

    Args:
        rows: of the study.
        measure: ``accuracy`` or ``loss``.
    """
    shown = [row for row in rows if row["curve"] and f"validation_{measure}" in row["curve"][0]]
    if measure == "accuracy":
        highest, ticks = 1.0, [0.0, 0.5, 1.0]
    else:
        # The first epochs of an untrained network may be far off; all that matters happens below twice chance's loss.
        highest, ticks = 3.0, [0.0, 1.0, 2.0, 3.0]
    return [_curve_plot(row, measure, highest, ticks) for row in shown]


def _curve_plot(row: Row, measure: str, highest: float, ticks: list[float]) -> CurvePlot:
    curve = row["curve"]
    last = max(len(curve), 2)

    def x(epoch: float) -> float:
        return round(CURVE_LEFT + (CURVE_RIGHT - CURVE_LEFT) * (epoch - 1) / (last - 1), 1)

    def y(value: float) -> float:
        return round(CURVE_BOTTOM - (CURVE_BOTTOM - CURVE_TOP) * min(value, highest) / highest, 1)

    def points(name: str) -> str:
        return " ".join(f"{x(at['epoch'])},{y(at[name])}" for at in curve)

    epochs = [value for value in MaxNLocator(3, integer=True).tick_values(1, last) if 1 <= value <= last]
    end = curve[-1]
    return CurvePlot(
        row["row"],
        points(measure),
        points(f"validation_{measure}"),
        [(x(epoch), f"{epoch:.0f}") for epoch in epochs],
        [(y(value), f"{100 * value:.0f}" if measure == "accuracy" else f"{value:g}") for value in ticks],
        f"{row['row']}: {measure} after the last epoch {end[measure]:.3f} in training, "
        f"{end[f'validation_{measure}']:.3f} in inner validation",
    )


def stray_plots(rows: Sequence[Row]) -> list[StrayPlot]:
    """Return, for each row with several draws of its folds, how far folds and means over one draw lie apart."""
    repeated = [row for row in rows if row["summary"] and row["repeats"] > 1]
    return [_stray_plot(row, level) for row in repeated for level in ("segment", "recording")]


def _stray_plot(row: Row, level: str) -> StrayPlot:
    by_repeat: dict[int, list[float]] = {}
    for fold in row["by_fold"]:
        by_repeat.setdefault(fold["repeat"], []).append(fold[level]["accuracy"])
    folds = [value for values in by_repeat.values() for value in values]
    means = [sum(values) / len(values) for values in by_repeat.values()]
    published = row["published"] if level == "segment" else None
    span = _published_span(published) if published else None
    low: float = math.floor(20 * min([*folds, *(span or ())])) / 20
    high: float = max(math.ceil(20 * max([*folds, *(span or ())])) / 20, low + 0.05)

    def x(share: float) -> float:
        return round(STRAY_LEFT + (STRAY_RIGHT - STRAY_LEFT) * (share - low) / (high - low), 1)

    values = MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(100 * low, 100 * high)
    return StrayPlot(
        row,
        level,
        [
            (x(value / 100), f"{value:.0f}")
            for value in values
            if low <= value / 100 + 1e-9 and value / 100 <= high + 1e-9
        ],
        _stacked([x(value) for value in folds], STRAY_LINES["folds"]),
        _stacked([x(value) for value in means], STRAY_LINES["means"]),
        (x(published["accuracy"] / 100), x(span[0]), x(span[1])) if published and span else None,
        min(means),
        max(means),
        min(folds),
        max(folds),
    )


def _stacked(places: Sequence[float], base: float, size: float = 7.0) -> list[tuple[float, float]]:
    """Return a place for each dot: dots that would cover one another are set above."""
    stacked: list[tuple[float, float]] = []
    for x in sorted(places):
        height = base
        while any(abs(x - other_x) < size and abs(height - other_y) < size for other_x, other_y in stacked):
            height -= size
        stacked.append((x, height))
    return stacked


def _spans(row: Row) -> list[tuple[float, float]]:
    spans = []
    if row["summary"]:
        spans += [tuple(row["summary"][level]["accuracy"]["ci95"]) for level in ("segment", "recording")]
        spans += [(row["summary"][level]["accuracy"]["mean"],) * 2 for level in ("segment", "recording")]
    if row["published"]:
        spans.append(_published_span(row["published"]))
    return spans


def _published_span(published: dict[str, Any]) -> tuple[float, float]:
    """Return the published figure minus and plus its sd, in shares of one."""
    sd = published["sd"] or 0.0
    return (published["accuracy"] - sd) / 100, (published["accuracy"] + sd) / 100


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
