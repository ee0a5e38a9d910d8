"""Folds of recipes of kind whole: fine-tune a pretrained network on whole recordings, score whole recordings.

Where the recipe asks for it, each fold's probabilities are calibrated: the network is fitted once more on an inner
split of the training part, and what that network says of the inner validation part gives the temperature and the
threshold of the prediction sets.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thymos.cnn.fit import Epoch
from thymos.corpora.protocols import Split
from thymos.corpora.table import Corpus, clip_names
from thymos.encoder.descriptions import decide, describe_recordings, layout, voice_network
from thymos.encoder.encoder_file import WEIGHTS, encoder_folder, read_encoder, resolved
from thymos.encoder.fine_tune import fine_tune
from thymos.encoder.fit_recordings import score_recordings
from thymos.encoder.level_spectrograms import Recordings, make_recordings, open_recordings
from thymos.encoder.recipe import WholeRecipe
from thymos.engine.workers import Report
from thymos.errors import LeakageError, RecipeError
from thymos.evaluation.calibrated_fit import fit_calibration
from thymos.evaluation.recording_folds import RecordingTask, Rows, recording_parts, recording_result
from thymos.evaluation.run import FoldResult
from thymos.scoring.calibration import apply_temperature


@dataclass(frozen=True, kw_only=True)
class WholeTask(RecordingTask):
    """All that a worker process needs to fit and score one fold."""

    recipe: WholeRecipe
    recordings_folder: Path
    descriptions_file: Path | None
    """Where the recipe has a discriminant."""


def check(corpus: Corpus, recipe: WholeRecipe) -> None:
    """Check that there is such an encoder, and that it has not been pretrained on what is going to be tested.

    Raises:
        RecipeError: there is none that can be used, or none that a discriminant can describe recordings with, or it
            lacks an emotion of ``corpus`` and nothing is fitted.
        LeakageError: it has seen recordings of ``corpus``; the message names them.
    """
    _, pretrained = resolved(recipe)
    unknown = [word for word in corpus.emotions if pretrained is not None and word not in pretrained.labels]
    if unknown and not recipe.learns:
        raise RecipeError(f"the encoder does not know {', '.join(unknown)}, and in 0 training.epochs nothing is learnt")
    if recipe.discriminant is not None:
        try:
            descriptors = layout(pretrained)["embedding"][1]
            own = None if pretrained is None else pretrained.discriminant
            if recipe.discriminant.fitted_to == "pretraining" and (own is None or len(own.mean) != descriptors):
                raise RecipeError(
                    "the encoder has no discriminant of its own that fits, and discriminant.fitted_to asks for it"
                )
        except ValueError as error:
            raise RecipeError(f"recipe {recipe.name} and its encoder do not go together: {error}") from None
    # Last: who trains and does not test may go on in spite of it.
    seen = [clip.path for clip in corpus.clips if pretrained is not None and pretrained.has_seen(clip)]
    if seen:
        raise LeakageError(f"the encoder was pretrained on {len(seen)} of these recordings: {clip_names(seen)}")


@dataclass(frozen=True)
class Material:
    """What all folds share: recordings in the order of the corpus's clips, and their descriptions where needed."""

    recordings: Recordings
    descriptions_file: Path | None


def steps(corpus: Corpus, recipe: WholeRecipe) -> int:
    """Return how many recordings ``prepare`` reads, and then describes."""
    return len(corpus.clips) * (1 if recipe.discriminant is None else 2)


def prepare(
    corpus: Corpus, recipe: WholeRecipe, cache_dir: Path, advance: Callable[[], None], threads: int, seed: int
) -> Material:
    """Return the recordings of ``corpus`` as pictures, and described by the encoder where a discriminant decides.

    What distorts their copies is drawn with ``seed``.
    """
    settings, pretrained = resolved(recipe)
    sources = [(corpus.root, clip) for clip in corpus.clips]
    recordings = make_recordings(sources, settings.features, recipe.speeds, cache_dir, advance, threads)
    if recipe.discriminant is None:
        return Material(recordings, None)
    return Material(recordings, describe_recordings(recordings, recipe, pretrained, cache_dir, advance, seed))


def tasks(corpus: Corpus, recipe: WholeRecipe, split: Split, material: Material, seed: int) -> list[WholeTask]:
    """Turn the folds of ``split`` into tasks; each fold's seed is drawn from ``seed`` and the fold's number.

    Raises:
        ProtocolError: the training part of a fold, or of an inner split of it, lacks an emotion of the corpus, or it
            cannot be divided further.
    """
    return [
        WholeTask(
            **parts,
            recipe=recipe,
            recordings_folder=material.recordings.folder,
            descriptions_file=material.descriptions_file,
        )
        for parts in recording_parts(corpus, split, recipe.calibration_splits, seed, recipe.learns)
    ]


def epochs(recipe: WholeRecipe) -> int:
    """Return how many epochs each fold reports, over all its members and inner fits."""
    return recipe.training.epochs * recipe.members * (1 + recipe.calibration_splits)


def deciding(recipe: WholeRecipe) -> dict[str, Any]:
    """Return the digest of the encoder that the recipe starts from."""
    folder = encoder_folder(recipe.start_from)
    return {} if folder is None else {"encoder": read_encoder(folder).about["sha256"][WEIGHTS]}


def run_whole_fold(task: WholeTask, report: Report) -> FoldResult:
    """Fit one fold and score its test part; ``report`` gets ``(fold name, epoch)`` after each epoch."""
    started = time.perf_counter()
    recipe, pretrained = resolved(task.recipe)
    recordings = open_recordings(task.recordings_folder)
    targets = np.array(task.targets, np.int64)
    curve: list[Epoch] = []

    def on_epoch(epoch: Epoch) -> None:
        curve.append(Epoch(len(curve) + 1, epoch.loss, epoch.accuracy))
        report((task.fold.name, curve[-1]))

    def logits_of(train: Rows, scored: Rows) -> tuple[NDArray[np.float64], int]:
        if recipe.discriminant is not None and task.descriptions_file is not None:
            discriminant = decide(recipe, pretrained, task.descriptions_file, targets, train, task.labels)
            speeds = recipe.discriminant.scored_speeds
            parameters = sum(parameter.numel() for parameter in voice_network(pretrained, discriminant).parameters())
            return discriminant.logits(task.descriptions_file, scored, speeds), parameters
        network = fine_tune(recipe, pretrained, recordings, targets, train, task.labels, task.seed, on_epoch)
        parameters = sum(parameter.numel() for parameter in network.parameters())
        return score_recordings(network, recordings, scored, recipe.features), parameters

    logits, parameters = logits_of(task.train, task.test)
    calibration = None
    if task.inner:
        inner = np.concatenate([logits_of(train, validation)[0] for train, validation in task.inner])
        truth = targets[np.concatenate([validation for _, validation in task.inner])]
        calibration = fit_calibration(inner, truth)
    facts: dict[str, Any] = {
        "parameters": parameters,
        "curve": [{"epoch": at.epoch, "loss": at.loss, "accuracy": at.accuracy} for at in curve],
    }
    if calibration:
        facts["calibration"] = calibration.as_json()
    temperature = calibration.temperature if calibration else 1.0
    return recording_result(task, apply_temperature(logits, temperature), started, facts)
