"""The sound of many corpora: decoded once, copies once, AESDD never."""

import csv
import hashlib

import numpy as np
import pytest
import soundfile

from thymos.corpora import open_corpus
from thymos.encoder.sounds import read_sounds as read_corpora
from thymos.errors import CorpusError

HEAD = ["file", "corpus", "emotion", "speaker"]


@pytest.fixture
def folder(tmp_path):
    """Three corpora of short noises; the second recording is a copy of the first, the last is at another rate."""
    random = np.random.default_rng(0)
    sounds = [random.integers(-9000, 9000, n).astype(np.int16) for n in (1600, 800, 900, 2205)]
    rows = []
    for i, (corpus, sound) in enumerate(
        [("one", sounds[0]), ("two", sounds[0]), ("two", sounds[1]), ("two", sounds[2]), ("three", sounds[3])]
    ):
        rows.append([f"{corpus}/{i}.wav", corpus, ("anger", "calm")[i % 2], f"{corpus}_1"])
        (tmp_path / corpus).mkdir(exist_ok=True)
        soundfile.write(tmp_path / rows[-1][0], sound, 22_050 if corpus == "three" else 16_000)
    write_table(tmp_path, rows)
    return tmp_path


def read_sounds(folder, cache, advance=lambda: None):
    return read_corpora([open_corpus(folder / "clips.csv", cache_dir=cache)], cache, advance)


def write_table(folder, rows):
    with (folder / "clips.csv").open("w", newline="") as file:
        csv.writer(file).writerows([HEAD, *rows])


def test_sound_comes_out_as_it_went_in(folder, tmp_path):
    sounds = read_sounds(folder, tmp_path / "cache")
    assert [clip.file for clip in sounds.clips] == ["one/0.wav", "three/4.wav", "two/1.wav", "two/2.wav", "two/3.wav"]
    assert [clip.samples for clip in sounds.clips] == [1600, 1600, 1600, 800, 900]
    expected, _ = soundfile.read(folder / "two" / "3.wav", dtype="float32")
    assert sounds.sound(4).dtype == np.float32
    np.testing.assert_allclose(sounds.sound(4), expected, atol=1e-4)


def test_a_digest_is_of_rate_and_decoded_samples(folder, tmp_path):
    decoded, _ = soundfile.read(folder / "three" / "4.wav", dtype="float32")
    digest = hashlib.sha256(b"22050:" + decoded.tobytes()).digest()
    assert read_sounds(folder, tmp_path / "cache").clips[1].digest == int.from_bytes(digest[:8], "big") >> 1


def test_it_is_decoded_once(folder, tmp_path):
    decoded = []
    for _ in range(2):
        first = read_sounds(folder, tmp_path / "cache", lambda: decoded.append(1)).sound(0)
    assert len(decoded) == 5
    write_table(folder, [["one/0.wav", "one", "fear", "x"]])
    sounds = read_sounds(folder, tmp_path / "cache")
    assert [clip.emotion for clip in sounds.clips] == ["fear"]
    np.testing.assert_array_equal(sounds.sound(0), first)


def test_copies_are_kept_once_and_corpora_left_out(folder, tmp_path):
    sounds = read_sounds(folder, tmp_path / "cache")
    kept = sounds.without([])
    assert [clip.file for clip in kept.clips] == ["one/0.wav", "three/4.wav", "two/2.wav", "two/3.wav"]
    np.testing.assert_array_equal(kept.sound(2), sounds.sound(3))
    # The copy is heard where the corpus of the other is left out, and neither where that of either is.
    assert [clip.file for clip in sounds.without(["two"]).clips] == ["one/0.wav", "three/4.wav"]
    with pytest.raises(CorpusError, match="no corpus is called four"):
        sounds.without(["four"])
    with pytest.raises(CorpusError, match="every corpus"):
        sounds.without(["one", "two", "three"])


@pytest.mark.parametrize("row", [["two/1.wav", "AESDD", "anger", "1"], ["aesdd/0.wav", "one", "anger", "1"]])
def test_the_home_corpus_is_never_heard(folder, tmp_path, row):
    (folder / "aesdd").mkdir()
    (folder / "one/0.wav").rename(folder / "aesdd/0.wav")
    write_table(folder, [row])
    with pytest.raises(CorpusError, match="the home corpus, which the encoder must never hear"):
        read_sounds(folder, tmp_path / "cache")


def test_what_is_gone_is_named(folder, tmp_path):
    corpus = open_corpus(folder / "clips.csv", cache_dir=tmp_path / "cache")
    (folder / "three/4.wav").unlink()
    with pytest.raises(CorpusError, match=r"three/4\.wav"):
        read_corpora([corpus], tmp_path / "cache")
