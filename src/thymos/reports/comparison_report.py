"""A table of comparisons for a terminal, as CSV, Markdown, LaTeX and JSON, and as a forest plot."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from rich.markup import escape
from rich.table import Table

from thymos.errors import RunError
from thymos.files import FIGURE_FORMATS, is_unfinished, write_csv, write_json, write_text
from thymos.reports.figures import save_figure
from thymos.reports.forest import ForestRow, Mark, forest_figure, make_forest
from thymos.reports.tables import PaperTable, in_field, table_latex, table_markdown
from thymos.scoring.comparison import ComparedRun, ComparisonTable
from thymos.scoring.paired import points

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
