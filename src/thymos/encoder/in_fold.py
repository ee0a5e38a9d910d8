"""``finetune: fold``: the encoder itself is fine-tuned to a training part, and a head is fitted to what it then says.

A tuned encoder lies in the cache folder under a hash of all that decides it: so a run that was killed goes on, and
studies, protocols and inner splits share it. It is what ``thymos pretrain`` writes, with the digests of what it has
heard, in the form in which it would be exported.
"""

import hashlib
import json
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace

from thymos.corpora.table import Corpus
from thymos.encoder.describe import Start, read_start, start_of
from thymos.encoder.described import DescribedCorpus, describe_corpus
from thymos.encoder.export import export_encoder
from thymos.encoder.fine_tuning import CHECKPOINT, FineTuning, FineTuningRecipe, Step, fine_tune, make_lesson
from thymos.encoder.recipe import EncoderRecipe
from thymos.encoder.sounds import HeardClip, digest_of, read_sounds
from thymos.encoder.weights import ABOUT, write_encoder
from thymos.engine.process import one_thread
from thymos.experiment import Epoch, Rows, Work

EPOCH = 10
"""Steps that are told of together, as other fits tell of an epoch."""
CHECKPOINT_EVERY = 50
"""Steps."""
_VERSION = 1


def undescribed(corpus: Corpus) -> DescribedCorpus:
    """Return a corpus that is described once there is an encoder for it."""
    corpora = tuple(clip.corpus or corpus.root.name for clip in corpus.clips)
    return DescribedCorpus((), 0, corpora, tuple(clip.speaker for clip in corpus.clips), source=corpus)


def tuned_start(corpus: Corpus, rows: Rows, recipe: EncoderRecipe, seed: int, work: Work) -> Start:
    """Return the encoder of ``recipe``, fine-tuned to the recordings ``rows`` of ``corpus``.

    Raises:
        CorpusError: a recording can no longer be decoded, or those of one corpus have one emotion.
        TrainingError: the loss stopped being a number.
    """
    start, tuning = start_of(recipe), _recipe(recipe)
    sounds = read_sounds([corpus], work.cache_dir, never=None)
    sounds = sounds.only({digest_of(corpus.clips[row]) for row in rows})
    folder = work.cache_dir / "tuned" / _key(start, recipe, tuning, seed, work.device, sounds.clips)
    exported = folder / "encoder"
    if not (exported / ABOUT).is_file():
        lesson = make_lesson(sounds, tuning)
        folder.mkdir(parents=True, exist_ok=True)
        with one_thread():
            run = FineTuning(lesson, deepcopy(start.describer.layers).float(), tuning, seed, work.device)
            network = fine_tune(run, folder, CHECKPOINT_EVERY, _Teller(work)).cpu()
        write_encoder(folder, network, lesson, tuning, seed, start=start.fine_tuned)
        (folder / CHECKPOINT).unlink()
        exported.mkdir(exist_ok=True)
        export_encoder(read_start(folder, recipe.layers), exported, recipe.int8)
    return read_start(exported, recipe.layers)


def described_by(start: Start, corpus: Corpus, recipe: EncoderRecipe, work: Work) -> DescribedCorpus:
    """Describe ``corpus`` by a tuned encoder."""
    return replace(describe_corpus(corpus, recipe, start, replace(work, advance=lambda: None)), source=corpus)


class _Teller:
    """Tells of every ``EPOCH`` steps."""

    def __init__(self, work: Work):
        self._work = work
        self._steps: list[Step] = []

    def __call__(self, step: Step) -> None:
        self._steps.append(step)
        if step.number % EPOCH == 0:
            loss, accuracy = (
                sum(values) / len(self._steps) for values in zip(*(s[1:3] for s in self._steps), strict=True)
            )
            self._work.on_epoch(Epoch(step.number // EPOCH, loss, accuracy))
            self._steps.clear()


def _recipe(recipe: EncoderRecipe) -> FineTuningRecipe:
    return FineTuningRecipe(layers=len(start_of(recipe).describer.layers.layers), **recipe.tuning.model_dump())


def _key(
    start: Start, recipe: EncoderRecipe, tuning: FineTuningRecipe, seed: int, device: str, clips: Sequence[HeardClip]
) -> str:
    shaping = [_VERSION, start.digest, recipe.layers, recipe.int8, tuning.model_dump(mode="json"), seed, device]
    heard = sorted((clip.digest, clip.corpus, clip.emotion) for clip in clips)
    return hashlib.sha256(json.dumps([shaping, heard], sort_keys=True).encode()).hexdigest()[:32]
