"""Explanations: what they mark carried the decision, what they take out is what they say, and the sound stays sound."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional
from typer.testing import CliRunner

from thymos.audio import Samples, read_waveform, resample
from thymos.audio.mel_scale import hz_to_mel, mel_to_hz
from thymos.cli import app
from thymos.encoder.attentive import AttentiveEncoder, AttentiveSettings, EmotionHead, EmotionNetwork
from thymos.encoder.export import exportable
from thymos.encoder.gradients import GradientEffects
from thymos.encoder.level_mel import LevelMel, LevelMelSettings
from thymos.encoder.recipe import EncoderRecipe
from thymos.encoder.voice_statistics import VoiceNetwork
from thymos.engine.process import one_thread
from thymos.errors import AudioError, ThymosError
from thymos.export import rewrite_bundle, write_bundle
from thymos.labels import AESDD_EMOTIONS
from thymos.runtime.bundle import find_bundle, shipped_folder
from thymos.runtime.explain import (
    BANDS,
    EXPLAINED_S,
    MARKED_SHARE,
    Effects,
    Evidence,
    ExplainedPart,
    Explanation,
    explain_part,
    grid,
    strongest,
)
from thymos.runtime.occlusion import Occluder
from thymos.runtime.recognizer import Recognizer, load

RATE_HZ = 16_000
RANDOM_REGIONS = 8


@pytest.fixture(scope="module")
def trained(mini: Path, tmp_path_factory) -> Recognizer:
    """A small network that has learnt the mini corpus, as a bundle."""
    features = LevelMelSettings(n_bands=32)
    size = AttentiveSettings(widths=(8, 12), blocks=(1, 1), time_strides=(2, 2), frame_units=16, attention_units=8)
    files = sorted(mini.glob("*/*"))[::2]
    targets = torch.tensor([AESDD_EMOTIONS.index(file.parent.name) for file in files])
    clips = [resample(read_waveform(file), RATE_HZ).samples for file in files]
    longest = max(map(len, clips))
    front_end = LevelMel(features)
    # By another number of threads it would learn another network.
    with one_thread():
        with torch.inference_mode():
            # Repeated rather than padded: a clip's levels stay what they are.
            levels = torch.cat([front_end(torch.from_numpy(np.resize(clip, longest))[None]) for clip in clips])
        levels = levels.clone()
        torch.manual_seed(0)
        encoder = AttentiveEncoder(size, len(features.channels), features.n_bands)
        network = EmotionNetwork(encoder, EmotionHead(size.embedding, len(AESDD_EMOTIONS), 0.0))
        optimiser = torch.optim.Adam(network.parameters(), 1e-2)
        network.train()
        for _ in range(12):
            for rows in torch.randperm(len(files)).split(15):
                optimiser.zero_grad()
                functional.cross_entropy(network(levels[rows]), targets[rows], label_smoothing=0.1).backward()
                optimiser.step()
    about = {"name": "mini", "version": "1", "licence": "for tests", "trained_on": [], "scores": []}
    folder = tmp_path_factory.mktemp("trained") / "mini"
    recipe = EncoderRecipe(name="toy", features=features, model=size, speeds=(1.0,))
    write_bundle(folder, exportable(recipe, network.eval(), AESDD_EMOTIONS), about)
    return load(folder)


@pytest.fixture(scope="module")
def voice(mini: Path, tmp_path_factory) -> Recognizer:
    """What recipe thymos makes of a part of the mini corpus: statistics of the voice, and the shipped encoder."""
    root = tmp_path_factory.mktemp("corpus") / "part"
    for clip in sorted(mini.glob("*/*"))[::2]:
        (root / clip.parent.name).mkdir(parents=True, exist_ok=True)
        (root / clip.parent.name / clip.name).symlink_to(clip)
    out = root.parent / "model"
    words = ["train", str(root), "--recipe", "thymos", "--out", str(out), "--cache-dir", str(root.parent / "cache")]
    changes = ["--set=speeds=[1.0]", "--set=discriminant.distorted_copies=0"]
    done = CliRunner().invoke(app, [*words, *changes, "--quiet"])
    assert done.exit_code == 0, done.output
    return load(out)


def falls(recognizer: Recognizer, explanation: Explanation, rng: np.random.Generator) -> tuple[float, float]:
    """Return how the log-probability falls without the marked region, and on average without random ones as large."""
    occluder = Occluder(
        explanation.samples, explanation.rate_hz, explanation.times_s - explanation.times_s[0], explanation.bands_hz
    )

    def fall(mask: np.ndarray) -> float:
        at_rate = (occluder.without(mask), explanation.rate_hz)
        probabilities = recognizer._answer(at_rate[0]).probabilities
        left = probabilities[recognizer.labels.index(explanation.emotion)]
        return float(np.log(explanation.probability) - np.log(left))

    shape, count = explanation.effect.shape, int(explanation.marked.sum())
    masks = [
        np.isin(np.arange(BANDS * shape[1]), rng.permutation(BANDS * shape[1])[:count]) for _ in range(RANDOM_REGIONS)
    ]
    return fall(explanation.marked), float(np.mean([fall(mask.reshape(shape)) for mask in masks]))


def assert_faithful(
    recognizer: Recognizer, files: list[Path], effects: Effects | None = None, exceptions: int = 0
) -> None:
    rng = np.random.default_rng(0)
    found = []
    for file in files:
        explanation = recognizer.explain(file, effects=effects)
        assert explanation.marked.any(), file
        found.append(falls(recognizer, explanation, rng))
    marked, random = np.array(found).T
    assert (marked > random).sum() >= len(files) - exceptions, found
    assert np.median(marked) > 2 * max(np.median(random), 0), found


def test_what_is_marked_carries_the_decision(trained, mini):
    files = sorted(mini.glob("*/*"))[1::30]
    assert len(files) == 5
    assert_faithful(trained, files)


def test_what_gradients_mark_carries_the_decision(trained, mini):
    # The way that gradients follow is short: of one recording in five, the difference may be too small to tell.
    files = sorted(mini.glob("*/*"))[1::30]
    assert_faithful(trained, files, GradientEffects(trained.bundle.folder), exceptions=1)


def test_gradients_are_computed_by_one_thread_whatever_the_program_uses(trained, mini, monkeypatch):
    effects = GradientEffects(trained.bundle.folder)
    samples = resample(read_waveform(sorted(mini.glob("fear/*"))[3]), RATE_HZ).samples
    part, edges = ExplainedPart(samples, RATE_HZ), grid(len(samples) / RATE_HZ, RATE_HZ)
    used, power = [], effects._spectrograms
    monkeypatch.setattr(effects, "_spectrograms", lambda part: used.append(torch.get_num_threads()) or power(part))
    before = torch.get_num_threads()
    answers = []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            answers.append((effects(part, *edges, 2), effects.fall(part, 2)))
            assert torch.get_num_threads() == threads, "a program's own setting stays"
    finally:
        torch.set_num_threads(before)
    assert used == [1, 1, 1, 1]
    np.testing.assert_array_equal(answers[0][0], answers[1][0])
    assert answers[0][1] == answers[1][1]


def test_what_gradients_of_a_voice_network_mark_carries_the_decision(voice, mini):
    effects = GradientEffects(voice.bundle.folder)
    assert isinstance(effects._read.network, VoiceNetwork)
    files = sorted(mini.glob("*/*"))[1::15]
    assert_faithful(voice, files, effects, exceptions=1)  # so few recordings make it surer than is good
    explanation = voice.explain(files[0], effects=effects)
    part, label = ExplainedPart(explanation.samples, RATE_HZ), voice.labels.index(explanation.emotion)
    assert explanation.effect.sum() == pytest.approx(effects.fall(part, label), rel=0.1)


def test_loudness_has_no_part_in_what_gradients_find(trained, voice, mini):
    """Levels are beside their own mean wherever the way leads, as they are in what is left of a sound."""
    for recognizer in (trained, voice):
        effects = GradientEffects(recognizer.bundle.folder)
        samples = resample(read_waveform(sorted(mini.glob("fear/*"))[3]), RATE_HZ).samples
        spectrograms = effects._spectrograms(ExplainedPart(samples, RATE_HZ))
        with torch.inference_mode():
            usual = effects._log_probability(*spectrograms)
            louder = effects._log_probability(*(picture + 20 for picture in spectrograms))
        torch.testing.assert_close(louder, usual, atol=1e-3, rtol=0)


def test_either_way_explains_the_same_answer(trained, mini):
    file = sorted(mini.glob("*/*"))[1]
    by_gradients = trained.explain(file, effects=GradientEffects(trained.bundle.folder))
    by_occlusion = trained.explain(file)
    assert (by_gradients.method, by_occlusion.method) == ("gradients", "occlusion")
    assert by_gradients.to_dict()["method"] == "gradients"
    assert (by_gradients.emotion, by_gradients.probability) == (by_occlusion.emotion, by_occlusion.probability)
    assert by_gradients.effect.shape == by_occlusion.effect.shape


@pytest.mark.parametrize("speeds", [(1.0,), (1.0, 0.9, 1.1)])
def test_parts_by_gradients_add_up_to_the_whole_fall(make_bundle, tmp_path, mini, speeds):
    recognizer = load(make_bundle(tmp_path / "toy", speeds=speeds))
    effects = GradientEffects(recognizer.bundle.folder)
    explanation = recognizer.explain(sorted(mini.glob("anger/*"))[3], effects=effects)
    part, label = ExplainedPart(explanation.samples, RATE_HZ), recognizer.labels.index(explanation.emotion)
    # The torch network answers as the graph does.
    with torch.inference_mode():
        heard = effects._log_probability(*effects._spectrograms(part))[0, label]
    assert float(heard.exp()) == pytest.approx(explanation.probability, abs=1e-4)
    fall = effects.fall(part, label)
    assert abs(fall) > 1e-4, "where nothing falls, nothing is shown to add up"
    assert explanation.effect.sum() == pytest.approx(fall, rel=0.1)


def test_a_graph_without_weights_has_no_gradients(trained, tmp_path):
    rewrite_bundle(trained.bundle.folder, tmp_path / "graph", {}, True, lambda about: [])
    with pytest.raises(ThymosError, match="graph without weights, which has no gradients: explain it by occlusion"):
        GradientEffects(tmp_path / "graph")


@pytest.mark.real
def test_what_is_marked_carries_the_decision_of_the_shipped_model(aesdd):
    if not (shipped_folder() / "model.json").is_file():
        pytest.skip(f"needs the shipped model, which is not at {shipped_folder()}")
    recognizer = load(find_bundle(shipped_folder()))
    # The VAD hears no speech in some: there is nothing to explain in these.
    files = [
        next(file for file in sorted(folder.glob("*.flac"))[40:] if recognizer.predict(file).emotion is not None)
        for folder in sorted(aesdd.iterdir())
        if folder.is_dir()
    ]
    assert len(files) == 5
    assert_faithful(recognizer, files)


def test_it_explains_what_is_predicted(trained, mini, tmp_path):
    file = sorted(mini.glob("fear/*"))[3]
    prediction, explanation = trained.predict(file), trained.explain(file)
    assert explanation.emotion == prediction.emotion
    assert explanation.probability == pytest.approx(prediction.probabilities[prediction.emotion], abs=1e-9)
    assert explanation.effect.shape == explanation.marked.shape == (BANDS, len(explanation.times_s) - 1)
    assert explanation.times_s[0] == 0 and explanation.times_s[-1] == pytest.approx(prediction.duration_s)
    assert explanation.bands_hz[0] == 0 and explanation.bands_hz[-1] == pytest.approx(RATE_HZ / 2)
    assert 0 < explanation.marked.sum() <= np.ceil(MARKED_SHARE * explanation.effect.size)
    # The effect is what it says, region by region.
    occluder = Occluder(explanation.samples, RATE_HZ, explanation.times_s, explanation.bands_hz)
    mask = np.zeros_like(explanation.marked)
    mask[2, 3] = True
    label = trained.labels.index(explanation.emotion)
    left = trained._answer(occluder.without(mask)).probabilities[label]
    assert explanation.effect[2, 3] == pytest.approx(np.log(explanation.probability / left), abs=1e-9)
    assert (explanation.evidence.probabilities.sum(1) == pytest.approx(1)) and len(explanation.evidence.times_s) > 4
    content = json.loads(json.dumps(explanation.to_dict(), allow_nan=False))
    assert content["emotion"] == explanation.emotion and np.shape(content["effect"]) == explanation.effect.shape
    assert set(content["evidence"]) == {"times_s", *trained.labels}
    assert f"{explanation.emotion} {explanation.probability:.2f}" in str(explanation)


def test_sources_agree_and_another_emotion_can_be_asked_for(trained, mini):
    file = sorted(mini.glob("anger/*"))[5]
    other = "sadness"
    by_path = trained.explain(file, other)
    assert by_path.emotion == other
    assert by_path.probability == pytest.approx(trained.predict(file).probabilities[other], abs=1e-9)
    with file.open("rb") as opened:
        assert np.array_equal(trained.explain(opened, other).effect, by_path.effect)
    with pytest.raises(ThymosError, match="'joy' is none of the model's emotions: anger"):
        trained.explain(file, "joy")


def test_without_speech_there_is_nothing_to_explain(trained, make_tone):
    with pytest.raises(AudioError, match="no emotion to explain"):
        trained.explain((make_tone(2.0), RATE_HZ))


def test_of_a_long_recording_the_most_telling_window_is_explained(trained, long_speech):
    samples, rate_hz = long_speech
    for length_s in (EXPLAINED_S + 7.3, 41.3):
        part = (samples[: round(length_s * rate_hz)], rate_hz)
        prediction, explanation = trained.predict(part, timeline=True), trained.explain(part)
        windows = [window for window in prediction.timeline.windows if window.probabilities]
        best = max(windows, key=lambda window: window.probabilities[prediction.emotion])
        assert explanation.times_s[[0, -1]] == pytest.approx([best.start_s, best.end_s], abs=1e-3)
        assert explanation.probability == pytest.approx(best.probabilities[prediction.emotion], abs=1e-6)
        assert explanation.evidence.times_s[0] > best.start_s
        assert f" in {best.start_s:.1f} – {best.end_s:.1f} s" in str(explanation)


def power(samples: Samples, low_hz: float, high_hz: float) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples)))) ** 2
    hz = np.fft.rfftfreq(len(samples), 1 / RATE_HZ)
    return float(spectrum[(hz >= low_hz) & (hz < high_hz)].sum())


def test_a_region_is_taken_out_and_the_rest_stays(make_tone):
    rng = np.random.default_rng(1)
    quiet = 1e-3 * rng.normal(size=3 * RATE_HZ).astype(np.float32)
    middle = np.zeros(3 * RATE_HZ, np.float32)
    middle[RATE_HZ : 2 * RATE_HZ] = make_tone(1.0, hz=440.0) + make_tone(1.0, hz=3_000.0)
    sound = quiet + middle
    times_s, bands_hz = np.array([0.0, 0.9, 2.1, 3.0]), np.array([0.0, 1_000.0, 8_000.0])
    occluder = Occluder(sound, RATE_HZ, times_s, bands_hz)
    assert np.abs(occluder.without(np.zeros((2, 3), bool)) - sound).max() == 0
    mask = np.zeros((2, 3), bool)
    mask[0, 1] = True
    left = occluder.without(mask)
    inside = slice(round(1.2 * RATE_HZ), round(1.8 * RATE_HZ))
    assert power(left[inside], 300, 600) < 1e-4 * power(sound[inside], 300, 600)
    # What is left is as loud as the recording is where it is quiet, and no hole.
    before = power(quiet[inside], 300, 600)
    assert 0.02 * before < power(left[inside], 300, 600) < 20 * before
    assert power(left[inside], 2_900, 3_100) == pytest.approx(power(sound[inside], 2_900, 3_100), rel=1e-3)
    assert np.abs(left[: round(0.8 * RATE_HZ)] - sound[: round(0.8 * RATE_HZ)]).max() < 1e-9
    assert np.abs(left[round(2.2 * RATE_HZ) :] - sound[round(2.2 * RATE_HZ) :]).max() < 1e-9


def test_regions_add_up():
    sound = np.random.default_rng(2).normal(0, 0.1, RATE_HZ).astype(np.float32)
    occluder = Occluder(sound, RATE_HZ, np.linspace(0, 1, 4), mel_to_hz(np.linspace(0, hz_to_mel(np.array(8e3)), 4)))
    one, two = np.zeros((3, 3), bool), np.zeros((3, 3), bool)
    one[0, 0] = two[2, 1] = True
    both = occluder.without(one) + occluder.without(two) - sound
    assert np.abs(occluder.without(one | two) - both).max() < 1e-6


def test_a_region_that_alone_decides_is_found(make_tone):
    """A model that hears nothing but 3 kHz between 1.0 and 1.5 s is explained by just that."""
    sound = (0.1 * np.random.default_rng(3).normal(size=2 * RATE_HZ)).astype(np.float32)
    burst = slice(RATE_HZ, round(1.5 * RATE_HZ))
    sound[burst] += make_tone(0.5, hz=3_000.0)

    def hear(samples: Samples) -> np.ndarray:
        share = power(samples[burst], 2_900, 3_100) / power(sound[burst], 2_900, 3_100)
        return np.array([0.1 + 0.8 * min(share, 1), 0.9 - 0.8 * min(share, 1)])

    evidence = Evidence(np.array([0.5]), np.array([[0.5, 0.5]]))
    found = explain_part(hear, ExplainedPart(sound, RATE_HZ, 7.0), evidence, ("anger", "fear"), None, "one")
    assert found.emotion == "anger" and found.probability == pytest.approx(0.9)
    band, column = np.unravel_index(found.effect.argmax(), found.effect.shape)
    assert found.bands_hz[band] < 3_000 < found.bands_hz[band + 1]
    assert found.times_s[column] >= 8.0 - 1e-9 and found.times_s[column + 1] <= 8.5 + 1e-9
    others = np.delete(found.effect, band, axis=0)
    assert np.abs(others).max() < 0.1 * found.effect.max()
    assert found.probability_without < 0.2


def test_marks_are_none_where_nothing_carries():
    assert not strongest(-np.ones((BANDS, 4))).any()
    effect = np.zeros((2, 10))
    effect[1, 4] = 0.1
    assert strongest(effect).sum() == 1 and strongest(effect)[1, 4]


def test_four_seconds_cost_no_more_than_72_answers():
    times_s, bands_hz = grid(4.0, RATE_HZ)
    assert (len(times_s) - 1) * (len(bands_hz) - 1) <= 72


@pytest.mark.parametrize("duration_s", [0.25, 1.0, 4.0, EXPLAINED_S])
def test_grid_is_fine_enough_and_covers_all(duration_s: float):
    times_s, bands_hz = grid(duration_s, RATE_HZ)
    assert times_s[0] == 0 and times_s[-1] == duration_s and np.diff(times_s).max() <= 0.55
    assert np.diff(hz_to_mel(bands_hz)) == pytest.approx(np.full(BANDS, hz_to_mel(np.array(8e3)) / BANDS))
