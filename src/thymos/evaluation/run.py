"""The run folder: what was asked for, one result for each finished fold, and so where to go on after a kill.

    DIR/run.json                       what was asked for
    DIR/folds/repeat-0_fold-0.json     sizes, times and learning curve of a finished fold
    DIR/folds/repeat-0_fold-0.csv      its predictions
    DIR/results.json, predictions.csv  the end result

A fold counts as finished when its JSON is there, which is written last. A fold that was cut short is done again from
its beginning, with its own seed, and so ends with the same numbers.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from thymos.corpora.folds import Fold
from thymos.errors import RunError
from thymos.files import is_unfinished, write_json
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
            try:
                before = json.loads(file.read_text(encoding="utf-8"))
            except ValueError:
                raise RunError(f"{file} is damaged; choose another --out") from None
            differing = _first_difference(before, json.loads(json.dumps(asked)))
            if differing:
                raise RunError(f"{self.path} holds a run with another {differing}; choose another --out, or delete it")
            return
        self.check()
        write_json(file, asked)

    def is_finished(self, fold: Fold) -> bool:
        """Return whether ``fold`` has a result."""
        return self._file(fold, ".json").is_file()

    def save(self, fold: Fold, facts: dict[str, Any], predictions: pd.DataFrame) -> None:
        """Keep the result of ``fold``."""
        write_predictions(self._file(fold, ".csv"), predictions)
        write_json(self._file(fold, ".json"), facts)

    def load(self, fold: Fold) -> FoldResult:
        """Return what ``save`` kept.

        Raises:
            RunError: damaged since.
        """
        file = self._file(fold, ".json")
        try:
            facts = json.loads(file.read_text(encoding="utf-8"))
        except ValueError:
            raise RunError(f"{file} is damaged; delete it and run again") from None
        return facts, read_predictions(self._file(fold, ".csv"))

    def results(self) -> dict[str, Any] | None:
        """Return the end result, or None where there is none that can be read."""
        try:
            results: dict[str, Any] = json.loads((self.path / "results.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return results

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
