"""Learning curves: placed for a page's SVG, and drawn as a figure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from thymos.reports.figures import ACCENT, SECOND, WIDE_INCHES, new_figure, plain_axes

Curve = Sequence[tuple[int, float]]
"""One value per epoch: (epoch, value)."""


@dataclass(frozen=True)
class Frame:
    """The size of an SVG plot and where its axes lie, in the plot's units."""

    width: int
    height: int
    left: int
    right: int
    top: int
    bottom: int


LARGE = Frame(360, 230, left=44, right=350, top=12, bottom=186)
SMALL = Frame(240, 150, left=34, right=232, top=8, bottom=124)


@dataclass(frozen=True)
class CurvePlot:
    """Learning curves as a page draws them (``curves.html``), in the units of ``frame``."""

    title: str
    words: str
    """What it shows, for who cannot see it."""
    frame: Frame
    lines: list[tuple[str, str]]
    """Style class and points of each line."""
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]


def curve_plot(
    title: str,
    words: str,
    frame: Frame,
    curves: Sequence[tuple[str, Curve]],
    y_values: Sequence[float],
    y_text: Callable[[float], str],
) -> CurvePlot:
    """Place curves on a plot.

    Args:
        title: stands above it.
        words: what it shows.
        frame: its size.
        curves: style class and values of each; at least one, none empty.
        y_values: ticks of the vertical axis, which reaches from 0 to the last; what lies above it is cut off.
        y_text: how a tick is written.
    """
    epochs = [epoch for _, curve in curves for epoch, _ in curve]
    first, last, highest = min(epochs), max(epochs), y_values[-1]

    def x(epoch: float) -> float:
        return round(frame.left + (frame.right - frame.left) * (epoch - first) / max(last - first, 1), 1)

    def y(value: float) -> float:
        return round(frame.bottom - (frame.bottom - frame.top) * min(value, highest) / highest, 1)

    ticks = MaxNLocator(5 if frame is LARGE else 3, integer=True).tick_values(first, last)
    return CurvePlot(
        title,
        words,
        frame,
        [(style, " ".join(f"{x(epoch)},{y(value)}" for epoch, value in curve)) for style, curve in curves],
        [(x(value), f"{value:.0f}") for value in ticks if first <= value <= last],
        [(y(value), y_text(value)) for value in y_values],
    )


def mean_curve(curves: Sequence[Curve]) -> list[tuple[int, float]]:
    """Return the mean at each epoch, over the curves that reach it."""
    at_epoch: dict[int, list[float]] = {}
    for curve in curves:
        for epoch, value in curve:
            at_epoch.setdefault(epoch, []).append(value)
    return [(epoch, float(np.mean(values))) for epoch, values in sorted(at_epoch.items())]


def folds_curves_figure(losses: Sequence[Curve], accuracies: Sequence[Curve]) -> Figure:
    """Draw loss and accuracy on the training part over the epochs: a thin line per fold, and their mean."""
    figure = new_figure((WIDE_INCHES[0], 2.8))
    left, right = figure.subplots(1, 2)
    for axes, curves, name in ((left, losses, "training loss"), (right, accuracies, "training accuracy")):
        for curve in curves:
            axes.plot(*zip(*curve, strict=True), color=ACCENT, linewidth=0.8, alpha=0.35)
        axes.plot(*zip(*mean_curve(curves), strict=True), color=ACCENT, linewidth=2)
        axes.set(xlabel="epoch", ylabel=name)
        axes.set_ylim(bottom=0)
        _by_epoch(axes)
    _in_percent(right)
    return figure


def validation_curves_figure(curves: Mapping[str, tuple[Curve, Curve]]) -> Figure:
    """Draw accuracy by epoch on training and inner validation part, a panel for each title of ``curves``."""
    columns = min(4, len(curves))
    rows = -(-len(curves) // columns)
    figure = new_figure((max(WIDE_INCHES[0] * columns / 4, 2.6), 0.4 + 1.7 * rows))
    panels = figure.subplots(rows, columns, squeeze=False, sharey=True).ravel()
    for axes, (title, (training, validation)) in zip(panels, curves.items(), strict=False):
        axes.plot(*zip(*training, strict=True), color=ACCENT, linewidth=1.6, label="training")
        axes.plot(*zip(*validation, strict=True), color=SECOND, linewidth=1.6, label="inner validation")
        axes.set_title(title, parse_math=False, wrap=True)
        _by_epoch(axes)
        axes.title.set_fontsize(8)
        _in_percent(axes)
    for axes in panels[len(curves) :]:
        axes.set_visible(False)
    figure.supxlabel("epoch", fontsize=9)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper right", ncols=2, frameon=False, fontsize=8)
    return figure


def _by_epoch(axes: Axes) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    plain_axes(axes)


def _in_percent(axes: Axes) -> None:
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(PercentFormatter(1))
