"""What every figure shares: size, colours and how it is saved. Figures are white, to be put in papers."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from thymos.files import whole_file

DOTS_PER_INCH = 200
WIDE_INCHES = (7.2, 3.6)
"""Across a page or both columns of a paper."""
SQUARE_INCHES = (4.6, 4.2)

INK = "#1f2430"
MUTED = "#667085"
GRID = "#e4e7ec"
ACCENT = "#3451b2"
SECOND = "#c2571a"

EMOTION_COLOURS = {
    "anger": "#c8322b",
    "disgust": "#5c8a2c",
    "fear": "#7a4fb5",
    "happiness": "#d99a00",
    "sadness": "#2f6fb3",
    "neutral": "#7a7f87",
    "calm": "#2a9d8f",
    "surprise": "#d4589b",
}
"""One colour per emotion, the same in every figure."""


def new_figure(size_inches: tuple[float, float] = WIDE_INCHES) -> Figure:
    """Return an empty white figure that lays itself out and belongs to no window."""
    figure = Figure(figsize=size_inches, dpi=DOTS_PER_INCH, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def plain_axes(axes: Axes, grid: str = "y") -> None:
    """Take the box from ``axes`` and draw a pale grid across ``grid``: "x", "y", "both", or "" for none."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(MUTED)
    axes.tick_params(colors=MUTED, labelcolor=INK, labelsize=8)
    for label in (axes.xaxis.label, axes.yaxis.label):
        label.set(color=INK, fontsize=9)
    axes.title.set(color=INK, fontsize=10)
    axes.set_axisbelow(True)
    if grid == "x" or grid == "y" or grid == "both":
        axes.grid(True, axis=grid, color=GRID, linewidth=0.8)


def save_figure(figure: Figure, path: Path) -> None:
    """Write ``figure`` to ``path`` as a PNG, whole or not at all."""
    with whole_file(path) as temporary:
        figure.savefig(temporary, format="png", metadata={"Software": "Thymos"})
