"""Corpora in the formats of other tools: audformat, Hugging Face, Kaldi, EmoBox."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from thymos.audio import Samples
from thymos.corpora import Corpus, open_corpus
from thymos.errors import CorpusError

WriteSound = Callable[..., Path]
MakeTone = Callable[..., Samples]


def told(corpus: Corpus) -> list[tuple[str, str, str, str]]:
    return [(clip.path, clip.emotion, clip.speaker, clip.split) for clip in corpus.clips]


def reasons(corpus: Corpus) -> dict[str, str]:
    return {each.clip: each.reason for each in corpus.excluded}


# --- Kaldi ---


@pytest.fixture
def kaldi(tmp_path: Path, write_sound: WriteSound) -> Path:
    for name in ("wav/a.wav", "wav/b b.wav", "wav/unlisted.wav"):
        write_sound(tmp_path / name)
    (tmp_path / "wav.scp").write_text("ann-a wav/a.wav\nbob-b\twav/b b.wav\n")
    (tmp_path / "utt2emo").write_text("ann-a ang\nbob-b sad\n")
    (tmp_path / "utt2spk").write_text("ann-a ann\nbob-b bob\n")
    (tmp_path / "spk2gender").write_text("ann f\nbob m\n")
    return tmp_path


def test_a_kaldi_folder_is_a_corpus(kaldi: Path) -> None:
    for spec in (kaldi, kaldi / "wav.scp", f"kaldi:{kaldi}"):
        corpus = open_corpus(spec)
        assert corpus.kind == "kaldi"
        assert told(corpus) == [("wav/a.wav", "anger", "ann", ""), ("wav/b b.wav", "sadness", "bob", "")]
        assert [clip.gender for clip in corpus.clips] == ["female", "male"]
    assert reasons(open_corpus(kaldi)) == {"wav/unlisted.wav": "is named by no table"}
    assert str(open_corpus(kaldi).tally) == "found 3 recordings: 2 used, 1 left out, 0 errors"


def test_kaldi_segments_are_cut(kaldi: Path) -> None:
    (kaldi / "segments").write_text("one ann-a 0 0.4\ntwo ann-a 0.4 -1\nthree gone 0 1\n")
    (kaldi / "utt2emo").write_text("one ang\ntwo sad\nfour joy\n")
    (kaldi / "utt2spk").write_text("one ann\ntwo ann\n")
    corpus = open_corpus(kaldi / "wav.scp")
    assert told(corpus) == [("wav/a.wav#t=0,0.4", "anger", "ann", ""), ("wav/a.wav#t=0.4", "sadness", "ann", "")]
    assert reasons(corpus) == {
        "three": "is a part of gone, which wav.scp does not name",
        "four": "is in utt2emo, and neither in wav.scp nor in segments",
    }


def test_commands_in_a_wav_scp_are_never_run(kaldi: Path) -> None:
    mark = kaldi / "ran"
    (kaldi / "wav.scp").write_text(f"ann-a wav/a.wav\nbob-b touch {mark}; cat wav/a.wav |\nc x.ark:17\n")
    corpus = open_corpus(kaldi / "wav.scp")
    assert [clip.path for clip in corpus.clips] == ["wav/a.wav"]
    assert reasons(corpus) == {
        "wav.scp, line 2": "is a command, which is never run: write its sound to a file, and the path of that",
        "wav.scp, line 3": "is a place in an archive of Kaldi's, which is not read",
    }
    (kaldi / "wav.scp").write_text(f"ann-a touch {mark} |\n")
    with pytest.raises(CorpusError, match=r"wav\.scp, line 1 is a command, which is never run"):
        open_corpus(kaldi / "wav.scp")
    assert not mark.exists()


def test_what_is_wrong_with_a_kaldi_folder_is_said(kaldi: Path) -> None:
    (kaldi / "segments").write_text("one ann-a 0\n")
    with pytest.raises(CorpusError, match="segments, line 1, is not an utterance, a recording, a start and an end"):
        open_corpus(kaldi)
    (kaldi / "segments").unlink()
    (kaldi / "utt2emo").write_text("ann-a ang\nann-a sad\n")
    with pytest.raises(CorpusError, match="utt2emo, line 2: ann-a is there twice, and says two things"):
        open_corpus(kaldi)
    (kaldi / "utt2emo").unlink()
    with pytest.raises(CorpusError, match=r"has wav\.scp, and no utt2emo"):
        open_corpus(kaldi)


# --- EmoBox ---


def emobox_line(wav: str, emotion: str) -> str:
    return json.dumps({"key": f"x-{wav}", "dataset": "toy", "wav": f"downloads/toy/{wav}", "emo": emotion}) + "\n"


def test_emoboxs_lists_are_a_corpus(tmp_path: Path, write_sound: WriteSound) -> None:
    for number in "123":
        write_sound(tmp_path / "sound" / "toy" / f"{number}.wav")
    lists = tmp_path / "data" / "toy" / "fold_1"
    lists.mkdir(parents=True)
    (lists.parent / "label_map.json").write_text('{"a": "Angry", "s": "Sad"}')
    (lists / "toy_train_fold_1.jsonl").write_text(emobox_line("1.wav", "a") + emobox_line("2.wav", "s"))
    (lists / "toy_test_fold_1.jsonl").write_text(emobox_line("3.wav", "a"))
    corpus = open_corpus(lists, root=tmp_path / "sound")
    assert (corpus.kind, {clip.corpus for clip in corpus.clips}) == ("emobox", {"toy"})
    assert [(clip.path, clip.emotion, clip.split) for clip in corpus.clips] == [
        ("toy/1.wav", "anger", "train"),
        ("toy/2.wav", "sadness", "train"),
        ("toy/3.wav", "anger", "test"),
    ]
    one = open_corpus(lists / "toy_test_fold_1.jsonl", root=tmp_path / "sound")
    assert [(clip.path, clip.emotion, clip.split) for clip in one.clips] == [("toy/3.wav", "anger", "test")]
    (lists / "toy_train_fold_2.jsonl").write_text(emobox_line("3.wav", "a"))
    (lists / "toy_test_fold_2.jsonl").write_text(emobox_line("1.wav", "a"))
    assert {clip.split for clip in open_corpus(lists, root=tmp_path / "sound").clips} == {""}


# --- Hugging Face ---


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl", "metadata.parquet"])
def test_an_audio_folder_with_metadata_is_a_corpus(tmp_path: Path, write_sound: WriteSound, name: str) -> None:
    for where in ("train/1.wav", "train/2.wav", "test/deep/3.wav", "test/4.wav"):
        write_sound(tmp_path / where)
    train = [{"file_name": "1.wav", "label": "anger", "speaker": "ann"}, {"file_name": "2.wav", "label": "joy"}]
    test = [{"file_name": "deep/3.wav", "label": "sad"}]
    for split, rows in (("train", train), ("test", test)):
        write_rows(tmp_path / split / name, rows)
    corpus = open_corpus(tmp_path)
    assert corpus.kind == "datasets"
    assert told(corpus) == [
        ("test/deep/3.wav", "sadness", "", "test"),
        ("train/1.wav", "anger", "ann", "train"),
        ("train/2.wav", "happiness", "", "train"),
    ]
    assert reasons(corpus) == {"test/4.wav": "is named by no table"}


def write_rows(path: Path, rows: list[dict[str, object]]) -> None:
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".csv":
        lines = [list(rows[0]), *([str(row.get(name, "")) for name in rows[0]] for row in rows)]
        path.write_text("".join(",".join(line) + "\n" for line in lines))
    else:
        pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
        pq.write_table(pa.Table.from_pylist(rows), path)


def test_without_a_column_of_labels_the_folders_are(tmp_path: Path, write_sound: WriteSound) -> None:
    for where in ("anger/1.wav", "joy/2.wav"):
        write_sound(tmp_path / where)
    (tmp_path / "metadata.csv").write_text("file_name,speaker\nanger/1.wav,ann\njoy/2.wav,bob\n")
    assert told(open_corpus(tmp_path)) == [("anger/1.wav", "anger", "ann", ""), ("joy/2.wav", "happiness", "bob", "")]


def test_a_metadata_table_of_something_else_is_none(tmp_path: Path, write_sound: WriteSound) -> None:
    write_sound(tmp_path / "anger" / "1.wav")
    (tmp_path / "metadata.csv").write_text("key,value\nlicence,free\n")
    assert open_corpus(tmp_path).kind == "folders"


def sound_bytes(samples: Samples, kind: str = "WAV") -> bytes:
    content = io.BytesIO()
    soundfile.write(content, samples, 16_000, format=kind)
    return content.getvalue()


@pytest.fixture
def sounds(make_tone: MakeTone) -> list[Samples]:
    return [make_tone(0.5 + 0.1 * number) for number in range(4)]


def with_class_labels(rows: list[dict[str, object]]) -> object:
    pa = pytest.importorskip("pyarrow")
    table = pa.Table.from_pylist(rows)
    features = {"audio": {"_type": "Audio"}, "emotion": {"names": ["sadness", "anger"], "_type": "ClassLabel"}}
    return table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})


def test_parquet_with_sound_in_it_is_a_corpus(tmp_path: Path, sounds: list[Samples]) -> None:
    pq = pytest.importorskip("pyarrow.parquet")
    (tmp_path / "set" / "data").mkdir(parents=True)
    rows = [
        {"audio": {"bytes": sound_bytes(sounds[0]), "path": "same.wav"}, "emotion": 1, "speaker_id": 7},
        {"audio": {"bytes": sound_bytes(sounds[1], "FLAC"), "path": None}, "emotion": 0, "speaker_id": 8},
        {"audio": {"bytes": sound_bytes(sounds[2]), "path": "same.wav"}, "emotion": 0, "speaker_id": 8},
        {"audio": {"bytes": b"no sound", "path": "bad.wav"}, "emotion": 1, "speaker_id": 9},
        {"audio": {"bytes": None, "path": None}, "emotion": 1, "speaker_id": 9},
    ]
    pq.write_table(with_class_labels(rows), tmp_path / "set/data/train-00000-of-00001.parquet")
    pq.write_table(with_class_labels([rows[1]]), tmp_path / "set/data/test-00000-of-00001.parquet")
    for _ in "12":
        corpus = open_corpus(tmp_path / "set", cache_dir=tmp_path / "cache")
        shard = "data/train-00000-of-00001"
        assert told(corpus) == [
            ("data/test-00000-of-00001/000001.flac", "sadness", "8", "test"),
            (f"{shard}/000002.flac", "sadness", "8", "train"),
            (f"{shard}/same-000003.wav", "sadness", "8", "train"),
            (f"{shard}/same.wav", "anger", "7", "train"),
        ]
        assert [clip.sound.frames for clip in corpus.clips] == [len(sounds[i]) for i in (1, 1, 2, 0)]
        np.testing.assert_allclose(corpus.waveform(corpus.clips[3]).samples, sounds[0], atol=1e-4)
        assert reasons(corpus) == {
            f"{shard}/bad.wav": "is not sound in a known format (8 bytes)",
            "train-00000-of-00001.parquet, line 5": "names no file",
        }
    assert len(list((tmp_path / "cache" / "unpacked").iterdir())) == 4, "equal sounds are kept once"
    one = open_corpus(tmp_path / "set/data/test-00000-of-00001.parquet")
    assert [(clip.path, clip.split) for clip in one.clips] == [("test-00000-of-00001/000001.flac", "test")]


def test_what_datasets_saves_to_disk_is_a_corpus(tmp_path: Path, sounds: list[Samples]) -> None:
    pa = pytest.importorskip("pyarrow")
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "validation"]}')
    for split, chosen in (("train", (0, 1)), ("validation", (2,))):
        (tmp_path / split).mkdir()
        rows = [{"audio": {"bytes": sound_bytes(sounds[i]), "path": f"{i}.wav"}, "emotion": i % 2} for i in chosen]
        table = with_class_labels(rows)
        with pa.ipc.new_stream(str(tmp_path / split / "data-00000-of-00001.arrow"), table.schema) as stream:  # type: ignore[attr-defined]
            stream.write_table(table)
    assert told(open_corpus(tmp_path)) == [
        ("train/data-00000-of-00001/0.wav", "sadness", "", "train"),
        ("train/data-00000-of-00001/1.wav", "anger", "", "train"),
        ("validation/data-00000-of-00001/2.wav", "sadness", "", "validation"),
    ]


def test_damaged_and_unlabelled_tables_are_refused(tmp_path: Path, sounds: list[Samples]) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "a.parquet"
    for content in (b"PAR1 and so on", b"ARROW1 and so on", b"neither", b""):
        path.write_bytes(content)
        with pytest.raises(CorpusError, match="cannot be read as Parquet or Arrow"):
            open_corpus(path)
    pq.write_table(pa.Table.from_pylist([{"audio": {"bytes": b"", "path": "a.wav"}, "mood": "x"}]), path)
    with pytest.raises(CorpusError, match="has no column emotion: its first line has audio, mood"):
        open_corpus(path)


def test_without_the_extra_one_line_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    (tmp_path / "a.xlsx").write_bytes(b"PK\x03\x04")
    monkeypatch.setattr("importlib.util.find_spec", lambda name, package=None: None)
    for name in ("a.parquet", "a.xlsx"):
        with pytest.raises(Exception, match=r"pip install 'thymos\[tables\]'"):
            open_corpus(tmp_path / name)


# --- audformat ---

HEADER = """
name: toy
source: here
usage: unrestricted
languages: [deu]
splits:
  dev: {type: dev}
schemes:
  emotion: {dtype: str, labels: [anger, sadness]}
  speaker:
    dtype: int
    labels:
      3: {gender: male}
      8: {gender: female}
tables:
  emotion.train: {type: filewise, columns: {emotion: {scheme_id: emotion}}}
  emotion.part: {type: segmented, split_id: dev, columns: {emotion: {scheme_id: emotion}}}
  files: {type: filewise, columns: {speaker: {scheme_id: speaker}, transcription: {}}}
"""


def test_an_audformat_database_is_a_corpus(tmp_path: Path, write_sound: WriteSound) -> None:
    for name in ("wav/a.wav", "wav/b.wav"):
        write_sound(tmp_path / name)
    (tmp_path / "db.yaml").write_text(HEADER)
    (tmp_path / "db.emotion.train.csv").write_text("file,emotion\nwav/a.wav,anger\n")
    (tmp_path / "db.emotion.part.csv").write_text(
        "file,start,end,emotion\nwav/b.wav,0 days 00:00:00,0 days 00:00:00.500000,sadness\n"
        "wav/b.wav,0 days 00:00:00.500000,,anger\n"
    )
    (tmp_path / "db.files.csv").write_text("file,speaker,transcription\nwav/a.wav,3,so\nwav/b.wav,8,ja\n")
    corpus = open_corpus(tmp_path)
    assert corpus.kind == "audformat"
    assert [(c.path, c.emotion, c.speaker, c.gender, c.split, c.language) for c in corpus.clips] == [
        ("wav/a.wav", "anger", "3", "male", "train", "deu"),
        ("wav/b.wav#t=0,0.5", "sadness", "8", "female", "validation", "deu"),
        ("wav/b.wav#t=0.5", "anger", "8", "female", "validation", "deu"),
    ]
    assert (corpus.excluded, {clip.corpus for clip in corpus.clips}) == ((), {""})


def test_pickled_tables_are_never_opened(tmp_path: Path, write_sound: WriteSound) -> None:
    write_sound(tmp_path / "wav" / "a.wav")
    (tmp_path / "db.yaml").write_text(HEADER)
    mark = tmp_path / "ran"
    (tmp_path / "db.emotion.train.pkl").write_bytes(f"cos\nsystem\n(S'touch {mark}'\ntR.".encode())
    with pytest.raises(
        CorpusError, match=r"has its tables as pickles, such as db\.emotion\.train\.pkl, and nothing is"
    ):
        open_corpus(tmp_path)
    assert not mark.exists()
    (tmp_path / "db.yaml").write_text("!!python/object/apply:os.system ['touch " + str(mark) + "']")
    with pytest.raises(CorpusError, match="is not YAML"):
        open_corpus(tmp_path)
    assert not mark.exists()


@pytest.mark.parametrize("storage", ["csv", "parquet"])
def test_what_audformat_itself_writes_is_read(tmp_path: Path, write_sound: WriteSound, storage: str) -> None:
    audformat, pd = pytest.importorskip("audformat"), pytest.importorskip("pandas")
    for name in ("wav/a.wav", "wav/b.wav"):
        write_sound(tmp_path / name)
    database = audformat.Database("toy", source="here", languages=["German"])
    people = pd.DataFrame(
        {"gender": ["female", "male"]}, index=pd.Index(["ann", "bob"], name="speaker", dtype="string")
    )
    database.schemes["gender"] = audformat.Scheme(labels=["female", "male"])
    database["speaker"] = audformat.MiscTable(people.index)
    database["speaker"]["gender"] = audformat.Column(scheme_id="gender")
    database["speaker"]["gender"].set(people["gender"])
    database.schemes["speaker"] = audformat.Scheme("str", labels="speaker")
    database.schemes["emotion"] = audformat.Scheme(labels=["anger", "sadness"])
    database.splits["test"] = audformat.Split("test")
    whole = audformat.filewise_index(["wav/a.wav", "wav/b.wav"])
    database["files"] = audformat.Table(whole)
    database["files"]["speaker"] = audformat.Column(scheme_id="speaker")
    database["files"]["speaker"].set(["ann", "bob"])
    parts = audformat.segmented_index(["wav/a.wav", "wav/b.wav", "wav/b.wav"], [0, 0, 0.25], [pd.NaT, 0.25, 0.75])
    database["emotion.gold_standard"] = audformat.Table(parts, split_id="test")
    database["emotion.gold_standard"]["emotion"] = audformat.Column(scheme_id="emotion")
    database["emotion.gold_standard"]["emotion"].set(["anger", "sadness", "anger"])
    database.save(tmp_path, storage_format=storage)
    corpus = open_corpus(tmp_path)
    assert [(c.path, c.emotion, c.speaker, c.gender, c.split) for c in corpus.clips] == [
        ("wav/a.wav", "anger", "ann", "female", "test"),
        ("wav/b.wav#t=0,0.25", "sadness", "bob", "male", "test"),
        ("wav/b.wav#t=0.25,0.75", "anger", "bob", "male", "test"),
    ]
