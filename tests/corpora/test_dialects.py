"""Tables as people have them: separators, encodings, headings, paths, JSON lines, spreadsheets."""

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import thymos
from thymos.corpora import Corpus, open_corpus
from thymos.corpora.code_pages import decoded
from thymos.corpora.headings import columns_of
from thymos.errors import CorpusError

WriteSound = Callable[..., Path]


@pytest.fixture(scope="module")
def wavs(tmp_path_factory: pytest.TempPathFactory, write_sound: WriteSound) -> Path:
    folder = tmp_path_factory.mktemp("dialects")
    for name in ("1.wav", "2.wav"):
        write_sound(folder / "wav" / name)
    return folder


@pytest.fixture
def opened(wavs: Path) -> Callable[..., Corpus]:
    def write_and_open(content: bytes | str, name: str = "table.csv", **options: object) -> Corpus:
        (wavs / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return open_corpus(wavs / name, **options)  # type: ignore[arg-type]

    return write_and_open


def told(corpus: Corpus) -> list[tuple[str, str]]:
    return [(clip.path, clip.emotion) for clip in corpus.clips]


BOTH = [("wav/1.wav", "anger"), ("wav/2.wav", "sadness")]


@pytest.mark.parametrize(
    "content",
    [
        "file,emotion\nwav/1.wav,anger\nwav/2.wav,sadness\n",
        "file;emotion\nwav/1.wav;anger\nwav/2.wav;sadness\n",
        "file\temotion\nwav/1.wav\tanger\nwav/2.wav\tsadness\n",
        "file|emotion\nwav/1.wav|anger\nwav/2.wav|sadness\n",
        "sep=;\nfile;emotion\nwav/1.wav;anger\nwav/2.wav;sadness\n",
        "\n\nfile,emotion\n\nwav/1.wav,anger\n,\nwav/2.wav,sadness",
        "file,emotion\r\nwav/1.wav,ANGRY\r\nwav/2.wav,Sad \r\n",
        "file,emotion\rwav/1.wav,angry\rwav/2.wav,sad\r",
        '"file","emotion"\n"wav/1.wav","anger"\n"wav/2.wav","sadness"\n',
        "File,Emotion\nwav/1.wav,anger\nwav/2.wav,sadness\n",
        "file_name,label\nwav/1.wav,anger\nwav/2.wav,sadness\n",
        "Emotion Label,Audio-Path\nanger,wav/1.wav\nsadness,wav/2.wav\n",
        "path,emotion,note\nwav/1.wav,anger,\"one, 'two'\"\nwav/2.wav,sadness,a;b;c\n",
        "file,emotion\nwav\\1.wav,anger\nwav\\2.wav,sadness\n",
        "file,emotion\n./wav/1.wav,anger\nwav/../wav/2.wav,sadness\n",
        "id,,file,emotion\n1,,wav/1.wav,anger\n2,,wav/2.wav,sadness\n",
    ],
)
def test_any_dialect_is_read(opened: Callable[..., Corpus], content: str) -> None:
    for codec in ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"):
        corpus = opened(content.encode(codec))
        assert told(corpus) == BOTH, codec
        assert (corpus.excluded, corpus.notes) == ((), ())
        assert str(corpus.tally) == "found 2 recordings: 2 used, 0 left out, 0 errors"


@pytest.mark.parametrize(
    ("text", "page"),
    [
        ("Ανώνυμος", "1253"), ("θυμός", "1253"), ("ΜΑΡΙΑ", "1253"), ("Иван", "1251"), ("радость", "1251"),
        ("Jürgen", "1252"), ("José Nuñez", "1252"), ("François", "1252"), ("Müller – Straße", "1252"),
        ("Paweł", "1250"), ("Žaneta Dvořáková", "1250"), ("złość", "1250"), ("Ayşe", "1254"), ("kızgın", "1254"),
    ],
)  # fmt: skip
def test_the_code_page_is_told_by_its_words(opened: Callable[..., Corpus], text: str, page: str) -> None:
    corpus = opened(f"file,emotion,speaker\nwav/1.wav,anger,{text}\n".encode(f"cp{page}"))
    assert corpus.clips[0].speaker == text
    assert corpus.notes == (f"table.csv is read as Windows code page {page}, not as UTF-8",)


def test_the_code_page_is_told_best_by_the_files_that_are_there(tmp_path: Path, write_sound: WriteSound) -> None:
    write_sound(tmp_path / "Ähnlich.wav")  # which is as good a word in the page of Central Europe
    for name, page in (("Ähnlich.wav", "cp1252"), ("ďëń.wav", "cp1250"), ("Ωμέγα.wav", "cp1253")):
        write_sound(tmp_path / name)
        (tmp_path / "table.csv").write_bytes(f"file,emotion\n{name},anger\n".encode(page))
        assert [clip.path for clip in open_corpus(tmp_path / "table.csv").clips] == [name]


def test_what_is_no_text_has_no_code_page() -> None:
    for content in (b"\0\1\2", bytes(range(256))):
        with pytest.raises(ValueError, match="it is"):
            decoded(content)


def test_headings_go_by_their_nearest_word() -> None:
    columns = columns_of(["path", "Label", "file_name", "EMOTION", "Spk", "Split_Set", "Start Time", "mood"])
    assert columns == {
        "file": "file_name", "emotion": "EMOTION", "speaker": "Spk", "split": "Split_Set", "start": "Start Time",
    }  # fmt: skip


def test_more_is_read_where_it_is_told(opened: Callable[..., Corpus]) -> None:
    corpus = opened(
        "Filename;Label;Actor;Sex;Lang;Transcript;Repetition;Dataset;Partition\n"
        "wav/1.wav;angry;7;f;el;so;2;mine;TRAIN\nwav/2.wav;sad;8;m;el;so;1;mine;dev\n"
    )
    first = corpus.clips[0]
    assert (first.speaker, first.gender, first.language, first.sentence) == ("7", "female", "el", "so")
    assert (first.take, first.corpus) == ("2", "mine")
    assert [clip.split for clip in corpus.clips] == ["train", "validation"]


# --- where files lie ---


def test_paths_may_be_absolute_mixed_or_from_elsewhere(wavs: Path, tmp_path: Path, write_sound: WriteSound) -> None:
    write_sound(tmp_path / "other" / "3.wav")
    rows = f"file,emotion\n{wavs / 'wav/1.wav'},anger\nother/3.wav,fear\n"
    (tmp_path / "mixed.csv").write_text(rows)
    corpus = open_corpus(tmp_path / "mixed.csv")
    assert [Path(clip.path).name for clip in corpus.clips] == ["1.wav", "3.wav"]
    assert all((corpus.root / clip.path).is_file() for clip in corpus.clips)
    (tmp_path / "absolute.csv").write_text(f"file,emotion\n{wavs / 'wav/1.wav'},anger\n{wavs / 'wav/2.wav'},sad\n")
    corpus = open_corpus(tmp_path / "absolute.csv")
    assert (corpus.root, told(corpus)) == (wavs / "wav", [("1.wav", "anger"), ("2.wav", "sadness")])


@pytest.mark.parametrize("file", ["wav/1.wav", "wav\\1.wav", r"D:\corpora\mine\wav\1.wav", "/home/ann/mine/wav/1.wav"])
def test_a_named_folder_is_what_paths_are_relative_to(wavs: Path, tmp_path: Path, file: str) -> None:
    (tmp_path / "table.csv").write_text(f"file,emotion\n{file},anger\n")
    corpus = open_corpus(tmp_path / "table.csv", root=wavs)
    assert (corpus.root, told(corpus)) == (wavs, [("wav/1.wav", "anger")])
    with pytest.raises(CorpusError, match=r"which it names, is not in .*; --root FOLDER says where they lie"):
        open_corpus(tmp_path / "table.csv")


def test_root_is_for_tables_and_must_be_a_folder(wavs: Path, mini: Path) -> None:
    (wavs / "table.csv").write_text("file,emotion\nwav/1.wav,anger\n")
    with pytest.raises(CorpusError, match="is no folder that the files of a table could be in"):
        open_corpus(wavs / "table.csv", root=wavs / "absent")
    with pytest.raises(CorpusError, match="is no table: --root says what the paths in a table are relative to"):
        open_corpus(mini, root=wavs)


def test_where_one_stands_is_offered(wavs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "table.csv").write_text("file,emotion\nwav/1.wav,anger\nwav/2.wav,fear\n")
    monkeypatch.chdir(wavs)
    with pytest.raises(CorpusError, match=r"none of the 2 files .* such as wav/1.wav; .*: --root \.$"):
        open_corpus(tmp_path / "table.csv")
    assert len(open_corpus(tmp_path / "table.csv", root=".").clips) == 2


def test_a_backslash_may_be_part_of_a_name(tmp_path: Path, write_sound: WriteSound) -> None:
    write_sound(tmp_path / "a\\b.wav")
    (tmp_path / "table.csv").write_text("file,emotion\na\\b.wav,anger\n")
    assert [clip.path for clip in open_corpus(tmp_path / "table.csv").clips] == ["a\\b.wav"]


# --- rows that cannot be right ---


def test_every_row_that_cannot_be_used_is_named(opened: Callable[..., Corpus]) -> None:
    absent = [f"gone/{number}.wav" for number in range(40)]
    corpus = opened(
        "file,emotion,speaker,start,end\n"
        + "".join(f"{name},fear,,,\n" for name in absent)
        + "wav/1.wav,anger,ann,,\nwav/1.wav,Anger,ann,,\nwav/1.wav,ang,,,\n"  # the same again
        "wav/2.wav,sad,ann,,\n./wav/2.wav,sad,bob,,\n"  # whose is it?
        "https://example.org/a.wav,fear,,,\nwav/1.wav,fear,,soon,\nwav/1.wav,fear,,2,1\n,fear,,,\n"
    )
    assert told(corpus) == [("wav/1.wav", "anger")]
    reasons = {each.clip: each.reason for each in corpus.excluded}
    assert [reasons.pop(name) for name in absent] == ["does not exist"] * 40
    assert reasons == {
        "wav/2.wav": "is listed with two speakers, ann and bob (lines 45 and 46)",
        "https:/example.org/a.wav": "is an address, and only files are read",
        "wav/1.wav (table.csv, line 48)": "cannot be cut: 'soon' is no time, such as 1.5 or 0 days 00:00:01.5",
        "wav/1.wav (table.csv, line 49)": "cannot be cut: it begins at 2 s and ends at 1 s",
        "table.csv, line 50": "names no file",
    }
    assert str(corpus.tally) == "found 46 recordings: 1 used, 0 left out, 45 errors"
    assert corpus.notes == ("table.csv: 2 rows say again what an earlier one said (line 43, 44)",)


def test_a_speaker_in_two_spellings_of_one_file_is_one(opened: Callable[..., Corpus]) -> None:
    corpus = opened("file,emotion,speaker\nwav/1.wav,fear,Speaker 1\nwav/1.wav,fear,speaker_1\n")
    assert [(each.path, each.speaker) for each in corpus.clips] == [("wav/1.wav", "Speaker 1")]


def test_parts_of_files_are_cut(opened: Callable[..., Corpus]) -> None:
    corpus = opened(
        "file,start,end,emotion\n"
        "wav/1.wav,0 days 00:00:00,0 days 00:00:00.250000,anger\n"
        "wav/1.wav,0 days 00:00:00.5,NaT,sadness\n"
        "wav/2.wav,0 days,half,fear\n"
        "wav/2.wav,0,NaT,fear\n"
        "wav/2.wav,0.5,9,joy\n"
    )
    assert [(clip.path, clip.sound.duration_s) for clip in corpus.clips] == [
        ("wav/1.wav#t=0,0.25", 0.25),
        ("wav/1.wav#t=0.5", 0.5),
        ("wav/2.wav", 1.0),
    ]
    assert {each.clip: each.reason for each in corpus.excluded} == {
        "wav/2.wav#t=0.5,9": "has no part from 0.5 s to 9 s: it is 1.00 s long",
        "wav/2.wav (table.csv, line 4)": "cannot be cut: 'half' is no time, such as 1.5 or 0 days 00:00:01.5",
    }
    lengths = opened("file,begin,duration,label\nwav/1.wav,0.25,0.5,anger\n").clips
    assert [(clip.path, clip.sound.duration_s) for clip in lengths] == [("wav/1.wav#t=0.25,0.75", 0.5)]


@pytest.mark.slow
def test_ten_thousand_rows_are_listed_in_seconds(tmp_path: Path, write_sound: WriteSound) -> None:
    from thymos.corpora.readers import csv_table
    from thymos.corpora.readers.listed_files import Surroundings

    sound = write_sound(tmp_path / "0.wav", rate_hz=8000).read_bytes()
    rows = ["file,emotion"]
    for number in range(10_000):
        (tmp_path / f"{number}.wav").write_bytes(sound[:44])
        rows.append(f"{number}.wav,{'anger' if number % 2 else 'fear'}")
    (tmp_path / "table.csv").write_text("\n".join(rows))
    started = time.process_time()
    assert len(csv_table.read(tmp_path / "table.csv", lambda word: True, Surroundings()).entries) == 10_000
    assert time.process_time() - started < 3


# --- other files of rows ---


def test_json_lines_are_a_table(opened: Callable[..., Corpus]) -> None:
    lines = [{"file_name": "wav/1.wav", "label": "anger", "speaker_id": 3}, {"file_name": "wav/2.wav", "label": None}]
    corpus = opened("\n".join(map(json.dumps, lines)), "metadata.jsonl")
    assert [(clip.path, clip.emotion, clip.speaker) for clip in corpus.clips] == [("wav/1.wav", "anger", "3")]
    assert [(each.clip, each.reason) for each in corpus.excluded] == [("wav/2.wav", "has no label")]
    with pytest.raises(CorpusError, match=r"metadata\.jsonl, line 2, is no JSON object"):
        opened('{"wav": "wav/1.wav", "emo": "anger"}\n[1]\n', "metadata.jsonl")


@pytest.mark.slow
def test_a_spreadsheet_is_a_table(wavs: Path) -> None:
    pd, _ = pytest.importorskip("pandas"), pytest.importorskip("openpyxl")
    rows = pd.DataFrame({"File": ["wav/1.wav", "wav/2.wav"], "Emotion": ["Wut", "sad"], "Speaker": [1, 2.0]})
    with pd.ExcelWriter(wavs / "book.xlsx") as book:
        pd.DataFrame({"about": ["this is no table"]}).to_excel(book, sheet_name="read me", index=False)
        rows.to_excel(book, sheet_name="clips", index=False, startrow=2)
    corpus = open_corpus(wavs / "book.xlsx")
    assert [(clip.path, clip.emotion, clip.speaker) for clip in corpus.clips] == [
        ("wav/1.wav", "anger", "1"),
        ("wav/2.wav", "sadness", "2"),
    ]
    shutil.copy(wavs / "book.xlsx", wavs / "book.csv")
    assert told(open_corpus(wavs / "book.csv")) == BOTH, "told by what it holds, not by what it is called"
    (wavs / "bad.xlsx").write_bytes(b"PK\x03\x04 and so on")
    with pytest.raises(CorpusError, match="cannot be read as a spreadsheet"):
        open_corpus(wavs / "bad.xlsx")


@pytest.mark.slow
def test_the_clips_of_an_audit_are_a_corpus(tmp_path: Path, write_sound: WriteSound) -> None:
    for name in ("anger/1.wav", "anger/2.wav", "fear/1.wav"):
        write_sound(tmp_path / "corpus" / name)
    (tmp_path / "corpus/table.csv").write_text(
        "file,emotion,start,end,split\nanger/1.wav,anger,0,0.5,train\nanger/1.wav,fear,0.5,,test\nfear/1.wav,joy,,,\n"
    )
    for spec in (tmp_path / "corpus", tmp_path / "corpus/table.csv"):
        found = thymos.audit(spec, tmp_path / "out" / spec.stem)
        again = open_corpus(tmp_path / "out" / spec.stem / "clips.csv")
        assert again.clips == found.corpus.clips
        assert again.root == found.corpus.root
        facts = json.loads((tmp_path / "out" / spec.stem / "audit.json").read_text())
        assert facts["corpus"]["files"] == {"found": 3, "used": 3, "left_out": 0, "errors": 0}
