"""Supervised pretraining on several corpora at once, with one emotion vocabulary."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from thymos.corpora.table import Clip, Corpus
from thymos.encoder.attentive import AttentiveEncoder, EmotionHead, EmotionNetwork
from thymos.encoder.decision import Descriptions, Discriminant, fit_across_corpora
from thymos.encoder.fit_recordings import Batch, Lesson, fit_recordings, score_recordings
from thymos.encoder.level_spectrograms import Recordings, make_recordings
from thymos.encoder.recipe import PretrainingRecipe
from thymos.encoder.voice_statistics import VoiceDescriber
from thymos.errors import CorpusError
from thymos.experiment import Epoch
from thymos.labels import in_order


@dataclass(frozen=True)
class PretrainingResult:
    """A pretrained network, the emotions that its head knows, what it was fitted to, and how it scored."""

    network: EmotionNetwork
    labels: tuple[str, ...]
    seen: list[Clip]
    curve: tuple[Epoch, ...]
    validation: list[dict[str, Any]]
    """For each corpus with held-out speakers: its name, recordings, and UAR among its own emotions."""
    discriminant: Discriminant | None = None
    """Where the recipe asks for one."""


def pretrain(
    corpora: Sequence[Corpus],
    recipe: PretrainingRecipe,
    cache_dir: Path,
    seed: int,
    on_recording: Callable[[], None] = lambda: None,
    on_epoch: Callable[[Epoch], None] = lambda epoch: None,
    threads: int = 2,
) -> PretrainingResult:
    """Fit a network to all recordings of ``corpora`` except those of the validation speakers.

    Each recording is asked only about emotions that its own corpus has: that a corpus lacks disgust says nothing about
    its recordings. Exact copies of one recording are trained on once.

    Raises:
        CorpusError: a corpus has fewer than two emotions, two have one name, a validation speaker is nobody's, nobody
            else is left to train on, or a weight's corpus is not there.
        TrainingError: the loss stopped being a number.
    """
    _check_names(corpora)
    named = [
        (corpus.root, replace(clip, corpus=clip.corpus or corpus.root.name))
        for corpus in corpora
        for clip in corpus.clips
    ]
    sources = _distinct(named)
    clips = [clip for _, clip in sources]
    labels = in_order({clip.emotion for clip in clips})
    held_out = np.array([clip.speaker in recipe.validation_speakers for clip in clips])
    unknown = set(recipe.validation_speakers) - {clip.speaker for clip in clips}
    if unknown:
        raise CorpusError(f"no recording is of the validation speakers {', '.join(sorted(unknown))}")
    if held_out.all():
        raise CorpusError("all recordings are of validation speakers: none is left to train on")
    targets = np.array([labels.index(clip.emotion) for clip in clips], np.int64)
    asked = asked_of(clips, labels)
    shares = _shares(clips, ~held_out, recipe)
    train = int((~held_out).sum())
    recordings = make_recordings(sources, recipe.features, recipe.speeds, cache_dir, on_recording, threads)

    def rows(random: np.random.Generator) -> Batch:
        return random.choice(len(clips), train, p=shares)

    lesson = Lesson(recordings, rows, targets, asked)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = AttentiveEncoder(recipe.model, len(recipe.features.channels), recipe.features.n_bands)
        network = EmotionNetwork(encoder, EmotionHead(recipe.model.embedding, len(labels), recipe.training.dropout))
    curve = fit_recordings(network, lesson, recipe.training, recipe.distortions, recipe.features, seed, on_epoch)
    network.eval()
    watched = np.flatnonzero(held_out)
    logits = score_recordings(network, recordings, watched.tolist(), recipe.features) if len(watched) else None
    validation = [] if logits is None else _validation(clips, watched, logits, targets, asked)
    trained = np.flatnonzero(~held_out)
    discriminant = None
    if recipe.shrinkage is not None:
        descriptions = _descriptions(network, recordings, trained, recipe)
        names = [clips[i].corpus for i in trained]
        discriminant = fit_across_corpora(descriptions, targets[trained], names, recipe.shrinkage)
    return PretrainingResult(network, labels, [clips[i] for i in trained], curve, validation, discriminant)


def asked_of(clips: Sequence[Clip], labels: tuple[str, ...]) -> NDArray[np.bool_]:
    """Return which emotions each clip's corpus has: shape ``(clips, labels)``.

    Raises:
        CorpusError: a corpus has but one.
    """
    emotions: dict[str, set[str]] = {}
    for clip in clips:
        emotions.setdefault(clip.corpus, set()).add(clip.emotion)
    for name, words in emotions.items():
        if len(words) < 2:
            raise CorpusError(f"the corpus {name} has recordings of one emotion; two are needed")
    return np.array([[word in emotions[clip.corpus] for word in labels] for clip in clips])


def _check_names(corpora: Sequence[Corpus]) -> None:
    """Check that clips which do not say whose they are come from folders of different names.

    Raises:
        CorpusError: two corpora would be taken for one, and asked about each other's emotions.
    """
    names = Counter(corpus.root.name for corpus in corpora if not all(clip.corpus for clip in corpus.clips))
    twice = [name for name, count in names.items() if count > 1]
    if twice:
        raise CorpusError(f"several corpora are called {twice[0]}: give their names in a table's column corpus")


def _distinct(sources: list[tuple[Path, Clip]]) -> list[tuple[Path, Clip]]:
    """Keep the first of exact copies, so that none is on both sides or counted twice."""
    first: dict[str, tuple[Path, Clip]] = {}
    for root, clip in sources:
        first.setdefault(clip.sound.sha256, (root, clip))
    return list(first.values())


def _shares(clips: Sequence[Clip], trained: NDArray[np.bool_], recipe: PretrainingRecipe) -> NDArray[np.float64]:
    """Return the probability with which each clip is drawn.

    Raises:
        CorpusError: weights name a corpus of which nothing is trained on.
    """
    counts = Counter(clip.corpus for clip, used in zip(clips, trained, strict=True) if used)
    unknown = set(recipe.weights) - set(counts)
    if unknown:
        raise CorpusError(f"weights name corpora that are not there: {', '.join(sorted(unknown))}")
    share = {name: count**recipe.balance * recipe.weights.get(name, 1.0) for name, count in counts.items()}
    per_clip = {name: share[name] / counts[name] for name in counts}
    each = np.array([per_clip[clip.corpus] if used else 0.0 for clip, used in zip(clips, trained, strict=True)])
    shares: NDArray[np.float64] = each / each.sum()
    return shares


def _descriptions(
    network: EmotionNetwork, recordings: Recordings, rows: NDArray[np.int64], recipe: PretrainingRecipe
) -> Descriptions:
    """Describe the recordings ``rows`` at all speeds: shape ``(speeds, rows, descriptors)``."""
    describer = VoiceDescriber(network.encoder, recipe.features).eval()
    speeds = range(len(recordings.values))
    with torch.inference_mode():
        return np.stack(
            [[describer(recordings.levels(row, speed)).description[0].numpy() for row in rows] for speed in speeds]
        )


def _validation(
    clips: Sequence[Clip],
    watched: NDArray[np.int64],
    logits: NDArray[np.float64],
    targets: NDArray[np.int64],
    asked: NDArray[np.bool_],
) -> list[dict[str, Any]]:
    predicted = np.where(asked[watched], logits, -np.inf).argmax(1)
    names = np.array([clips[i].corpus for i in watched])
    table = []
    for name in sorted(set(names.tolist())):
        own = names == name
        truth = targets[watched][own]
        recalls = [np.mean(predicted[own][truth == label] == label) for label in np.unique(truth)]
        table.append({"corpus": name, "clips": int(own.sum()), "uar": float(np.mean(recalls))})
    return table
