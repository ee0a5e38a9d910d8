"""Clips that are a part of a file: times, names, and what shares sound."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from thymos.audio import Samples, read_waveform
from thymos.audio.excerpt import excerpt_name
from thymos.corpora import Corpus, RecordingFolds
from thymos.corpora.dialects import seconds_of
from thymos.corpora.folds import Fold, check_leakage, with_shared_sound
from thymos.corpora.measure import measure_entries
from thymos.corpora.opening import joined
from thymos.corpora.table import ClipEntry, KeptWaveforms
from thymos.errors import LeakageError

WriteSound = Callable[..., Path]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0 days 00:00:01.5", 1.5),
        ("1 days 01:02:03", 90_123.0),
        ("0 days 00:00:00.123456789", 0.123456789),
        ("0 days", 0.0),
        ("00:01:02.25", 62.25),
        ("01:02.25", 62.25),
        ("1.5", 1.5),
        (" 2 ", 2.0),
        ("2.5s", 2.5),
        ("1,5", 1.5),
        ("1e-1", 0.1),
        ("NaT", None),
        ("", None),
        ("nan", None),
    ],
)
def test_times(text: str, seconds: float | None) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["soon", "1,5,5", "days", "1:2:3:4", "--1"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match="is no time"):
        seconds_of(text)


def test_names_are_media_fragments() -> None:
    assert excerpt_name("a b.wav", 0.0, None) == "a b.wav"
    assert excerpt_name("talk.wav", 0.5, 2.0) == "talk.wav#t=0.5,2"
    assert excerpt_name("talk.wav", 10.0, None) == "talk.wav#t=10"
    assert excerpt_name("talk.wav", 0.0, 0.123456789) == "talk.wav#t=0,0.123456789"


def noise() -> Samples:
    return np.random.default_rng(2).uniform(-0.5, 0.5, 64_000).astype(np.float32)


def entry(file: str, start_s: float = 0.0, end_s: float | None = None, emotion: str = "anger") -> ClipEntry:
    name = excerpt_name(file, start_s, end_s)
    return ClipEntry(name, emotion, start_s=start_s, end_s=end_s, file="" if name == file else file)


def corpus_of(root: Path, entries: list[ClipEntry], cache_file: Path | None = None, keep: bool = False) -> Corpus:
    kept = KeptWaveforms() if keep else None
    clips, failed = measure_entries(root, entries, cache_file, kept=kept)
    assert not failed
    return Corpus("csv", root, tuple(with_shared_sound(clips)), kept=kept or KeptWaveforms(0))


def test_each_excerpt_is_measured_and_decoded_by_itself(tmp_path: Path, write_sound: WriteSound) -> None:
    write_sound(tmp_path / "talk.wav", noise())
    entries = [entry("talk.wav", 0.0, 1.0), entry("talk.wav", 1.0, 2.5), entry("talk.wav", 3.0)]
    whole = read_waveform(tmp_path / "talk.wav").samples
    for keep in (False, True):
        for _ in range(2):  # measured, then from the cache
            corpus = corpus_of(tmp_path, entries, tmp_path / f"cache-{keep}.json", keep)
            assert [clip.sound.duration_s for clip in corpus.clips] == [1.0, 1.5, 1.0]
            assert len({clip.sound.sha256 for clip in corpus.clips}) == 3
            for clip, part in zip(corpus.clips, (whole[:16_000], whole[16_000:40_000], whole[48_000:]), strict=True):
                np.testing.assert_array_equal(corpus.waveform(clip).samples, part)


def test_excerpts_that_overlap_are_one_recording(tmp_path: Path, write_sound: WriteSound) -> None:
    write_sound(tmp_path / "talk.wav", noise())
    write_sound(tmp_path / "other.wav", noise()[:16_000])  # a copy of the first second
    times = [(0.0, 1.0), (0.9, 2.0), (2.0, 3.0), (1.5, 1.8), (3.5, None)]
    corpus = corpus_of(tmp_path, [*(entry("talk.wav", *each) for each in times), entry("other.wav")])
    by_name = {clip.path: clip.recording for clip in corpus.clips}
    first = "talk.wav#t=0,1"
    assert by_name == {
        first: first,
        "talk.wav#t=0.9,2": first,
        "talk.wav#t=2,3": "",
        "talk.wav#t=1.5,1.8": first,
        "talk.wav#t=3.5": "",
        "other.wav": first,
    }
    with pytest.raises(LeakageError, match="one recording is on both sides"):
        check_leakage(corpus, [Fold(0, 0, "fold 1", (first,), ("talk.wav#t=1.5,1.8",))], ["recording"], "mine")
    for fold in RecordingFolds(2).split(corpus_of(tmp_path, [*(entry("talk.wav", *each) for each in times)])).folds:
        together = {first, "talk.wav#t=0.9,2", "talk.wav#t=1.5,1.8"}
        assert together <= set(fold.train) or together <= set(fold.test)


def test_a_joined_corpus_still_finds_its_excerpts(tmp_path: Path, write_sound: WriteSound) -> None:
    corpora = []
    for name in ("one", "two"):
        write_sound(tmp_path / name / "talk.wav", noise() if name == "one" else noise()[::-1])
        corpora.append(corpus_of(tmp_path / name, [entry("talk.wav", 0.0, 1.0), entry("talk.wav", 0.5, 2.0)]))
    both = joined(corpora)
    assert [clip.path for clip in both.clips] == [
        f"{name}/talk.wav#t={times}" for name in ("one", "two") for times in ("0,1", "0.5,2")
    ]
    assert {len(both.waveform(clip).samples) for clip in both.clips} == {16_000, 24_000}
    assert len({clip.recording for clip in both.clips}) == 2
