"""Comparing any finished runs in one table: what ``thymos compare`` and ``thymos.compare`` do."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thymos.errors import ProtocolError, RunError
from thymos.scoring.metrics import Level
from thymos.scoring.paired import Comparison, FinishedRun, compare_runs, holm_corrected, sentence
from thymos.scoring.predictions import read_predictions
from thymos.scoring.results import read_results


@dataclass(frozen=True)
class ComparedRun:
    """One run of a table of comparisons."""

    name: str
    run: FinishedRun
    level: Level
    """What accuracy counts."""
    comparison: Comparison | None
    """With the table's base, corrected for the whole table; None for the base itself."""

    def verdict(self, base: str) -> str:
        """Return what the comparison with ``base`` shows, as a sentence; nothing for the base itself."""
        return "" if self.comparison is None else sentence(self.comparison, base, self.name)


@dataclass(frozen=True)
class ComparisonTable:
    """Several runs, each compared with the same base; p-values are corrected over the table by Holm's method."""

    base: str
    """Name of the run that the others are compared with."""
    level: Level
    """What accuracy counts."""
    runs: tuple[ComparedRun, ...]
    """The base first, the others in the order given."""

    def to_dict(self) -> dict[str, Any]:
        """Return the table as ``compare.json`` has it: accuracies, differences and intervals are shares of 1."""
        return {"format": 1, "base": self.base, "level": self.level, "runs": [self._row(each) for each in self.runs]}

    def _row(self, each: ComparedRun) -> dict[str, Any]:
        results, comparison = each.run.results, each.comparison
        return {
            "name": each.name,
            "recipe": each.run.name,
            "corpus": results["corpus"]["name"],
            "protocol": results["protocol"]["name"],
            "folds": len(results["folds"]),
            "seed": results["seed"],
            "accuracy": dict(results["summary"][self.level]["accuracy"]),
            "comparison": None if comparison is None else {**comparison.to_dict(), "verdict": each.verdict(self.base)},
        }


def compare(
    runs: Sequence[Path | str | FinishedRun],
    names: Sequence[str] | None = None,
    level: Level = "recording",
    base: int = 0,
) -> ComparisonTable:
    """Compare finished runs with one of them, and correct the p-values for one another.

    ```python
    table = thymos.compare(["runs/model1", "runs/model3"])
    print(table.runs[1].verdict(table.base))
    ```

    Args:
        runs: folders of ``thymos evaluate`` or of rows of a study, or what is in them; two or more.
        names: what the table calls them; None: their folders' or recipes' names.
        level: whether accuracy counts segments or recordings.
        base: place in ``runs`` of the one that the others are compared with.

    Raises:
        RunError: a folder holds no finished run.
        ProtocolError: fewer than two runs, names that are not one for each, or two runs that cannot be compared: no
            recording was tested by both, or one is labelled otherwise in the other.
        ValueError: there is no run at ``base``.
    """
    if len(runs) < 2:
        raise ProtocolError("a comparison needs at least two runs")
    if not 0 <= base < len(runs):
        raise ValueError(f"base must be 0 to {len(runs) - 1}, not {base}")
    read = [run if isinstance(run, FinishedRun) else read_run(Path(run)) for run in runs]
    called = _names(runs, read) if names is None else list(names)
    if len(called) != len(runs) or len(set(called)) != len(called):
        raise ProtocolError(f"{len(runs)} runs need as many different names, not {', '.join(called)}")
    others = [place for place in range(len(runs)) if place != base]
    found = []
    for place in others:
        try:
            found.append(compare_runs(read[base], read[place], level))
        except ProtocolError as error:
            raise ProtocolError(f"{called[base]} and {called[place]}: {error}") from None
    rows = [ComparedRun(called[base], read[base], level, None)]
    rows += [
        ComparedRun(called[place], read[place], level, comparison)
        for place, comparison in zip(others, holm_corrected(found), strict=True)
    ]
    return ComparisonTable(called[base], level, tuple(rows))


def _names(runs: Sequence[Path | str | FinishedRun], read: Sequence[FinishedRun]) -> list[str]:
    """Return folders' names, or recipes'; where two are alike, as much of the path as tells them apart, or a number."""
    paths = [None if isinstance(run, FinishedRun) else Path(run).resolve().parts for run in runs]
    names = [own.name if path is None else path[-1] for own, path in zip(read, paths, strict=True)]
    for depth in range(2, max([len(path) for path in paths if path] or [1]) + 1):
        often = Counter(names)
        names = [
            "/".join(path[-depth:]) if path and often[name] > 1 else name
            for name, path in zip(names, paths, strict=True)
        ]
    often = Counter(names)
    return [f"{name} ({place + 1})" if often[name] > 1 else name for place, name in enumerate(names)]


def read_run(folder: Path) -> FinishedRun:
    """Read the folder of a finished ``thymos evaluate``, or of a row of a study.

    Raises:
        RunError: it is none, is not finished, or is damaged.
    """
    if not folder.is_dir():
        raise RunError(f"{folder} is not a run folder: there is no such folder")
    if not (folder / "results.json").exists():
        if (folder / "study.json").exists():
            raise RunError(f"{folder} is a study's folder; the runs in it are the folders of {folder / 'rows'}")
        if not (folder / "run.json").exists():
            raise RunError(f"{folder} is not a run folder: it holds no results.json")
    results, predictions = read_results(folder), read_predictions(folder / "predictions.csv")
    named = {f"p_{label}" for label in results.labels} <= set(predictions.columns)
    if not named or not set(predictions["truth"]) <= set(results.labels):
        raise RunError(f"{folder / 'predictions.csv'} has other labels than the results.json beside it")
    return FinishedRun(results.as_json(), predictions)
