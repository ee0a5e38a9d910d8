"""A table of comparisons for a terminal, as CSV, Markdown, LaTeX and JSON, and as a forest plot.

A forest plot has estimates and their intervals, one row each, on one axis; it is placed for a page, and drawn as a
figure.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from rich.markup import escape
from rich.table import Table

from thymos.errors import RunError
from thymos.files import FIGURE_FORMATS, is_unfinished, write_csv, write_json, write_text
from thymos.reports.figures import ACCENT, GRID, INK, MUTED, SECOND, WIDE_INCHES, new_figure, plain_axes, save_figure
from thymos.reports.tables import PaperTable, in_field, table_latex, table_markdown
from thymos.scoring.comparison import ComparedRun, ComparisonTable
from thymos.scoring.paired import points

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


HEADINGS = ("run", "accuracy, %", "difference, points", "p, t-test", "p, McNemar", "p, Holm")


def comparison_table(table: ComparisonTable) -> Table:
    """Return ``table`` for a terminal: a row for each run, the base first."""
    shown = Table(*HEADINGS, title=escape(f"accuracy per {table.level}, compared with {table.base}"), caption=_legend())
    for each in table.runs:
        bold = "bold" if each.comparison and each.comparison.shown else ""
        shown.add_row(*map(escape, _fields(each)), style=bold)
    return shown


def verdicts(table: ComparisonTable) -> list[str]:
    """Return what each comparison shows, as sentences, and why a t-test is missing where it is."""
    sentences = []
    for each in table.runs:
        if each.comparison is None:
            continue
        verdict = each.verdict(table.base)
        reason = "" if each.comparison.t_test else f" There is no t-test: {each.comparison.no_t_test}."
        sentences.append(f"{verdict[0].upper()}{verdict[1:]}.{reason}")
    return sentences


def claim_comparison_folder(out: Path) -> None:
    """Make sure that ``out`` can take a comparison: it is new, or empty, or holds an earlier one and nothing else.

    Raises:
        RunError: it holds something else.
    """
    ours = {"compare.json", "compare.csv", "compare.md", "compare.tex", *(f"forest.{name}" for name in FIGURE_FORMATS)}
    if not out.exists():
        return
    if not out.is_dir():
        raise RunError(f"{out} is not a folder; choose another --out")
    others = sorted(path.name for path in out.iterdir() if path.name not in ours and not is_unfinished(path))
    if others:
        raise RunError(f"{out} holds something else, such as {others[0]}; choose another --out")


def write_comparison(table: ComparisonTable, out: Path, formats: Sequence[str] = FIGURE_FORMATS) -> None:
    """Write ``compare.json``, ``.csv``, ``.md`` and ``.tex``, and ``forest`` in each of ``formats``, into ``out``.

    Raises:
        RunError: ``out`` holds something else.
    """
    claim_comparison_folder(out)
    save_figure(comparison_figure(table), out / "forest", formats)
    write_csv(out / "compare.csv", _paper_table(table).records)
    write_text(out / "compare.md", comparison_markdown(table))
    write_text(out / "compare.tex", comparison_latex(table))
    write_json(out / "compare.json", table.to_dict())


def comparison_markdown(table: ComparisonTable) -> str:
    """Return ``table`` and its verdicts as Markdown."""
    said = [f"- {in_field(sentence)}" for sentence in verdicts(table)]
    return table_markdown(_paper_table(table)) + "\n" + "\n".join(said) + "\n"


def comparison_latex(table: ComparisonTable) -> str:
    """Return ``table`` as a LaTeX table in the manner of booktabs, ready for ``\\input``."""
    return table_latex(_paper_table(table))


def _paper_table(table: ComparisonTable) -> PaperTable:
    shown = {(row, 2) for row, each in enumerate(table.runs) if each.comparison and each.comparison.shown}
    return PaperTable(
        "compare",
        f"Accuracy per {table.level}, compared with {table.base}. {_legend()}.",
        HEADINGS,
        tuple(tuple(_fields(each)) for each in table.runs),
        tuple(_csv_row(table, row) for row in table.to_dict()["runs"]),
        frozenset(shown),
    )


def comparison_figure(table: ComparisonTable) -> Figure:
    """Return a forest plot of the differences from the base, with their 95 % intervals."""
    rows = []
    for each in table.runs:
        if each.comparison is not None:
            difference, (low, high) = each.comparison.estimate
            mark = Mark("shown" if each.comparison.shown else "not shown", difference, low, high)
            rows.append(ForestRow(each.name, "", (mark,)))
    forest = make_forest(rows, reference=0.0, step=0.01, must_show=True)
    assert forest is not None, "a table has at least one comparison"
    return forest_figure(
        forest,
        f"difference of accuracy per {table.level} from {table.base}, in points, with 95 % intervals",
        {"shown": "difference shown", "not shown": "difference not shown"},
    )


def _legend() -> str:
    return (
        "Accuracy: mean ± sd over folds [95 % interval of the mean]; difference [95 % interval]; Holm: p of the "
        "t-test, or of McNemar's where there is none, corrected for all comparisons of the table"
    )


def _fields(each: ComparedRun) -> list[str]:
    """Return a run's row under ``HEADINGS``."""
    score = each.run.results["summary"][each.level]["accuracy"]
    spread = "" if score["sd"] is None else f" ± {points(score['sd'])}"
    interval = score.get("mean_ci95")
    bounds = f" [{points(interval[0])}, {points(interval[1])}]" if interval else ""
    accuracy = f"{points(score['mean'])}{spread}{bounds}"
    if each.comparison is None:
        return [each.name, accuracy, "", "", "", ""]
    difference, (low, high) = each.comparison.estimate
    t_test = each.comparison.t_test
    return [
        each.name,
        accuracy,
        f"{'+' if difference > 0 else ''}{points(difference)} [{points(low)}, {points(high)}]",
        _p(t_test.p if t_test else None),
        f"{_p(each.comparison.mcnemar.p)} ({each.comparison.mcnemar.b} : {each.comparison.mcnemar.c})",
        _p(each.comparison.p_holm),
    ]


def _p(value: float | None) -> str:
    if value is None:
        return "none"
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _csv_row(table: ComparisonTable, row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of ``compare.json`` as ``compare.csv`` has it, in shares of one."""
    comparison = row["comparison"] or {}
    t_test, mcnemar = comparison.get("t_test") or {}, comparison.get("mcnemar") or {}
    accuracy = row["accuracy"]
    bootstrap: Sequence[float | None] = comparison.get("bootstrap_ci95") or (None, None)
    of_mean: Sequence[float | None] = accuracy.get("mean_ci95") or (None, None)
    of_t: Sequence[float | None] = t_test.get("ci95") or (None, None)
    return {
        "name": row["name"],
        "recipe": row["recipe"],
        "corpus": row["corpus"],
        "protocol": row["protocol"],
        "folds": row["folds"],
        "seed": row["seed"],
        "level": table.level,
        "accuracy_mean": accuracy["mean"],
        "accuracy_sd": accuracy["sd"],
        "accuracy_mean_ci_low": of_mean[0],
        "accuracy_mean_ci_high": of_mean[1],
        "compared_to": table.base if comparison else None,
        "recordings": comparison.get("recordings"),
        "pooled_difference": comparison.get("difference"),
        "pooled_difference_ci_low": bootstrap[0],
        "pooled_difference_ci_high": bootstrap[1],
        "fold_difference": t_test.get("difference"),
        "fold_difference_ci_low": of_t[0],
        "fold_difference_ci_high": of_t[1],
        "t": t_test.get("t"),
        "df": t_test.get("df"),
        "p_t": t_test.get("p"),
        "no_t_test": comparison.get("no_t_test"),
        "mcnemar_base_only_right": mcnemar.get("b"),
        "mcnemar_other_only_right": mcnemar.get("c"),
        "p_mcnemar": mcnemar.get("p"),
        "p_holm": comparison.get("p_holm"),
        "p_mcnemar_holm": comparison.get("mcnemar_p_holm"),
        "shown": comparison.get("shown"),
        "verdict": comparison.get("verdict"),
    }
