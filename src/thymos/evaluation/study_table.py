"""The table of a study: what each row scored, and how it compares with another as a statement."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from thymos.errors import ProtocolError
from thymos.evaluation.study_plan import PlannedRow
from thymos.scoring.paired import Comparison, FinishedRun, compare_runs, holm_corrected, sentence
from thymos.scoring.results import LEVELS

_SPREAD = ("mean", "sd", "ci_low", "ci_high")
_NO_SCORE: dict[str, Any] = {"mean": None, "sd": None, "mean_ci95": (None, None)}


@dataclass(frozen=True)
class RowOutcome:
    """What became of a row: a run, or the reason why there is none."""

    row: PlannedRow
    run: FinishedRun | None = None
    curve: list[dict[str, Any]] = field(default_factory=list)
    """By epoch, on training and inner validation part of its first fold."""
    chosen: tuple[str, ...] = ()
    """Candidate chosen for each fold."""
    failure: str | None = None
    cells: int = 0
    wall_s: float = 0.0
    """Of its cells, added up."""


def study_table(outcomes: Sequence[RowOutcome]) -> list[dict[str, Any]]:
    """Return the table's rows, in order, as ``study.json`` has them. p-values are corrected over the whole table.

    Accuracies, intervals and differences are shares of one; differences are per recording.
    """
    compared = _comparisons(outcomes)
    return [_table_row(outcome, compared.get(outcome.row.name)) for outcome in outcomes]


def _comparisons(outcomes: Sequence[RowOutcome]) -> dict[str, Comparison | str]:
    """Return each row's comparison, or the reason why there is none."""
    runs = {outcome.row.name: outcome.run for outcome in outcomes}
    found: dict[str, Comparison] = {}
    reasons: dict[str, str] = {}
    for outcome in outcomes:
        row = outcome.row
        if row.compare_to is None or outcome.run is None:
            continue
        base = runs.get(row.compare_to)
        if base is None:
            reasons[row.name] = f"{row.compare_to} has no result"
            continue
        try:
            found[row.name] = compare_runs(base, outcome.run)
        except ProtocolError as error:
            reasons[row.name] = str(error)
    corrected = holm_corrected(list(found.values())) if found else []
    return {**reasons, **dict(zip(found, corrected, strict=True))}


def _table_row(outcome: RowOutcome, compared: Comparison | str | None) -> dict[str, Any]:
    row = outcome.row
    return {
        "row": row.name,
        "slug": row.slug,
        "group": row.group,
        "note": row.note,
        "recipe": row.experiment.name,
        "protocol": row.protocol,
        "failed": outcome.failure,
        "published": _published(outcome),
        "chosen": list(outcome.chosen),
        **_scores(outcome.run),
        "comparison": _comparison(row, compared),
        "curve": outcome.curve,
    }


def _published(outcome: RowOutcome) -> dict[str, Any] | None:
    """Return the published figure that the row stands beside: none of another corpus, none beside made-up sounds."""
    published = outcome.row.published
    if published is None or outcome.run is None:
        return None
    corpus = outcome.run.results["corpus"]
    own = published.corpus is None or (published.corpus in (corpus["kind"], corpus["name"]) and not corpus["synthetic"])
    return published.model_dump() if own else None


def _scores(run: FinishedRun | None) -> dict[str, Any]:
    if run is None:
        nothing = dict.fromkeys(("folds", "repeats", "clips", "parameters", "summary", "calibration"))
        return {**nothing, "levels": list(LEVELS), "absent": [], "by_fold": [], "per_speaker": []}
    results = run.results
    sizes = sorted({fold["parameters"] for fold in results["folds"]})
    return {
        "folds": len(results["folds"]) // results["protocol"]["repeats"],
        "repeats": results["protocol"]["repeats"],
        "clips": results["corpus"]["clips"],
        "absent": results["protocol"]["absent"],
        # A row that chooses may fit networks of several sizes.
        "parameters": sizes,
        "levels": results["levels"],
        "summary": results["summary"],
        "by_fold": [
            {"repeat": fold["repeat"], "fold": fold["fold"], **{level: fold[level] for level in LEVELS}}
            for fold in results["folds"]
        ],
        "per_speaker": results["per_speaker"],
        "calibration": results.get("calibration"),
    }


def _comparison(row: PlannedRow, compared: Comparison | str | None) -> dict[str, Any] | None:
    if compared is None or row.compare_to is None:
        return None
    if isinstance(compared, str):
        return {"to": row.compare_to, "none_because": compared}
    difference, interval = compared.estimate
    return {
        "to": row.compare_to,
        "none_because": None,
        "sentence": sentence(compared, row.compare_to, row.name),
        **compared.to_dict(),
        # The difference that goes with the interval and with p: the mean over folds, where there is a t-test.
        "difference": difference,
        "interval": list(interval),
    }


def csv_row(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of ``study_table`` as ``study.csv`` has it, in shares of one; None where something is not there."""
    published, comparison = row["published"] or {}, row["comparison"] or {}
    t_test, mcnemar = comparison.get("t_test") or {}, comparison.get("mcnemar") or {}
    low, high = comparison.get("interval") or (None, None)
    scores: dict[str, float | None] = {}
    for level, metric in (("segment", "accuracy"), ("recording", "accuracy"), ("recording", "uar")):
        score = row["summary"][level][metric] if row["summary"] else _NO_SCORE
        values = (score["mean"], score["sd"], *score["mean_ci95"])
        scores |= {f"{level}_{metric}_{name}": value for name, value in zip(_SPREAD, values, strict=True)}
    return {
        "row": row["row"],
        "group": row["group"],
        "protocol": row["protocol"],
        "folds": row["folds"],
        "repeats": row["repeats"],
        "clips": row["clips"],
        **scores,
        "macro_f1": row["summary"]["recording"]["macro_f1"]["mean"] if row["summary"] else None,
        "parameters": " ".join(map(str, row["parameters"] or [])),
        "compared_to": comparison.get("to"),
        "difference": comparison.get("difference"),
        "difference_ci_low": low,
        "difference_ci_high": high,
        "p_t": t_test.get("p"),
        "p_mcnemar": mcnemar.get("p"),
        "p_holm": comparison.get("p_holm"),
        "p_mcnemar_holm": comparison.get("mcnemar_p_holm"),
        "verdict": comparison.get("sentence") or comparison.get("none_because"),
        "published_accuracy": _share(published.get("accuracy")),
        "published_sd": _share(published.get("sd")),
        "chosen": "; ".join(row["chosen"]),
        "failed": row["failed"],
    }


def _share(percent: float | None) -> float | None:
    return None if percent is None else percent / 100
