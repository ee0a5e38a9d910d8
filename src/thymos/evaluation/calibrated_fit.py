"""What goes with a network's logits: a temperature, prediction sets, and how far familiar recordings reach.

A recipe of kind whole is fitted once more on inner splits of what it is fitted to. What the networks of these say of
recordings that they were not fitted to gives all three.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from math import isfinite
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thymos.corpora.protocols import INNER_FOLDS, LeaveOneSpeakerOut, RecordingFolds, Split
from thymos.corpora.table import Corpus
from thymos.encoder.attentive import EmotionNetwork
from thymos.encoder.level_mel import LevelMelSettings, scale_levels
from thymos.encoder.level_spectrograms import Recordings
from thymos.encoder.voice_network import VoiceNetwork
from thymos.errors import ProtocolError
from thymos.runtime.out_of_distribution import Familiarity, fit_gaussian
from thymos.scoring.calibration import apply_temperature, fit_temperature
from thymos.scoring.conformal import Conformal, fit_conformal

Rows = Sequence[int]

ACCEPTANCE = 0.95
"""Share of held-out recordings of the training corpus that shall be familiar."""
DIRECTIONS = 32
"""Principal directions of embeddings that get a variance of their own."""
LEAST_HELD_OUT = 20
"""With fewer, a 95th percentile is no more than the largest of a handful."""
LEAST_SPEAKERS = 3
"""With fewer, leaving one out would leave hardly any variety to train on."""


@dataclass(frozen=True)
class Heard:
    """What a network says of recordings: logits ``(rows, classes)``, embeddings ``(rows, E)``; float64, float32."""

    logits: NDArray[np.float64]
    embeddings: NDArray[np.float32]


@dataclass(frozen=True)
class Calibration:
    """What goes with a network's logits."""

    temperature: float
    conformal: Conformal

    def as_json(self) -> dict[str, Any]:
        """Return it as ``results.json`` has it; infinity, which is no JSON, as None: every label is in every set."""
        threshold = self.conformal.threshold if isfinite(self.conformal.threshold) else None
        return {"temperature": self.temperature, "conformal": asdict(self.conformal) | {"threshold": threshold}}


def hear(
    network: EmotionNetwork | VoiceNetwork,
    recordings: Recordings,
    rows: Rows,
    features: LevelMelSettings,
    speeds: int = 1,
) -> Heard:
    """Return what ``network`` says of whole recordings, one by one and in float32.

    Logits are the mean over the first ``speeds`` of the recordings' speeds; embeddings are those of the first.
    """
    network.eval()
    logits, embeddings = [], []
    with torch.inference_mode():
        for row in rows:
            answers = [_answer(network, recordings.levels(row, speed), features) for speed in range(speeds)]
            logits.append(torch.stack([answer for answer, _ in answers]).mean(0))
            embeddings.append(answers[0][1])
    return Heard(torch.stack(logits).double().numpy(), torch.stack(embeddings).numpy())


def _answer(
    network: EmotionNetwork | VoiceNetwork, levels: Tensor, features: LevelMelSettings
) -> tuple[Tensor, Tensor]:
    """Return logits ``(classes,)`` and embedding ``(E,)`` of one recording."""
    if isinstance(network, VoiceNetwork):
        described = network.describer(levels)
        return network.decide(described.description)[0], described.embedding[0]
    embedding = network.encoder(scale_levels(levels, features)).embedding
    return network.head(embedding)[0], embedding[0]


def fit_calibration(logits: NDArray[np.float64], truth: NDArray[np.int64]) -> Calibration:
    """Return the calibration that fits ``logits`` of held-out recordings, shape ``(rows, classes)``."""
    temperature = fit_temperature(logits, truth)
    return Calibration(temperature, fit_conformal(apply_temperature(logits, temperature), truth))


def fit_familiarity(
    known: Sequence[NDArray[np.float32]], held_out: Sequence[NDArray[np.float32]], final: NDArray[np.float32]
) -> Familiarity:
    """Return what is familiar to a final network.

    Distances are counted in standard deviations, so the threshold that lets ``ACCEPTANCE`` of the held-out recordings
    pass is carried over from the networks of the inner splits to the final one, which has no held-out recordings.

    Args:
        known: of each inner split's network, embeddings of the recordings that it was fitted to.
        held_out: of each, those of the recordings that it was not fitted to.
        final: of the final network, embeddings of the recordings that it was fitted to.
    """
    distances = np.sort(
        np.concatenate(
            [
                Familiarity(fit_gaussian(own, DIRECTIONS), np.inf).distances(others)
                for own, others in zip(known, held_out, strict=True)
            ]
        )
    )
    # The rank that promises the share to one more recording like these, as in split-conformal prediction.
    rank = min(int(np.ceil(round((len(distances) + 1) * ACCEPTANCE, 9))), len(distances))
    return Familiarity(fit_gaussian(final, DIRECTIONS), float(distances[rank - 1]))


def held_out_parts(corpus: Corpus, most: int, seed: int) -> Split:
    """Divide a whole corpus for calibration, into at most ``most`` splits.

    Speakers are held out where there are enough of them, since those that a model meets in use are new to it; else
    recordings are.

    Raises:
        ProtocolError: the corpus is too small to be divided, or to be calibrated on.
    """
    speakers = {clip.speaker for clip in corpus.clips}
    by_speaker = len(speakers) >= LEAST_SPEAKERS and "" not in speakers
    split = (LeaveOneSpeakerOut() if by_speaker else RecordingFolds(INNER_FOLDS)).split(corpus, seed)
    split = replace(split, folds=split.folds[:most])
    emotion = {clip.path: clip.emotion for clip in corpus.clips}
    for fold in split.folds:
        lacking = set(corpus.emotions) - {emotion[path] for path in fold.train}
        if lacking:
            raise ProtocolError(f"calibration leaves no recording of {', '.join(sorted(lacking))} to train on")
    held_out = sum(len(fold.test) for fold in split.folds)
    if held_out < LEAST_HELD_OUT:
        raise ProtocolError(f"{held_out} held-out recordings are too few to calibrate on; {LEAST_HELD_OUT} are needed")
    return split
