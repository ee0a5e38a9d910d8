"""How figures look and are saved, and the figures of an evaluation. They are white, to be put in papers.

Tables on pages take their colours from here too, in a light and a dark form.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Colormap, LinearSegmentedColormap, to_hex
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import MaxNLocator, PercentFormatter

from thymos.files import whole_file

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


Curve = Sequence[tuple[int, float]]
"""One value per epoch: (epoch, value)."""


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


def save_figure(figure: Figure, path: Path) -> None:
    """Write ``figure`` to ``path`` as a PNG, whole or not at all."""
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": "Thymos"})


def confusion_figure(panels: Mapping[str, npt.NDArray[np.float64]], labels: Sequence[str], colours: Colormap) -> Figure:
    """Draw normalised confusion matrices side by side, one panel per title.

    Args:
        panels: title -> shares of one, shape (emotions, emotions), rows truth; NaN where there is no share.
        labels: the emotions, in the matrices' order.
        colours: the colour map, from pale at 0 to dark at 1.
    """
    side = 1.5 + 0.42 * len(labels)
    figure = new_figure((side * len(panels), side + 0.15))
    columns = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, (title, shares) in zip(columns, panels.items(), strict=True):
        axes.imshow(shares, cmap=colours, vmin=0, vmax=1)
        for (row, column), share in np.ndenumerate(shares):
            text = "–" if np.isnan(share) else f"{100 * share:.0f}"
            ink = ink_on(to_hex(colours(float(np.nan_to_num(share)))))
            axes.text(column, row, text, ha="center", va="center", color=ink, fontsize=8)
        axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right", rotation_mode="anchor")
        axes.set_yticks(range(len(labels)), labels)
        axes.set(title=title, xlabel="predicted", ylabel="truth")
        plain_axes(axes, grid="")
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0)
    return figure


def folds_figure(names: Sequence[str], recording: Sequence[float], segment: Sequence[float], chance: float) -> Figure:
    """Draw each fold's accuracy (shares of one) per recording and per segment as dots on one line."""
    figure = new_figure((WIDE_INCHES[0], 1.3 + 0.26 * len(names)))
    axes = figure.subplots()
    rows = range(len(names))
    axes.axvline(chance, color=MUTED, linestyle=":", linewidth=1.2, label="chance")
    for values, colour, fill, name in (
        (segment, SECOND, "white", "per segment"),
        (recording, ACCENT, ACCENT, "per recording"),
    ):
        axes.axvline(float(np.mean(values)), color=colour, linewidth=1, alpha=0.55)
        axes.plot(values, rows, "o", color=colour, markerfacecolor=fill, markersize=6, label=name)
    # A speaker's name may hold a dollar sign, which would else start a formula.
    axes.set_yticks(rows, names, parse_math=False)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xlabel("accuracy of each fold (vertical lines: their mean)")
    plain_axes(axes, grid="both")
    figure.legend(loc="outside upper right", ncols=3, frameon=False, fontsize=8)
    return figure


def curves_figure(losses: Sequence[Curve], accuracies: Sequence[Curve]) -> Figure:
    """Draw loss and accuracy on the training part over the epochs: a thin line per fold, and their mean."""
    figure = new_figure((WIDE_INCHES[0], 2.8))
    left, right = figure.subplots(1, 2)
    for axes, curves, name in ((left, losses, "training loss"), (right, accuracies, "training accuracy")):
        for curve in curves:
            axes.plot(*zip(*curve, strict=True), color=ACCENT, linewidth=0.8, alpha=0.35)
        axes.plot(*zip(*mean_curve(curves), strict=True), color=ACCENT, linewidth=2)
        axes.set(xlabel="epoch", ylabel=name)
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        plain_axes(axes)
    right.set_ylim(0, 1)
    right.yaxis.set_major_formatter(PercentFormatter(1))
    return figure


def mean_curve(curves: Sequence[Curve]) -> list[tuple[int, float]]:
    """Return the mean at each epoch, over the curves that reach it."""
    at_epoch: dict[int, list[float]] = {}
    for curve in curves:
        for epoch, value in curve:
            at_epoch.setdefault(epoch, []).append(value)
    return [(epoch, float(np.mean(values))) for epoch, values in sorted(at_epoch.items())]
