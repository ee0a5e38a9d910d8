"""The run folder: what was asked for, one result for each finished fold, and so where to go on after a kill.

    DIR/run.json                       what was asked for
    DIR/folds/repeat-0_fold-0.json     sizes, times and learning curve of a finished fold
    DIR/folds/repeat-0_fold-0.csv      its predictions
    DIR/results.json, predictions.csv  the end result

A fold counts as finished when its JSON is there, which is written last, and fits: it has the digest of both. A fold
that was cut short, or changed since, is done again from its beginning, with its own seed, and so ends with the same
numbers.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from thymos.cache import opened_seal, read_sealed, write_sealed
from thymos.corpora.folds import Fold
from thymos.errors import RunError
from thymos.files import MOST_TEXT_BYTES, bounded_bytes, is_unfinished, parsed_json
from thymos.scoring.predictions import FoldResult, read_predictions, write_predictions


@dataclass(frozen=True)
class RunFolder:
    """One run's folder on disk."""

    path: Path

    def check(self) -> None:
        """Check, before any work is done, that the folder may be a run's: it is new, empty, or holds one.

        Raises:
            RunError: it holds things that are no run.
        """
        if (self.path / "run.json").is_file() or not self.path.exists():
            return
        if not self.path.is_dir() or not all(map(is_unfinished, self.path.iterdir())):
            raise RunError(f"{self.path} exists and is not a run folder; choose another --out")

    def claim(self, asked: dict[str, Any]) -> None:
        """Make the folder this run's, or find that it already is.

        Raises:
            RunError: it holds a run of something else, or things that are no run.
        """
        file = self.path / "run.json"
        if file.is_file():
            before = self._asked_before(file)
            if before is None:
                raise RunError(f"{file} is damaged, or of an earlier version; choose another --out, or delete it")
            differing = _first_difference(before, json.loads(json.dumps(asked)))
            if differing:
                raise RunError(f"{self.path} holds a run with another {differing}; choose another --out, or delete it")
            return
        self.check()
        write_sealed(file, asked)

    def _asked_before(self, file: Path) -> dict[str, Any] | None:
        try:
            return opened_seal(parsed_json(bounded_bytes(file, MOST_TEXT_BYTES)), (), file.name)
        except (OSError, ValueError):
            return None

    def is_finished(self, fold: Fold) -> bool:
        """Return whether ``fold`` has a result that is as it was written; one that is not is said, and made again."""
        return self._facts(fold) is not None

    def save(self, fold: Fold, facts: dict[str, Any], predictions: pd.DataFrame) -> None:
        """Keep the result of ``fold``."""
        predicted = self._file(fold, ".csv")
        write_predictions(predicted, predictions)
        write_sealed(self._file(fold, ".json"), facts, [predicted])

    def load(self, fold: Fold) -> FoldResult:
        """Return what ``save`` kept.

        Raises:
            RunError: changed since.
        """
        facts = self._facts(fold)
        if facts is None:
            raise RunError(f"{self._file(fold, '.json')} was changed just now; run again")
        return facts, read_predictions(self._file(fold, ".csv"))

    def finish(self, results: dict[str, Any], predictions: pd.DataFrame) -> None:
        """Write the end result."""
        predicted = self.path / "predictions.csv"
        write_predictions(predicted, predictions)
        write_sealed(self.path / "results.json", results, [predicted])

    def results(self) -> dict[str, Any] | None:
        """Return the end result, or None where there is none that is as it was written."""
        return read_sealed(self.path / "results.json", [self.path / "predictions.csv"])

    def _facts(self, fold: Fold) -> dict[str, Any] | None:
        return read_sealed(self._file(fold, ".json"), [self._file(fold, ".csv")])

    def _file(self, fold: Fold, suffix: str) -> Path:
        return self.path / "folds" / f"repeat-{fold.repeat}_fold-{fold.index}{suffix}"


def _first_difference(before: Any, now: Any, where: str = "") -> str | None:
    """Return the dotted name of the first key whose values differ, or None."""
    if isinstance(before, dict) and isinstance(now, dict):
        for key in {**now, **before}:
            inner = _first_difference(before.get(key), now.get(key), f"{where}.{key}" if where else str(key))
            if inner:
                return inner
        return None
    return None if before == now else where
