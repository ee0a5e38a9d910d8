"""Each reader on a small tree in its publisher's layout, with what a file tells as a worked example."""

import csv
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from thymos.corpora import Clip, Corpus, open_corpus
from thymos.corpora.audit import audit_corpus
from thymos.corpora.finding import NAMED, find_listing
from thymos.corpora.label_map import LabelMap
from thymos.corpora.readers.listed_files import Surroundings
from thymos.corpora.readers.named_corpus import FileNames
from thymos.errors import CorpusError
from thymos.reports.audit_report import clips_csv

WriteSound = Callable[..., Path]
Make = Callable[[list[str]], Path]

TOLD = ("emotion", "speaker", "sentence", "take", "gender", "language", "intensity", "split")

# By kind: files as they are published, and what the first of them tells.
TREES: dict[str, tuple[list[str], tuple[str, ...]]] = {
    "ravdess": (
        ["Actor_12/03-01-06-01-02-01-12.wav", "Actor_01/03-02-05-02-01-02-01.wav"],
        ("fear", "12", "02", "01", "female", "en", "normal", ""),
    ),
    "crema-d": (
        ["AudioWAV/1001_IEO_ANG_HI.wav", "AudioWAV/1002_DFA_NEU_XX.wav"],
        ("anger", "1001", "IEO", "", "", "en", "high", ""),
    ),
    "emo-db": (
        ["wav/03a01Wa.wav", "wav/16b10Lb.wav", "wav/08a02Ac.wav"],
        ("anger", "03", "a01", "a", "male", "de", "", ""),
    ),
    "tess": (
        [
            "OAF_Pleasant_surprise/OAF_back_ps.wav",
            "YAF_angry/YAF_kick_angry.wav",
            "OAF_neutral/OA_bite_neutral.wav",
        ],
        ("surprise", "OAF", "back", "", "female", "en", "", ""),
    ),
    "savee": (
        ["AudioData/DC/sa01.wav", "AudioData/JE/su15.wav", "AudioData/KL/n30.wav"],
        ("sadness", "DC", "sa01", "", "male", "en", "", ""),
    ),
    "emovo": (
        ["f1/pau-f1-b1.wav", "m3/gio-m3-n5.wav"],
        ("fear", "f1", "b1", "", "female", "it", "", ""),
    ),
    "nemo": (
        ["samples/SM0_surprised_38.wav", "samples/KD0_fear_5.wav"],
        ("surprise", "SM0", "38", "", "male", "pl", "", ""),
    ),
    "ased": (
        ["05Angry/a5-03-01-02-50.wav", "04Sad/S4-04-02-01-29.wav"],
        ("anger", "50", "a5-03", "01", "male", "am", "", ""),
    ),
    "turev-db": (
        ["Sound Source/Sad/1157_hl_acik.wav", "Sound Source/Calm/1984_sk_nicin.wav"],
        ("sadness", "1157", "acik", "", "", "tr", "", ""),
    ),
    "shemo": (
        ["female/F01W01.wav", "male/M40S12.wav"],
        ("surprise", "F01", "", "01", "female", "fa", "", ""),
    ),
    "subesco": (
        ["SUBESCO/F_02_MONIKA_S_1_NEUTRAL_5.wav", "SUBESCO/M_02_NIPUN_S_10_ANGRY_1.wav"],
        ("neutral", "F_02_MONIKA", "1", "5", "female", "bn", "", ""),
    ),
    "mesd": (
        ["Anger_C_A_abajo.wav", "Neutral_F_B_adiós.wav", "Fear_M_A_ayer.wav"],
        ("anger", "", "abajo", "A", "child", "es", "", ""),
    ),
    "cafe": (
        ["Colère/Fort/01-C-2-1.wav", "Neutre/02-N-1-6.wav"],
        ("anger", "01", "1", "", "male", "fr", "strong", ""),
    ),
    "jl-corpus": (
        [
            "Raw JL corpus (unchecked and unannotated)/JL(wav+txt)/female1_angry_10a_1.wav",
            "Raw JL corpus (unchecked and unannotated)/JL(wav+txt)/male2_excited_2b_2.wav",
        ],
        ("anger", "female1", "10", "a1", "female", "en", "", ""),
    ),
    "esd": (
        [
            "0011/Angry/evaluation/0011_000351.wav",
            "0001/Surprise/train/0001_001750.wav",
            "0020/Sad/test/0020_001080.wav",
        ],
        ("anger", "0011", "en001", "", "male", "en", "", "validation"),
    ),
}


@pytest.fixture
def make(tmp_path: Path, write_sound: WriteSound) -> Make:
    """Write short sounds, no two alike, at paths below a folder."""

    def write(names: list[str]) -> Path:
        for number, name in enumerate(names):
            write_sound(tmp_path / "corpus" / name, rate_hz=16_000 + number)
        return tmp_path / "corpus"

    return write


def clip(corpus: Corpus, path: str) -> Clip:
    return next(each for each in corpus.clips if each.path == path)


@pytest.mark.slow
@pytest.mark.parametrize("kind", TREES)
def test_names_tell_what_the_publisher_says(make: Make, kind: str) -> None:
    names, told = TREES[kind]
    corpus = open_corpus(make(names))
    assert (corpus.kind, corpus.excluded, len(corpus.clips)) == (kind, (), len(names))
    assert tuple(getattr(clip(corpus, names[0]), field) for field in TOLD) == told


@pytest.mark.parametrize(
    ("kind", "told"),
    {
        "ravdess": [("anger", "01"), ("fear", "12")],
        "emo-db": [("anger", "03"), ("boredom", "16"), ("fear", "08")],
        "tess": [("anger", "YAF"), ("neutral", "OAF"), ("surprise", "OAF")],
        "savee": [("neutral", "KL"), ("sadness", "DC"), ("surprise", "JE")],
        "ased": [("anger", "50"), ("sadness", "29")],
        "cafe": [("anger", "01"), ("neutral", "02")],
        "jl-corpus": [("anger", "female1"), ("excited", "male2")],
        "esd": [("anger", "0011"), ("sadness", "0020"), ("surprise", "0001")],
    }.items(),
)
def test_every_file_of_a_tree(make: Make, kind: str, told: list[tuple[str, str]]) -> None:
    corpus = open_corpus(make(TREES[kind][0]))
    assert sorted((each.emotion, each.speaker) for each in corpus.clips) == sorted(told)


def test_a_tree_of_every_reader_is_here() -> None:
    read_by_label_files = {"iemocap", "msp-podcast", "meld"}
    assert TREES.keys() | read_by_label_files == {reader.KIND for reader in NAMED}


@pytest.mark.parametrize("kind", TREES)
def test_no_tree_is_taken_for_another_corpus(make: Make, kind: str) -> None:
    folder = make(TREES[kind][0])
    for reader in NAMED:
        if kind != reader.KIND:
            with pytest.raises(CorpusError, match=f"is not {reader.about.name}: it expects "):
                open_corpus(f"{reader.KIND}:{folder}")


# --- RAVDESS, and what holds for all whose names tell everything ---


def test_song_is_told_from_speech_by_its_take(make: Make) -> None:
    corpus = open_corpus(make(TREES["ravdess"][0]))
    sung = clip(corpus, "Actor_01/03-02-05-02-01-02-01.wav")
    assert (sung.take, sung.gender, sung.intensity) == ("song 02", "male", "strong")


def test_pictures_and_second_copies_are_left_out_by_name(make: Make) -> None:
    folder = make(
        [
            "Actor_01/03-01-01-01-01-01-01.wav",
            "audio_speech_actors_01-24/Actor_01/03-01-01-01-01-01-01.wav",  # as a well-known archive has them
            "Actor_01/01-01-01-01-01-01-01.flac",
            "Actor_01/02-01-01-01-01-01-01.flac",
            "Actor_01/03-01-02-01-01-01-01.wav",
            "Actor_01/notes.wav",
        ]
    )
    corpus = open_corpus(folder)
    assert [each.path for each in corpus.clips] == [
        "Actor_01/01-01-01-01-01-01-01.flac",
        "Actor_01/03-01-02-01-01-01-01.wav",
    ]
    once_more = "is Actor_01/01-01-01-01-01-01-01.flac once more, by its name"
    assert {each.clip: (each.reason, each.readable) for each in corpus.excluded} == {
        "Actor_01/02-01-01-01-01-01-01.flac": ("is a picture without sound, by its name", True),
        "Actor_01/03-01-01-01-01-01-01.wav": (once_more, True),
        "Actor_01/notes.wav": ("is not named as RAVDESS names its files, such as 03-01-06-01-02-01-12", False),
        "audio_speech_actors_01-24/Actor_01/03-01-01-01-01-01-01.wav": (once_more, True),
    }
    assert str(corpus.tally) == "found 6 recordings: 2 used, 3 left out, 1 error"


def test_a_folder_that_says_another_emotion_is_named(make: Make) -> None:
    names = ["angry/03-01-05-01-01-01-01.wav", "neutral/03-01-01-01-01-01-01.wav", "neutral/03-01-02-01-01-01-01.wav"]
    corpus = open_corpus(make(names))
    (left_out,) = corpus.excluded
    assert left_out.clip == names[2]
    assert left_out.reason == "lies in the folder 'neutral', but is labelled calm; folders:PATH goes by the folders"
    assert open_corpus(f"folders:{make(names)}").emotions == ("anger", "neutral")


def test_split_folders_are_the_corpuss_own_split(make: Make) -> None:
    corpus = open_corpus(make(["train/f1/dis-f1-b1.wav", "val/f1/dis-f1-b2.wav", "test/m1/rab-m1-b1.wav"]))
    assert corpus.kind == "emovo"
    assert {each.path.split("/")[0]: each.split for each in corpus.clips} == {
        "train": "train",
        "val": "validation",
        "test": "test",
    }


@pytest.mark.parametrize("prefix", ["emovo", "EMOVO", "Emo-VO"])
def test_a_kind_is_named_in_any_spelling(make: Make, prefix: str) -> None:
    assert open_corpus(f"{prefix}:{make(['dis-f1-b1.wav', 'readme.wav', 'noise.wav'])}").kind == "emovo"


def test_several_corpora_in_one_folder_are_not_read_as_the_largest(make: Make) -> None:
    folder = make([*(f"emovo/f1/dis-f1-b{number}.wav" for number in range(1, 8)), "berlin/03a01Wa.wav"])
    with pytest.raises(CorpusError, match="holds 2 folders that are a corpus each: berlin, emovo"):
        open_corpus(folder)


def test_a_corpus_is_found_below_a_folder_of_other_things(make: Make) -> None:
    corpus = open_corpus(make(["EMOVO/f1/dis-f1-b1.wav", "EMOVO/m1/rab-m1-b1.wav", "EMOVO/m1/tri-m1-b1.wav", "x.wav"]))
    assert corpus.kind == "emovo"
    assert [each.clip for each in corpus.excluded] == ["x.wav"]


def test_actors_genders_are_those_of_crema_ds_table(make: Make) -> None:
    folder = make(TREES["crema-d"][0])
    table = "ActorID,Age,Sex,Race,Ethnicity\n1001,51,Male,Caucasian,Not Hispanic\n1002,21,Female,Caucasian,Hispanic\n"
    (folder / "VideoDemographics.csv").write_text(table)
    for root in (folder, folder / "AudioWAV"):  # the table is beside what is opened, too
        assert [each.gender for each in open_corpus(root).clips] == ["male", "female"]


def test_lossless_sound_is_read_before_compressed(make: Make) -> None:
    folder = make(["AudioMP3/1001_IEO_ANG_HI.mp3", "AudioWAV/1001_IEO_ANG_HI.wav", "AudioWAV/1002_IEO_ANG_LO.wav"])
    corpus = open_corpus(folder)
    assert [each.path for each in corpus.clips] == ["AudioWAV/1001_IEO_ANG_HI.wav", "AudioWAV/1002_IEO_ANG_LO.wav"]


def test_files_that_fit_two_corpora_are_asked_about(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    emovo = next(reader for reader in NAMED if reader.KIND == "emovo")
    assert isinstance(emovo, FileNames)
    twin = replace(emovo, about=replace(emovo.about, kind="twin", name="Twin"))
    monkeypatch.setattr("thymos.corpora.finding.NAMED", (*NAMED, twin))
    folder = make(["dis-f1-b1.wav", "rab-m1-b1.wav"])
    with pytest.raises(CorpusError) as error:
        open_corpus(folder)
    assert str(error.value) == (
        f"the files in {folder} are named as those of EMOVO and Twin: say emovo:{folder} or twin:{folder}"
    )


def test_what_a_name_tells_goes_into_the_audits_table_and_back(make: Make) -> None:
    corpus = open_corpus(make(TREES["ravdess"][0]))
    table = corpus.root / "clips.csv"
    table.write_text(clips_csv(audit_corpus(corpus), corpus.root), encoding="utf-8")
    again = open_corpus(table)
    told = [[getattr(each, field) for field in (*TOLD, "corpus")] for each in corpus.clips]
    assert [[getattr(each, field) for field in (*TOLD, "corpus")] for each in again.clips] == told


# --- ESD ---


def test_esd_without_folders_of_emotions_goes_by_its_lists(make: Make) -> None:
    folder = make(["0001/0001_000351.wav", "0001/0001_000352.wav", "0002/0002_000351.wav"])
    (folder / "0001" / "0001.txt").write_text(
        "0001_000351\t打远一看,它们的确很是美丽,\t伤心\n0001_000352\tmeant for neither\n", encoding="utf-16"
    )
    told = {each.path: (each.emotion, each.language) for each in open_corpus(folder).clips}
    assert told == {
        "0001/0001_000351.wav": ("sadness", "zh"),  # by the list
        "0001/0001_000352.wav": ("anger", "zh"),  # by its number: the second 350 are angry
        "0002/0002_000351.wav": ("anger", "zh"),
    }


def test_esd_folder_and_list_that_contradict_each_other_are_named(make: Make) -> None:
    folder = make(["0011/Happy/0011_000701.wav", "0011/Happy/0011_000702.wav"])
    (folder / "0011" / "0011.txt").write_text("0011_000701\tThe nine the eggs, I keep.\tSad\n")
    corpus = open_corpus(folder)
    assert [each.path for each in corpus.clips] == ["0011/Happy/0011_000702.wav"]
    assert corpus.excluded[0].reason.startswith("lies in the folder 'Happy', but is labelled sadness")


# --- IEMOCAP ---

DIALOG = """% [START_TIME - END_TIME] TURN_NAME EMOTION [V, A, D]

[0.1000 - 0.4000]\tSes01F_impro01_F000\tneu\t[2.5000, 3.5000, 2.0000]
C-E2:\tNeutral;\t()
A-E3:\tval 3; act 2; dom  2;\t()

[0.5000 - 0.8000]\tSes01F_impro01_M000\tfru\t[2.0000, 4.0000, 3.0000]

[0.8000 - 0.9000]\tSes01F_impro01_M001\txxx\t[2.5000, 2.5000, 2.5000]

[0.9000 - 1.0000]\tSes01F_impro01_F001\toth\t[2.5000, 2.5000, 2.5000]
"""
TURNS = "Session1/sentences/wav/Ses01F_impro01"


def label_dialog(folder: Path, lines: str = DIALOG) -> None:
    table = folder / "Session1" / "dialog" / "EmoEvaluation" / "Ses01F_impro01.txt"
    table.parent.mkdir(parents=True, exist_ok=True)
    table.write_text(lines)
    table.with_name("._Ses01F_impro01.txt").write_bytes(b"\0\5\26\7")  # as the archive has them


def test_iemocap_is_read_turn_by_turn(make: Make) -> None:
    turns = [f"{TURNS}/Ses01F_impro01_{turn}.wav" for turn in ("F000", "M000", "M001", "F001", "M002")]
    folder = make([*turns, "Session1/dialog/wav/Ses01F_impro01.wav"])
    label_dialog(folder)
    corpus = open_corpus(folder)
    assert corpus.kind == "iemocap"
    told = [
        (each.emotion, each.speaker, each.gender, each.valence, each.arousal, each.dominance) for each in corpus.clips
    ]
    assert told == [
        ("neutral", "Ses01F", "female", 2.5, 3.5, 2.0),
        ("frustrated", "Ses01M", "male", 2.0, 4.0, 3.0),
    ]
    assert {each.clip.split("/")[-1]: (each.reason, each.readable) for each in corpus.excluded} == {
        "Ses01F_impro01_M001.wav": ("has no label that most of its listeners gave (xxx)", True),
        "Ses01F_impro01_F001.wav": ("has the label 'other' (oth)", True),
        "Ses01F_impro01_M002.wav": ("has no line in its dialog's label file", True),
        "Ses01F_impro01.wav": ("is a whole dialog, which is read turn by turn", True),
    }


def test_turns_without_sound_of_their_own_are_cut_from_the_dialog(make: Make) -> None:
    folder = make(["Session1/dialog/wav/Ses01F_impro01.wav"])
    label_dialog(folder)
    corpus = open_corpus(folder / "Session1")
    first, second = sorted(corpus.clips, key=lambda each: each.start_s)
    assert (first.path, first.speaker) == ("dialog/wav/Ses01F_impro01.wav#t=0.1,0.4", "Ses01F")
    assert len(corpus.waveform(second).samples) == pytest.approx(0.3 * 16_000, abs=1)
    assert Counter(each.reason for each in corpus.excluded) == {
        "has no label that most of its listeners gave (xxx)": 1,
        "has the label 'other' (oth)": 1,
    }


def test_turns_that_are_not_here_are_counted(make: Make) -> None:
    folder = make([f"{TURNS}/Ses01F_impro01_F000.wav", f"{TURNS}/Ses01F_impro01_M000.wav"])
    label_dialog(folder)
    (note,) = [note for note in open_corpus(folder).notes if "not here" in note]
    assert note == "the label files: 2 of the recordings named are not here, such as Ses01F_impro01_F001"


# --- MSP-Podcast ---

PODCAST = """FileName,EmoClass,EmoAct,EmoVal,EmoDom,SpkrID,Gender,Split_Set
MSP-PODCAST_0001_0008.wav,N,2.4,4,3,127,Female,Test1
MSP-PODCAST_0001_0019.wav,C,5,1.5,3.2,Unknown,Unknown,Train
MSP-PODCAST_0002_0033.wav,X,3,3,3,8,Male,Train
MSP-PODCAST_0002_0039.wav,O,3,3,3,8,Male,Train
MSP-PODCAST_0002_0051.wav,A,many,3,3,8,Male,Train
MSP-PODCAST_0003_0001.wav,H,6.1,6,5,9,Male,Development
MSP-PODCAST_0004_0001_0001.wav,U,6.1,6,5,10,Male,Test2
MSP-PODCAST_0099_0001.wav,S,1,1,1,11,Male,Train
"""


@pytest.mark.parametrize("table", ["labels_consensus.csv", "labels_concensus.csv"])
@pytest.mark.parametrize("opened", [".", "Audios"])
def test_msp_podcast_is_read_by_its_table(make: Make, table: str, opened: str) -> None:
    heard = [
        "0001_0008",
        "0001_0019",
        "0002_0033",
        "0002_0039",
        "0002_0051",
        "0003_0001",
        "0004_0001_0001",
        "0005_0001",
    ]
    folder = make([f"Audios/MSP-PODCAST_{name}.wav" for name in heard])
    (folder / "Labels").mkdir()
    (folder / "Labels" / table).write_text(PODCAST)
    corpus = open_corpus(folder / opened)
    assert corpus.kind == "msp-podcast"
    told = [(each.emotion, each.speaker, each.gender, each.split, each.arousal) for each in corpus.clips]
    assert told == [
        ("neutral", "127", "female", "test1", 2.4),
        ("contempt", "", "", "train", 5.0),
        ("happiness", "9", "male", "validation", 6.1),
        ("surprise", "10", "male", "test2", 6.1),
    ]
    assert [(each.reason, each.readable) for each in corpus.excluded] == [
        ("has no label that most of its listeners gave (X)", True),
        ("has the label 'other' (O)", True),
        ("'many' is no value of a dimension: a number is needed, or nothing", False),
        ("has no row in the table of labels", True),
    ]
    assert f"{table}: 1 of the recordings named are not here, such as MSP-PODCAST_0099_0001" in corpus.notes


# --- MELD ---

HEADINGS = "Sr No.,Utterance,Speaker,Emotion,Sentiment,Dialogue_ID,Utterance_ID,Season,Episode,StartTime,EndTime"
MELD = {
    "train": [
        '1,"the point person on my company\x92s transition",Chandler,neutral,neutral,0,0,8,21,"0:1,0","0:2,0"',
        '2,"No don’t I beg of you!",Phoebe,fear,negative,0,1,8,21,"0:1,0","0:2,0"',
    ],
    "dev": [
        '1,"Oh my God!",Rachel,joy,positive,0,0,4,7,"0:1,0","0:2,0"',
        '2,"What?",Ross,anger,negative,1,7,4,7,"0:1,0","0:2,0"',
    ],
    "test": ['1,"Why?",Joey,sadness,negative,0,0,4,7,"0:1,0","0:2,0"'],
}


def test_meld_is_read_by_its_tables(make: Make) -> None:
    folder = make(
        [
            "train_splits/dia0_utt0.wav",
            "train_splits/dia0_utt1.wav",
            "train_splits/dia0_utt2.wav",
            "dev_splits_complete/dia0_utt0.wav",
            "output_repeated_splits_test/dia0_utt0.wav",
            "output_repeated_splits_test/final_videos_testdia0_utt0.wav",
            "elsewhere/dia0_utt0.wav",
        ]
    )
    for split, rows in MELD.items():
        (folder / f"{split}_sent_emo.csv").write_text("\n".join([HEADINGS, *rows]) + "\n", encoding="utf-8")
    corpus = open_corpus(folder)
    assert corpus.kind == "meld"
    assert {each.path: (each.emotion, each.speaker, each.split) for each in corpus.clips} == {
        "train_splits/dia0_utt0.wav": ("neutral", "Chandler", "train"),
        "train_splits/dia0_utt1.wav": ("fear", "Phoebe", "train"),
        "dev_splits_complete/dia0_utt0.wav": ("happiness", "Rachel", "validation"),
        "output_repeated_splits_test/dia0_utt0.wav": ("sadness", "Joey", "test"),
    }
    assert {each.clip: each.reason for each in corpus.excluded} == {
        "train_splits/dia0_utt2.wav": "has no row in train_sent_emo.csv",
        "output_repeated_splits_test/final_videos_testdia0_utt0.wav": (
            "is a spare clip of the archive, which no table names"
        ),
        "elsewhere/dia0_utt0.wav": (
            "lies in no folder that is named for train, dev or test, each of which numbers its dialogs anew"
        ),
    }
    assert "the tables: 1 of the recordings named are not here, such as dev/dia1_utt7" in corpus.notes
    assert {each.split for each in open_corpus(folder / "dev_splits_complete").clips} == {"validation"}


# --- the six real ones, under the names that their publishers gave them ---

PUBLISHED: dict[str, Callable[[str], str]] = {
    "ravdess": lambda stem: f"Actor_{stem[-2:]}/{stem}",
    "tess": lambda stem: _published_tess(stem),
    "emovo": lambda stem: f"{stem.split('-')[1]}/{stem}",
    "nemo": lambda stem: f"samples/{stem}",
    "ased": lambda stem: f"{_ASED[stem[0].lower()]}/{stem}",
    "turev": lambda stem: f"Sound Source/{_TUREV[stem.split('_')[1]]}/{stem}",
}
_ASED = {"n": "01Neutral", "f": "02Fearful", "h": "03Happy", "s": "04Sad", "a": "05Angry"}
_TUREV = {"kz": "Angry", "sk": "Calm", "mt": "Happy", "hl": "Sad"}


def _published_tess(stem: str) -> str:
    actress, word, emotion = stem.lstrip("0123456789").removeprefix("test").split("_")
    emotion = emotion.rstrip("0123456789")
    return f"{actress}_{emotion}/{actress}_{word}_{emotion}"


@pytest.mark.real
@pytest.mark.parametrize("name", PUBLISHED)
def test_counts_of_the_real_corpora_are_those_of_their_table(corpora: Path, tmp_path: Path, name: str) -> None:
    with (corpora / "clips.csv").open(encoding="utf-8", newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row["corpus"] == name]
    for row in rows:
        link = tmp_path / f"{PUBLISHED[name](Path(row['file']).stem)}.opus"
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(corpora / row["file"])
    listing = find_listing(None, tmp_path, LabelMap(), Surroundings())
    assert listing.kind == {"turev": "turev-db"}.get(name, name)
    assert not listing.excluded
    speaker = {row["speaker"]: row["speaker"].removeprefix(f"{name}_").strip() for row in rows}
    assert Counter((each.emotion, each.speaker) for each in listing.entries) == Counter(
        (row["emotion"], speaker[row["speaker"]]) for row in rows
    )
    assert {each.language for each in listing.entries} == {row["language"] for row in rows}
