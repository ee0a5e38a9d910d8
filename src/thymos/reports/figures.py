"""How figures look and are saved, and those of an evaluation: confusions, folds, learning curves. White, for papers.

Learning curves are placed for the SVG of a page, too. Tables on pages take their colours from here, in a light and a
dark form.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap, LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator, PercentFormatter

from thymos.files import FIGURE_FORMATS, whole_file
from thymos.scoring.metrics import Level

DOTS_PER_INCH = 200
WIDE_INCHES = (7.2, 3.6)
"""Across a page or both columns of a paper."""

INK = "#1f2430"
MUTED = "#667085"
GRID = "#e4e7ec"
ACCENT = "#3451b2"
SECOND = "#c2571a"


@dataclass(frozen=True)
class Ramp:
    """Colours from nothing (0) to everything (1), on a light and on a dark page."""

    light: Colormap
    dark: Colormap

    def style(self, share: float) -> str:
        """Return the background and text of both themes as CSS custom properties."""
        # The maps' last fifth is nearly black, and on a table it only hides differences.
        light, dark = to_hex(self.light(0.82 * share)), to_hex(self.dark(share))
        return f"--light:{light};--light-ink:{ink_on(light)};--dark:{dark};--dark-ink:{ink_on(dark)}"


def _dark(*colours: str) -> Colormap:
    return LinearSegmentedColormap.from_list("dark", ["#1c1f26", *colours])


RAMPS = {
    "truth": Ramp(colormaps["Reds"], _dark("#7c2b2b", "#ff9a8a")),
    "prediction": Ramp(colormaps["Blues"], _dark("#24508c", "#9cc7ff")),
    "counts": Ramp(colormaps["Greys"], _dark("#4a505c", "#c9ced8")),
}
"""The colours of a confusion: as shares of the truth (reds), of the prediction (blues), and as counts."""


def ink_on(background: str) -> str:
    """Return black or white, whichever is easier to read on ``background``: never under 4.5 to 1.

    Source: relative luminance and contrast ratio as WCAG 2.2 defines them.
    """
    channels = np.array([int(background[at : at + 2], 16) for at in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    luminance = float(linear @ [0.2126, 0.7152, 0.0722])
    return "#000000" if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else "#ffffff"


def new_figure(size_inches: tuple[float, float] = WIDE_INCHES) -> Figure:
    """Return an empty white figure that lays itself out and belongs to no window."""
    layout = ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1)
    figure = Figure(figsize=size_inches, dpi=DOTS_PER_INCH, layout=layout, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def plain_axes(axes: Axes, grid: Literal["x", "y", "both", ""] = "y") -> None:
    """Take the box from ``axes`` and draw a pale grid across ``grid``; an empty string draws none."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(colors=MUTED, labelcolor=INK, labelsize=8)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(color=INK, fontsize=9)
    axes.title.set(color=INK, fontsize=10)
    axes.set_axisbelow(True)
    if grid:
        axes.grid(True, axis=grid, color=GRID, linewidth=0.8)


def save_figure(figure: Figure, stem: Path, formats: Sequence[str] = ("png",)) -> list[Path]:
    """Write ``figure`` once in each of ``formats``, each file whole or not at all, and return their paths.

    The same figure gives the same bytes. Letters in a PDF stay letters (Type 42, as journals ask for); in an SVG they
    are outlines, so that it looks the same where a font is not installed.

    Args:
        figure: what to write.
        stem: the files' path without its ending.
        formats: of ``FIGURE_FORMATS``, in either case; the ending is as given.

    Raises:
        ValueError: another format.
    """
    unknown = [name for name in formats if name.lower() not in FIGURE_FORMATS]
    if unknown:
        raise ValueError(f"figures are written as {', '.join(FIGURE_FORMATS)}, not as {unknown[0]}")
    nameless = {"png": {"Software": "Thymos"}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}
    paths = []
    for name in formats:
        path = stem.with_name(f"{stem.name}.{name}")
        with whole_file(path) as temporary, rc_context({"pdf.fonttype": 42, "svg.hashsalt": "thymos"}):
            figure.savefig(temporary, format=name.lower(), metadata=nameless[name.lower()])
        paths.append(path)
    return paths


def confusion_figure(
    panels: Mapping[str, npt.NDArray[np.float64]], labels: Sequence[str], colours: Colormap, of: str = "truth"
) -> Figure:
    """Draw normalised confusion matrices side by side, one panel per title.

    Args:
        panels: title -> shares of one, shape (emotions, emotions), rows truth; NaN where there is no share.
        labels: the emotions, in the matrices' order.
        colours: the colour map, from pale at 0 to dark at 1.
        of: what the shares are of, ``truth`` or ``prediction``, which the figure says: it may stand alone in a paper.
    """
    whole = {"truth": "in % of the truth (rows)", "prediction": "in % of the prediction (columns)"}[of]
    side = 1.5 + 0.42 * len(labels)
    figure = new_figure((side * len(panels), side + 0.15))
    columns = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (title, shares) in zip(columns, panels.items(), strict=True):
        axes.imshow(shares, cmap=colours, vmin=0, vmax=1)
        for (row, column), share in np.ndenumerate(shares):
            text = "–" if np.isnan(share) else f"{100 * share:.0f}"
            ink = ink_on(to_hex(colours(float(np.nan_to_num(share)))))
            axes.text(column, row, text, ha="center", va="center", color=ink, fontsize=8)
        # A label is any word: a dollar sign in it is no formula.
        axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right", rotation_mode="anchor", parse_math=False)
        axes.set_yticks(range(len(labels)), labels, parse_math=False)
        axes.set(title=f"{title},\n{whole}", xlabel="predicted", ylabel="truth")
        plain_axes(axes, grid="")
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
    return figure


def reliability_figure(bins: Sequence[Mapping[str, float]], ece: float) -> Figure:
    """Draw a reliability diagram: of recordings by the probability of their answer, the share that is right.

    Args:
        bins: fields of ``scoring.calibration.ReliabilityBin``.
        ece: expected calibration error, shown in the title.
    """
    figure = new_figure((3.6, 4.2))
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3.2, 1))
    lows, widths = [at["low"] for at in bins], [at["high"] - at["low"] for at in bins]
    above.bar(lows, [at["accuracy"] for at in bins], widths, align="edge", color=ACCENT, edgecolor="white", alpha=0.8)
    above.plot([0, 1], [0, 1], color=MUTED, linestyle=":", linewidth=1.3)
    above.plot([at["confidence"] for at in bins], [at["accuracy"] for at in bins], "o", color=INK, markersize=3.5)
    below.bar(lows, [at["rows"] for at in bins], widths, align="edge", color=SECOND, edgecolor="white", alpha=0.8)
    above.set(xlim=(0, 1), ylim=(0, 1), ylabel="share that is right", title=f"expected calibration error {ece:.3f}")
    below.set(xlabel="probability of the answer", ylabel="recordings")
    for axes in (above, below):
        plain_axes(axes)
    return figure


def folds_figure(names: Sequence[str], accuracies: Mapping[Level, Sequence[float]], chance: float) -> Figure:
    """Draw each fold's accuracy (shares of one) as dots on one line: per recording, and per segment if it is given."""
    figure = new_figure((WIDE_INCHES[0], 1.3 + 0.26 * len(names)))
    axes = figure.subplots()
    rows = range(len(names))
    axes.axvline(chance, color=MUTED, linestyle=":", linewidth=1.2, label="chance")
    for level, values in accuracies.items():
        colour, fill = (ACCENT, ACCENT) if level == "recording" else (SECOND, "white")
        axes.axvline(float(np.mean(values)), color=colour, linewidth=1, alpha=0.55)
        axes.plot(values, rows, "o", color=colour, markerfacecolor=fill, markersize=6, label=f"per {level}")
    # A speaker's name may hold a dollar sign, which would else start a formula.
    axes.set_yticks(rows, names, parse_math=False)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel("accuracy of each fold (vertical lines: their mean)")
    plain_axes(axes, grid="both")
    figure.legend(loc="outside upper right", ncols=3, frameon=False, fontsize=8)
    return figure


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
