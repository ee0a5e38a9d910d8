"""The table of conditions by an experiment of one's own, if a small one; and scores against other computations."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from thymos.audio import Waveform, resample
from thymos.audio.distort import CLEAN, CONDITIONS, Condition
from thymos.corpora import Corpus, open_corpus
from thymos.corpora.folds import Fold
from thymos.corpora.protocols import Protocol
from thymos.errors import AudioError
from thymos.evaluation.evaluate import evaluate
from thymos.evaluation.robustness import (
    BABBLERS,
    Robustness,
    Voices,
    babblers,
    distorted,
    robustness,
    score_conditions,
)
from thymos.experiment import Experiment, Fitted, Rows, Scores, TrainingPart, Work
from thymos.labels import AESDD_EMOTIONS
from thymos.scoring.breakdown import breakdown
from thymos.scoring.predictions import Scored

BANDS = 24
Features = NDArray[np.float64]


def described(waveform: Waveform) -> NDArray[np.float64]:
    """Mean and spread over frames of log band energies at 16 kHz; level is taken out."""
    at_rate = resample(waveform, 16_000).samples
    padded = np.pad(at_rate, (0, max(0, 512 - len(at_rate))))
    frames = np.lib.stride_tricks.sliding_window_view(padded, 512)[::256] * np.hanning(512)
    power = np.abs(np.fft.rfft(frames)) ** 2
    edges = np.unique(np.geomspace(2, 257, BANDS + 1).astype(int))
    levels = np.log(np.add.reduceat(power[:, :257], edges[:-1], axis=1) + 1e-12)
    levels -= levels.mean()
    return np.concatenate([levels.mean(0), levels.std(0)])


class Bands(Experiment[Features]):
    """Anybody's own: energies of bands and a logistic regression."""

    name = "bands"

    def features(self, corpus: Corpus, work: Work) -> Features:
        return np.array([described(corpus.waveform(clip)) for clip in corpus.clips])

    def fit(self, features: Features, part: TrainingPart, work: Work) -> "FittedBands":
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        machine = make_pipeline(StandardScaler(), LogisticRegression(C=0.05, max_iter=500))
        return FittedBands(machine.fit(features[list(part.rows)], part.targets))


class FittedBands(Fitted[Features]):
    def __init__(self, machine: Any):
        self.machine = machine

    def predict(self, features: Features, rows: Rows) -> Scores:
        return Scores(self.machine.predict_proba(features[list(rows)]))


class FifthSentence(Protocol):
    """The fifth sentence, which is not fitted to, by three of the speakers."""

    name = "fifth"
    must_not_cross = ("sentence",)

    def draw(self, corpus: Corpus, seed: int) -> Iterator[Fold]:
        train = tuple(clip.path for clip in corpus.clips if clip.sentence != "05")
        test = tuple(clip.path for clip in corpus.clips if clip.sentence == "05")
        yield Fold(0, 0, "fold 1", train, test)


@pytest.fixture(scope="module")
def corpus(mini: Path) -> Corpus:
    return open_corpus(mini)


@pytest.fixture(scope="module")
def found(corpus: Corpus) -> Robustness:
    return robustness(corpus, Bands(), FifthSentence(), threads=1)


@pytest.mark.slow
def test_table_has_all_conditions_and_says_what_hurts(found: Robustness) -> None:
    rows = {row.condition: row for row in found.table}
    (fold,) = found.split.folds
    assert list(rows) == list(CONDITIONS)
    assert all(row.recordings == len(fold.test) == 30 for row in found.table)
    assert rows[CLEAN].accuracy > 0.4
    assert (rows[CLEAN].difference, rows[CLEAN].difference_ci95) == (0, (0, 0))
    # The experiment takes the level out, so half the volume is nothing to it; white noise is much.
    assert rows["half volume"].difference == 0
    assert rows["white noise 5 dB"].difference_ci95[1] < 0
    assert rows["white noise 5 dB"].accuracy <= rows["white noise 20 dB"].accuracy <= rows[CLEAN].accuracy
    for row in found.table:
        assert row.difference == pytest.approx(100 * (row.accuracy - rows[CLEAN].accuracy))
        assert row.difference_ci95[0] <= row.difference <= row.difference_ci95[1]
        assert row.accuracy_ci95[0] <= row.accuracy <= row.accuracy_ci95[1]
        assert row.uar_ci95[0] <= row.uar <= row.uar_ci95[1]


@pytest.mark.slow
def test_clean_it_is_the_evaluation_of_the_same_folds(corpus: Corpus, found: Robustness) -> None:
    run = evaluate(corpus, Bands(), FifthSentence(), threads=1)
    (fold,) = run.results["folds"]
    assert found.table[0].accuracy == pytest.approx(fold["recording"]["accuracy"])
    clean, noisy = found.scored[CLEAN], found.scored["white noise 5 dB"]
    said = run.predictions.sort_values("clip")[[f"p_{word}" for word in AESDD_EMOTIONS]].to_numpy()
    np.testing.assert_allclose(clean.probabilities, said, atol=1e-5)
    assert (clean.clips == noisy.clips).all() and (clean.truth == noisy.truth).all()
    assert np.abs(clean.probabilities - noisy.probabilities).max() > 0.1


def heard(
    corpus: Corpus, condition: Condition, voices: Voices | None = None, seed: int = 0, threads: int = 1
) -> list[Waveform]:
    with distorted(corpus, condition, voices or Voices(corpus, ()), seed, threads) as changed:
        return [changed.waveform(clip) for clip in changed.clips]


@pytest.mark.slow
def test_a_clip_is_distorted_alike_in_any_company(corpus: Corpus) -> None:
    voices = Voices(corpus, [clip.path for clip in corpus.clips[:8]])
    some = replace(corpus, clips=corpus.clips[30:36])
    one = replace(corpus, clips=corpus.clips[35:36])
    for name in ("clean", "white noise 10 dB", "babble 10 dB", "reverberation"):
        together = heard(some, CONDITIONS[name], voices, threads=3)[5]
        alone = heard(one, CONDITIONS[name], voices)[0]
        other = heard(one, CONDITIONS[name], voices, seed=1)[0]
        np.testing.assert_array_equal(alone.samples, together.samples)
        assert np.array_equal(other.samples, alone.samples) == (name == CLEAN)


def test_each_clip_gets_its_own_noise_and_the_same_at_all_ratios(corpus: Corpus) -> None:
    two = replace(corpus, clips=corpus.clips[:2])
    clean, quiet, loud = (
        [waveform.samples for waveform in heard(two, CONDITIONS[name])]
        for name in (CLEAN, "white noise 20 dB", "white noise 5 dB")
    )
    np.testing.assert_allclose(loud[0] - clean[0], (quiet[0] - clean[0]) * 10**0.75, atol=1e-6)
    n = min(map(len, clean))
    assert abs(np.corrcoef((quiet[0] - clean[0])[:n], (quiet[1] - clean[1])[:n])[0, 1]) < 0.05


def test_what_is_written_is_measured_anew_and_gone_afterwards(corpus: Corpus) -> None:
    """Caches know recordings by their digest."""
    two = replace(corpus, clips=corpus.clips[:2])
    with distorted(two, CONDITIONS["speed 0.9"], Voices(corpus, ()), 0) as changed:
        root = changed.root
        for before, after in zip(two.clips, changed.clips, strict=True):
            assert after.sound.sha256 != before.sound.sha256
            assert after.sound.duration_s == pytest.approx(before.sound.duration_s / 0.9, abs=1e-3)
            assert (after.emotion, after.speaker) == (before.emotion, before.speaker)
    assert not root.exists()


def test_nobody_babbles_under_himself(corpus: Corpus) -> None:
    one = replace(corpus, clips=corpus.clips[:1])
    own, other = (clip.path for clip in corpus.clips[:2])
    both, without = (heard(one, CONDITIONS["babble 5 dB"], Voices(corpus, some)) for some in ((own, other), (other,)))
    np.testing.assert_array_equal(both[0].samples, without[0].samples)
    with pytest.raises(AudioError, match=rf"^{own.split()[0]}.*no other recording"):
        heard(one, CONDITIONS["babble 5 dB"], Voices(corpus, (own,)))


def test_only_the_training_part_babbles() -> None:
    fold = Fold(0, 0, "x", tuple(f"train-{i}.wav" for i in range(200)), tuple(f"test-{i}.wav" for i in range(50)))
    around = babblers(fold, 0)
    assert len(set(around)) == BABBLERS
    assert set(around) <= set(fold.train)
    assert around != babblers(fold, 1)
    assert len(set(babblers(replace(fold, train=fold.train[:3]), 0))) == 3


def test_babble_follows_the_rate_of_the_clip(tmp_path: Path, write_sound: Any, make_tone: Any) -> None:
    """A tone among the babblers stays where it was, at whatever rate the clip comes."""
    write_sound(tmp_path / "voice.wav", make_tone(1.0, 16_000, hz=1_000))
    for rate_hz in (16_000, 44_100):
        write_sound(tmp_path / f"clip{rate_hz}.wav", make_tone(1.0, rate_hz, hz=100), rate_hz)
    lines = ["file,emotion", *(f"{name}.wav,anger" for name in ("clip16000", "clip44100", "voice"))]
    (tmp_path / "clips.csv").write_text("\n".join(lines))
    tones = open_corpus(tmp_path / "clips.csv")
    both = replace(tones, clips=tones.clips[:2])
    for waveform in heard(both, CONDITIONS["babble 5 dB"], Voices(tones, ("voice.wav",))):
        strength = np.abs(np.fft.rfft(waveform.samples))
        hz = np.fft.rfftfreq(len(waveform.samples), 1 / waveform.rate_hz)
        assert hz[strength > 0.1 * strength.max()][[0, -1]] == pytest.approx([100, 1_000], abs=2)


def test_unreadable_files_are_named(corpus: Corpus, tmp_path: Path) -> None:
    (tmp_path / "broken.wav").write_bytes(b"nothing")
    broken = replace(corpus, root=tmp_path, clips=(replace(corpus.clips[0], path="broken.wav"),))
    with pytest.raises(AudioError, match=r"^broken\.wav is not sound"):
        heard(broken, CONDITIONS[CLEAN])
    with pytest.raises(AudioError, match=r"^broken\.wav is not sound"):
        Voices(broken, ["broken.wav"])


@pytest.mark.slow
def test_folds_are_told_and_pooled(corpus: Corpus) -> None:
    told: list[str] = []
    some: Mapping[str, Condition] = {name: CONDITIONS[name] for name in (CLEAN, "half volume")}
    small = replace(corpus, clips=corpus.clips[::6])
    found = robustness(small, Bands(), folds=2, conditions=some, threads=1, on_fold=lambda fold: told.append(fold.name))
    assert told == ["fold 1", "fold 2"]
    assert sorted(found.scored[CLEAN].clips) == sorted(clip.path for clip in small.clips)
    with pytest.raises(ValueError, match="'clean'"):
        robustness(small, Bands(), folds=2, conditions={"noise": CONDITIONS["half volume"]})


def decided(predicted: np.ndarray, n_labels: int = 5) -> np.ndarray:
    return np.eye(n_labels)[predicted]


def test_scores_are_scikit_learns_and_intervals_are_paired():
    from sklearn.metrics import balanced_accuracy_score

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
