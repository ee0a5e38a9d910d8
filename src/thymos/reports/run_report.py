"""The report of an evaluation, made from the run folder's ``results.json`` alone."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import yaml
from matplotlib.ticker import MaxNLocator

from thymos.files import write_text
from thymos.reports import figures
from thymos.reports.page import render
from thymos.scoring.results_file import Results, read_results

Matrix = npt.NDArray[np.float64]
Side = Literal["truth", "prediction"]
SIDES: tuple[Side, ...] = ("truth", "prediction")


def write_report(run_dir: Path) -> Path:
    """Draw the figures of a finished run and write its ``report.html``, all from its ``results.json``.

    Returns:
        The page's path. The figures are inside it, and beside it in ``figures/``.

    Raises:
        RunError: results.json is missing, damaged or of another format.
    """
    results = read_results(run_dir)
    page = render(
        "run.html",
        results=results,
        title=" · ".join(
            (
                results.corpus.name,
                recipe_name(results),
                f"{results.protocol.name} protocol",
                f"seed {results.seed}",
            )
        ),
        recipe_name=recipe_name(results),
        recipe_yaml=yaml.safe_dump(results.recipe, sort_keys=False, allow_unicode=True),
        scored=int(np.sum(results.confusion.recording)) // results.protocol.repeats,
        chance=1 / len(results.labels),
        commonest=max(map(sum, results.confusion.recording)) / np.sum(results.confusion.recording),
        matrices={
            "recording": _matrices(results.labels, results.confusion.recording),
            "segment": _matrices(results.labels, results.confusion.segment),
        },
        last_fold=_last_fold(results),
        plots=_plots(results),
        figures=_draw(results, run_dir / "figures"),
    )
    path = run_dir / "report.html"
    write_text(path, page)
    return path


def recipe_name(results: Results) -> str:
    """Return the recipe's own name."""
    return str(results.recipe.get("name", "unnamed recipe"))


def shares(counts: list[list[int]], of: Side) -> Matrix:
    """Return counts as shares of their row (truth) or column (prediction); NaN where that is empty."""
    table = np.asarray(counts, dtype=np.float64)
    totals = table.sum(axis=1 if of == "truth" else 0, keepdims=True)
    known: Matrix = np.full_like(table, np.nan)
    np.divide(table, totals, out=known, where=totals > 0)
    return known


def _draw(results: Results, folder: Path) -> dict[str, Path]:
    """Draw every figure into ``folder`` and return caption -> file."""
    drawn = {
        "folds": figures.folds_figure(
            [fold.name for fold in results.folds],
            [fold.recording.accuracy for fold in results.folds],
            [fold.segment.accuracy for fold in results.folds],
            1 / len(results.labels),
        ),
    }
    for of in SIDES:
        panels = {
            "per recording": shares(results.confusion.recording, of),
            "per segment": shares(results.confusion.segment, of),
        }
        colours = figures.RAMPS[of].light
        drawn[f"confusion_by_{of}"] = figures.confusion_figure(panels, results.labels, colours)
    losses, accuracies = _curves(results, "loss"), _curves(results, "accuracy")
    if losses and accuracies:
        drawn["curves"] = figures.curves_figure(losses, accuracies)
    paths = {}
    for name, figure in drawn.items():
        paths[name] = folder / f"{name}.png"
        figures.save_figure(figure, paths[name])
    return paths


# --- confusion matrices as tables that take the theme's colours -------------------------------------------


@dataclass(frozen=True)
class Cell:
    """A cell of a confusion table: its words, the longer words behind it, and its CSS colours."""

    text: str
    note: str
    style: str


def _last_fold(results: Results) -> dict[str, dict[str, list[list[Cell]]]]:
    """Return the tables of the last of several folds, which is what the original study showed."""
    counts = results.folds[-1].confusion
    if counts is None or len(results.folds) == 1:
        return {}
    return {
        "recording": _matrices(results.labels, counts.recording),
        "segment": _matrices(results.labels, counts.segment),
    }


def _matrices(labels: list[str], counts: list[list[int]]) -> dict[str, list[list[Cell]]]:
    """Return the tables of one confusion: ``truth`` and ``prediction`` in percent, and ``counts``."""
    tables: dict[str, list[list[Cell]]] = {
        side: [
            [_share_cell(share, side, note) for share, note in zip(row, notes, strict=True)]
            for row, notes in zip(shares(counts, side), _notes(labels, counts), strict=True)
        ]
        for side in SIDES
    }
    largest = max(map(max, counts))
    ramp = figures.RAMPS["counts"]
    tables["counts"] = [
        [Cell(str(n), note, ramp.style(0.75 * n / largest)) for n, note in zip(row, notes, strict=True)]
        for row, notes in zip(counts, _notes(labels, counts), strict=True)
    ]
    return tables


def _share_cell(share: float, side: Side, note: str) -> Cell:
    text = "–" if np.isnan(share) else f"{100 * share:.0f}"
    return Cell(text, note, figures.RAMPS[side].style(float(np.nan_to_num(share))))


def _notes(labels: list[str], counts: list[list[int]]) -> list[list[str]]:
    return [
        [
            f"{truth} recognised: {count}" if truth == heard else f"{truth} taken for {heard}: {count}"
            for heard, count in zip(labels, row, strict=True)
        ]
        for truth, row in zip(labels, counts, strict=True)
    ]


# --- learning curves as SVG -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plot:
    """A plot's lines and ticks in the picture's units, 360 wide and 230 high."""

    title: str
    lines: list[str]
    mean: str
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]


LEFT, RIGHT, TOP, BOTTOM = 44, 350, 12, 186


def _plots(results: Results) -> list[Plot]:
    """Return the plots of what the training recorded: none, or loss and accuracy."""
    plots = []
    for name, title in (("loss", "Training loss"), ("accuracy", "Training accuracy")):
        if curves := _curves(results, name):
            plots.append(_plot(title, curves, in_percent=name == "accuracy"))
    return plots


def _curves(results: Results, name: str) -> list[figures.Curve]:
    """Return each fold's values by epoch; folds without any are left out."""
    curves = (
        [(at.epoch, value) for at in fold.curve if (value := getattr(at, name)) is not None] for fold in results.folds
    )
    return [curve for curve in curves if curve]


def _plot(title: str, curves: list[figures.Curve], in_percent: bool) -> Plot:
    first = min(epoch for curve in curves for epoch, _ in curve)
    last = max(epoch for curve in curves for epoch, _ in curve)
    y_values = MaxNLocator(4).tick_values(0, 1 if in_percent else max(v for c in curves for _, v in c))
    highest = float(y_values[-1])

    def x(epoch: float) -> float:
        return round(LEFT + (RIGHT - LEFT) * (epoch - first) / max(last - first, 1), 1)

    def y(value: float) -> float:
        return round(BOTTOM - (BOTTOM - TOP) * value / highest, 1)

    def points(curve: figures.Curve) -> str:
        return " ".join(f"{x(epoch)},{y(value)}" for epoch, value in curve)

    x_values = [v for v in MaxNLocator(5, integer=True).tick_values(first, last) if first <= v <= last]
    return Plot(
        title,
        [points(curve) for curve in curves],
        points(figures.mean_curve(curves)),
        [(x(value), f"{value:.0f}") for value in x_values],
        [(y(value), f"{100 * value:.0f} %" if in_percent else f"{value:g}") for value in y_values],
    )
