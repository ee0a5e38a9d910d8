import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from thymos.audio import Waveform, read_waveform
from thymos.corpora import open_corpus
from thymos.corpora.table import KeptWaveforms
from thymos.errors import AudioError, CorpusError

WriteSound = Callable[..., Path]


# --- a folder per emotion ---


def test_a_folder_per_emotion_is_a_corpus(tmp_path: Path, write_sound: WriteSound) -> None:
    for name in ("Happy/b.wav", "Happy/deeper/a.FLAC", "angry/c.opus", "SURPRISED/d.mp3", "pleasant surprise/e.ogg"):
        write_sound(tmp_path / name)
    (tmp_path / "weather").mkdir()
    write_sound(tmp_path / "weather" / "rain.wav")
    write_sound(tmp_path / "Happy" / ".hidden.wav")
    write_sound(tmp_path / "Happy" / "__MACOSX" / "x.wav")
    corpus = open_corpus(tmp_path)
    assert (corpus.kind, corpus.excluded, corpus.synthetic) == ("folders", (), False)
    assert [(clip.path, clip.emotion) for clip in corpus.clips] == [
        ("Happy/b.wav", "happiness"),
        ("Happy/deeper/a.FLAC", "happiness"),
        ("SURPRISED/d.mp3", "surprise"),
        ("angry/c.opus", "anger"),
        ("pleasant surprise/e.ogg", "surprise"),
        ("weather/rain.wav", "weather"),
    ]
    assert corpus.emotions == ("anger", "happiness", "surprise", "weather")
    assert {(clip.speaker, clip.sentence, clip.take) for clip in corpus.clips} == {("", "", "")}


def test_bad_files_are_named_with_their_reasons_and_the_rest_goes_on(tmp_path: Path, write_sound: WriteSound) -> None:
    folder = tmp_path / "anger"
    write_sound(folder / "θυμός.wav")
    (folder / "words.wav").write_text("this is no sound")
    (folder / "folder.wav").mkdir()
    (folder / "empty.wav").touch()
    (folder / "loop.wav").symlink_to("loop.wav")
    os.mkfifo(folder / "pipe.wav")
    Path(os.fsdecode(os.fsencode(folder) + b"/\xe1.wav")).write_bytes((folder / "θυμός.wav").read_bytes())
    corpus = open_corpus(tmp_path, cache_dir=tmp_path / "cache")
    assert [clip.path for clip in corpus.clips] == ["anger/θυμός.wav"]
    assert [(left_out.clip, left_out.reason, left_out.readable) for left_out in corpus.excluded] == [
        ("anger/\\xe1.wav", "has a name that is not UTF-8 text; rename it", False),
        ("anger/empty.wav", "is empty (0 bytes)", False),
        ("anger/folder.wav", "is a directory, not a sound file", False),
        ("anger/loop.wav", "is a symbolic link that leads back to itself", False),
        ("anger/pipe.wav", "is not a regular file", False),
        ("anger/words.wav", "is not sound in a known format (16 bytes)", False),
    ]
    assert corpus.unusable == corpus.excluded


def test_a_folder_linked_into_itself_is_no_endless_corpus(tmp_path: Path, write_sound: WriteSound) -> None:
    write_sound(tmp_path / "anger" / "a.wav")
    (tmp_path / "anger" / "again").symlink_to(tmp_path / "anger")
    (tmp_path / "fear").symlink_to("fear")
    assert [clip.path for clip in open_corpus(tmp_path).clips] == ["anger/a.wav"]


def test_excluding_keeps_reasons_and_says_that_the_sound_is_fine(tmp_path: Path, write_sound: WriteSound) -> None:
    for name in ("anger/a.wav", "fear/b.wav", "fear/c.wav"):
        write_sound(tmp_path / name)
    (tmp_path / "fear" / "d.wav").touch()
    corpus = open_corpus(tmp_path).excluding(lambda clip: "is dull" if clip.path == "fear/b.wav" else None)
    assert [clip.path for clip in corpus.clips] == ["anger/a.wav", "fear/c.wav"]
    assert {(left_out.clip, left_out.readable) for left_out in corpus.excluded} == {
        ("fear/b.wav", True),
        ("fear/d.wav", False),
    }
    assert [left_out.clip for left_out in corpus.unusable] == ["fear/d.wav"]


# --- a table ---


def test_a_csv_table_is_a_corpus(tmp_path: Path, write_sound: WriteSound) -> None:
    for name in ("a.wav", "deep/φωνή.wav", "c.wav", "d.wav"):
        write_sound(tmp_path / name)
    table = tmp_path / "clips.csv"
    table.write_text(
        "\ufeffsentence,file,emotion,mood,speaker\n"
        "01,a.wav,angry,fine,ann\n"
        '02, deep/φωνή.wav ,SAD,"so, so",bob\n'
        "03,c.wav,bored,,ann\n"
        "04,absent.wav,fear,,ann\n"
        "05,a.wav,fear,,bob\n"
        "06,d.wav,joy\n"
        "07,d.wav,Joy\n"
        "08,,anger\n"
        "09,e,wav,anger,,eve\n",
        encoding="utf-8",
    )
    for spec in (table, f"csv:{table}"):
        corpus = open_corpus(spec)
        assert corpus.kind == "csv"
        assert [(c.path, c.emotion, c.speaker, c.sentence, c.take) for c in corpus.clips] == [
            ("c.wav", "bored", "ann", "03", ""),
            ("d.wav", "happiness", "", "06", ""),
            ("deep/φωνή.wav", "sadness", "bob", "02", ""),
        ]
        assert {left_out.clip: left_out.reason for left_out in corpus.excluded} == {
            "a.wav": "is listed with two labels, anger and fear (lines 2 and 6)",
            "absent.wav": "does not exist",
            "clips.csv, line 9": "names no file",
            "clips.csv, line 10": "has 6 cells under 5 headings; quote a cell that holds ','",
        }
        assert (corpus.tally.found, corpus.tally.used, corpus.tally.left_out, corpus.tally.errors) == (7, 3, 0, 4)
        assert corpus.notes == ("clips.csv: one row says again what an earlier one said (line 8)",)


def test_a_table_may_name_the_corpus_and_the_take_of_each_row(tmp_path: Path, write_sound: WriteSound) -> None:
    for name in ("a.wav", "b.wav"):
        write_sound(tmp_path / name)
    table = tmp_path / "clips.csv"
    table.write_text("file,emotion,take,corpus\na.wav,angry,7, emovo \nb.wav,sad\n")
    for _ in range(2):  # measured, then from the cache, which knows the sound alone
        corpus = open_corpus(table, cache_dir=tmp_path / "cache")
        assert [(clip.path, clip.take, clip.corpus) for clip in corpus.clips] == [
            ("a.wav", "7", "emovo"),
            ("b.wav", "", ""),
        ]
    table.write_text("file,emotion,take,corpus\na.wav,angry,7,tess\nb.wav,sad,,tess\n")
    assert {clip.corpus for clip in open_corpus(table, cache_dir=tmp_path / "cache").clips} == {"tess"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"file;emotion\na.wav;anger\n", r"clips.csv: a.wav, which it names, is not in .*; --root FOLDER says where"),
        (b"file;mood\na.wav;anger\n", "has no column emotion: its first line has file, mood; did you mean 'mood'"),
        (
            b"fiel,emotions\na,anger\n",
            r"has no column file: its first line has fiel, emotions; did you mean 'fiel'\?",
        ),
        (b"wave,mood\n", "has no column emotion and no column file: its first line has wave, mood; did you mean"),
        (b"", "has no column emotion and no column file: it is empty"),
        (b"\0\1\2\3file,emotion", "cannot be read as a table: it is no text"),
        (b'file,emotion\n"a.wav,anger\nb.wav,fear\n', "line 3, cannot be read .* a quotation mark is opened and never"),
        (
            "file,emotion\nχαρά.wav,anger\n".encode("cp1253"),
            "χαρά.wav, .*; clips.csv is read as Windows code page 1253",
        ),
        (b"\xd0\xcf\x11\xe0 and so on", "is a spreadsheet of an old Excel; save it as .xlsx or CSV"),
        (b"file,emotion\n", "has a line of headings, and no row below it"),
        (b"file,emotion\na.wav,\n", "a.wav, which it names, is not in"),
    ],
)
def test_a_bad_table_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    table = tmp_path / "clips.csv"
    table.write_bytes(content)
    with pytest.raises(CorpusError, match=words):
        open_corpus(table)


# --- what is refused, and which kind is found ---


def test_errors_say_what_is_wrong(tmp_path: Path, write_sound: WriteSound, mini: Path) -> None:
    write_sound(tmp_path / "generic" / "anger" / "a.wav")
    (tmp_path / "hollow" / "anger").mkdir(parents=True)
    (tmp_path / "bad" / "anger").mkdir(parents=True)
    (tmp_path / "bad" / "anger" / "a.wav").write_text("Thymos")
    (tmp_path / "nothing").mkdir()
    (tmp_path / "notes.txt").write_text("Thymos")
    for spec, words in {
        f"{tmp_path}/absent": "does not exist",
        f"aesdd:{tmp_path}/absent": "does not exist",
        f"zyx:{tmp_path}": "'zyx' is no kind of corpus; known kinds: audformat, kaldi, emobox, datasets, csv, aesdd",
        f"radvess:{tmp_path}": "'radvess' is no kind of corpus; did you mean 'ravdess'?",
        f"{tmp_path}/nothing": "is not a corpus: it has no folders named for emotions",
        f"{tmp_path}/notes.txt": "notes.txt has no column emotion and no column file: its first line has Thymos",
        f"aesdd:{tmp_path}/generic": "is not a corpus of kind aesdd",
        f"csv:{mini}": "is not a corpus of kind csv",
        f"{tmp_path}/hollow": "holds no sound that can be used",
        f"{tmp_path}/bad": "anger/a.wav is not sound in a known format",
    }.items():
        with pytest.raises(CorpusError) as caught:
            open_corpus(spec)
        assert words in str(caught.value)


def test_the_kind_is_found_or_named(tmp_path: Path, write_sound: WriteSound, mini: Path) -> None:
    assert open_corpus(mini).kind == "aesdd"
    as_folders = open_corpus(f"folders:{mini}")
    assert as_folders.kind == "folders"
    assert {clip.speaker for clip in as_folders.clips} == {""}
    # One file of AESDD's naming among others does not make a corpus AESDD, nor does AESDD's naming of other emotions.
    for name in ("anger/a01 (1).wav", "anger/b.wav", "fear/c.wav"):
        write_sound(tmp_path / "few" / name)
    assert open_corpus(tmp_path / "few").kind == "folders"
    for name in ("anger/a01 (1).wav", "neutral/a01 (1).wav"):
        write_sound(tmp_path / "more" / name)
    assert open_corpus(tmp_path / "more").kind == "folders"


def test_a_path_with_a_colon_is_a_path(
    tmp_path: Path, write_sound: WriteSound, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sound(tmp_path / "my:corpus" / "anger" / "a.wav")
    monkeypatch.chdir(tmp_path)
    assert len(open_corpus("my:corpus").clips) == 1


def test_progress_and_cache(tmp_path: Path, write_sound: WriteSound) -> None:
    for name in ("anger/a.wav", "fear/b.wav"):
        write_sound(tmp_path / "corpus" / name)
    totals: list[int] = []
    steps: list[None] = []
    opened = [
        open_corpus(
            tmp_path / "corpus",
            cache_dir=tmp_path / "cache",
            started=totals.append,
            advance=lambda: steps.append(None),
        )
        for _ in "12"
    ]
    assert opened[0] == opened[1]
    assert totals == [2, 2]
    assert len(steps) == 4
    assert len(list((tmp_path / "cache" / "sounds").glob("*.json"))) == 1


def test_measurements_are_kept_in_the_users_cache_unless_told_otherwise(
    tmp_path: Path, write_sound: WriteSound, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THYMOS_CACHE", str(tmp_path / "mine"))
    write_sound(tmp_path / "corpus" / "anger" / "a.wav")
    opened = open_corpus(tmp_path / "corpus")
    assert len(list((tmp_path / "mine" / "sounds").glob("*.json"))) == 1
    (tmp_path / "file").touch()
    assert open_corpus(tmp_path / "corpus", cache_dir=tmp_path / "file") == opened


# --- decoded once ---


def test_what_is_decoded_to_be_measured_is_not_decoded_again(tmp_path: Path, write_sound: WriteSound) -> None:
    paths = [write_sound(tmp_path / "anger" / f"{kind}.wav", subtype=kind) for kind in ("PCM_16", "FLOAT")]
    decoded = [read_waveform(path) for path in paths]
    kept, not_kept = (open_corpus(tmp_path, cache_dir=tmp_path / str(keep), keep=keep) for keep in (True, False))
    for path in paths:
        path.unlink()
    assert [clip.path for clip in kept.clips] == ["anger/FLOAT.wav", "anger/PCM_16.wav"]
    for clip, waveform in zip(kept.clips, reversed(decoded), strict=True):
        assert kept.waveform(clip).rate_hz == waveform.rate_hz
        np.testing.assert_array_equal(kept.waveform(clip).samples, waveform.samples)
        assert kept.waveform(clip).samples.dtype == np.float32
        with pytest.raises(AudioError, match=clip.path):
            not_kept.waveform(clip)
    kept.kept.clear()
    with pytest.raises(AudioError):
        kept.waveform(kept.clips[0])


def test_kept_waveforms_have_a_bound_and_do_not_travel() -> None:
    loud = Waveform(np.array([0.5, -1.0, 1.0], np.float32), 8000)  # +1 is no 16-bit sample: 4 bytes each
    soft = Waveform(np.array([0.5, -1.0], np.float32), 8000)
    kept = KeptWaveforms(most_bytes=16)
    for name, waveform in (("a", loud), ("b", soft), ("c", soft)):
        kept.keep(Path(name), waveform)
    assert [kept.get(Path(name)) is not None for name in "abc"] == [True, True, False]
    np.testing.assert_array_equal(kept.get(Path("a")).samples, loud.samples)  # type: ignore[union-attr]
    arrived = pickle.loads(pickle.dumps(kept))
    assert (arrived.most_bytes, arrived.get(Path("a"))) == (16, None)
