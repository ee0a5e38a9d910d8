"""Pretraining on several corpora: who is trained on, and what each is asked."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from thymos.audio import Samples
from thymos.corpora import Clip, Corpus, open_corpus
from thymos.encoder.attentive import AttentiveSettings
from thymos.encoder.level_mel import LevelMelSettings
from thymos.encoder.pretrain import PretrainingResult, asked_of, pretrain
from thymos.encoder.recipe import PretrainingRecipe
from thymos.errors import CorpusError, TrainingError

HZ = {"anger": 1500, "fear": 500, "sadness": 200, "neutral": 3000}
WriteSound = Callable[..., Path]
Pretrain = Callable[..., PretrainingResult]


@pytest.fixture
def make_corpus(tmp_path: Path, write_sound: WriteSound, make_tone: Callable[..., Samples]) -> Callable[..., Corpus]:
    """``make_corpus(name, emotions, speakers, other)``: two tones of each emotion by each speaker, some other ones."""

    def make(
        name: str, emotions: tuple[str, ...], speakers: tuple[int, ...] = (1, 2, 3), other: tuple[int, ...] = ()
    ) -> Corpus:
        root = tmp_path / name
        lines = ["file,emotion,speaker,sentence"]
        for emotion in emotions:
            for speaker in speakers:
                for take in (1, 2):
                    shift = 40 * speaker + 13 * take + sum(map(ord, name)) % 7 + (900 if speaker in other else 0)
                    file = f"{emotion}-{speaker}-{take}.wav"
                    write_sound(root / file, make_tone(0.1 + 0.03 * take, hz=HZ[emotion] + shift, level=0.3))
                    lines.append(f"{file},{emotion},{name}_{speaker},{take}")
        (root / "clips.csv").write_text("\n".join(lines) + "\n")
        return open_corpus(root / "clips.csv")

    return make


@pytest.fixture
def greek(make_corpus: Callable[..., Corpus]) -> Corpus:
    return make_corpus("greek", ("anger", "fear", "sadness"))


@pytest.fixture
def dutch(make_corpus: Callable[..., Corpus]) -> Corpus:
    return make_corpus("dutch", ("fear", "neutral"))


@pytest.fixture
def run(toy_model: AttentiveSettings, toy_features: LevelMelSettings, tmp_path: Path) -> Pretrain:
    def train(*corpora: Corpus, seed: int = 0, **recipe: Any) -> PretrainingResult:
        training = {"epochs": 1, "batch_size": 6, "warmup_steps": 2} | recipe.pop("training", {})
        distortions = {"freq_width": 2, "time_width": 2}
        settings = PretrainingRecipe.model_validate(
            {
                "name": "toy", "features": toy_features.model_dump(), "model": toy_model.model_dump(),
                "speeds": [1.0, 1.2], "training": training, "distortions": distortions,
            } | recipe
        )  # fmt: skip
        return pretrain(corpora, settings, tmp_path / "cache", seed)

    return train


def weights(result: PretrainingResult) -> list[float]:
    return torch.cat([tensor.flatten().double() for tensor in result.network.state_dict().values()]).tolist()


def test_one_vocabulary_for_all_corpora(run: Pretrain, greek: Corpus, dutch: Corpus) -> None:
    result = run(greek, dutch)
    assert result.labels == ("anger", "fear", "sadness", "neutral")
    assert result.network.head.linear.weight.shape[0] == 4
    assert len(result.seen) == 18 + 12
    assert result.validation == []
    assert [epoch.epoch for epoch in result.curve] == [1]
    assert not result.network.training


def test_the_seed_decides_and_the_random_state_is_given_back(run: Pretrain, greek: Corpus, dutch: Corpus) -> None:
    before = torch.get_rng_state()
    first = weights(run(greek, dutch, seed=1))
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(7)
    assert weights(run(greek, dutch, seed=1)) == first
    assert weights(run(greek, dutch, seed=2)) != first


def test_in_the_end_a_discriminant_is_fitted_where_the_recipe_asks(run: Pretrain, greek: Corpus, dutch: Corpus) -> None:
    """It needs the channels that the statistics of the voice need, and knows the labels of all corpora."""
    features = LevelMelSettings(n_bands=16).model_dump()
    asked = {"features": features, "shrinkage": 0.5, "validation_speakers": ["dutch_3"], "training": {"epochs": 0}}
    result = run(greek, dutch, **asked)
    assert result.discriminant is not None
    assert result.discriminant.weights.shape[1] == 4
    assert np.isfinite(result.discriminant.weights).all()
    assert run(greek, dutch).discriminant is None


def test_it_learns(run: Pretrain, greek: Corpus, dutch: Corpus) -> None:
    training = {"epochs": 30, "learning_rate": 0.01, "averaging": 0.9, "mixup_alpha": 0}
    result = run(greek, dutch, training=training, validation_speakers=["greek_3", "dutch_3"])
    assert result.curve[-1].loss < result.curve[0].loss - 0.3
    assert [(row["corpus"], row["clips"]) for row in result.validation] == [("dutch", 4), ("greek", 6)]
    assert all(row["uar"] > 0.8 for row in result.validation)


def test_held_out_speakers_are_scored_among_their_corpus_emotions(run: Pretrain, greek: Corpus, dutch: Corpus) -> None:
    """Networks that have learnt nothing guess right half of the time of two emotions, not a quarter as of all four."""
    untrained = {"training": {"epochs": 0}, "validation_speakers": ["dutch_3"]}
    guesses = [run(greek, dutch, seed=seed, **untrained).validation[0]["uar"] for seed in range(8)]
    assert np.mean(guesses) == pytest.approx(0.5, abs=0.07)


def test_exact_copies_are_trained_on_once(run: Pretrain, greek: Corpus, dutch: Corpus) -> None:
    """The same file in two corpora, or twice in one: as if the copy were not there."""
    first = greek.clips[0]
    twice = replace(greek, clips=(*greek.clips, replace(first, path="copy.wav")))
    (greek.root / "copy.wav").write_bytes((greek.root / first.path).read_bytes())
    alone = run(greek, dutch)
    with_copy = run(twice, dutch)
    assert [clip.path for clip in with_copy.seen] == [clip.path for clip in alone.seen]
    assert weights(with_copy) == weights(alone)


def test_a_copy_of_a_validation_speakers_recording_is_not_trained_on(run: Pretrain, greek: Corpus) -> None:
    held_out = next(clip for clip in greek.clips if clip.speaker == "greek_3")
    other = replace(greek, clips=(*greek.clips, replace(held_out, speaker="greek_1")))
    result = run(other, validation_speakers=["greek_3"])
    assert held_out.sound.sha256 not in {clip.sound.sha256 for clip in result.seen}


def test_validation_speakers_are_never_trained_on(
    run: Pretrain, greek: Corpus, dutch: Corpus, make_corpus: Callable[..., Corpus]
) -> None:
    """Whatever they say, the network becomes the same to the last bit."""
    chosen = {"validation_speakers": ["greek_2"]}
    before = run(greek, dutch, **chosen)
    assert {clip.speaker for clip in before.seen} == {"greek_1", "greek_3", "dutch_1", "dutch_2", "dutch_3"}
    changed = make_corpus("greek", ("anger", "fear", "sadness"), other=(2,))
    assert {clip.sound.sha256 for clip in changed.clips} != {clip.sound.sha256 for clip in greek.clips}
    assert weights(run(changed, dutch, **chosen)) == weights(before)
    assert weights(run(changed, dutch)) != weights(run(greek, dutch))


def test_what_weighs_next_to_nothing_is_next_to_never_drawn(
    run: Pretrain, greek: Corpus, dutch: Corpus, make_corpus: Callable[..., Corpus]
) -> None:
    chosen = {"weights": {"dutch": 1e-12}}
    before = weights(run(greek, dutch, **chosen))
    changed = make_corpus("dutch", ("fear", "neutral"), other=(1, 2, 3))
    assert weights(run(greek, changed, **chosen)) == before
    assert weights(run(greek, changed)) != weights(run(greek, dutch))


def test_balance_evens_out_large_and_small_corpora(
    run: Pretrain, greek: Corpus, make_corpus: Callable[..., Corpus], monkeypatch: pytest.MonkeyPatch
) -> None:
    small = make_corpus("dutch", ("fear", "neutral"), speakers=(1,))  # 4 recordings beside 18
    drawn: list[np.ndarray] = []

    def look(network: Any, lesson: Any, *rest: Any) -> tuple[()]:
        drawn.append(np.concatenate([lesson.rows(np.random.default_rng(seed)) for seed in range(100)]))
        return ()

    monkeypatch.setattr("thymos.encoder.pretrain.fit_recordings", look)
    for settings, share in (
        ({"balance": 1}, 4 / 22),
        ({"balance": 0}, 1 / 2),
        ({"balance": 0.5}, 2 / (2 + 18**0.5)),
        ({"balance": 0, "weights": {"dutch": 3}}, 3 / 4),
    ):
        result = run(greek, small, **settings)
        from_small = [result.seen[i].corpus == "dutch" for i in drawn[-1]]
        assert len(from_small) == 100 * 22
        assert np.mean(from_small) == pytest.approx(share, abs=0.04)


def test_a_corpus_is_asked_about_its_own_emotions(greek: Corpus, dutch: Corpus) -> None:
    clips = [replace(clip, corpus=corpus.root.name) for corpus in (greek, dutch) for clip in corpus.clips]
    asked = asked_of(clips, ("anger", "fear", "sadness", "neutral"))
    assert asked.dtype == np.bool_
    assert {(clip.corpus, *row) for clip, row in zip(clips, asked.tolist(), strict=True)} == {
        ("greek", True, True, True, False),
        ("dutch", False, True, False, True),
    }


def test_a_table_may_name_the_corpus_of_each_row(run: Pretrain, greek: Corpus, dutch: Corpus) -> None:
    def named(clip: Clip) -> Clip:
        return replace(clip, corpus="slow" if clip.sentence == "1" else "fast")

    result = run(replace(greek, clips=tuple(map(named, greek.clips))), dutch)
    assert {clip.corpus for clip in result.seen} == {"slow", "fast", "dutch"}
    run(replace(greek, clips=tuple(map(named, greek.clips))), weights={"slow": 2.0})


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ({"validation_speakers": ["greek_9", "greek_1"]}, "no recording is of the validation speakers greek_9"),
        ({"validation_speakers": ["greek_1", "greek_2", "greek_3"]}, "none is left to train on"),
        ({"weights": {"greec": 2.0}}, "weights name corpora that are not there: greec"),
    ],
)
def test_what_fits_no_corpus_is_refused_before_any_work(
    run: Pretrain, greek: Corpus, tmp_path: Path, recipe: dict[str, Any], words: str
) -> None:
    with pytest.raises(CorpusError, match=words):
        run(greek, **recipe)
    assert not (tmp_path / "cache").exists()


def test_a_corpus_of_one_emotion_is_refused(
    run: Pretrain, greek: Corpus, make_corpus: Callable[..., Corpus], tmp_path: Path
) -> None:
    with pytest.raises(CorpusError, match="the corpus dull has recordings of one emotion"):
        run(greek, make_corpus("dull", ("fear",)))
    assert not (tmp_path / "cache").exists()


def test_corpora_of_one_name_are_not_taken_for_one(
    run: Pretrain, greek: Corpus, make_corpus: Callable[..., Corpus]
) -> None:
    other = make_corpus("more/greek", ("fear", "neutral"))
    with pytest.raises(CorpusError, match="several corpora are called greek"):
        run(greek, other)
    clips = tuple(replace(clip, corpus="dutch") for clip in other.clips)
    assert {clip.corpus for clip in run(greek, replace(other, clips=clips)).seen} == {"greek", "dutch"}


def test_divergence_is_an_error_in_words(run: Pretrain, greek: Corpus) -> None:
    with pytest.raises(TrainingError, match="its loss was not a number"):
        run(greek, training={"epochs": 4, "learning_rate": 1e38})
