from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from thymos.audio import read_waveform
from thymos.corpora import Clip, Corpus, open_corpus
from thymos.corpora.measure import measure_sound
from thymos.experiment import corpus_for
from thymos.labels import AESDD_EMOTIONS
from thymos.recipes import load_experiment

WriteSound = Callable[..., Path]


def one_clip(corpus: Corpus) -> Clip:
    (clip,) = corpus.clips
    return clip


@pytest.mark.parametrize(
    ("name", "speaker", "sentence", "take"),
    [
        ("a01 (1).wav", "1", "01", ""),
        ("a20 (6).flac", "6", "20", ""),
        ("a06 (5)b.ogg", "5", "06", "b"),
        ("a06b (5).wav", "5", "06", "b"),
        ("a06 b (5).wav", "5", "06", "b"),
        ("a06 (5) B.WAV", "5", "06", "b"),
        ("a03 (01).wav", "1", "03", ""),
        ("A3(2).opus", "2", "03", ""),
    ],
)
def test_names_tell_speaker_sentence_and_take(
    tmp_path: Path, write_sound: WriteSound, name: str, speaker: str, sentence: str, take: str
) -> None:
    write_sound(tmp_path / "anger" / name)
    clip = one_clip(open_corpus(tmp_path))
    assert (clip.path, clip.emotion) == (f"anger/{name}", "anger")
    assert (clip.speaker, clip.sentence, clip.take) == (speaker, sentence, take)


def test_files_named_otherwise_are_left_out_with_the_reason(tmp_path: Path, write_sound: WriteSound) -> None:
    for name in ("a01 (1).wav", "a02 (1).wav", "a03 (1).wav", "s01 (1).wav", "φωνή.wav"):
        write_sound(tmp_path / "anger" / name)
    (tmp_path / "anger" / "notes.txt").write_text("not sound, not mentioned")
    corpus = open_corpus(f"aesdd:{tmp_path}")
    assert [clip.sentence for clip in corpus.clips] == ["01", "02", "03"]
    assert {left_out.clip: left_out.reason for left_out in corpus.excluded} == {
        "anger/s01 (1).wav": "lies in the folder of anger, but its name begins with 's'",
        "anger/φωνή.wav": 'is not named as AESDD names its files, such as "a01 (1)"',
    }


@pytest.mark.parametrize("depth", ["", "Acted Emotional Speech Dynamic Database"])
@pytest.mark.parametrize("prefix", ["", "aesdd:"])
def test_either_folder_depth_is_aesdd(tmp_path: Path, write_sound: WriteSound, depth: str, prefix: str) -> None:
    write_sound(tmp_path / depth / "sadness" / "s01 (1).wav")
    corpus = open_corpus(f"{prefix}{tmp_path}")
    assert corpus.kind == "aesdd"
    assert one_clip(corpus).path == "sadness/s01 (1).wav"
    assert corpus.root == (tmp_path / depth).resolve()


def test_the_mini_corpus_is_a_whole_small_aesdd(mini: Path) -> None:
    corpus = open_corpus(mini)
    assert (corpus.kind, corpus.synthetic, corpus.excluded) == ("aesdd", True, ())
    assert corpus.emotions == AESDD_EMOTIONS
    cells = Counter((clip.emotion, clip.speaker, clip.sentence) for clip in corpus.clips)
    assert len(cells) == 5 * 6 * 5
    assert set(cells.values()) == {1}


# --- the real one ---


@pytest.fixture(scope="module")
def real(aesdd: Path) -> Corpus:
    return open_corpus(aesdd)


@pytest.mark.real
def test_the_real_folder_has_605_files_of_which_two_are_broken(real: Corpus) -> None:
    assert real.kind == "aesdd"
    assert not real.synthetic
    assert len(real.clips) == 603
    assert {left_out.clip: left_out.reason for left_out in real.excluded} == {
        "anger/a20 (5).wav": "is empty (0 bytes)",
        "sadness/s05 (3).wav": "is a WAV file without a data chunk (36 bytes)",
    }
    assert not any(left_out.readable for left_out in real.excluded)


@pytest.mark.real
def test_the_real_folders_speakers_sentences_and_takes(real: Corpus) -> None:
    assert real.emotions == AESDD_EMOTIONS
    assert {clip.speaker for clip in real.clips} == {"1", "2", "3", "4", "5", "6"}
    assert {clip.sentence for clip in real.clips} == {f"{number:02d}" for number in range(1, 21)}
    assert sum("(01)" in clip.path for clip in real.clips) == 5
    takes = {clip.path: clip.take for clip in real.clips if clip.take}
    assert len(takes) == 9
    assert (takes["anger/a06 (5)b.flac"], takes["sadness/s01 (5)a.flac"]) == ("b", "a")
    # Every file is one take of its own: no two are told apart by nothing.
    names = Counter((clip.emotion, clip.sentence, clip.speaker, clip.take) for clip in real.clips)
    assert set(names.values()) == {1}


@pytest.mark.real
def test_the_studys_choice_leaves_602_and_finds_the_silent_one_by_its_silence(real: Corpus) -> None:
    usable = corpus_for(load_experiment("model3"), real)
    assert len(usable.clips) == 602
    (left_out,) = (exclusion for exclusion in usable.excluded if exclusion.readable)
    assert left_out.clip == "sadness/s19 (6).flac"
    assert "silence" in left_out.reason


@pytest.mark.real
def test_the_published_wav_form_reads_as_the_flac_here(real: Corpus, tmp_path: Path, write_sound: WriteSound) -> None:
    wanted = {"anger/a06 (5)b.flac": "PCM_24", "disgust/d03 (01).flac": "FLOAT", "fear/f01 (2).flac": "PCM_16"}
    originals = {clip.path: clip for clip in real.clips if clip.path in wanted}
    for path, subtype in wanted.items():
        waveform = read_waveform(real.root / path)
        write_sound((tmp_path / path).with_suffix(".wav"), waveform.samples, waveform.rate_hz, subtype)
    copies = open_corpus(tmp_path)
    assert copies.kind == "aesdd"
    assert len(copies.clips) == 3
    for copy in copies.clips:
        original = originals[str(Path(copy.path).with_suffix(".flac"))]
        assert copy.sound.sha256 == original.sound.sha256
        assert copy.sound.format == f"WAV {wanted[original.path]}"
        assert (copy.speaker, copy.sentence, copy.take) == (original.speaker, original.sentence, original.take)


@pytest.mark.real
def test_the_real_measurements_are_plausible(real: Corpus) -> None:
    assert {clip.sound.rate_hz for clip in real.clips} == {44_100}
    durations_s = np.array([clip.sound.duration_s for clip in real.clips])
    assert 4.0 < durations_s.mean() < 4.2
    silent = next(clip for clip in real.clips if clip.path == "sadness/s19 (6).flac")
    assert measure_sound(real.root / silent.path) == silent.sound
    assert silent.sound.silence_s > 7
