"""What calibration was worth: ECE before and after, and the coverage of prediction sets, over the outer folds.

Temperatures and thresholds come from inner splits of each fold's training part; here they meet its test part.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from thymos.scoring.calibration import apply_temperature, expected_calibration_error, log_probabilities
from thymos.scoring.conformal import Conformal, set_quality, set_quality_by_group
from thymos.scoring.predictions import FoldResult, scored_recordings


def calibration_summary(fold_results: Sequence[FoldResult], labels: tuple[str, ...]) -> dict[str, Any] | None:
    """Return ``ece_before``, ``ece_after``, ``temperatures`` and ``sets`` (all, by speaker, by emotion).

    None where the folds were not calibrated.
    """
    if not fold_results or not all("calibration" in facts for facts, _ in fold_results):
        return None
    before, after, sets, truth, clips, speakers = [], [], [], [], [], []
    for facts, frame in fold_results:
        scored = scored_recordings(frame, labels)
        told = facts["calibration"]
        conformal = Conformal(**told["conformal"] | {"threshold": _threshold(told["conformal"]["threshold"])})
        # Dividing by the temperature is undone by multiplying: what the network itself said.
        before.append(apply_temperature(log_probabilities(scored.probabilities), 1 / told["temperature"]))
        after.append(scored.probabilities)
        sets.append(conformal.sets(scored.probabilities))
        truth.append(scored.truth)
        clips.append(scored.clips)
        speakers.append(scored.speakers)
    all_truth, all_clips, all_sets = np.concatenate(truth), np.concatenate(clips), np.concatenate(sets)
    emotions = np.array(labels)[all_truth]
    by_speaker = set_quality_by_group(all_sets, all_truth, np.concatenate(speakers))
    by_speaker.pop("", None)  # of whom it is not known who they are
    by_emotion = set_quality_by_group(all_sets, all_truth, emotions)
    return {
        "temperatures": [facts["calibration"]["temperature"] for facts, _ in fold_results],
        "ece_before": asdict(expected_calibration_error(np.concatenate(before), all_truth, all_clips)),
        "ece_after": asdict(expected_calibration_error(np.concatenate(after), all_truth, all_clips)),
        "asked_coverage": fold_results[0][0]["calibration"]["conformal"]["coverage"],
        "sets": asdict(set_quality(all_sets, all_truth)),
        "sets_by_speaker": {word: asdict(quality) for word, quality in by_speaker.items()},
        "sets_by_emotion": {word: asdict(quality) for word, quality in by_emotion.items()},
    }


def _threshold(kept: float | None) -> float:
    """JSON has no infinity: None is a threshold that lets every label in."""
    return np.inf if kept is None else kept
