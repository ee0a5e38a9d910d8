"""The report of an evaluation, made from its ``results.json`` alone: a page with figures, and a terminal's table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import yaml
from matplotlib.ticker import MaxNLocator
from rich.markup import escape
from rich.table import Table

from thymos.files import write_text
from thymos.reports import figures
from thymos.reports.figures import LARGE, Curve, CurvePlot, curve_plot, folds_curves_figure, mean_curve
from thymos.reports.page import render
from thymos.reports.tables import METRIC_NAMES, run_tables, write_run_tables
from thymos.scoring.agreement import AGREEMENTS
from thymos.scoring.metrics import Level
from thymos.scoring.results import LEVELS, PerLevel, Results, chance_in, read_results, recipe_name

Side = Literal["truth", "prediction"]
SIDES: tuple[Side, ...] = ("truth", "prediction")


def write_report(run_dir: Path, formats: Sequence[str] = ("png",)) -> Path:
    """Draw the figures of a finished run and write its tables and ``report.html``, all from its ``results.json``.

    Args:
        run_dir: the run folder.
        formats: of the figures beside the page, of ``files.FIGURE_FORMATS``; PNG, which is in the page too, always.

    Returns:
        The page's path. The figures are inside it, and beside it in ``figures/``; tables are in ``tables/``.

    Raises:
        RunError: results.json is missing, damaged or of another format.
    """
    results = read_results(run_dir)
    write_run_tables(results, run_dir / "tables")
    path = run_dir / "report.html"
    write_text(path, run_page(results, _draw(results, run_dir / "figures", formats)))
    return path


def run_page(results: Results, drawn: Mapping[str, Path]) -> str:
    """Return the page of ``results``, with the PNG files of ``drawn`` inside it, by name."""
    name = recipe_name(results.recipe)
    return render(
        "run.html",
        results=results,
        title=" · ".join((results.corpus.name, name, f"{results.protocol.name} protocol", f"seed {results.seed}")),
        recipe_name=name,
        recipe_yaml=yaml.safe_dump(results.recipe, sort_keys=False, allow_unicode=True),
        **_of_emotions(results),
        levels=shown_levels(results.levels),
        last_fold=_last_fold(results),
        heard_line=heard_line(results.model_dump()),
        fold_notes=fold_notes([fold.model_dump() for fold in results.folds]),
        plots=_plots(results),
        tables={table.name: table for table in run_tables(results)},
        figures=drawn,
    )


def _of_emotions(results: Results) -> dict[str, Any]:
    """Return what the page says of emotions, where any are told."""
    if results.confusion is None:
        return {}
    counts = results.confusion.recording
    return {
        "scored": int(np.sum(counts)) // results.protocol.repeats,
        "chance": chance_in(results.chance, results.labels),
        "commonest": max(map(sum, counts)) / np.sum(counts),
        "matrices": _matrices_by_level(results.labels, results.confusion),
    }


def summary_table(results: Mapping[str, Any]) -> Table:
    """Return accuracy, UAR and macro-F1 of ``results`` (the content of ``results.json``) for a terminal; CCC, Pearson's
    r and MAE of dimensions.

    The interval is that of the mean over folds beside which it stands.
    """
    what = results["corpus"]["name"] + (" (synthetic)" if results["corpus"]["synthetic"] else "")
    folds = len(results["folds"])
    counted = f"{folds} {'fold' if folds == 1 else 'folds'}"
    title = f"{what}, {results['recipe']['name']}, protocol {results['protocol']['name']}, {counted}"
    if not results["labels"]:
        return _dimensions_table(results, title)
    levels = results.get("levels", LEVELS)
    table = Table("", *(f"per {level}" for level in levels), title=escape(title))
    for metric, name in (("accuracy", "accuracy"), ("uar", "UAR"), ("macro_f1", "macro-F1")):
        table.add_row(name, *(_mean_and_interval(results["summary"][level][metric]) for level in levels))
    table.caption = (
        f"mean ± sd over folds \\[95 % interval of the mean, by bootstrap over recordings]; "
        f"chance {chance_in(results.get('chance'), results['labels']):.3f}"
    )
    return table


def _dimensions_table(results: Mapping[str, Any], title: str) -> Table:
    table = Table("", *(METRIC_NAMES[metric] for metric in AGREEMENTS), title=escape(title))
    for row in results["per_dimension"]:
        table.add_row(row["dimension"], *(_mean_and_interval(row[metric]) for metric in AGREEMENTS))
    table.caption = (
        "mean ± sd over folds \\[95 % interval of the mean, by bootstrap over recordings]; CCC is 0 by chance; MAE is "
        "on the corpus's scale"
    )
    return table


def heard_line(results: Mapping[str, Any]) -> str:
    """Return the standing line of every report: what had been heard before the first training part of ``results``."""
    provenance = results.get("provenance") or {}
    start = provenance.get("start_from")
    if not start and results["recipe"].get("kind") == "encoder":  # a run of an earlier version
        return "Heard before: not told by this run."
    if not start:
        return "Heard before: nothing. All that the models know is of the training parts."
    layers = (start.get("layers_of") or {}).get("name", "an encoder")
    corpora = [f"{each['name']} ({each['clips']})" for each in provenance.get("trained_on", ())]
    began = f"{layers}, trained on speech of the web that is not published"
    if not corpora:
        return f"Heard before: by the encoder, {began}."
    checked = "; none of the recordings here, nor a near-copy, is among them" if start.get("near_copies") else ""
    return f"Heard before: by the encoder, which began as {began}: clips of {', '.join(corpora)}{checked}."


def fold_notes(folds: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what to say of ``folds`` (those of ``results.json``) that tested what they could not learn."""
    emotions = [
        f"{fold['name']}: no recording of {emotion} to train on, so its {count} tested count as wrong"
        for fold in folds
        for emotion, count in (fold.get("untrained") or {}).items()
    ]
    dimensions = [
        f"{fold['name']}: no value of {name} to train on, so none is predicted"
        for fold in folds
        for name, penalty in (fold.get("penalties") or {}).items()
        if penalty is None
    ]
    return emotions + dimensions


def shown_levels(levels: Sequence[Level]) -> list[Level]:
    """Return the levels in the order in which reports show them."""
    return [level for level in ("recording", "segment") if level in levels]


def _mean_and_interval(score: dict[str, Any]) -> str:
    spread = "" if score["sd"] is None else f" ± {score['sd']:.3f}"
    interval = score.get("mean_ci95")  # runs of earlier versions have none
    return f"{score['mean']:.3f}{spread}" + (f"  \\[{interval[0]:.3f}, {interval[1]:.3f}]" if interval else "")


def shares(counts: list[list[int]], of: Side) -> npt.NDArray[np.float64]:
    """Return counts as shares of their row (truth) or column (prediction); NaN where that is empty."""
    table = np.asarray(counts, dtype=np.float64)
    totals = table.sum(axis=1 if of == "truth" else 0, keepdims=True)
    known: npt.NDArray[np.float64] = np.full_like(table, np.nan)
    np.divide(table, totals, out=known, where=totals > 0)
    return known


def _draw(results: Results, folder: Path, formats: Sequence[str]) -> dict[str, Path]:
    """Draw every figure into ``folder`` and return name -> PNG."""
    levels = shown_levels(results.levels)
    if results.confusion is None:
        return {}
    drawn = {
        "folds": figures.folds_figure(
            [fold.name for fold in results.folds],
            {level: [fold.at(level).accuracy for fold in results.folds] for level in levels},
            chance_in(results.chance, results.labels),
        ),
    }
    for of in SIDES:
        panels = {f"per {level}": shares(results.confusion.at(level), of) for level in levels}
        colours = figures.RAMPS[of].light
        drawn[f"confusion_by_{of}"] = figures.confusion_figure(panels, results.labels, colours, of)
    if results.confidence:
        told = results.confidence
        drawn["reliability"] = figures.reliability_figure(told["reliability"], told["ece"]["value"])
    losses, accuracies = _curves(results, "loss"), _curves(results, "accuracy")
    if losses and accuracies:
        drawn["curves"] = folds_curves_figure(losses, accuracies)
    return {
        name: figures.save_figure(figure, folder / name, ("png", *(each for each in formats if each != "png")))[0]
        for name, figure in drawn.items()
    }


# --- confusion matrices as tables that take the theme's colours -------------------------------------------


@dataclass(frozen=True)
class ConfusionCell:
    """A cell of a confusion table: its words, the longer words behind it, and its CSS colours."""

    text: str
    note: str
    style: str


def _last_fold(results: Results) -> dict[Level, dict[str, list[list[ConfusionCell]]]]:
    """Return the tables of the last of several folds, which is what the original study showed."""
    counts = results.folds[-1].confusion
    if counts is None or len(results.folds) == 1:
        return {}
    return _matrices_by_level(results.labels, counts)


def _matrices_by_level(
    labels: list[str], counts: PerLevel[list[list[int]]]
) -> dict[Level, dict[str, list[list[ConfusionCell]]]]:
    return {level: _matrices(labels, counts.at(level)) for level in LEVELS}


def _matrices(labels: list[str], counts: list[list[int]]) -> dict[str, list[list[ConfusionCell]]]:
    """Return the tables of one confusion: ``truth`` and ``prediction`` in percent, and ``counts``."""
    tables: dict[str, list[list[ConfusionCell]]] = {
        side: [
            [_share_cell(share, side, note) for share, note in zip(row, notes, strict=True)]
            for row, notes in zip(shares(counts, side), _notes(labels, counts), strict=True)
        ]
        for side in SIDES
    }
    largest = max(map(max, counts))
    ramp = figures.RAMPS["counts"]
    tables["counts"] = [
        [ConfusionCell(str(n), note, ramp.style(0.75 * n / largest)) for n, note in zip(row, notes, strict=True)]
        for row, notes in zip(counts, _notes(labels, counts), strict=True)
    ]
    return tables


def _share_cell(share: float, side: Side, note: str) -> ConfusionCell:
    text = "–" if np.isnan(share) else f"{100 * share:.0f}"
    return ConfusionCell(text, note, figures.RAMPS[side].style(float(np.nan_to_num(share))))


def _notes(labels: list[str], counts: list[list[int]]) -> list[list[str]]:
    return [
        [
            f"{truth} recognised: {count}" if truth == heard else f"{truth} taken for {heard}: {count}"
            for heard, count in zip(labels, row, strict=True)
        ]
        for truth, row in zip(labels, counts, strict=True)
    ]


# --- learning curves --------------------------------------------------------------------------------------


def _plots(results: Results) -> list[CurvePlot]:
    """Return the plots of what the training recorded: none, or loss and accuracy."""
    plots = []
    for name, title in (("loss", "Training loss"), ("accuracy", "Training accuracy")):
        if curves := _curves(results, name):
            in_percent = name == "accuracy"
            highest = 1 if in_percent else max(value for curve in curves for _, value in curve)
            plots.append(
                curve_plot(
                    title,
                    f"{title} by epoch",
                    LARGE,
                    [*(("one", curve) for curve in curves), ("all", mean_curve(curves))],
                    MaxNLocator(4).tick_values(0, highest),
                    (lambda value: f"{100 * value:.0f} %") if in_percent else (lambda value: f"{value:g}"),
                )
            )
    return plots


def _curves(results: Results, name: str) -> list[Curve]:
    """Return each fold's values by epoch; folds without any are left out."""
    curves = (
        [(at.epoch, value) for at in fold.curve if (value := getattr(at, name)) is not None] for fold in results.folds
    )
    return [curve for curve in curves if curve]
