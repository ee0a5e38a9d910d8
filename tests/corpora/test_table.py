from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from thymos.audio import read_waveform
from thymos.corpora import Clip, Corpus, Measurements, RecordingFolds, open_corpus
from thymos.errors import AudioError, CorpusError

SOUND = Measurements(16_000, 1, 16_000 * 900, "WAV PCM_16", 0.5, 0, 0.0, "x")
CORPUS = Corpus(
    "csv",
    Path("somewhere"),
    (
        Clip("a.wav", "sadness", "10", sound=SOUND),
        Clip("b.wav", "anger", "2", sound=SOUND),
        Clip("c.wav", "sadness", sound=SOUND),
    ),
)


def test_a_corpus_says_what_it_holds() -> None:
    assert repr(CORPUS) == "<Corpus csv:somewhere, 3 clips, 2 emotions, 2 speakers, 0.75 h>"
    assert CORPUS.emotions == ("anger", "sadness")
    assert CORPUS.speakers == ("2", "10")
    assert CORPUS.targets.tolist() == [1, 0, 1]
    assert CORPUS.targets.dtype == np.int64


def test_rows_are_the_places_of_paths_and_a_part_keeps_the_corpuss_order() -> None:
    assert CORPUS.rows(("c.wav", "a.wav")).tolist() == [2, 0]
    assert CORPUS.rows(()).dtype == np.int64
    with pytest.raises(KeyError, match=r"d\.wav"):
        CORPUS.rows(["d.wav"])
    assert [clip.path for clip in CORPUS.part(("c.wav", "a.wav")).clips] == ["a.wav", "c.wav"]


def test_what_an_experiment_of_ones_own_needs(mini: Path) -> None:
    corpus = open_corpus(mini)
    clip = corpus.clips[7]
    waveform = corpus.waveform(clip)
    assert (len(waveform.samples), waveform.rate_hz) == (clip.sound.frames, clip.sound.rate_hz)
    assert (waveform.samples.dtype, waveform.samples.ndim) == (np.float32, 1)
    np.testing.assert_array_equal(waveform.samples, read_waveform(mini / clip.path).samples)
    for fold in RecordingFolds().split(corpus).folds:
        rows = np.concatenate([corpus.rows(fold.train), corpus.rows(fold.test)])
        assert sorted(rows) == list(range(len(corpus.clips)))
        # 30 recordings of each of five emotions, in five folds
        assert np.bincount(corpus.targets[corpus.rows(fold.test)]).tolist() == [6] * 5


def test_a_clip_that_is_gone_is_named() -> None:
    with pytest.raises(AudioError, match=r"^a\.wav does not exist$"):
        CORPUS.waveform(CORPUS.clips[0])


def test_dimensions_are_those_that_are_told_and_vary() -> None:
    assert CORPUS.dimensions == ()
    assert CORPUS.values is None
    told = (
        replace(CORPUS.clips[0], valence=0.25, arousal=3.0, dominance=1.0),
        replace(CORPUS.clips[1], arousal=5.0, dominance=1.0),
        CORPUS.clips[2],
    )
    corpus = replace(CORPUS, clips=told)
    assert corpus.dimensions == ("arousal",), "one value of valence, and one of dominance, cannot be learnt"
    assert corpus.values is not None
    np.testing.assert_array_equal(corpus.values, [[3.0], [5.0], [np.nan]])


def test_a_table_tells_gender_language_and_dimensions(tmp_path: Path, write_sound: Callable[..., Path]) -> None:
    for name in ("a.wav", "b.wav"):
        write_sound(tmp_path / name)
    head = "file,emotion,gender,language,arousal,valence\n"
    (tmp_path / "clips.csv").write_text(head + "a.wav,anger,female,el,0.75,\nb.wav,sadness,male,de,-1e-1,2\n")
    one, two = open_corpus(tmp_path / "clips.csv").clips
    assert (one.gender, one.language, one.arousal, one.valence, one.dominance) == ("female", "el", 0.75, None, None)
    assert (two.gender, two.language, two.arousal, two.valence) == ("male", "de", -0.1, 2.0)
    for wrong in ("high", "inf", "1,5,5"):
        (tmp_path / "clips.csv").write_text(head + f'a.wav,anger,female,el,"{wrong}",\n')
        with pytest.raises(CorpusError, match="is no value of a dimension"):
            open_corpus(tmp_path / "clips.csv")
