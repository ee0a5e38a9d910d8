"""A recogniser from a whole corpus: a network fitted to all of it, and what inner splits tell about its answers."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from thymos.cnn.fit import Epoch
from thymos.corpora.protocols import Split
from thymos.corpora.table import Corpus
from thymos.encoder import experiment as whole_folds
from thymos.encoder.attentive import EmotionNetwork
from thymos.encoder.bundle_writer import Recogniser
from thymos.encoder.descriptions import decide, voice_network
from thymos.encoder.encoder_file import WEIGHTS, Pretrained, resolved
from thymos.encoder.fine_tune import fine_tune
from thymos.encoder.level_spectrograms import Recordings
from thymos.encoder.recipe import WholeRecipe
from thymos.encoder.voice_network import VoiceNetwork
from thymos.errors import LeakageError
from thymos.evaluation.calibrated_fit import (
    ACCEPTANCE,
    Calibration,
    Heard,
    fit_calibration,
    fit_familiarity,
    hear,
    held_out_parts,
)
from thymos.runtime.bundle import FamiliarityAbout
from thymos.scoring.metrics import confusion, scores
from thymos.scoring.results import describe_corpus, versions

Network = EmotionNetwork | VoiceNetwork


@dataclass(frozen=True)
class Made:
    """A recogniser, and what its bundle says of it."""

    recogniser: Recogniser
    about: dict[str, Any]


def make_recogniser(
    corpus: Corpus,
    recipe: WholeRecipe,
    cache_dir: Path,
    seed: int,
    on_recording: Callable[[], None] = lambda: None,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    threads: int = 2,
) -> Made:
    """Fit ``recipe`` to all recordings of ``corpus``, and calibrate it on the recipe's ``calibration_splits``.

    Args:
        corpus: without what the recipe leaves out.
        recipe: how; with no calibration splits, the bundle has neither temperature nor sets nor a familiar distance.
        cache_dir: where pictures are kept.
        seed: of all draws.
        on_recording: called after each recording is read.
        on_epoch: called after each epoch of each fit; ``whole_folds.epochs`` says how many there are.
        threads: recordings read at once.

    Raises:
        RecipeError: the encoder that it starts from cannot be used.
        LeakageError: that encoder was pretrained on these recordings, so calibrating on them would promise too much.
        ProtocolError: the corpus is too small to be calibrated on.
        TrainingError: the loss stopped being a number.
    """
    try:
        whole_folds.check(corpus, recipe)
    except LeakageError:
        if recipe.calibration_splits:
            raise
    settings, pretrained = resolved(recipe)
    split = held_out_parts(corpus, recipe.calibration_splits, seed) if recipe.calibration_splits else None
    material = whole_folds.prepare(corpus, recipe, cache_dir, on_recording, threads, seed)
    recordings = material.recordings
    labels = corpus.emotions
    targets = np.array([labels.index(clip.emotion) for clip in corpus.clips], np.int64)
    epochs = 0

    def note(epoch: Epoch) -> None:
        nonlocal epochs
        epochs += 1
        on_epoch(Epoch(epochs, epoch.loss, epoch.accuracy))

    def fit(rows: list[int]) -> Network:
        if settings.discriminant is not None and material.descriptions_file is not None:
            fitted = decide(settings, pretrained, material.descriptions_file, targets, rows, labels)
            return voice_network(pretrained, fitted)
        return fine_tune(settings, pretrained, recordings, targets, rows, labels, seed, note)

    network = fit(list(range(len(targets))))
    about = _about(corpus, recipe, pretrained, seed)
    scored = settings.discriminant.scored_speeds if settings.discriminant else 1
    recogniser = Recogniser(network, settings.features, settings.model, labels, None, settings.speeds[:scored])
    if split is None:
        return Made(recogniser, about)
    return _calibrated(recogniser, about, fit, split, corpus, recordings, targets)


def _about(corpus: Corpus, recipe: WholeRecipe, pretrained: Pretrained | None, seed: int) -> dict[str, Any]:
    trained_on = [describe_corpus(corpus) | {"stage": "training"}]
    about: dict[str, Any] = {"kind": recipe.kind, "name": recipe.name, "recipe": recipe.model_dump(mode="json")}
    if pretrained is not None:
        trained_on += [row | {"stage": "pretraining"} for row in pretrained.about.get("trained_on", [])]
        about["start_from"] = {"sha256": pretrained.about["sha256"][WEIGHTS]}
    return about | {"trained_on": trained_on, "seed": seed, "versions": versions()}


def _calibrated(
    recogniser: Recogniser,
    about: dict[str, Any],
    fit: Callable[[list[int]], Network],
    split: Split,
    corpus: Corpus,
    recordings: Recordings,
    targets: np.ndarray[tuple[int], np.dtype[np.int64]],
) -> Made:
    """Fit once more on each split, and add what its network says of what it was not fitted to."""
    features, classes, speeds = recogniser.features, len(recogniser.labels), len(recogniser.speeds)
    place = {clip.path: i for i, clip in enumerate(corpus.clips)}
    known: list[Heard] = []
    others: list[Heard] = []
    rows: list[int] = []
    for fold in split.folds:
        train, held_out = ([place[path] for path in paths] for paths in (fold.train, fold.test))
        network = fit(train)
        known.append(hear(network, recordings, train, features, speeds))
        others.append(hear(network, recordings, held_out, features, speeds))
        rows += held_out
    logits, truth = np.concatenate([heard.logits for heard in others]), targets[rows]
    calibration: Calibration = fit_calibration(logits, truth)
    final = hear(recogniser.network, recordings, range(len(targets)), features).embeddings
    gaussian = fit_familiarity([heard.embeddings for heard in known], [heard.embeddings for heard in others], final)
    description = FamiliarityAbout(threshold=gaussian.threshold, acceptance=ACCEPTANCE, rows=len(rows))
    held_out_scores = scores(confusion(truth, logits.argmax(1), classes))
    about = about | calibration.as_json()
    about["scores"] = [
        {
            "corpus": corpus.root.name,
            "protocol": split.name,
            "of": "networks fitted like this one to the training parts of the calibration splits",
            "splits": len(split.folds),
            "recordings": len(rows),
            **held_out_scores,
        }
    ]
    return Made(replace(recogniser, familiarity=(gaussian, description)), about)
