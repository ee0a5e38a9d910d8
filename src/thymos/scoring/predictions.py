"""Predictions of an evaluation, segment by segment, and the CSV file that keeps them."""

import csv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from thymos.errors import RunError
from thymos.escaping import csv_cell, from_csv_cell
from thymos.files import whole_file
from thymos.labels import DIMENSIONS

FoldResult = tuple[dict[str, Any], pd.DataFrame]
"""A fold's facts (sizes, times, learning curve) and its predictions (see ``predictions_frame``)."""

_NOT_TOLD = {f"{side}_{name}": [""] for side in ("true", "predicted") for name in DIMENSIONS}
"""Fields that may be empty."""
_WORDS = ("clip", "speaker", "truth")
_FIXED = ("clip", "start_s", "end_s", "repeat", "fold", "speaker", "truth")


@dataclass(frozen=True)
class Scored:
    """Things that were scored, one row each: segments, or recordings.

    Attributes:
        clips: clip path of each row.
        speakers: its speaker, or "".
        folds: ``(repeat, fold)``, shape ``(rows, 2)``.
        truth: index of the true label, shape ``(rows,)``.
        probabilities: shape ``(rows, labels)``.
    """

    clips: NDArray[np.str_]
    speakers: NDArray[np.str_]
    folds: NDArray[np.int64]
    truth: NDArray[np.int64]
    probabilities: NDArray[np.float64]

    @property
    def predicted(self) -> NDArray[np.int64]:
        """Index of the most probable label of each row."""
        best: NDArray[np.int64] = self.probabilities.argmax(1)
        return best

    def where(self, rows: NDArray[np.bool_]) -> "Scored":
        """Return some of the rows."""
        return Scored(
            self.clips[rows],
            self.speakers[rows],
            self.folds[rows],
            self.truth[rows],
            self.probabilities[rows],
        )


def true_column(dimension: str) -> str:
    """Return the column of ``predictions.csv`` that holds the true value of a dimension."""
    return f"true_{dimension}"


def predicted_column(dimension: str) -> str:
    """Return the column of ``predictions.csv`` that holds the predicted value of a dimension."""
    return f"predicted_{dimension}"


def write_predictions(path: Path, frame: pd.DataFrame) -> None:
    """Write predictions whole. Probabilities keep seven digits: every score made of the file is the same again."""
    with whole_file(path) as temporary:
        _with_words(frame, csv_cell).to_csv(
            temporary,
            index=False,
            float_format="%.7g",
            quoting=csv.QUOTE_MINIMAL,
            lineterminator="\n",
            errors="backslashreplace",
        )


def read_predictions(path: Path) -> pd.DataFrame:
    """Read what ``write_predictions`` wrote.

    Raises:
        RunError: not there, or not such a file.
    """
    try:
        frame = pd.read_csv(
            path, dtype={"clip": str, "speaker": str, "truth": str}, keep_default_na=False, na_values=_NOT_TOLD
        )
    except (OSError, ValueError) as error:
        raise RunError(f"{path} cannot be read: {error}") from None
    if tuple(frame.columns[: len(_FIXED)]) != _FIXED:
        raise RunError(f"{path} is not a table of predictions")
    return _with_words(frame, from_csv_cell)


def _with_words(frame: pd.DataFrame, change: Callable[[str], str]) -> pd.DataFrame:
    """Return ``frame`` with ``change`` of the words in its columns of words, none of them most often."""
    changed = {}
    for name in _WORDS:
        if name in frame and any(change(word) != word for word in frame[name].unique()):
            changed[name] = frame[name].map(change)
    return frame.assign(**changed) if changed else frame


def predictions_frame(
    clips: list[str],
    times_s: NDArray[np.float64],
    fold: tuple[int, int],
    speakers: list[str],
    truth: list[str],
    labels: tuple[str, ...],
    probabilities: NDArray[np.float64],
) -> pd.DataFrame:
    """Return the rows of one fold's test segments."""
    columns: dict[str, object] = {
        "clip": clips,
        "start_s": times_s[:, 0].round(4),
        "end_s": times_s[:, 1].round(4),
        "repeat": fold[0],
        "fold": fold[1],
        "speaker": speakers,
        "truth": truth,
    }
    columns |= {f"p_{label}": probabilities[:, i] for i, label in enumerate(labels)}
    return pd.DataFrame(columns)


def scored_segments(frame: pd.DataFrame, labels: tuple[str, ...]) -> Scored:
    """Return the rows of a predictions table."""
    return Scored(
        clips=frame["clip"].to_numpy(str),
        speakers=frame["speaker"].to_numpy(str),
        folds=frame[["repeat", "fold"]].to_numpy(np.int64),
        truth=np.array([labels.index(word) if labels else 0 for word in frame["truth"]], np.int64),
        probabilities=frame[[f"p_{label}" for label in labels]].to_numpy(np.float64),
    )


def scored_recordings(frame: pd.DataFrame, labels: tuple[str, ...]) -> Scored:
    """Return one row for each recording and repeat: its probabilities are the mean of its segments'."""
    keys = ["repeat", "fold", "clip", "speaker", "truth"]
    means = frame.groupby(keys, sort=True, as_index=False)[[f"p_{label}" for label in labels]].mean()
    return scored_segments(means, labels)
