"""The table of conditions with a real, if small, classifier; and scores against independent computations."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from thymos.audio import Samples, Waveform, read_waveform, resample
from thymos.audio.distort import CLEAN, CONDITIONS
from thymos.errors import AudioError
from thymos.evaluation.robustness import (
    ConditionScore,
    Predict,
    breakdown,
    predict_conditions,
    robustness,
    score_conditions,
)
from thymos.labels import AESDD_EMOTIONS
from thymos.scoring.predictions import Scored

BANDS = 24


def features(sounds: Sequence[tuple[Samples, int]]) -> np.ndarray:
    """Mean and spread over frames of log band energies at 16 kHz; level is taken out."""
    rows = []
    for samples, rate_hz in sounds:
        at_rate = resample(Waveform(samples, rate_hz), 16_000).samples
        padded = np.pad(at_rate, (0, max(0, 512 - len(at_rate))))
        frames = np.lib.stride_tricks.sliding_window_view(padded, 512)[::256] * np.hanning(512)
        power = np.abs(np.fft.rfft(frames)) ** 2
        edges = np.unique(np.geomspace(2, 257, BANDS + 1).astype(int))
        levels = np.log(np.add.reduceat(power[:, :257], edges[:-1], axis=1) + 1e-12)
        levels -= levels.mean()
        rows.append(np.concatenate([levels.mean(0), levels.std(0)]))
    return np.array(rows)


@pytest.fixture(scope="module")
def clips(mini: Path) -> list[str]:
    return sorted(str(path.relative_to(mini)) for path in mini.glob("*/*.opus"))


def truths(clips: Sequence[str]) -> np.ndarray:
    return np.array([AESDD_EMOTIONS.index(clip.split("/")[0]) for clip in clips])


@pytest.fixture(scope="module")
def unheard(clips: list[str]) -> list[str]:
    """The fifth sentence, which the classifier is not fitted on."""
    return [clip for clip in clips if clip.split("/")[1][1:3] == "05"]


@pytest.fixture(scope="module")
def heard(clips: list[str], unheard: list[str]) -> list[str]:
    return [clip for clip in clips if clip not in unheard]


@pytest.fixture(scope="module")
def predict(mini: Path, heard: list[str]) -> Predict:
    sounds = [(w.samples, w.rate_hz) for w in (read_waveform(mini / clip) for clip in heard)]
    fitted = make_pipeline(StandardScaler(), LogisticRegression(C=0.05, max_iter=500))
    fitted.fit(features(sounds), truths(heard))
    return lambda heard: fitted.predict_proba(features(heard))


@pytest.fixture(scope="module")
def table(mini: Path, heard: list[str], unheard: list[str], predict: Predict) -> list[ConditionScore]:
    return robustness(predict, mini, unheard, truths(unheard), [mini / clip for clip in heard[::6]])


def test_table_has_all_conditions_and_says_what_hurts(table, unheard):
    rows = {row.condition: row for row in table}
    assert list(rows) == list(CONDITIONS)
    assert all(row.recordings == len(unheard) for row in table)
    assert rows[CLEAN].accuracy > 0.4
    assert (rows[CLEAN].difference, rows[CLEAN].difference_ci95) == (0, (0, 0))
    # The classifier takes the level out, so half the volume is nothing to it; white noise is much.
    assert rows["half volume"].difference == 0
    assert rows["white noise 5 dB"].difference_ci95[1] < 0
    assert rows["white noise 5 dB"].accuracy <= rows["white noise 20 dB"].accuracy <= rows[CLEAN].accuracy
    for row in table:
        assert row.difference == pytest.approx(100 * (row.accuracy - rows[CLEAN].accuracy))
        assert row.difference_ci95[0] <= row.difference <= row.difference_ci95[1]
        assert row.accuracy_ci95[0] <= row.accuracy <= row.accuracy_ci95[1]
        assert row.uar_ci95[0] <= row.uar <= row.uar_ci95[1]


def test_clip_is_distorted_alike_in_any_company(mini, clips, predict):
    babble = [mini / clip for clip in clips[:8]]
    some = {name: CONDITIONS[name] for name in ("clean", "white noise 10 dB", "babble 10 dB", "reverberation")}
    together = predict_conditions(predict, mini, clips[:40], babble, some)
    alone = predict_conditions(predict, mini, clips[35:36], babble, some)
    other = predict_conditions(predict, mini, clips[35:36], babble, some, seed=1)
    for name in some:
        np.testing.assert_allclose(alone[name][0], together[name][35], rtol=1e-9)
        assert np.allclose(other[name], alone[name], rtol=1e-9) == (name == CLEAN)


def test_each_clip_gets_its_own_noise_and_the_same_at_all_ratios(mini, clips):
    heard = []

    def keep(sounds):
        heard.append([samples for samples, _ in sounds])
        return np.full((len(sounds), 5), 0.2)

    some = {name: CONDITIONS[name] for name in ("clean", "white noise 20 dB", "white noise 5 dB")}
    predict_conditions(keep, mini, clips[:2], [], some)
    (clean, other_clean), (quiet, other_quiet), (loud, _) = heard
    np.testing.assert_allclose(loud - clean, (quiet - clean) * 10**0.75, atol=1e-6)
    n = min(len(clean), len(other_clean))
    assert abs(np.corrcoef((quiet - clean)[:n], (other_quiet - other_clean)[:n])[0, 1]) < 0.05


def test_nobody_babbles_under_himself(mini, clips):
    heard = []

    def keep(sounds):
        heard.append(sounds[0][0])
        return np.full((len(sounds), 5), 0.2)

    some = {name: CONDITIONS[name] for name in ("clean", "babble 5 dB")}
    for babble in ([mini / clips[0], mini / clips[1]], [mini / clips[1]]):
        predict_conditions(keep, mini, clips[:1], babble, some)
    np.testing.assert_array_equal(heard[1], heard[3])
    with pytest.raises(AudioError, match=f"^{clips[0].split()[0]}.*no other recording"):
        predict_conditions(keep, mini, clips[:1], [mini / clips[0]], some)


def test_babble_follows_the_rate_of_the_clip(mini, clips, write_sound, make_tone, tmp_path):
    """A tone among the babblers stays where it was, at whatever rate the clip comes."""
    write_sound(tmp_path / "voice.wav", make_tone(1.0, 16_000, hz=1_000))
    spectra = []

    def keep(sounds):
        spectra.append(sounds[0])
        return np.full((len(sounds), 5), 0.2)

    for rate_hz in (16_000, 44_100):
        write_sound(tmp_path / f"clip{rate_hz}.wav", make_tone(1.0, rate_hz, hz=100), rate_hz)
    some = {"babble 5 dB": CONDITIONS["babble 5 dB"]}
    predict_conditions(keep, tmp_path, ["clip16000.wav"], [tmp_path / "voice.wav"], some)
    predict_conditions(keep, tmp_path, ["clip44100.wav"], [tmp_path / "voice.wav"], some)
    for samples, rate_hz in spectra:
        strength = np.abs(np.fft.rfft(samples))
        hz = np.fft.rfftfreq(len(samples), 1 / rate_hz)
        assert hz[strength > 0.1 * strength.max()][[0, -1]] == pytest.approx([100, 1_000], abs=2)


def test_unreadable_files_are_named(mini, clips, predict, tmp_path):
    (tmp_path / "broken.wav").write_bytes(b"nothing")
    with pytest.raises(AudioError, match=r"^broken\.wav is not sound"):
        predict_conditions(predict, tmp_path, ["broken.wav"], [])
    with pytest.raises(AudioError, match=r"broken\.wav is not sound"):
        predict_conditions(predict, mini, clips[:1], [tmp_path / "broken.wav"])


def test_progress_is_told_clip_by_clip(mini, clips, predict):
    done = []
    predict_conditions(predict, mini, clips[:35], [], {CLEAN: CONDITIONS[CLEAN]}, advance=lambda: done.append(1))
    assert len(done) == 35


def decided(predicted: np.ndarray, n_labels: int = 5) -> np.ndarray:
    return np.eye(n_labels)[predicted]


def test_scores_are_scikit_learns_and_intervals_are_paired():
    random = np.random.default_rng(0)
    truth = random.integers(0, 5, 400)
    clean = np.where(random.random(400) < 0.7, truth, random.integers(0, 5, 400))
    noisy = clean.copy()
    noisy[:40] = (truth[:40] + 1) % 5  # wrong in these, as before in all others
    lost = (clean[:40] == truth[:40]).sum() / 400
    rows = score_conditions(truth, {"noise": decided(noisy), CLEAN: decided(clean)})
    assert [row.condition for row in rows] == ["noise", CLEAN]
    assert rows[0].accuracy == pytest.approx((noisy == truth).mean())
    assert rows[0].uar == pytest.approx(balanced_accuracy_score(truth, noisy))
    assert rows[0].difference == pytest.approx(-100 * lost)
    # Paired: only the recordings that changed can move it. Unpaired it would be three times as wide.
    half = 1.96 * np.sqrt(lost * (1 - lost) / 400)
    assert rows[0].difference_ci95 == pytest.approx((-100 * (lost + half), -100 * (lost - half)), abs=0.4)


def test_repeats_of_a_recording_are_drawn_together():
    random = np.random.default_rng(1)
    truth = random.integers(0, 5, 100)
    clean = np.where(random.random(100) < 0.7, truth, random.integers(0, 5, 100))
    noisy = np.where(random.random(100) < 0.4, truth, random.integers(0, 5, 100))
    clips = [f"{i:03}" for i in range(100)]
    once = score_conditions(truth, {CLEAN: decided(clean), "noise": decided(noisy)}, clips)
    thrice = score_conditions(
        np.tile(truth, 3), {CLEAN: decided(np.tile(clean, 3)), "noise": decided(np.tile(noisy, 3))}, clips * 3
    )
    assert [row.recordings for row in thrice] == [100, 100]
    assert thrice[1].difference_ci95 == pytest.approx(once[1].difference_ci95)
    assert thrice[1].accuracy_ci95 == pytest.approx(once[1].accuracy_ci95)


def test_what_does_not_fit_is_refused():
    truth = np.array([0, 1])
    with pytest.raises(ValueError, match="'clean'"):
        score_conditions(truth, {"noise": decided(truth)})
    with pytest.raises(ValueError, match="one truth"):
        score_conditions(truth, {CLEAN: decided(truth), "noise": decided(truth[:1])})
    with pytest.raises(ValueError, match="one truth"):
        score_conditions(truth, {CLEAN: decided(truth)}, ["a"])


@pytest.fixture
def scored() -> tuple[Scored, dict[str, float]]:
    """300 recordings by six speakers; what is longer, and what is not fear, is heard better."""
    random = np.random.default_rng(5)
    truth = np.arange(300) % 5
    lengths_s = 1 + random.permutation(300) / 100
    right = random.random(300) < np.where(truth == 2, 0.2, 0.5) + (lengths_s - 1) / 6
    clips = np.array([f"{AESDD_EMOTIONS[t]}/{i:03}.wav" for i, t in enumerate(truth)])
    speakers = np.array([str(1 + i % 6) for i in range(300)])
    predicted = np.where(right, truth, (truth + 1) % 5)
    rows = Scored(clips, speakers, np.zeros((300, 2), int), truth, decided(predicted))
    return rows, dict(zip(clips.tolist(), lengths_s.tolist(), strict=True))


def test_breakdown_is_counted_by_hand(scored):
    rows, lengths_s = scored
    genders = {"1": "female", "2": "female", "3": "male", "4": "male", "5": "male"}
    found = breakdown(rows, AESDD_EMOTIONS, lengths_s, genders)
    assert [row.by for row in found] == ["emotion"] * 5 + ["gender"] * 3 + ["duration"] * 3
    assert [row.group for row in found[:8]] == [*AESDD_EMOTIONS, "female", "male", "unknown"]
    assert [row.recordings for row in found] == [60] * 5 + [100, 150, 50] + [100] * 3
    right = rows.predicted == rows.truth
    assert [row.accuracy for row in found[:5]] == pytest.approx([right[rows.truth == i].mean() for i in range(5)])
    assert found[5].accuracy == pytest.approx(right[np.isin(rows.speakers, ["1", "2"])].mean())
    order = np.argsort([lengths_s[clip] for clip in rows.clips])
    thirds = [right[order[start : start + 100]].mean() for start in (0, 100, 200)]
    assert [row.accuracy for row in found[8:]] == pytest.approx(thirds)
    for row in found:
        half = 1.96 * np.sqrt(row.accuracy * (1 - row.accuracy) / row.recordings)
        assert row.accuracy_ci95 == pytest.approx((row.accuracy - half, row.accuracy + half), abs=0.03)


def test_thirds_tell_their_bounds(scored):
    rows, lengths_s = scored
    names = [row.group for row in breakdown(rows, AESDD_EMOTIONS, lengths_s) if row.by == "duration"]
    assert names == ["shortest third, up to 2.00 s", "middle third, up to 2.99 s", "longest third, above 2.99 s"]


def test_repeats_do_not_count_as_recordings(scored):
    rows, lengths_s = scored
    twice = Scored(*(np.concatenate([part, part]) for part in vars(rows).values()))
    assert breakdown(twice, AESDD_EMOTIONS, lengths_s) == breakdown(rows, AESDD_EMOTIONS, lengths_s)


def test_what_is_unknown_or_the_same_everywhere_makes_no_rows(scored):
    rows, lengths_s = scored
    found = breakdown(rows.where(rows.truth != 3), AESDD_EMOTIONS, dict.fromkeys(lengths_s, 2.0))
    assert [row.group for row in found] == ["anger", "disgust", "fear", "sadness", "shortest third, up to 2.00 s"]
