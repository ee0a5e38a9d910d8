"""`finetune: fold`: the encoder of each fold hears its training part and nothing else, and the head is fitted to it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import thymos
from thymos.corpora import Corpus
from thymos.encoder import in_fold
from thymos.encoder.describe import read_start, start_of
from thymos.encoder.experiment import EncoderExperiment, TunedHead
from thymos.encoder.recipe import EncoderRecipe
from thymos.evaluation.train import train
from thymos.experiment import Epoch, TrainingPart, Work

pytestmark = pytest.mark.slow

Recipe = Callable[..., EncoderRecipe]
TUNING = {"steps": 20, "batch": 4, "encoder_rate": 1e-3, "warm_up": 1}
TRAIN, TEST = tuple(range(0, 36, 2)), tuple(range(1, 36, 2))


@pytest.fixture(scope="module")
def experiment(toy_recipe: Recipe) -> EncoderExperiment:
    return EncoderExperiment(toy_recipe(finetune="fold", tuning=TUNING, speeds=[1.0]))


def part_of(corpus: Corpus, rows: tuple[int, ...], seed: int = 0) -> TrainingPart:
    return TrainingPart(corpus.emotions, rows, corpus.targets[list(rows)], seed)


@pytest.fixture(scope="module")
def head(experiment: EncoderExperiment, tone_corpus: Corpus, tones_cache: Path) -> TunedHead:
    work = Work(tones_cache)
    fitted = experiment.fit(experiment.features(tone_corpus, work), part_of(tone_corpus, TRAIN), work)
    assert isinstance(fitted, TunedHead)
    return fitted


def test_the_encoder_moved_and_has_heard_the_training_part_alone(
    experiment: EncoderExperiment, head: TunedHead, tone_corpus: Corpus
) -> None:
    before = start_of(experiment.recipe)
    assert head.start.digest != before.digest
    assert all(head.start.has_heard(tone_corpus.clips[row]) for row in TRAIN)
    assert not any(head.start.has_heard(tone_corpus.clips[row]) for row in TEST)
    assert head.start.fine_tuned is not None and before.fine_tuned is not None
    counts = head.start.fine_tuned.about["corpora"]
    assert counts == {tone_corpus.root.name: len(TRAIN)} | before.fine_tuned.about["corpora"]


def test_it_is_tuned_once_for_a_part_and_a_seed(
    experiment: EncoderExperiment,
    head: TunedHead,
    tone_corpus: Corpus,
    tones_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[Epoch] = []
    work = Work(tones_cache, on_epoch=told.append)
    features = experiment.features(tone_corpus, work)
    other = experiment.fit(features, part_of(tone_corpus, TRAIN, seed=1), work)
    assert isinstance(other, TunedHead) and other.start.digest != head.start.digest
    assert [epoch.epoch for epoch in told] == [1, 2] and experiment.epochs == 2
    monkeypatch.setattr(in_fold, "fine_tune", None)  # would fail if it were asked again
    again = experiment.fit(features, part_of(tone_corpus, TRAIN[::-1]), work)
    assert isinstance(again, TunedHead) and again.start.digest == head.start.digest


def test_a_killed_tuning_goes_on_to_the_same_digits(
    experiment: EncoderExperiment, head: TunedHead, tone_corpus: Corpus, tmp_path: Path
) -> None:
    def stop(epoch: Epoch) -> None:
        raise KeyboardInterrupt

    features = experiment.features(tone_corpus, Work(tmp_path))
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(in_fold, "CHECKPOINT_EVERY", 5)
        experiment.fit(features, part_of(tone_corpus, TRAIN), Work(tmp_path, on_epoch=stop))
    assert list(tmp_path.rglob("checkpoint.safetensors"))
    resumed = experiment.fit(features, part_of(tone_corpus, TRAIN), Work(tmp_path))
    assert isinstance(resumed, TunedHead) and resumed.start.digest == head.start.digest
    assert not list(tmp_path.rglob("checkpoint.safetensors")), "200 MB a fold"


def test_what_is_asked_is_described_by_the_tuned_encoder(
    experiment: EncoderExperiment, head: TunedHead, tone_corpus: Corpus, tones_cache: Path
) -> None:
    """Also recordings of another corpus, such as distorted ones."""
    work = Work(tones_cache)
    few = replace(tone_corpus, clips=tone_corpus.clips[1:8:2])
    whole, features = head.embed(experiment.features(tone_corpus, work), TEST[:4]), experiment.features(few, work)
    assert head.embed(features, (0, 1, 2, 3)) == pytest.approx(whole, abs=1e-5)
    assert (head.predict(features, (0, 1, 2, 3)).probabilities.argmax(1) == tone_corpus.targets[list(TEST[:4])]).all()


def test_a_trained_bundle_holds_its_own_encoder(
    experiment: EncoderExperiment, tone_corpus: Corpus, tones_cache: Path, tmp_path: Path
) -> None:
    model = train(tone_corpus, experiment, tmp_path / "model", cache_dir=tones_cache)
    own = read_start(model.folder, (1, 2))
    assert all(own.has_heard(clip) for clip in tone_corpus.clips)
    assert own.digest != start_of(experiment.recipe).digest
    recognizer = thymos.load(model.folder)
    assert recognizer.labels == tone_corpus.emotions
