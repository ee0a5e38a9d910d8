"""The experiment of kind encoder: what is described and kept, what a head is fitted to, and what is refused."""

import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import soundfile
from scipy.special import softmax

from thymos.audio import read_waveform, resample
from thymos.corpora import Corpus, open_corpus
from thymos.encoder.describe import describe, read_start, start_of
from thymos.encoder.experiment import EncoderExperiment
from thymos.encoder.export import export_encoder
from thymos.encoder.heads import centred, fit_discriminant
from thymos.encoder.network import PREFIX
from thymos.encoder.recipe import EncoderRecipe
from thymos.encoder.weights import HEARD
from thymos.errors import LeakageError, ProtocolError, RecipeError
from thymos.experiment import TrainingPart, Work, corpus_for

Recipe = Callable[..., EncoderRecipe]


@pytest.fixture(scope="module")
def work(tones_cache: Path) -> Work:
    return Work(tones_cache)


def part_of(corpus: Corpus, rows: tuple[int, ...]) -> TrainingPart:
    return TrainingPart(corpus.emotions, rows, corpus.targets[list(rows)])


def test_descriptions_are_kept_by_sound(tone_corpus: Corpus, toy_recipe: Recipe, work: Work) -> None:
    recipe = toy_recipe()
    features = EncoderExperiment(recipe).features(tone_corpus, work)
    waveform = read_waveform(tone_corpus.root / tone_corpus.clips[5].path)
    expected = describe(start_of(recipe).describer, [waveform], recipe.speeds)[:, 0]
    assert features.descriptors == 2 * 2 * 64
    np.testing.assert_allclose(features.read([5])[:, 0], expected[:, :256], atol=1e-5)
    np.testing.assert_allclose(features.embeddings([5])[0], expected[0, 256:], atol=1e-5)
    assert features.embeddings([5]).shape == (1, 24)
    written = features.files[5].stat().st_mtime_ns
    few = replace(tone_corpus, clips=tone_corpus.clips[4:7])
    again = EncoderExperiment(recipe).features(few, work)
    assert again.files == features.files[4:7]
    assert features.files[5].stat().st_mtime_ns == written, "described once"


@pytest.mark.slow
def test_a_head_is_fitted_to_all_versions_and_scores_what_was_recorded(
    tone_corpus: Corpus, toy_recipe: Recipe, work: Work
) -> None:
    recipe = toy_recipe(distorted_copies=1)
    experiment = EncoderExperiment(recipe)
    features = experiment.features(tone_corpus, work)
    train, test = tuple(range(0, 36, 2)), tuple(range(1, 36, 2))
    fitted = experiment.fit(features, part_of(tone_corpus, train), work)
    expected = fit_discriminant(
        features.read(train), tone_corpus.targets[::2], np.array([0.3, 0.6, 0.1]), recipe.shrinkage
    )
    logits = expected.logits(features.read(test, 1)[0])
    scores = fitted.predict(features, test)
    np.testing.assert_allclose(scores.probabilities, softmax(logits, axis=1), atol=1e-6)
    assert (scores.probabilities.argmax(1) == tone_corpus.targets[1::2]).mean() > 0.9, "tones are easy"


def test_centred_on_speakers_every_recording_counts(tone_corpus: Corpus, toy_recipe: Recipe, work: Work) -> None:
    experiment = EncoderExperiment(toy_recipe(centring="speaker"))
    assert experiment.transductive
    features = experiment.features(tone_corpus, work)
    train, test = tuple(range(0, 36, 2)), tuple(range(1, 36, 2))
    fitted = experiment.fit(features, part_of(tone_corpus, train), work)
    every = centred(features.read(range(36)), [clip.speaker for clip in tone_corpus.clips])
    expected = fit_discriminant(every[:, ::2], tone_corpus.targets[::2], np.array([0.3, 0.7]), 0.3)
    said = softmax(expected.logits(every[0, 1::2]), axis=1)
    np.testing.assert_allclose(fitted.predict(features, test).probabilities, said, atol=1e-4)
    with pytest.raises(RecipeError, match="judges several recordings together"):
        experiment.check_exportable()
    nameless = replace(tone_corpus, clips=tuple(replace(clip, speaker="") for clip in tone_corpus.clips))
    with pytest.raises(ProtocolError, match="centring on speakers needs every clip's speaker"):
        experiment.check(nameless)


def test_every_corpus_and_speaker_may_count_alike(tone_corpus: Corpus, toy_recipe: Recipe, work: Work) -> None:
    """Of two corpora with one and three speakers, each voice of the second counts a third of the first's."""
    names = {"1": "small"}
    clips = tuple(replace(clip, corpus=names.get(clip.speaker, "large")) for clip in tone_corpus.clips)
    corpus = replace(tone_corpus, clips=clips[:-3])
    experiment = EncoderExperiment(toy_recipe(weigh="speakers", speeds=[1.0]))
    features = experiment.features(corpus, work)
    rows = tuple(range(len(corpus.clips)))
    fitted = experiment.fit(features, part_of(corpus, rows), work)
    voices = [clip.speaker for clip in corpus.clips]
    weights = np.array([(1 if voice == "1" else 1 / 3) / voices.count(voice) for voice in voices])
    expected = fit_discriminant(features.read(rows), corpus.targets, np.ones(1), 0.3, weights)
    np.testing.assert_allclose(fitted.discriminant.weights, expected.weights, rtol=1e-6)


def test_a_label_may_be_likelier_beforehand(tone_corpus: Corpus, toy_recipe: Recipe, work: Work) -> None:
    rows = tuple(range(36))
    even, leaning = (
        EncoderExperiment(toy_recipe(priors=priors)).fit(features, part_of(tone_corpus, rows), work).discriminant
        for priors, features in (
            (priors, EncoderExperiment(toy_recipe()).features(tone_corpus, work))
            for priors in ({}, {"Fear": 2.0, "neutral": 9.0})
        )
    )
    np.testing.assert_array_equal(even.weights, leaning.weights)
    likelier = {label: by for label, by in zip(tone_corpus.emotions, leaning.bias - even.bias, strict=True) if by}
    assert likelier == {"fear": pytest.approx(10 * np.log(2))}, "and what the corpus lacks changes nothing"


def test_emotions_merge(tone_corpus: Corpus, toy_recipe: Recipe) -> None:
    merged = corpus_for(EncoderExperiment(toy_recipe(merge={"fear": "anger"})), tone_corpus)
    assert merged.emotions == ("anger", "sadness")
    assert len(merged.clips) == len(tone_corpus.clips)
    words = corpus_for(EncoderExperiment(toy_recipe(merge={"FEAR": "Bored", "anger": "bored"})), tone_corpus)
    assert words.emotions == ("sadness", "Bored"), "any words, in any case; one spelling of each"


def test_a_head_may_be_fitted_to_another_corpus(
    tone_corpus: Corpus, make_tones: Callable[..., Corpus], toy_recipe: Recipe, work: Work, tmp_path: Path
) -> None:
    """It is asked about the emotions that are tested, and what they sound like there is not looked at."""
    other = make_tones(tmp_path / "other", takes=2)
    experiment = EncoderExperiment(toy_recipe(fitted_to=str(tmp_path / "other/clips.csv")))
    assert not experiment.learns
    two = replace(tone_corpus, clips=tuple(clip for clip in tone_corpus.clips if clip.emotion != "anger"))
    features = experiment.features(two, work)
    fitted = experiment.fit(features, part_of(two, (0,)), work)
    assert features.fitted_to is not None
    head = fit_discriminant(features.fitted_to[0].read(range(24)), other.targets, np.array([0.3, 0.7]), 0.3)
    said = head.logits(features.read(range(24), 1)[0])[:, 1:]
    np.testing.assert_allclose(
        fitted.predict(features, tuple(range(24))).probabilities, softmax(said, axis=1), atol=1e-6
    )
    every = EncoderExperiment(toy_recipe()).fit(features.fitted_to[0], part_of(other, tuple(range(24))), work)
    assert fitted.voice_space.emotions == pytest.approx(every.voice_space.emotions[1:]), "anger is not asked about"
    less = replace(other, clips=other.clips[:16])
    with pytest.raises(RecipeError, match="has no recording of happiness to fit to"):
        words = {"anger": "happiness"}
        experiment.features(corpus_for(EncoderExperiment(toy_recipe(merge=words)), less), work)


def test_what_it_has_heard_is_refused(tone_corpus: Corpus, toy_recipe: Recipe, write_toy_encoder: Any) -> None:
    heard = toy_recipe(start_from=str(write_toy_encoder("heard", heard=tone_corpus.clips[:2])))
    with pytest.raises(LeakageError, match=r"fitted to 2 of these recordings: anger-1-0\.wav"):
        EncoderExperiment(heard).check(tone_corpus)
    EncoderExperiment(heard).check(replace(tone_corpus, clips=tone_corpus.clips[2:]))


@pytest.mark.slow
def test_what_it_has_heard_in_another_form_is_refused(
    mini: Path, toy_recipe: Recipe, write_toy_encoder: Any, tmp_path: Path
) -> None:
    """Also once it is exported, and copied; without fingerprints, an encoder knows exact copies alone."""
    for emotion in ("anger", "sadness"):
        (tmp_path / "heard" / emotion).mkdir(parents=True)
        for path in sorted((mini / emotion).glob("*.opus"))[:3]:
            shutil.copy(path, tmp_path / "heard" / emotion)
    corpus = open_corpus(f"folders:{tmp_path / 'heard'}", cache_dir=tmp_path / "cache")
    other = tmp_path / "other"
    for number, clip in enumerate(corpus.clips):
        waveform = resample(corpus.waveform(clip), 48_000 if number % 2 else 24_000)
        samples = waveform.samples * np.float32(0.999 if number else 0.5)
        (other / clip.emotion).mkdir(parents=True, exist_ok=True)
        soundfile.write(other / clip.emotion / f"{number}.wav", samples, waveform.rate_hz)
    for path in sorted((mini / "anger").glob("*.opus"))[3:5]:
        shutil.copy(path, other / "anger")
    changed = open_corpus(f"folders:{other}", cache_dir=tmp_path / "cache")
    folder = write_toy_encoder("near", heard=corpus.clips)
    (tmp_path / "plain").touch()
    assert {path.stat().st_mode for path in folder.iterdir()} == {(tmp_path / "plain").stat().st_mode}
    export_encoder(read_start(folder, (1, 2)), tmp_path / "exported", int8=False)
    export_encoder(read_start(tmp_path / "exported", (1, 2)), tmp_path / "copied", int8=False)
    for start in (folder, tmp_path / "exported", tmp_path / "copied"):
        experiment = EncoderExperiment(toy_recipe(start_from=str(start)))
        with pytest.raises(LeakageError, match=r"6 of these recordings, 6 of them in another form .*: anger/0\.wav"):
            experiment.check(changed)
        assert [clip.path for clip in changed.clips if not experiment.has_heard(clip)] == [
            "anger/a01 (4).opus",
            "anger/a01 (5).opus",
        ]
        assert experiment.provenance()["start_from"]["near_copies"]
    without = write_toy_encoder(
        "without", tuple(replace(c, sound=replace(c.sound, fingerprint="")) for c in corpus.clips)
    )
    assert not (without / HEARD).exists()
    experiment = EncoderExperiment(toy_recipe(start_from=str(without)))
    experiment.check(changed)
    with pytest.raises(LeakageError, match="6 of these recordings: anger"):
        experiment.check(corpus)
    assert "near_copies" not in experiment.provenance()["start_from"]


def test_it_starts_from_published_layers_too(
    tone_corpus: Corpus, toy_recipe: Recipe, work: Work, tmp_path: Path
) -> None:
    """Their files are read by the published names; they have heard nothing, and have no embedding of their own."""
    layers = start_of(toy_recipe()).describer.layers
    file = tmp_path / "model.safetensors"
    safetensors.torch.save_file({PREFIX + name: value for name, value in layers.state_dict().items()}, file)
    recipe = toy_recipe(start_from=str(file), speeds=[1.0])
    experiment = EncoderExperiment(recipe)
    experiment.check(tone_corpus)
    few = replace(tone_corpus, clips=tone_corpus.clips[:2])
    features = experiment.features(few, work)
    assert features.embeddings([0]).shape == (1, 256)
    assert experiment.provenance()["trained_on"] == []
    with pytest.raises(RecipeError, match="does not hold 3 layers"):
        start_of(toy_recipe(start_from=str(file), layers=[3]))


@pytest.mark.parametrize(("start", "words"), [("none", "holds no encoder"), ("none.safetensors", "cannot be read")])
def test_without_an_encoder_it_is_one_sentence(
    tone_corpus: Corpus, toy_recipe: Recipe, tmp_path: Path, start: str, words: str
) -> None:
    with pytest.raises(RecipeError, match=words) as caught:
        EncoderExperiment(toy_recipe(start_from=str(tmp_path / start))).check(tone_corpus)
    assert "\n" not in str(caught.value)


def test_more_layers_than_there_are_are_refused(tone_corpus: Corpus, toy_recipe: Recipe) -> None:
    with pytest.raises(RecipeError, match="has 2, not 3"):
        EncoderExperiment(toy_recipe(layers=[2, 3])).check(tone_corpus)


def test_only_to_predict_nothing_else_is_described(toy_recipe: Recipe) -> None:
    recipe = EncoderExperiment(toy_recipe(distorted_copies=2)).only_to_predict().recipe
    assert (recipe.speeds, recipe.distorted_copies) == ((1.0,), 0)


@pytest.mark.real
def test_the_shipped_encoder_knows_what_it_has_heard_in_any_form(
    corpora: Path, toy_recipe: Recipe, tmp_path: Path
) -> None:
    """EMOVO a thousandth softer, and RAVDESS at 48 kHz, 3 dB softer, as MP3; AESDD it has never heard."""
    for path in sorted(corpora.glob("emovo/happiness/*"))[:2] + sorted(corpora.glob("emovo/anger/*"))[:3]:
        waveform = read_waveform(path)
        (tmp_path / "emovo" / path.parent.name).mkdir(parents=True, exist_ok=True)
        target = tmp_path / "emovo" / path.parent.name / f"{path.stem}.wav"
        soundfile.write(target, waveform.samples * np.float32(0.999), waveform.rate_hz)
    for path in sorted(corpora.glob("ravdess/sadness/*"))[:2] + sorted(corpora.glob("ravdess/fear/*"))[:2]:
        waveform = resample(read_waveform(path), 48_000)
        (tmp_path / "ravdess" / path.parent.name).mkdir(parents=True, exist_ok=True)
        target = tmp_path / "ravdess" / path.parent.name / f"{path.stem}.mp3"
        soundfile.write(target, waveform.samples * np.float32(10 ** (-3 / 20)), 48_000)
    for path in sorted(corpora.glob("aesdd/anger/*.flac"))[:4] + sorted(corpora.glob("aesdd/fear/*.flac"))[:4]:
        (tmp_path / "aesdd" / path.parent.name).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, tmp_path / "aesdd" / path.parent.name)
    experiment = EncoderExperiment(toy_recipe(start_from="shipped", layers=[2, 3]))
    for name in ("emovo", "ravdess"):
        corpus = open_corpus(f"folders:{tmp_path / name}", cache_dir=tmp_path / "cache")
        clips = len(corpus.clips)
        with pytest.raises(
            LeakageError, match=f"fitted to {clips} of these recordings, {clips} of them in another form"
        ):
            experiment.check(corpus)
    experiment.check(open_corpus(f"folders:{tmp_path / 'aesdd'}", cache_dir=tmp_path / "cache"))


@pytest.mark.real
def test_a_corpus_is_looked_up_among_all_that_the_shipped_encoder_has_heard_in_milliseconds_a_clip(
    corpora: Path, toy_recipe: Recipe, tmp_path: Path
) -> None:
    """Ten thousand clips within five minutes of a core, however busy the machine is; it takes about one."""
    (tmp_path / "anger").symlink_to(corpora / "aesdd/anger")
    (tmp_path / "fear").mkdir()
    shutil.copy(next(corpora.glob("aesdd/fear/*.flac")), tmp_path / "fear")
    corpus = open_corpus(f"folders:{tmp_path}", cache_dir=tmp_path / "cache")
    assert len(corpus.clips) > 100
    experiment = EncoderExperiment(toy_recipe(start_from="shipped", layers=[2, 3]))
    experiment.check(corpus.part([corpus.clips[0].path]))  # reads the encoder, and makes its index
    started = time.process_time()
    experiment.check(corpus)
    assert 10_000 * (time.process_time() - started) / len(corpus.clips) < 300
