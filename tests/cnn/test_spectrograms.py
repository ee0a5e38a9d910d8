import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from thymos.audio import Samples, normalise_peak, read_waveform
from thymos.cnn.front_end import front_end
from thymos.cnn.recipe import FeatureSettings, SoundSettings
from thymos.cnn.spectrograms import Spectrograms, cache_key, make_spectrograms, open_spectrograms, prepare
from thymos.corpora import Corpus, open_corpus
from thymos.corpora.protocols import shuffle_labels
from thymos.errors import AudioError

RATE_HZ = 16_000
SOUND = SoundSettings(rate_hz=RATE_HZ, window_s=1.0)
FEATURES = FeatureSettings(n_fft=512, hop=256, n_mels=32)
WriteSound = Callable[..., Path]


@pytest.fixture
def corpus(tmp_path: Path, write_sound: WriteSound, make_tone: Callable[..., Samples]) -> Corpus:
    """Three clips of 0.5, 1.5 and 2.5 s: one, two and three segments of a second."""
    for name, seconds in {"anger/a.wav": 0.5, "fear/b.wav": 1.5, "fear/c.wav": 2.5}.items():
        write_sound(tmp_path / "corpus" / name, make_tone(seconds, hz=200 * seconds, level=0.3), RATE_HZ)
    return open_corpus(tmp_path / "corpus")


def assert_same(first: Spectrograms, second: Spectrograms) -> None:
    np.testing.assert_array_equal(first.values, second.values)
    np.testing.assert_array_equal(first.clip_index, second.clip_index)
    np.testing.assert_array_equal(first.times_s, second.times_s)


def test_spectrograms_lie_segment_by_segment_in_the_order_of_the_clips(corpus: Corpus, tmp_path: Path) -> None:
    spectrograms = make_spectrograms(corpus, SOUND, FEATURES, tmp_path / "cache")
    assert spectrograms.values.shape == (6, 1, 32, 63)
    assert spectrograms.values.dtype == np.float32
    assert spectrograms.clip_index.tolist() == [0, 1, 1, 2, 2, 2]
    expected_s = [[0, 0.5], [0, 1], [0.5, 1.5], [0, 1], [0.75, 1.75], [1.5, 2.5]]
    np.testing.assert_allclose(spectrograms.times_s, expected_s)


def test_a_spectrogram_is_that_of_its_segment(corpus: Corpus, tmp_path: Path) -> None:
    spectrograms = make_spectrograms(corpus, SOUND, FEATURES, tmp_path / "cache", threads=3)
    samples = normalise_peak(read_waveform(corpus.root / corpus.clips[2].path).samples)
    middle = torch.from_numpy(samples[12_000:28_000])[None]
    np.testing.assert_allclose(spectrograms.values[4], front_end(SOUND, FEATURES)(middle)[0].numpy(), atol=1e-4)


def test_sliding_windows_and_another_rate(corpus: Corpus, tmp_path: Path) -> None:
    sound = SoundSettings(rate_hz=8000, window_s=1.0, segments="sliding", hop_s=0.5)
    spectrograms = make_spectrograms(corpus, sound, FEATURES, tmp_path / "cache")
    assert spectrograms.clip_index.tolist() == [0, 1, 1, 2, 2, 2, 2]
    np.testing.assert_allclose(spectrograms.times_s[3:, 0], [0, 0.5, 1, 1.5])
    assert spectrograms.values.shape[-1] == 1 + 8000 // 256


def test_the_second_call_decodes_nothing(corpus: Corpus, tmp_path: Path) -> None:
    first = make_spectrograms(corpus, SOUND, FEATURES, tmp_path / "cache")
    shutil.move(corpus.root, tmp_path / "moved")
    steps: list[None] = []
    second = make_spectrograms(corpus, SOUND, FEATURES, tmp_path / "cache", advance=lambda: steps.append(None))
    assert_same(first, second)
    assert len(steps) == 3
    assert second.folder == first.folder
    assert_same(first, open_spectrograms(first.folder))
    with pytest.raises(AudioError):  # so the sound was needed the first time
        make_spectrograms(corpus, SOUND, FEATURES, tmp_path / "another cache")


@pytest.mark.parametrize("change", [{"rate_hz": 8000}, {"normalise": "none"}, {"wiener": True}, {"window_s": 0.7}])
def test_other_sound_settings_make_other_spectrograms(corpus: Corpus, tmp_path: Path, change: dict[str, Any]) -> None:
    changed = SOUND.model_copy(update=change)
    assert cache_key(corpus, changed, FEATURES) != cache_key(corpus, SOUND, FEATURES)
    first = make_spectrograms(corpus, SOUND, FEATURES, tmp_path / "cache")
    second = make_spectrograms(corpus, changed, FEATURES, tmp_path / "cache")
    assert first.folder != second.folder
    assert first.values.shape != second.values.shape or np.abs(first.values - second.values).max() > 0.01


def test_every_feature_setting_is_in_the_key(corpus: Corpus) -> None:
    changes = {
        "kind": "chroma",
        "n_fft": 1024,
        "hop": 128,
        "n_mels": 16,
        "fmin_hz": 50.0,
        "fmax_hz": 4000.0,
        "top_db": None,
        "n_mfcc": 12,
        "deltas": False,
        "n_chroma": 24,
    }
    # Normalisation is done to spectrograms taken from the cache, so the cache need not know it.
    assert FeatureSettings.model_fields.keys() - {"normalise"} == changes.keys()
    keys = {cache_key(corpus, SOUND, FEATURES.model_copy(update={name: value})) for name, value in changes.items()}
    assert len(keys | {cache_key(corpus, SOUND, FEATURES)}) == len(changes) + 1


def test_labels_and_exclusion_rules_do_not_shape_spectrograms_but_sound_does(corpus: Corpus) -> None:
    key = cache_key(corpus, SOUND, FEATURES)
    assert cache_key(shuffle_labels(corpus, 1), SOUND, FEATURES) == key
    assert cache_key(corpus, SOUND.model_copy(update={"max_silence_s": 7.0}), FEATURES) == key
    fewer = corpus.excluding(lambda clip: "is dull" if clip.path == "fear/b.wav" else None)
    assert cache_key(fewer, SOUND, FEATURES) != key


def test_what_is_interrupted_leaves_nothing(corpus: Corpus, tmp_path: Path) -> None:
    steps: list[None] = []

    def interrupt() -> None:
        steps.append(None)
        if len(steps) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_spectrograms(corpus, SOUND, FEATURES, tmp_path / "cache", advance=interrupt, threads=1)
    assert list((tmp_path / "cache" / "spectrograms").iterdir()) == []
    whole = make_spectrograms(corpus, SOUND, FEATURES, tmp_path / "cache")
    assert_same(whole, make_spectrograms(corpus, SOUND, FEATURES, tmp_path / "fresh"))


@pytest.mark.slow
def test_what_is_killed_is_not_taken_for_whole(corpus: Corpus, tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from thymos.corpora import open_corpus\n"
        "from thymos.cnn.spectrograms import make_spectrograms\n"
        "from thymos.cnn.recipe import FeatureSettings, SoundSettings\n"
        "sound = SoundSettings.model_validate_json(sys.argv[1])\n"
        "features = FeatureSettings.model_validate_json(sys.argv[2])\n"
        "kill = lambda: os.kill(os.getpid(), signal.SIGKILL)\n"
        "make_spectrograms(open_corpus(sys.argv[3]), sound, features, Path(sys.argv[4]), advance=kill)\n"
    )
    settings = [SOUND.model_dump_json(), FEATURES.model_dump_json()]
    cache = tmp_path / "cache"
    done = subprocess.run([sys.executable, "-c", code, *settings, str(corpus.root), str(cache)], check=False)
    assert done.returncode == -9
    assert (cache / "spectrograms").is_dir()
    assert not (cache / "spectrograms" / cache_key(corpus, SOUND, FEATURES)).exists()
    whole = make_spectrograms(corpus, SOUND, FEATURES, cache)
    assert_same(whole, make_spectrograms(corpus, SOUND, FEATURES, tmp_path / "fresh"))
    assert [path.name for path in (cache / "spectrograms").iterdir()] == [cache_key(corpus, SOUND, FEATURES)]


def test_torchs_threads_are_left_as_they_were(corpus: Corpus, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        make_spectrograms(corpus, SOUND, FEATURES, tmp_path / "cache")
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_preparation_follows_the_settings(make_tone: Callable[..., Samples]) -> None:
    quiet = make_tone(level=0.1)
    assert np.abs(prepare(quiet, SoundSettings())).max() == 1
    np.testing.assert_array_equal(prepare(quiet, SoundSettings(normalise="none")), quiet)
    noisy = quiet + np.random.default_rng(0).normal(0, 0.02, len(quiet)).astype(np.float32)
    assert np.std(prepare(noisy, SoundSettings(normalise="none", wiener=True)) - noisy) > 1e-3


def test_spectrograms_of_a_corpus_just_opened_decode_nothing(corpus: Corpus, tmp_path: Path) -> None:
    decoded = make_spectrograms(corpus, SOUND, FEATURES, tmp_path / "cache")
    kept = open_corpus(corpus.root, cache_dir=tmp_path / "measured anew", keep=True)
    shutil.rmtree(corpus.root)
    assert_same(make_spectrograms(kept, SOUND, FEATURES, tmp_path / "another cache"), decoded)
