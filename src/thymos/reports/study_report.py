"""The report of a study, made from its ``study.json`` alone: a page, its table as Markdown, figures, and each row's
own report."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from matplotlib.ticker import MaxNLocator

from thymos.errors import RunError
from thymos.files import write_text
from thymos.reports.comparison_report import Forest, ForestRow, Mark, forest_figure, make_forest
from thymos.reports.figures import SMALL, Curve, CurvePlot, curve_plot, save_figure, validation_curves_figure
from thymos.reports.page import render
from thymos.reports.run_report import shown_levels, write_report
from thymos.reports.tables import PaperTable, in_field, table_latex
from thymos.scoring.metrics import Level
from thymos.scoring.results import LEVELS

FORMAT = 1
"""The version of ``study.json`` that this module reads."""

StudyRow = dict[str, Any]
"""A row of ``study.json``."""


def write_study_report(out: Path, formats: Sequence[str] = ("png",)) -> Path:
    """Write the report of the finished study in ``out``.

    That is ``study.html``, ``study.md``, ``study.tex`` and ``figures/`` in its folder, and ``report.html`` and
    ``tables/`` in each row's.

    Args:
        out: the study's folder.
        formats: of the figures, of ``files.FIGURE_FORMATS``.

    Returns:
        The path of ``study.html``.

    Raises:
        RunError: study.json, or a row's results.json, is missing, damaged or of another format.
    """
    study = read_study(out)
    for row in study["rows"]:
        if not row["failed"]:
            write_report(out / "rows" / row["slug"], formats)
    write_text(out / "study.md", study_markdown(study))
    write_text(out / "study.tex", study_latex(study))
    if forest := study_forest(study):
        words = {"recording": "per recording", "segment": "per segment", "published": "published, ± its sd"}
        save_figure(
            forest_figure(forest, "accuracy in %, with 95 % intervals", words), out / "figures" / "forest", formats
        )
    if curves := {row["row"]: (_curve(row, "accuracy"), _curve(row, "validation_accuracy")) for row in _watched(study)}:
        save_figure(validation_curves_figure(curves), out / "figures" / "curves", formats)
    path = out / "study.html"
    write_text(path, study_page(study))
    return path


def read_study(out: Path) -> dict[str, Any]:
    """Read ``out/study.json``.

    Raises:
        RunError: it is missing, is no JSON, or has another format.
    """
    path = out / "study.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"{out} holds no study.json: the study has not finished there") from None
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read: {error}") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise RunError(f"{path} is damaged, or of another format than {FORMAT}, which this version of Thymos reads")
    return content


def study_page(study: dict[str, Any]) -> str:
    """Return the page of ``study``, the content of ``study.json``. All that hangs on time stands in one line of it."""
    rows: list[StudyRow] = study["rows"]
    return render(
        "study.html",
        study=study,
        title=f"{study['name']} · {study['corpus']['name']}",
        groups=[(title, list(members)) for title, members in groupby(rows, key=lambda row: row["group"])],
        chance=1 / len(study["corpus"]["emotions"]),
        levels=shown_levels(_levels(rows)),
        published=any(row["published"] for row in rows),
        forest=study_forest(study),
        curves={measure: curve_plots(rows, measure) for measure in ("accuracy", "loss")},
        repeats=repeats_plots(rows),
        size=REPEATS_SIZE,
        shown=[row for row in rows if _compared(row) and row["comparison"]["shown"]],
        not_shown=[row for row in rows if _compared(row) and not row["comparison"]["shown"]],
        not_compared=[row for row in rows if row["comparison"] and not _compared(row)],
        failed=[row for row in rows if row["failed"]],
    )


def _compared(row: StudyRow) -> bool:
    return bool(row["comparison"]) and row["comparison"]["none_because"] is None


def _levels(rows: Sequence[StudyRow]) -> list[Level]:
    """Return what the rows with a result tell apart: recordings alone where all score whole recordings."""
    of_rows = [_row_levels(row) for row in rows if row["summary"]]
    return [level for level in LEVELS if any(level in own for own in of_rows)] or list(LEVELS)


def _row_levels(row: StudyRow) -> Sequence[Level]:
    levels: Sequence[Level] = row.get("levels") or LEVELS
    return levels


def _interval(score: dict[str, Any]) -> list[float] | None:
    """Return the interval of a score's mean over folds; studies of earlier versions have none."""
    interval: list[float] | None = score.get("mean_ci95")
    return interval


# --- Markdown ---------------------------------------------------------------------------------------------


def study_markdown(study: dict[str, Any]) -> str:
    """Return the table of ``study`` for a paper's draft or a repository's docs: a section for each group of rows.

    Scores are mean ± sd over folds and the 95 % interval of that mean, in percent.
    """
    levels = shown_levels(_levels(study["rows"]))[::-1]
    parts = []
    for group, rows in groupby(study["rows"], key=lambda row: row["group"]):
        parts.append(f"### {in_field(group)}\n\n" + _table(list(rows), levels))
    return "\n\n".join(parts) + "\n"


def study_latex(study: dict[str, Any]) -> str:
    """Return the tables of ``study``, one for each group of rows, as LaTeX in the manner of booktabs."""
    return "\n".join(table_latex(table) for table in study_tables(study))


def study_tables(study: dict[str, Any]) -> list[PaperTable]:
    """Return a table for each group of rows of ``study``: mean ± sd over folds and the 95 % interval of that mean."""
    levels = shown_levels(_levels(study["rows"]))[::-1]
    tables = []
    for number, (group, members) in enumerate(groupby(study["rows"], key=lambda row: row["group"]), start=1):
        caption = f"{group or study['name']} on {study['corpus']['name']}: accuracy and UAR in %, mean ± sd over folds"
        rows = tuple(_fields(row, levels) for row in members)
        tables.append(
            PaperTable(f"study-{number}", f"{caption} [95 % interval of the mean].", _columns(levels), rows, ())
        )
    return tables


def _columns(levels: Sequence[Level]) -> tuple[str, ...]:
    accuracies = (f"per {level}" for level in levels)
    return ("row", "protocol, folds", *accuracies, "UAR per recording", "published", "compared")


def _fields(row: StudyRow, levels: Sequence[Level]) -> tuple[str, ...]:
    if row["failed"]:
        return (row["row"], row["protocol"], f"failed: {row['failed']}", *[""] * (len(levels) + 2))
    summary = row["summary"]
    return (
        row["row"],
        f"{row['protocol']}, {row['repeats']} × {row['folds']}",
        *(_score(summary[level]["accuracy"]) if level in _row_levels(row) else "" for level in levels),
        _score(summary["recording"]["uar"]),
        _published(row["published"]),
        _verdict(row["comparison"]),
    )


def _table(rows: list[StudyRow], levels: Sequence[Level]) -> str:
    columns = _columns(levels)
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(map(in_field, _fields(row, levels))) + " |" for row in rows]
    return "\n".join(lines)


def _score(score: dict[str, Any]) -> str:
    spread = "" if score["sd"] is None else f" ± {100 * score['sd']:.1f}"
    interval = _interval(score)
    bounds = f" [{100 * interval[0]:.1f}, {100 * interval[1]:.1f}]" if interval else ""
    return f"{100 * score['mean']:.1f}{spread}{bounds}"


def _published(published: dict[str, Any] | None) -> str:
    if not published:
        return ""
    return f"{published['accuracy']:.1f}" + (f" ± {published['sd']:.1f}" if published.get("sd") is not None else "")


def _verdict(comparison: dict[str, Any] | None) -> str:
    if not comparison:
        return ""
    return str(comparison["none_because"] or comparison["sentence"])


# --- figures ----------------------------------------------------------------------------------------------


def study_forest(study: dict[str, Any]) -> Forest | None:
    """Return the accuracies of a study's rows, with their intervals; None if no row has a result."""
    rows = [ForestRow(_forest_name(row), row["group"], tuple(_marks(row))) for row in study["rows"]]
    return make_forest(rows, 1 / len(study["corpus"]["emotions"]), step=0.05)


def _forest_name(row: StudyRow) -> str:
    return f"{row['row']}, failed" if row["failed"] else str(row["row"])


def _marks(row: StudyRow) -> list[Mark]:
    marks = []
    for level in shown_levels(_row_levels(row)) if row["summary"] else []:
        score = row["summary"][level]["accuracy"]
        low, high = _interval(score) or (score["mean"], score["mean"])
        marks.append(Mark(level, score["mean"], low, high))
    if row["published"]:
        low, high = _published_span(row["published"])
        marks.append(Mark("published", row["published"]["accuracy"] / 100, low, high))
    return marks


def curve_plots(rows: Sequence[StudyRow], measure: str) -> list[CurvePlot]:
    """Return the learning curves of the rows that have them.

    Args:
        rows: of the study.
        measure: ``accuracy`` or ``loss``.
    """
    # The first epochs of an untrained network may be far off; all that matters happens below twice chance's loss.
    ticks = [0.0, 0.5, 1.0] if measure == "accuracy" else [0.0, 1.0, 2.0, 3.0]
    plots = []
    for row in rows:
        if not row["curve"] or f"validation_{measure}" not in row["curve"][0]:
            continue
        end = row["curve"][-1]
        plots.append(
            curve_plot(
                row["row"],
                f"{row['row']}: {measure} after the last epoch {end[measure]:.3f} in training, "
                f"{end[f'validation_{measure}']:.3f} in inner validation",
                SMALL,
                [("training", _curve(row, measure)), ("validation", _curve(row, f"validation_{measure}"))],
                ticks,
                (lambda value: f"{100 * value:.0f}") if measure == "accuracy" else (lambda value: f"{value:g}"),
            )
        )
    return plots


def _watched(study: dict[str, Any]) -> list[StudyRow]:
    return [row for row in study["rows"] if row["curve"] and "validation_accuracy" in row["curve"][0]]


def _curve(row: StudyRow, name: str) -> Curve:
    return [(at["epoch"], at[name]) for at in row["curve"]]


REPEATS_SIZE = {
    "width": 360, "height": 190, "left": 16, "right": 344, "published": 34, "means": 78, "folds": 128, "axis": 156
}  # fmt: skip
"""Of a plot of repeats: its size, and the heights of its lines, in the plot's units."""


@dataclass(frozen=True)
class RepeatsPlot:
    """How much single cross-validations vary: places of folds, of each draw's mean, of what was published."""

    row: StudyRow
    level: Level
    ticks: list[tuple[float, str]]
    folds: list[tuple[float, float]]
    means: list[tuple[float, float]]
    published: tuple[float, float, float] | None
    """Mean, and mean minus and plus sd."""
    lowest: float
    highest: float
    lowest_fold: float
    highest_fold: float


def repeats_plots(rows: Sequence[StudyRow]) -> list[RepeatsPlot]:
    """Return, for each row with several draws of its folds, how far folds and means over one draw lie apart."""
    repeated = [row for row in rows if row["summary"] and row["repeats"] > 1]
    return [_repeats_plot(row, level) for row in repeated for level in shown_levels(_row_levels(row))[::-1]]


def _repeats_plot(row: StudyRow, level: Level) -> RepeatsPlot:
    by_repeat: dict[int, list[float]] = {}
    for fold in row["by_fold"]:
        by_repeat.setdefault(fold["repeat"], []).append(fold[level]["accuracy"])
    folds = [value for values in by_repeat.values() for value in values]
    means = [sum(values) / len(values) for values in by_repeat.values()]
    published = row["published"] if level == "segment" else None
    span = _published_span(published) if published else None
    low: float = math.floor(20 * min([*folds, *(span or ())])) / 20
    high: float = max(math.ceil(20 * max([*folds, *(span or ())])) / 20, low + 0.05)

    left, right = REPEATS_SIZE["left"], REPEATS_SIZE["right"]

    def x(share: float) -> float:
        return round(left + (right - left) * (share - low) / (high - low), 1)

    values = MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(100 * low, 100 * high)
    return RepeatsPlot(
        row,
        level,
        [
            (x(value / 100), f"{value:.0f}")
            for value in values
            if low <= value / 100 + 1e-9 and value / 100 <= high + 1e-9
        ],
        _stacked([x(value) for value in folds], REPEATS_SIZE["folds"]),
        _stacked([x(value) for value in means], REPEATS_SIZE["means"]),
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


def _published_span(published: dict[str, Any]) -> tuple[float, float]:
    """Return the published figure minus and plus its sd, in shares of one."""
    sd = published["sd"] or 0.0
    return (published["accuracy"] - sd) / 100, (published["accuracy"] + sd) / 100
