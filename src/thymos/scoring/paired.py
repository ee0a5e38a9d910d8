"""Comparing two runs as a statement: how much better, how sure, and by which test.

Three questions, three methods, all paired by recording or by fold:

- would another draw of the folds show the same? Corrected resampled t-test over matched folds (Nadeau & Bengio 2003);
- do these fitted networks err on different recordings? McNemar's test (McNemar 1947), which Dietterich (1998) advises
  where a model is fitted once; it takes the fitted networks as given, so it does not count the chance of fitting;
- how far could the difference stray with other recordings? Paired bootstrap over recordings, which also holds where
  the folds differ, and also takes the fitted networks as given.

Differences are always ``other`` minus ``base``, in shares of 1. Many comparisons in one table share one error rate by
Holm's correction (Holm 1979).

The tests themselves, and their sources, are in ``significance``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from thymos.errors import ProtocolError
from thymos.scoring.metrics import Floats, Interval, Level
from thymos.scoring.predictions import scored_recordings, scored_segments
from thymos.scoring.results import recipe_name
from thymos.scoring.significance import ALPHA, McNemar, TTest, bootstrap_difference, corrected_t_test, holm, mcnemar

_SCORED = {"segment": scored_segments, "recording": scored_recordings}
_FOLD = ["repeat", "fold"]


@dataclass(frozen=True)
class FinishedRun:
    """What a comparison needs of a run: the content of ``results.json`` and of ``predictions.csv``."""

    results: Mapping[str, Any]
    predictions: pd.DataFrame

    @property
    def name(self) -> str:
        """The recipe's name."""
        return recipe_name(self.results["recipe"])

    def _repr_html_(self) -> str:
        """What a notebook shows: recipe, corpus, protocol, and the summary over recordings."""
        from thymos.runtime.notebook import facts_html

        corpus, protocol = (self.results[part]["name"] for part in ("corpus", "protocol"))
        scores = self.results["summary"]["recording"]
        facts = {}
        for metric in ("accuracy", "uar", "macro_f1"):
            mean, sd = scores[metric]["mean"], scores[metric]["sd"]
            facts[metric] = f"{mean:.3f}" + ("" if sd is None else f" ± {sd:.3f}")
        return facts_html(f"{self.name} on {corpus}, protocol {protocol}, {len(self.results['folds'])} folds", facts)


@dataclass(frozen=True)
class Comparison:
    """Two runs side by side, on the recordings that both tested."""

    level: Level
    """What accuracy counts: segments, or recordings. McNemar's test always counts recordings."""
    recordings: int
    """How many both tested; nothing else enters."""
    base_only: int
    """Recordings that only the base tested."""
    other_only: int
    """Recordings that only the other tested."""
    base_accuracy: float
    """Pooled over folds and repeats."""
    other_accuracy: float
    """Pooled over folds and repeats."""
    difference: float
    """Of the pooled accuracies."""
    bootstrap_ci95: Interval
    """Of ``difference``."""
    t_test: TTest | None
    no_t_test: str | None
    """Why there is no t-test; None where there is one."""
    mcnemar: McNemar
    p_holm: float | None = None
    """``p`` after Holm's correction over a table."""
    mcnemar_p_holm: float | None = None
    """McNemar's p after Holm's correction over the same table."""

    @property
    def p(self) -> float:
        """The p-value that decides: the t-test's, or McNemar's where there is none."""
        return self.t_test.p if self.t_test else self.mcnemar.p

    @property
    def estimate(self) -> tuple[float, Interval]:
        """The difference and its 95 % interval that go with ``p``: the t-test's, or the bootstrap's."""
        if self.t_test:
            return self.t_test.difference, self.t_test.ci95
        return self.difference, self.bootstrap_ci95

    @property
    def shown(self) -> bool:
        """Whether a difference may be claimed: p (corrected, where it is) is small and the interval leaves out 0."""
        _, (low, high) = self.estimate
        p = self.p if self.p_holm is None else self.p_holm
        return p <= ALPHA and not low <= 0 <= high

    def to_dict(self) -> dict[str, Any]:
        """Return the fields, and ``p`` and ``shown``, as JSON has them."""
        return asdict(self, dict_factory=_json_fields) | {"p": self.p, "shown": self.shown}


def compare_runs(base: FinishedRun, other: FinishedRun, level: Level = "recording", seed: int = 0) -> Comparison:
    """Compare the accuracy of two runs on the recordings, matched by clip path, that both tested.

    Folds are matched by repeat and fold number. The t-test is left out, with the reason, unless all that match have
    equal sets of test clips and equally many training clips.

    McNemar's test takes one decision per recording: the first time it was tested (lowest repeat, then fold). A vote
    over repeats would judge an ensemble that neither run has.

    Args:
        base: what ``other`` is compared with.
        other: the difference is its accuracy minus the base's.
        level: whether accuracy counts segments or recordings.
        seed: of the bootstrap.

    Raises:
        ProtocolError: no recording was tested by both, or the runs do not agree on the recordings' labels.
    """
    base_rows, other_rows = _decisions(base, level), _decisions(other, level)
    base_clips, other_clips = set(base_rows["clip"]), set(other_rows["clip"])
    clips = sorted(base_clips & other_clips)
    if not clips:
        raise ProtocolError("the two runs have no test recording in common, so there is nothing to compare")
    _check_same_truth(base_rows, other_rows)
    base_counts, other_counts = _hits_and_total(base_rows, clips), _hits_and_total(other_rows, clips)
    base_accuracy, other_accuracy = _accuracy(base_counts), _accuracy(other_counts)
    t_test, no_t_test = None, None
    try:
        t_test = corrected_t_test(*_fold_differences(base, other, base_rows, other_rows))
    except ProtocolError as error:
        no_t_test = str(error)
    return Comparison(
        level=level,
        recordings=len(clips),
        base_only=len(base_clips - other_clips),
        other_only=len(other_clips - base_clips),
        base_accuracy=base_accuracy,
        other_accuracy=other_accuracy,
        difference=other_accuracy - base_accuracy,
        bootstrap_ci95=bootstrap_difference(base_counts, other_counts, seed),
        t_test=t_test,
        no_t_test=no_t_test,
        mcnemar=mcnemar(_first_decisions(base, clips), _first_decisions(other, clips)),
    )


def holm_corrected(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """Return the comparisons of one table with their p-values corrected for one another.

    The p-values that decide are one family; McNemar's, where they are shown beside them, another.
    """
    deciding = holm([comparison.p for comparison in comparisons])
    of_mcnemar = holm([comparison.mcnemar.p for comparison in comparisons])
    return [
        replace(comparison, p_holm=float(p), mcnemar_p_holm=float(q))
        for comparison, p, q in zip(comparisons, deciding, of_mcnemar, strict=True)
    ]


def sentence(comparison: Comparison, base_name: str, other_name: str) -> str:
    """Say what the comparison shows, in percentage points; a difference that was not shown is not claimed."""
    difference, (low, high) = comparison.estimate
    side = "below" if difference < 0 else "above"
    if comparison.shown:
        bounds = (-high, -low) if difference < 0 else (low, high)
        return f"{other_name} is {points(abs(difference))} points {side} {base_name} ({_evidence(comparison, *bounds)})"
    return (
        f"no difference was shown between {other_name} and {base_name} "
        f"({other_name} {points(abs(difference))} points {side}; {_evidence(comparison, low, high)})"
    )


def _evidence(comparison: Comparison, low: float, high: float) -> str:
    kind, test = ("95 % interval", "p") if comparison.t_test else ("95 % bootstrap interval", "McNemar's p")
    p = comparison.p if comparison.p_holm is None else comparison.p_holm
    # Holm's correction moves p alone. Where only that keeps a difference from being claimed, the interval must say so.
    uncorrected = " before correction" if p > ALPHA and not low <= 0 <= high else ""
    corrected = "" if comparison.p_holm is None else " after Holm's correction"
    shown_p = "< 0.001" if p < 0.001 else f"= {p:.3f}"
    # The bootstrap and McNemar's test know nothing of other folds and fits.
    given = "" if comparison.t_test else ", on one drawing of the folds"
    return f"{kind} {points(low)} to {points(high)}{uncorrected}; {test} {shown_p}{corrected}{given}"


def points(share: float) -> str:
    """Return a share of one in percent or points, with a true minus and no minus zero."""
    text = f"{100 * share:.1f}"
    return "0.0" if text == "-0.0" else text.replace("-", "−")


def _json_fields(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in fields}


def _decisions(run: FinishedRun, level: Level) -> pd.DataFrame:
    """One row per decision, by repeat and fold: ``clip``, ``repeat``, ``fold``, ``truth`` (word), ``right``."""
    labels = tuple(run.results["labels"])
    scored = _SCORED[level](run.predictions, labels)
    columns = {
        "clip": scored.clips,
        "repeat": scored.folds[:, 0],
        "fold": scored.folds[:, 1],
        "truth": np.array(labels)[scored.truth],
        "right": scored.predicted == scored.truth,
    }
    return pd.DataFrame(columns).sort_values([*_FOLD, "clip"], kind="stable", ignore_index=True)


def _check_same_truth(base_rows: pd.DataFrame, other_rows: pd.DataFrame) -> None:
    base, other = (dict(zip(rows["clip"], rows["truth"], strict=True)) for rows in (base_rows, other_rows))
    differing = sorted(clip for clip in base.keys() & other.keys() if base[clip] != other[clip])
    if differing:
        raise ProtocolError(
            f"{len(differing)} recordings are labelled differently in the two runs, {differing[0]} for one "
            f"({base[differing[0]]} and {other[differing[0]]}): they cannot be compared"
        )


def _hits_and_total(rows: pd.DataFrame, clips: list[str]) -> Floats:
    """Right decisions and decisions of each clip, shape ``(clips, 2)``."""
    return rows.groupby("clip")["right"].agg(["sum", "count"]).loc[clips].to_numpy(np.float64)


def _accuracy(counts: Floats) -> float:
    hits, total = counts.sum(0)
    return float(hits / total)


def _first_decisions(run: FinishedRun, clips: list[str]) -> NDArray[np.bool_]:
    rows = _decisions(run, "recording").drop_duplicates("clip")
    return rows.set_index("clip")["right"].loc[clips].to_numpy(np.bool_)


def _fold_differences(
    base: FinishedRun, other: FinishedRun, base_rows: pd.DataFrame, other_rows: pd.DataFrame
) -> tuple[list[float], float, float]:
    """Accuracy differences over the folds that both runs have, and the mean sizes of their training and test parts.

    Raises:
        ProtocolError: folds of one number are not the same fold.
    """
    base_folds, other_folds = dict(list(base_rows.groupby(_FOLD))), dict(list(other_rows.groupby(_FOLD)))
    base_sizes, other_sizes = _training_clips(base), _training_clips(other)
    differences, train_sizes, test_sizes = [], [], []
    for key in sorted(base_folds.keys() & other_folds.keys()):
        tested = set(base_folds[key]["clip"])
        if tested != set(other_folds[key]["clip"]):
            raise ProtocolError(f"the folds differ: {_fold_name(key)} tests other recordings in one run than the other")
        if base_sizes[key] != other_sizes[key]:
            raise ProtocolError(
                f"the folds differ: {_fold_name(key)} trains on {base_sizes[key]} recordings in one run "
                f"and {other_sizes[key]} in the other"
            )
        differences.append(float(other_folds[key]["right"].mean() - base_folds[key]["right"].mean()))
        train_sizes.append(base_sizes[key])
        test_sizes.append(len(tested))
    if not differences:
        raise ProtocolError("the folds differ: the two runs share none")
    return differences, float(np.mean(train_sizes)), float(np.mean(test_sizes))


def _training_clips(run: FinishedRun) -> dict[Any, int]:
    return {(fold["repeat"], fold["fold"]): fold["train_clips"] for fold in run.results["folds"]}


def _fold_name(key: Any) -> str:
    repeat, fold = key
    return f"repeat {repeat + 1} fold {fold + 1}"
