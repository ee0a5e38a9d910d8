"""Packs of whole recordings: what is in them, what names them, and what an interruption leaves."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from thymos.audio import Samples, read_waveform, resample
from thymos.corpora import Clip, Corpus, open_corpus
from thymos.encoder.level_mel import ChannelSettings, LevelMel, LevelMelSettings
from thymos.encoder.level_spectrograms import Recordings, make_recordings, open_recordings, played
from thymos.errors import AudioError

FEATURES = LevelMelSettings(channels=(ChannelSettings(window=512), ChannelSettings(window=1024)), n_bands=16)
SPEEDS = (1.0, 0.8, 1.25)
Sources = list[tuple[Path, Clip]]
WriteSound = Callable[..., Path]


@pytest.fixture
def corpus(tmp_path: Path, write_sound: WriteSound, make_tone: Callable[..., Samples]) -> Corpus:
    """Three clips, one of another rate and one of a single sample."""
    write_sound(tmp_path / "corpus/anger/a.wav", make_tone(0.5, hz=300), 16_000)
    write_sound(tmp_path / "corpus/fear/b.wav", make_tone(0.4, 24_000, hz=500), 24_000)
    write_sound(tmp_path / "corpus/fear/c.wav", np.array([0.5], np.float32), 16_000)
    return open_corpus(tmp_path / "corpus")


@pytest.fixture
def sources(corpus: Corpus) -> Sources:
    return [(corpus.root, clip) for clip in corpus.clips]


def packs(cache: Path) -> list[str]:
    return sorted(path.name for path in (cache / "recordings").iterdir())


def assert_same(one: Recordings, other: Recordings) -> None:
    for mine, theirs in zip((*one.values, *one.starts), (*other.values, *other.starts), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_levels_are_the_front_ends_at_every_speed(sources: Sources, tmp_path: Path) -> None:
    pack = make_recordings(sources, FEATURES, SPEEDS, tmp_path / "cache")
    assert len(pack) == 3
    front_end = LevelMel(FEATURES)
    for i, (root, clip) in enumerate(sources):
        waveform = read_waveform(root / clip.path)
        for number, speed in enumerate(SPEEDS):
            samples = played(waveform, speed, FEATURES.rate_hz)
            expected = front_end.levels(torch.from_numpy(samples.copy())[None])
            levels = pack.levels(i, number)
            assert levels.dtype == torch.float32
            assert levels.shape == (1, 2, 16, FEATURES.frames(len(samples)))
            assert pack.lengths(number)[i] == levels.shape[-1]
            torch.testing.assert_close(levels, expected, atol=0.02, rtol=0)  # float16 on disk
    assert {values.dtype for values in pack.values} == {np.dtype("<f2")}


@pytest.mark.parametrize("speed", SPEEDS)
@pytest.mark.parametrize("rate_hz", [16_000, 44_100])
def test_a_speed_shortens_a_recording_and_raises_its_pitch(
    make_tone: Callable[..., Samples], write_sound: WriteSound, tmp_path: Path, speed: float, rate_hz: int
) -> None:
    waveform = read_waveform(write_sound(tmp_path / "a.wav", make_tone(1.0, rate_hz, hz=400), rate_hz))
    samples = played(waveform, speed, 16_000)
    assert samples.dtype == np.float32
    assert len(samples) == pytest.approx(16_000 / speed, abs=1)
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    assert spectrum.argmax() * 16_000 / len(samples) == pytest.approx(400 * speed, abs=2)


def test_as_recorded_it_is_resampled_like_everything_else(write_sound: WriteSound, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 24_000).astype(np.float32)
    waveform = read_waveform(write_sound(tmp_path / "a.wav", noise, 24_000))
    np.testing.assert_array_equal(played(waveform, 1.0, 24_000), waveform.samples)
    np.testing.assert_allclose(played(waveform, 1.0, 16_000), resample(waveform, 16_000).samples, atol=1e-6)


def test_a_second_call_reads_no_sound_and_tells_of_every_recording(sources: Sources, tmp_path: Path) -> None:
    told: list[None] = []
    first = make_recordings(sources, FEATURES, SPEEDS, tmp_path / "cache", lambda: told.append(None))
    assert len(told) == 3
    for root, clip in sources:
        (root / clip.path).unlink()
    again = make_recordings(sources, FEATURES, SPEEDS, tmp_path / "cache", lambda: told.append(None))
    assert len(told) == 6
    assert again.folder == first.folder
    assert_same(first, again)
    assert_same(first, open_recordings(first.folder))


def test_settings_speeds_and_sounds_name_a_pack_and_labels_do_not(sources: Sources, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = make_recordings(sources, FEATURES, SPEEDS, cache)
    relabelled = [(root, replace(clip, emotion="sadness", speaker="9")) for root, clip in sources]
    assert make_recordings(relabelled, FEATURES, SPEEDS, cache).folder == first.folder
    others = [
        make_recordings(sources, FEATURES.model_copy(update={"floor_db": -50.0}), SPEEDS, cache),
        make_recordings(sources, FEATURES, SPEEDS[:2], cache),
        make_recordings(sources[::-1], FEATURES, SPEEDS, cache),
        make_recordings(sources[:2], FEATURES, SPEEDS, cache),
    ]
    assert len({first.folder, *(other.folder for other in others)}) == 5
    np.testing.assert_array_equal(others[2].levels(2), first.levels(0))


def test_what_else_the_sound_becomes_is_another_pack(
    corpus: Corpus, sources: Sources, write_sound: WriteSound, make_tone: Callable[..., Samples], tmp_path: Path
) -> None:
    first = make_recordings(sources, FEATURES, SPEEDS, tmp_path / "cache")
    write_sound(corpus.root / "anger/a.wav", make_tone(0.5, hz=900), 16_000)
    changed = [(corpus.root, clip) for clip in open_corpus(corpus.root).clips]
    second = make_recordings(changed, FEATURES, SPEEDS, tmp_path / "cache")
    assert second.folder != first.folder
    assert not torch.equal(second.levels(0), first.levels(0))
    assert torch.equal(second.levels(1), first.levels(1))


def test_the_number_of_threads_changes_nothing(sources: Sources, tmp_path: Path) -> None:
    one = make_recordings(sources, FEATURES, SPEEDS, tmp_path / "one", threads=1)
    assert_same(one, make_recordings(sources, FEATURES, SPEEDS, tmp_path / "three", threads=3))


def test_a_file_that_has_gone_is_named_and_nothing_is_left(sources: Sources, tmp_path: Path) -> None:
    (sources[1][0] / sources[1][1].path).unlink()
    with pytest.raises(AudioError, match=r"fear/b\.wav does not exist"):
        make_recordings(sources, FEATURES, SPEEDS, tmp_path / "cache")
    assert packs(tmp_path / "cache") == []


def test_what_is_interrupted_leaves_nothing(sources: Sources, tmp_path: Path) -> None:
    told: list[None] = []

    def interrupt() -> None:
        told.append(None)
        if len(told) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_recordings(sources, FEATURES, SPEEDS, tmp_path / "cache", interrupt, threads=1)
    assert packs(tmp_path / "cache") == []
    whole = make_recordings(sources, FEATURES, SPEEDS, tmp_path / "cache")
    assert_same(whole, make_recordings(sources, FEATURES, SPEEDS, tmp_path / "fresh"))


def test_what_is_killed_is_not_taken_for_whole(corpus: Corpus, sources: Sources, tmp_path: Path) -> None:
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from thymos.corpora import open_corpus\n"
        "from thymos.encoder.level_mel import LevelMelSettings\n"
        "from thymos.encoder.level_spectrograms import make_recordings\n"
        "features = LevelMelSettings.model_validate_json(sys.argv[1])\n"
        "corpus = open_corpus(sys.argv[2])\n"
        "kill = lambda: os.kill(os.getpid(), signal.SIGKILL)\n"
        "make_recordings([(corpus.root, clip) for clip in corpus.clips], features, [1.0], Path(sys.argv[3]), kill)\n"
    )
    cache = tmp_path / "cache"
    words = [sys.executable, "-c", code, FEATURES.model_dump_json(), str(corpus.root), str(cache)]
    done = subprocess.run(words, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False)
    assert done.returncode == -signal.SIGKILL
    assert [name[0] for name in packs(cache)] == ["."]
    whole = make_recordings(sources, FEATURES, [1.0], cache)
    assert packs(cache) == [whole.folder.name], "what the killed process left is cleared away"
    assert_same(whole, make_recordings(sources, FEATURES, [1.0], tmp_path / "fresh"))
