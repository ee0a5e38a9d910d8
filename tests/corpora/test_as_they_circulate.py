"""Corpora as people have them: what another program left in a table, and what is said where nothing can be read."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from thymos.corpora import Corpus, open_corpus
from thymos.corpora.fold_lists import read_fold_lists
from thymos.corpora.headings import parse_columns
from thymos.corpora.readers.csv_table import files_listed
from thymos.errors import CorpusError, ProtocolError

WriteSound = Callable[..., Path]
Opened = Callable[..., Corpus]


@pytest.fixture(scope="module")
def wavs(tmp_path_factory: pytest.TempPathFactory, write_sound: WriteSound) -> Path:
    folder = tmp_path_factory.mktemp("circulating")
    for name in ("a.wav", "b.wav", "c.wav", "my clip 1.wav", "θυμός.wav", "deep/d.wav"):
        write_sound(folder / name)
    return folder


@pytest.fixture
def opened(wavs: Path) -> Opened:
    def write_and_open(content: str, name: str = "table.csv", **options: Any) -> Corpus:
        (wavs / name).write_text(content, encoding="utf-8")
        return open_corpus(wavs / name, **options)

    return write_and_open


def told(corpus: Corpus) -> list[tuple[str, str]]:
    return [(clip.path, clip.emotion) for clip in corpus.clips]


def speakers(corpus: Corpus) -> list[str]:
    return [clip.speaker for clip in corpus.clips]


BOTH = [("a.wav", "anger"), ("b.wav", "sadness")]


# --- separators ---


def test_headings_may_be_separated_otherwise_than_rows(opened: Opened) -> None:
    corpus = opened("file,emotion,text\na.wav;anger;so, so\nb.wav;sad;no\n")
    assert told(corpus) == BOTH
    assert corpus.clips[0].sentence == "so, so"
    assert corpus.notes == ("table.csv: its first line is separated by ',', and its rows by ';'",)


@pytest.mark.parametrize(
    "content", ["file emotion\na.wav anger\nb.wav   sad\n", 'file  label\n"a.wav" anger\nb.wav sad \n']
)
def test_spaces_may_stand_between_cells(opened: Opened, content: str) -> None:
    corpus = opened(content, "table.txt")
    assert (told(corpus), corpus.excluded) == (BOTH, ())


def test_numbers_may_have_a_decimal_comma(opened: Opened) -> None:
    corpus = opened("file;emotion;arousal;start;end\na.wav;anger;3,5;0,1;0,3\nb.wav;sad;-0,25;0:00,2;\n")
    assert [clip.arousal for clip in corpus.clips] == [3.5, -0.25]
    assert [(clip.start_s, clip.end_s) for clip in corpus.clips] == [(0.1, 0.3), (0.2, None)]
    wrong = opened("file;emotion;arousal\na.wav;anger;3\nb.wav;sad;1,2,3\n")
    assert [each.reason for each in wrong.excluded] == [
        "'1,2,3' is no value of a dimension: a number is needed, or nothing"
    ]


def test_remarks_before_the_headings_are_passed_over(opened: Opened) -> None:
    rows = "a.wav,anger\nb.wav,sad\n"
    for first in ("# made by me, in May\n# once more\nfile,emotion\n", "#file,emotion\n", "# file,emotion\n"):
        assert told(opened(first + rows)) == BOTH
    wrong = opened("# made by me\nfile,emotion\na.wav,anger\nb.wav\n")
    assert [each.clip for each in wrong.excluded] == ["b.wav"], "has no label"


def test_a_column_that_is_there_twice_is_refused(opened: Opened) -> None:
    with pytest.raises(CorpusError, match="has two columns emotion: rename the one that is not meant"):
        opened("file,emotion,emotion\na.wav,anger,sad\n")
    assert told(opened("file,emotion,x,x\na.wav,anger,1,2\nb.wav,sad,1,2\n")) == BOTH


# --- JSON ---


@pytest.mark.parametrize(
    "content",
    [
        [{"file": "a.wav", "emotion": "anger"}, {"file": "b.wav", "emotion": "sad"}],
        {"data": [{"path": "a.wav", "label": "anger"}, {"path": "b.wav", "label": "sad"}]},
        {"a.wav": "anger", "b.wav": "sad"},
        {"a.wav": {"emotion": "anger"}, "b.wav": {"emotion": "sad"}},
        {"x": {"wav": "a.wav", "emotion": "anger"}, "y": {"wav": "b.wav", "emotion": "sad"}},
        {"file": ["a.wav", "b.wav"], "emotion": ["anger", "sad"]},
        {"file": {"0": "a.wav", "1": "b.wav"}, "emotion": {"1": "sad", "0": "anger"}},
    ],
)
def test_a_document_of_json_is_a_table(opened: Opened, content: object) -> None:
    for indent in (None, 2):
        assert told(opened(json.dumps(content, indent=indent), "table.json")) == BOTH


@pytest.mark.parametrize("content", ["[1, 2]", '{"a.wav": 1}', '["a.wav"]', "{}", "[]", "{", "null"])
def test_json_that_is_no_table_is_one_sentence(opened: Opened, content: str) -> None:
    with pytest.raises(CorpusError) as caught:
        opened(content, "table.json")
    assert "table.json" in str(caught.value)
    assert "\n" not in str(caught.value)


# --- where files lie ---


@pytest.mark.parametrize(
    "cell",
    ["my%20clip%201.wav", "file://{folder}/my%20clip%201.wav", "file://localhost{folder}/my clip 1.wav", "my clip 1"],
)
def test_names_may_be_as_other_programs_write_them(opened: Opened, wavs: Path, cell: str) -> None:
    corpus = opened(f"file,emotion\n{cell.format(folder=wavs)},anger\nb.wav,sad\n")
    assert told(corpus) == [("b.wav", "sadness"), ("my clip 1.wav", "anger")]


def test_a_name_is_itself_first(tmp_path: Path, write_sound: WriteSound) -> None:
    for name in ("100%25.wav", "100%.wav", "b.wav", "b.flac"):
        write_sound(tmp_path / name)
    (tmp_path / "table.csv").write_text("file,emotion\n100%25.wav,anger\n100%.wav,sad\nb,fear\n")
    corpus = open_corpus(tmp_path / "table.csv")
    assert told(corpus) == [("100%.wav", "sadness"), ("100%25.wav", "anger")]
    assert [(each.clip, each.reason) for each in corpus.excluded] == [("b", "does not exist")], "it may be either"


def test_the_folder_that_has_the_files_is_named(opened: Opened, wavs: Path) -> None:
    with pytest.raises(CorpusError, match=rf"such as d\.wav; --root {wavs / 'deep'} finds it"):
        opened("file,emotion\nd.wav,anger\ne.wav,sad\n")
    with pytest.raises(CorpusError, match=rf"is not in {wavs}; --root {wavs} finds it"):
        opened("file,emotion\nD:\\old\\deep\\d.wav,anger\n")
    with pytest.raises(CorpusError, match="--root FOLDER says where they lie"):
        opened("file,emotion\nnowhere.wav,anger\n")


def test_a_table_without_headings_is_told_so(opened: Opened) -> None:
    with pytest.raises(CorpusError, match=r"its first line \(a\.wav, anger\) is a row already; write headings above"):
        opened("a.wav,anger\nb.wav,sad\n")


def test_the_table_beside_the_recordings_is_named(tmp_path: Path, write_sound: WriteSound) -> None:
    write_sound(tmp_path / "wavs/a.wav")
    (tmp_path / "labels.csv").write_text("file,emotion\nwavs/a.wav,anger\n")
    with pytest.raises(CorpusError, match=rf"it has the table labels\.csv: say {tmp_path / 'labels.csv'}$"):
        open_corpus(tmp_path)


def test_a_number_before_a_known_word_does_not_count(tmp_path: Path, write_sound: WriteSound) -> None:
    for folder in ("01_angry", "02-happy", "3.sad", "4 bored"):
        write_sound(tmp_path / folder / f"{folder[-3:]}.wav")
    corpus = open_corpus(tmp_path)
    assert {clip.emotion for clip in corpus.clips} >= {"anger", "happiness", "sadness"}


def test_an_archive_is_to_be_unpacked(tmp_path: Path) -> None:
    for name in ("corpus.zip", "corpus.tar.gz"):
        (tmp_path / name).write_bytes(b"PK")
        with pytest.raises(CorpusError, match=f"{name} is a packed archive: unpack it first"):
            open_corpus(tmp_path / name)


# --- what cells say ---


def test_what_pandas_reads_as_missing_is_missing(opened: Opened) -> None:
    corpus = opened("file,emotion,speaker\na.wav,anger,nan\nb.wav,NaN,1\nc.wav,none,2\n")
    assert [(clip.path, clip.emotion, clip.speaker) for clip in corpus.clips] == [
        ("a.wav", "anger", ""),
        ("c.wav", "none", "2"),
    ]
    assert [(each.clip, each.reason) for each in corpus.excluded] == [("b.wav", "has no label")]


def test_whole_numbers_are_the_same_with_a_point(opened: Opened) -> None:
    corpus = opened("file,label,speaker\na.wav,0,1.0\nb.wav,1.0,1\nc.wav,1,2.5\n", labels={"1": "anger"})
    assert told(corpus) == [("a.wav", "0"), ("b.wav", "anger"), ("c.wav", "anger")]
    assert speakers(corpus) == ["1", "1", "2.5"]


def test_a_speaker_in_two_spellings_is_one(opened: Opened) -> None:
    corpus = opened("file,emotion,speaker\na.wav,anger,Speaker 1\nb.wav,sad,speaker_1\nc.wav,sad,SPEAKER1\n")
    assert speakers(corpus) == ["SPEAKER1"] * 3
    assert corpus.notes == ("speakers SPEAKER1 and Speaker 1 and speaker_1 are one: SPEAKER1",)
    others = opened("file,emotion,speaker\na.wav,anger,1-2\nb.wav,sad,12\nc.wav,sad,1_2\n")
    assert speakers(others) == ["1-2", "12", "1-2"]
    assert opened("file,emotion,speaker\na.wav,anger,Ann\nb.wav,sad,Anna\n").notes == ()


def test_a_fold_of_each_file_is_the_one_that_tests_it(opened: Opened, wavs: Path) -> None:
    corpus = opened("file,emotion,fold\na.wav,anger,1\nb.wav,sad,2\nc.wav,sad,10\n")
    assert corpus.notes == (f"table.csv: its column fold is read by --protocol file:{wavs / 'table.csv'} alone",)
    lists = read_fold_lists(wavs / "table.csv")
    assert {(each.fold, each.file) for each in lists if each.side == "test"} == {
        ("1", "a.wav"),
        ("2", "b.wav"),
        ("10", "c.wav"),
    }
    assert [each.file for each in lists if each.fold == "2" and each.side == "train"] == ["a.wav", "c.wav"]
    for content, words in (
        ("file,fold\na.wav,1\nb.wav,1\n", "must name two folds or more, not 1"),
        ("file,fold\na.wav,1\nb.wav,2\nc.wav,\n", "line 4: names no fold"),
    ):
        (wavs / "folds.csv").write_text(content)
        with pytest.raises(ProtocolError, match=words):
            read_fold_lists(wavs / "folds.csv")


def test_dimensions_without_emotions_are_read_alone(opened: Opened) -> None:
    corpus = opened("FileName,EmoAct,EmoVal\na.wav,3.2,4\nb.wav,1,2\n")
    assert [(clip.path, clip.emotion, clip.arousal, clip.valence) for clip in corpus.clips] == [
        ("a.wav", "", 3.2, 4.0),
        ("b.wav", "", 1.0, 2.0),
    ]
    assert corpus.notes == ("it tells no emotions: it is read for its dimensions alone",)


# --- which column is meant ---


def test_columns_are_chosen_by_name(opened: Opened) -> None:
    content = "file,emotion,label2,spk,Participant ID,take\na.wav,anger,calm,1,x,1\nb.wav,sad,bored,2,y,1\n"
    plain = opened(content)
    assert (told(plain), speakers(plain)) == (BOTH, ["1", "2"])
    chosen = opened(content, columns={"target": "label2", "speaker": "participant_id", "take": "spk"})
    assert told(chosen) == [("a.wav", "calm"), ("b.wav", "bored")]
    assert speakers(chosen) == ["x", "y"]
    assert [clip.take for clip in chosen.clips] == ["1", "2"], "a heading that is chosen for one column is no other's"


def test_where_two_columns_could_be_meant_both_are_named(opened: Opened) -> None:
    content = "file,label,emotion\na.wav,0,anger\nb.wav,1,sad\n"
    assert opened(content).notes == (
        "table.csv: its column emotion is read as the emotion, not label; --columns emotion=label reads that",
    )
    assert opened(content, columns={"emotion": "label"}).notes == ()
    assert opened("file,label,emotion\na.wav,anger,anger\nb.wav,sad,sad\n").notes == ()


def test_a_column_that_is_not_there_is_named_with_the_nearest(opened: Opened, mini: Path) -> None:
    content = "file,emotion,label2\na.wav,anger,calm\nb.wav,sad,bored\n"
    with pytest.raises(CorpusError, match="has no column lable2: its first line has file, emotion, label2; did you"):
        opened(content, columns={"emotion": "lable2"})
    with pytest.raises(CorpusError, match="there is no 'emotoin'; did you mean 'emotion'"):
        opened(content, columns={"emotoin": "label2"})
    with pytest.raises(CorpusError, match="two headings for emotion, label2 and emotion"):
        opened(content, columns={"emotion": "label2", "target": "emotion"})
    with pytest.raises(CorpusError, match="is no table: --columns says which columns of a table are read"):
        open_corpus(mini, columns={"emotion": "label2"})


def test_columns_are_written_with_commas_on_the_command_line() -> None:
    assert parse_columns(["emotion=label2, speaker = spk", "file=wav path"]) == {
        "emotion": "label2",
        "speaker": "spk",
        "file": "wav path",
    }
    for text in ("emotion", "emotion=", "=label2"):
        with pytest.raises(CorpusError, match="a column and its heading are needed, such as emotion=label2"):
            parse_columns([text])


@pytest.mark.slow
def test_columns_are_chosen_by_every_command_that_reads_a_corpus(thymos_here: Any, tmp_path: Path) -> None:
    """A heading that is not there is named before anything is fitted."""
    (tmp_path / "t.csv").write_text("file,emotion\na.wav,anger\n")
    for words in (
        ("audit", "t.csv"),
        ("evaluate", "t.csv", "--out", "run"),
        ("train", "t.csv", "--out", "model", "--recipe", "thymos"),
        ("search", "t.csv", "--out", "run", "--space", "training.learning_rate=loguniform(1e-5,1e-2)"),
        ("study", "peers", "--corpus", "t.csv", "--out", "study"),
    ):
        done = thymos_here(*words, "--columns", "emotion=mood")
        assert done.returncode == 2, done.stdout
        assert "t.csv has no column mood: its first line has file, emotion" in done.stderr, words


@pytest.mark.parametrize(
    "heading",
    ["Datei;Gefühl;Sprecher", "Fichier;ÉMOTION;Locuteur", "Αρχείο;Συναίσθημα;Ομιλητής", "文件;情感;说话人"],
)
def test_headings_are_known_in_other_languages_accents_or_not(opened: Opened, heading: str) -> None:
    corpus = opened(f"{heading}\na.wav;anger;1\nb.wav;sad;2\n")
    assert (told(corpus), speakers(corpus)) == (BOTH, ["1", "2"])


def test_where_labels_are_numbers_the_column_of_words_is_read(opened: Opened) -> None:
    corpus = opened("file,label,label_name\na.wav,0,anger\nb.wav,1,sad\n")
    assert told(corpus) == BOTH
    assert corpus.notes == (
        "table.csv: its column label_name is read as the emotion, since label has numbers; "
        "--columns emotion=label reads these",
    )
    assert told(opened("file,label\na.wav,0\nb.wav,1.0\n")) == [("a.wav", "0"), ("b.wav", "1")]
    chosen = opened("file,label,label_name\na.wav,0,anger\nb.wav,1,sad\n", columns={"emotion": "label"})
    assert told(chosen) == [("a.wav", "0"), ("b.wav", "1")]


def test_what_a_table_lacks_is_said_with_what_to_do(opened: Opened) -> None:
    for content, words in (
        ("id,label\na,anger\n", "no column file: its first line has id, label; --columns file=HEADING says which"),
        ("file,p_anger,p_sadness\na.wav,0.8,0.2\n", r"but 2 named for emotions \(p_anger, p_sadness\)"),
        ("a.wav anger\nb.wav sad\n", "is a row already; write headings above it"),
        ("file,emotion\nhttps://example.org/a.wav,anger\n", "lie elsewhere.*only files here are read"),
        ("file,emotion\na.mp3,anger\nb.mp3,sad\n", "a.wav is there, which the table may mean"),
        ("file,start_sample,end_sample,emotion\na.wav,0,1600,anger\n", "start_sample, which counts samples or frames"),
    ):
        with pytest.raises(CorpusError, match=words):
            opened(content)


def test_a_column_of_names_of_sounds_is_that_of_files(opened: Opened, wavs: Path) -> None:
    for heading in ("Audio File Path", "utt", "What was said"):
        assert told(opened(f"{heading},emotion\na.wav,anger\nb.wav,sad\n")) == BOTH
    assert opened("utt,emotion\na.wav,anger\nb.wav,sad\n").notes == (
        "table.csv: its column utt is read as the files, since it is named for none",
    )
    assert [entry.path for entry in files_listed(wavs / "table.csv").entries] == ["a.wav", "b.wav"]
    with pytest.raises(CorpusError, match="no column file: its first line has one, two, emotion"):
        opened("one,two,emotion\na.wav,b.wav,anger\n")


def test_genders_in_other_words_are_one(opened: Opened) -> None:
    corpus = opened("file,emotion,sex\na.wav,anger,F\nb.wav,sad,weiblich\nc.wav,sad,Male\ndeep/d.wav,sad,x\n")
    assert {clip.path: clip.gender for clip in corpus.clips} == {
        "a.wav": "female",
        "b.wav": "female",
        "c.wav": "male",
        "deep/d.wav": "x",
    }


# --- which stretch, which part ---


def test_times_in_milliseconds_are_cut_as_such(opened: Opened) -> None:
    corpus = opened("file,start_ms,end_ms,emotion\na.wav,100,300,anger\nb.wav,50,,sad\n")
    assert [(clip.emotion, clip.start_s, clip.end_s) for clip in corpus.clips] == [
        ("anger", 0.1, 0.3),
        ("sadness", 0.05, None),
    ]
    lasting = opened("file,start_ms,duration_ms,emotion\na.wav,100,200,anger\nb.wav,0,100,sad\n")
    assert [clip.end_s for clip in lasting.clips] == pytest.approx([0.3, 0.1])


def test_words_for_splits_that_are_none_are_said(opened: Opened) -> None:
    corpus = opened("file,emotion,split\na.wav,anger,train\nb.wav,sad,trian\nc.wav,sad,holdout\n")
    assert [clip.split for clip in corpus.clips] == ["train", "", ""]
    assert corpus.notes == (
        "of no split, since their word for it is no train, validation or test: trian (1), holdout (1)",
    )


# --- names that systems write otherwise ---


def test_names_in_another_case_or_form_of_accents_are_found_where_one_file_fits(
    tmp_path: Path, write_sound: WriteSound
) -> None:
    for name in ("Wavs/clipe\u0301.wav", "Wavs/One.WAV", "Wavs/two.wav", "Wavs/TWO.wav"):
        write_sound(tmp_path / name)
    table = tmp_path / "table.csv"
    table.write_text(
        "file,emotion\nwavs/clip\u00e9.wav,anger\nWAVS\\ONE.wav,sad\nwavs/Two.wav,fear\nWavs/two.wav,calm\n"
    )
    corpus = open_corpus(table)
    assert {clip.path: clip.emotion for clip in corpus.clips} == {
        "Wavs/clipe\u0301.wav": "anger",
        "Wavs/One.WAV": "sadness",
        "Wavs/two.wav": "calm",
    }
    assert [(each.clip, each.reason) for each in corpus.excluded] == [("wavs/Two.wav", "does not exist")]


# --- what other programs write ---


def test_objects_inside_objects_are_read_by_their_fields(opened: Opened) -> None:
    rows = [{"audio": {"path": name}, "label": [word], "speaker": {"id": 7}} for name, word in BOTH]
    corpus = opened("\n".join(map(json.dumps, rows)), "table.jsonl")
    assert (told(corpus), speakers(corpus)) == (BOTH, ["7", "7"])


def test_a_title_above_the_headings_is_not_read(opened: Opened) -> None:
    corpus = opened("My corpus, 2024\n\nfile,emotion\na.wav,anger\nb.wav,sad\n")
    assert told(corpus) == BOTH
    assert corpus.notes == ("table.csv: the 2 lines above its headings are not read",)


def test_the_sheet_with_the_table_is_read(wavs: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    book.active.append(["Corpus", "mine"])
    sheet = book.create_sheet("Labels")
    for row in (["All labels"], [], ["File", "Emotion"], *BOTH):
        sheet.append(list(row))
    book.save(wavs / "book.xlsx")
    assert told(open_corpus(wavs / "book.xlsx")) == BOTH


@pytest.mark.parametrize("label", [("生气", "快乐"), ("惊讶", "中性")])
def test_chinese_of_windows_is_read(wavs: Path, label: tuple[str, str]) -> None:
    (wavs / "gbk.csv").write_bytes(f"文件,情感\na.wav,{label[0]}\nb.wav,{label[1]}\n".encode("gbk"))
    corpus = open_corpus(wavs / "gbk.csv")
    assert [clip.emotion for clip in corpus.clips] == list(label)
    assert corpus.notes == ("gbk.csv is read as GB 18030, not as UTF-8",)


# --- corpora that come in parts ---


def parts(root: Path, write_sound: WriteSound, table: str, wav: str = "{part}/{number}.wav") -> None:
    for part in ("train", "dev", "test"):
        rows = []
        for number, word in enumerate(("anger", "sad")):
            path = root / wav.format(part=part, number=number)
            write_sound(path)
            rows.append((path, word))
        place = root / table.format(part=part)
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.name == "wav.scp":
            place.write_text("".join(f"{part}{at} {path}\n" for at, (path, _) in enumerate(rows)))
            (place.parent / "utt2emo").write_text("".join(f"{part}{at} {word}\n" for at, (_, word) in enumerate(rows)))
        else:
            lines = (f"{path.relative_to(place.parent)},{word}\n" for path, word in rows)
            place.write_text("path,label\n" + "".join(lines))


@pytest.mark.parametrize(
    "table", ["{part}.csv", "labels_{part}.csv", "{part}/labels.csv", "{part}/wav.scp"], ids=lambda word: word
)
def test_parts_with_a_table_each_are_one_corpus_with_its_split(
    tmp_path: Path, write_sound: WriteSound, table: str
) -> None:
    parts(tmp_path, write_sound, table, "wavs/{part}{number}.wav" if "/" not in table else "{part}/{number}.wav")
    corpus = open_corpus(tmp_path)
    assert sorted((clip.split, clip.emotion) for clip in corpus.clips) == sorted(
        (split, word) for split in ("train", "validation", "test") for word in ("anger", "sadness")
    )
    assert corpus.excluded == ()


def test_a_clip_in_two_parts_is_in_neither(tmp_path: Path, write_sound: WriteSound) -> None:
    for name in ("a.wav", "b.wav", "c.wav"):
        write_sound(tmp_path / name)
    (tmp_path / "train.csv").write_text("file,emotion\na.wav,anger\nb.wav,sad\n")
    (tmp_path / "test.csv").write_text("file,emotion\nb.wav,sad\nc.wav,anger\n")
    corpus = open_corpus(tmp_path)
    assert [(clip.path, clip.split) for clip in corpus.clips] == [("a.wav", "train"), ("c.wav", "test")]
    assert [(each.clip, each.reason) for each in corpus.excluded] == [
        ("b.wav", "is listed with two splits, test and train")
    ]


@pytest.mark.parametrize("path", ["{word}/{part}/{number}.wav", "data/{part}/{word}/{number}.wav"])
def test_folders_of_splits_may_lie_deeper(tmp_path: Path, write_sound: WriteSound, path: str) -> None:
    rows = ["file_name,emotion"]
    for part in ("train", "test"):
        for word in ("anger", "sadness"):
            name = path.format(word=word, part=part, number=0)
            write_sound(tmp_path / name)
            rows.append(f"{name},{word}")
    if path.startswith("data"):  # as Hugging Face has it: one table above, and folders say the split
        (tmp_path / "metadata.csv").write_text("\n".join(rows))
    assert {clip.path.split("/")[1]: clip.split for clip in open_corpus(tmp_path).clips} == {
        "train": "train",
        "test": "test",
    }


def test_a_corpus_of_tables_may_lie_in_a_folder_of_its_own(tmp_path: Path, write_sound: WriteSound) -> None:
    for number in range(2):
        write_sound(tmp_path / "unpacked" / f"{number}.wav")
    (tmp_path / "unpacked" / "metadata.csv").write_text("file_name,emotion\n0.wav,anger\n1.wav,sad\n")
    assert told(open_corpus(tmp_path)) == [("0.wav", "anger"), ("1.wav", "sadness")]


def test_lists_of_emobox_may_lie_in_a_folder_for_each_fold(tmp_path: Path, write_sound: WriteSound) -> None:
    words = {"a.wav": "anger", "b.wav": "sadness", "c.wav": "anger"}
    for name in words:
        write_sound(tmp_path / "wavs" / name)
    for fold, tested in (("1", "a.wav"), ("2", "b.wav")):
        folder = tmp_path / "lists" / f"fold_{fold}"
        folder.mkdir(parents=True)
        for side in ("train", "test"):
            rows = [
                json.dumps({"key": name, "wav": f"wavs/{name}", "emo": word})
                for name, word in words.items()
                if (name == tested) == (side == "test")
            ]
            (folder / f"mine_{side}_fold_{fold}.jsonl").write_text("\n".join(rows))
    assert len(open_corpus(tmp_path / "lists", root=tmp_path).clips) == 3
    assert {row.fold for row in read_fold_lists(tmp_path / "lists")} == {"1", "2"}


@pytest.mark.parametrize(
    "files",
    [
        {"train.txt": "b.wav\nc.wav\n", "test.txt": "a.wav\n"},
        {"train.csv": "file,emotion\nb.wav,sad\nc.wav,anger\n", "my_test.csv": "path\na.wav\n"},
        {"folds.json": '{"train": ["b.wav", {"path": "c.wav"}], "test": ["a.wav"]}'},
        {"folds.csv": "file,split\nb.wav,train\nc.wav,train\na.wav,test\n"},
        {"train.lst.txt": "b.wav anger\nc.wav sad\n", "test.lst.txt": "a.wav anger\n"},
    ],
)
def test_one_fold_may_be_listed_in_many_ways(tmp_path: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    place = tmp_path / next(iter(files)) if len(files) == 1 else tmp_path
    assert sorted((row.fold, row.side, row.file) for row in read_fold_lists(place)) == [
        ("1", "test", "a.wav"),
        ("1", "train", "b.wav"),
        ("1", "train", "c.wav"),
    ]


def test_several_folds_may_be_listed_by_folder_by_file_or_in_json(tmp_path: Path) -> None:
    expected = {("1", "test", "a.wav"), ("1", "train", "b.wav"), ("2", "test", "b.wav"), ("2", "train", "a.wav")}
    by_file, by_folder = tmp_path / "by file", tmp_path / "by folder"
    by_file.mkdir()
    for fold, (tested, trained) in {"1": ("a.wav", "b.wav"), "2": ("b.wav", "a.wav")}.items():
        (by_folder / fold).mkdir(parents=True)
        (by_folder / fold / "train.txt").write_text(f"{trained}\n")
        (by_folder / fold / "test.txt").write_text(f"{tested}\n")
        (by_file / f"fold{fold}.txt").write_text(f"{tested}\n")
    told = {fold: {"train": [b], "test": [a]} for fold, a, b in (("1", "a.wav", "b.wav"), ("2", "b.wav", "a.wav"))}
    (tmp_path / "folds.json").write_text(json.dumps(told))
    for place in (by_file, by_folder, tmp_path / "folds.json"):
        assert {tuple(row) for row in read_fold_lists(place)} == expected
    (tmp_path / "wrong.json").write_text('{"train": [3], "test": ["a.wav"]}')
    with pytest.raises(ProtocolError, match="'3', of train, names no file"):
        read_fold_lists(tmp_path / "wrong.json")
    with pytest.raises(ProtocolError, match="names no folds: it has no"):
        read_fold_lists(tmp_path)
