"""The sound of many corpora: decoded once, copies once, AESDD never."""

import csv
import hashlib

import numpy as np
import pytest
import soundfile

from thymos.encoder.sounds import read_sounds
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


def write_table(folder, rows):
    with (folder / "clips.csv").open("w", newline="") as file:
        csv.writer(file).writerows([HEAD, *rows])


def test_sound_comes_out_as_it_went_in(folder, tmp_path):
    sounds = read_sounds(folder, tmp_path / "cache")
    assert [clip.file for clip in sounds.clips] == ["one/0.wav", "two/1.wav", "two/2.wav", "two/3.wav", "three/4.wav"]
    assert [clip.samples for clip in sounds.clips] == [1600, 1600, 800, 900, 1600]
    expected, _ = soundfile.read(folder / "two" / "3.wav", dtype="float32")
    assert sounds.sound(3).dtype == np.float32
    np.testing.assert_allclose(sounds.sound(3), expected, atol=1e-4)


def test_a_digest_is_of_rate_and_decoded_samples(folder, tmp_path):
    decoded, _ = soundfile.read(folder / "three" / "4.wav", dtype="float32")
    digest = hashlib.sha256(b"22050:" + decoded.tobytes()).digest()
    assert read_sounds(folder, tmp_path / "cache").clips[4].digest == int.from_bytes(digest[:8], "big") >> 1


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
    assert [clip.file for clip in kept.clips] == ["one/0.wav", "two/2.wav", "two/3.wav", "three/4.wav"]
    np.testing.assert_array_equal(kept.sound(1), sounds.sound(2))
    # The copy is heard where the corpus of the other is left out, and neither where that of either is.
    assert [clip.file for clip in sounds.without(["two"]).clips] == ["one/0.wav", "three/4.wav"]
    with pytest.raises(CorpusError, match="no corpus is called four"):
        sounds.without(["four"])
    with pytest.raises(CorpusError, match="every corpus"):
        sounds.without(["one", "two", "three"])


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (["aesdd/a01 (1).wav", "aesdd", "anger", "1"], "home corpus"),
        (["one/0.wav", "one", "bored", "1"], "no emotion"),
        (["one/9.wav", "one", "anger", "1"], "does not exist"),
    ],
)
def test_bad_tables_are_refused(folder, tmp_path, row, reason):
    write_table(folder, [row])
    with pytest.raises(CorpusError, match=reason):
        read_sounds(folder, tmp_path / "cache")


def test_a_folder_without_a_table_is_no_corpus(tmp_path):
    with pytest.raises(CorpusError, match=r"clips\.csv"):
        read_sounds(tmp_path, tmp_path / "cache")
