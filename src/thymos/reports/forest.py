"""Forest plots: estimates and their intervals, one row each, on one axis; placed for a page, and drawn as a figure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from thymos.reports.figures import ACCENT, GRID, INK, MUTED, SECOND, WIDE_INCHES, new_figure, plain_axes

_LOOKS = {
    "recording": (ACCENT, ACCENT, "o"),
    "segment": (SECOND, "white", "o"),
    "published": (INK, "white", "D"),
    "shown": (ACCENT, ACCENT, "o"),
    "not shown": (ACCENT, "white", "o"),
}
"""Colour, fill and shape of each kind of mark, in the order in which they stand in a row."""


@dataclass(frozen=True)
class Mark:
    """An estimate and its interval, in shares of one; ``kind`` says what it is and how it looks."""

    kind: str
    value: float
    low: float
    high: float

    @property
    def words(self) -> str:
        """The mark as words, for who cannot see it."""
        value, low, high = (f"{100 * share:.1f} %" for share in (self.value, self.low, self.high))
        return f"{self.kind if self.kind == 'published' else f'per {self.kind}'} {value}, {low} to {high}"


@dataclass(frozen=True)
class ForestRow:
    """One row of a forest plot; a row without a result has no marks."""

    name: str
    group: str
    marks: tuple[Mark, ...]


@dataclass(frozen=True)
class Forest:
    """Rows on one axis, from ``low`` to ``high``, in shares of one."""

    rows: tuple[ForestRow, ...]
    low: float
    high: float
    reference: float | None
    """Chance, or no difference; None where it lies outside the axis."""

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Share and text, in percent, of each tick."""
        values = MaxNLocator(7, steps=[1, 2, 5, 10]).tick_values(100 * self.low, 100 * self.high)
        texts = [(value / 100, f"{value:g}".replace("-", "−")) for value in values]
        return [(share, text) for share, text in texts if self.low - 1e-9 <= share <= self.high + 1e-9]

    def place(self, share: float) -> float:
        """Return where ``share`` lies on the axis, in percent of its length; what lies outside is at its end."""
        return round(100 * (min(max(share, self.low), self.high) - self.low) / (self.high - self.low), 2)

    @property
    def kinds(self) -> list[str]:
        """The kinds of mark that occur."""
        return [kind for kind in _LOOKS if any(mark.kind == kind for row in self.rows for mark in row.marks)]


def make_forest(rows: Sequence[ForestRow], reference: float, step: float, must_show: bool = False) -> Forest | None:
    """Put ``rows`` on one axis, just wide enough; None if no row has a mark.

    Args:
        rows: from top to bottom.
        reference: where the dotted line stands.
        step: the axis begins and ends at a multiple of it, in shares of one.
        must_show: whether the axis shall reach to the reference.
    """
    marks = [mark for row in rows for mark in row.marks]
    if not marks:
        return None
    ends = [end for mark in marks for end in (mark.value, mark.low, mark.high)] + [reference] * must_show
    low = step * math.floor(round(min(ends) / step, 6))
    high = max(step * math.ceil(round(max(ends) / step, 6)), low + step)
    return Forest(tuple(rows), low, high, reference if low <= reference <= high else None)


def forest_figure(forest: Forest, axis: str, legend: dict[str, str]) -> Figure:
    """Draw ``forest``.

    Args:
        forest: what to draw.
        axis: title of the horizontal axis.
        legend: words for each kind of mark.
    """
    lines: list[tuple[str, ForestRow | None]] = []
    for number, row in enumerate(forest.rows):
        if row.group and (not number or row.group != forest.rows[number - 1].group):
            lines.append((row.group, None))
        lines.append((row.name, row))
    figure = new_figure((WIDE_INCHES[0], 1.1 + 0.3 * len(lines)))
    axes = figure.subplots()
    kinds = forest.kinds
    for height, (_, own) in enumerate(lines):
        if own is None:
            continue
        axes.axhline(height, color=GRID, linewidth=0.8, zorder=0)
        for mark in own.marks:
            colour, fill, shape = _LOOKS[mark.kind]
            # Marks of one row stand under one another, so that none covers the next.
            at = height + 0.24 * (kinds.index(mark.kind) - (len(kinds) - 1) / 2) * (len(own.marks) > 1)
            axes.plot([mark.low, mark.high], [at, at], color=colour, linewidth=1.8, alpha=0.65, zorder=2)
            axes.plot(
                [mark.value],
                [at],
                shape,
                color=colour,
                markerfacecolor=fill,
                markeredgewidth=1.4,
                markersize=5,
                zorder=3,
            )
    if forest.reference is not None:
        axes.axvline(forest.reference, color=MUTED, linestyle=":", linewidth=1.3, zorder=1)
    # A name may hold a dollar sign, which would else start a formula.
    axes.set_yticks(range(len(lines)), [name for name, _ in lines], parse_math=False)
    axes.set_ylim(len(lines) - 0.4, -0.6)
    axes.set_xlim(forest.low, forest.high)
    axes.set_xticks([share for share, _ in forest.ticks], [text for _, text in forest.ticks])
    axes.set_xlabel(axis, parse_math=False)
    plain_axes(axes, grid="x")
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)
    for label, (_, own) in zip(axes.get_yticklabels(), lines, strict=True):
        if own is None:
            label.set(fontweight="bold", color=MUTED)
    handles = [
        Line2D([], [], color=colour, marker=shape, markerfacecolor=fill, markersize=5, label=legend[kind])
        for kind in kinds
        for colour, fill, shape in [_LOOKS[kind]]
    ]
    figure.legend(handles=handles, loc="outside upper right", ncols=3, frameon=False, fontsize=8)
    return figure
