"""Any words as labels: what they count as, and that none is dropped without a count."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from thymos.corpora import Corpus, open_corpus
from thymos.corpora.audit import audit_corpus
from thymos.corpora.findings import findings
from thymos.corpora.label_map import LabelMap, parse_label_map
from thymos.corpora.opening import joined
from thymos.errors import CorpusError

WriteSound = Callable[..., Path]
OpenTable = Callable[..., Corpus]

LABELS = ("Freude", "freude", "bored", "Bored", "Bored", "neutral calm", "ANG", "anger", "excited", "")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory, write_sound: WriteSound) -> Path:
    root = tmp_path_factory.mktemp("labels")
    rows = ["file,emotion"]
    for number, label in enumerate(LABELS):
        write_sound(root / f"{number}.wav")
        rows.append(f"{number}.wav,{label}")
    (root / "clips.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return root / "clips.csv"


def uses(corpus: Corpus) -> list[tuple[str, str, int, str]]:
    return [(use.label, use.emotion, use.clips, use.how) for use in corpus.labels]


def test_nothing_is_dropped_and_everything_is_counted(table: Path) -> None:
    corpus = open_corpus(table)
    assert corpus.emotions == ("anger", "happiness", "Bored", "excited", "neutral calm")
    assert Counter(clip.emotion for clip in corpus.clips) == {
        "anger": 2, "happiness": 2, "Bored": 3, "excited": 1, "neutral calm": 1,
    }  # fmt: skip
    assert uses(corpus) == [
        ("ANG", "anger", 1, "known word"),
        ("anger", "anger", 1, "own word"),
        ("Freude", "happiness", 2, "known word"),
        ("Bored", "Bored", 3, "as it is"),
        ("excited", "excited", 1, "as it is"),
        ("neutral calm", "neutral calm", 1, "as it is"),
    ]
    assert [(each.clip, each.reason) for each in corpus.excluded] == [("9.wav", "has no label")]
    (told,) = (finding for finding in findings(audit_corpus(corpus)) if finding.name == "labels")
    assert told.rows[:2] == (("ANG", "anger", "1", "known word"), ("Freude", "happiness", "2", "known word"))
    assert len(told.rows) == 5, "a word of the house's own needs no remark"


def test_a_map_maps_keeps_and_leaves_out(table: Path) -> None:
    corpus = open_corpus(table, labels={"EXCITED": "Happiness", "bored": "", "ang": "ang", "neutral calm": "rest"})
    assert corpus.emotions == ("anger", "happiness", "ang", "rest")
    assert uses(corpus) == [
        ("anger", "anger", 1, "own word"),
        ("excited", "happiness", 1, "label map"),
        ("Freude", "happiness", 2, "known word"),
        ("ANG", "ang", 1, "as it is"),
        ("neutral calm", "rest", 1, "label map"),
        ("Bored", "", 3, "left out"),
    ]
    left_out = [(each.clip, each.reason) for each in corpus.excluded if each.readable]
    assert left_out[0] == ("2.wav", "has the label 'bored', which is left out") and len(left_out) == 3


def test_a_rule_may_name_the_houses_word_for_a_label_and_all_others(table: Path) -> None:
    corpus = open_corpus(table, labels={"happiness": "high", "anger": "high", "ANG": "low", "*": ""})
    assert {clip.path: clip.emotion for clip in corpus.clips} == {
        "0.wav": "high", "1.wav": "high", "6.wav": "low", "7.wav": "high",
    }  # fmt: skip
    assert corpus.unmatched == ()


def test_what_a_map_names_in_vain_is_told(table: Path) -> None:
    assert open_corpus(table, labels={"Boredom": "", "excited": "", "*": "rest"}).unmatched == ("Boredom",)


def test_a_map_is_written_on_a_line_or_in_a_file(table: Path, tmp_path: Path) -> None:
    rules = {"angry": "anger", "boredom": "", "neutral calm": "neutral"}
    assert parse_label_map("angry=anger, boredom=,neutral calm = neutral,") == rules
    file = tmp_path / "map.yaml"
    file.write_text("EXCITED: happiness\nbored:\nno: neutral\n1: fear\nang: ~\n", encoding="utf-8")
    read = open_corpus(table, labels=file)
    assert read.emotions == ("anger", "happiness", "neutral calm")
    assert read.unmatched == ("no", "1"), "words, whatever YAML takes them for"


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ("angry", "'angry' is no rule for a label, such as angry=anger"),
        ("=anger", "'=anger' is no rule for a label"),
        ("angry=anger,angry=", "the label map has two rules for 'angry'"),
    ],
)
def test_a_bad_line_is_refused(rules: str, words: str) -> None:
    with pytest.raises(CorpusError, match=words):
        parse_label_map(rules)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"- angry\n- sad\n", "is not a list of lines such as angry: anger"),
        (b"angry: [anger, rage]\n", "is not a list of lines"),
        (b"angry: {\n", "is not YAML"),
        (b"\xff\xfe\x00", "cannot be read: it is not UTF-8 text"),
        (None, "cannot be read: No such file"),
    ],
)
def test_a_bad_file_is_refused_before_anything_is_read(tmp_path: Path, content: bytes | None, words: str) -> None:
    if content is not None:
        (tmp_path / "map.yaml").write_bytes(content)
    with pytest.raises(CorpusError, match=words):
        open_corpus(tmp_path / "no corpus", labels=tmp_path / "map.yaml")


def test_two_rules_for_one_label_are_refused() -> None:
    with pytest.raises(CorpusError, match="the label map has two rules for 'ANGRY': 'anger' and 'fear'"):
        LabelMap({"angry": "anger", "ANGRY": "fear"})


def test_folders_of_any_names_are_a_corpus(tmp_path: Path, write_sound: WriteSound) -> None:
    for name in ("bored/a.wav", "Frustrated/b.wav", "Frustrated/c.wav"):
        write_sound(tmp_path / "unknown" / name)
        write_sound(tmp_path / "mixed" / name)
    write_sound(tmp_path / "mixed" / "wütend" / "d.wav")
    (tmp_path / "mixed" / "notes").mkdir()
    mixed = open_corpus(tmp_path / "mixed")
    assert mixed.emotions == ("anger", "bored", "Frustrated")
    assert {(use.label, use.clips) for use in mixed.labels} == {("wütend", 1), ("bored", 1), ("Frustrated", 2)}
    with pytest.raises(CorpusError) as caught:
        open_corpus(tmp_path / "unknown")
    assert "none of its folders (Frustrated, bored) is named for an emotion that is known" in str(caught.value)
    assert f"say folders:{tmp_path / 'unknown'}" in str(caught.value)
    assert open_corpus(f"folders:{tmp_path / 'unknown'}").emotions == ("bored", "Frustrated")
    assert open_corpus(tmp_path / "unknown", labels={"bored": "bored"}).emotions == ("bored", "Frustrated")


def test_joined_corpora_spell_a_label_alike(table: Path, tmp_path: Path, write_sound: WriteSound) -> None:
    rows = ["file,emotion"]
    for number in range(4):
        write_sound(tmp_path / "other" / f"{number}.wav")
        rows.append(f"{number}.wav,bored")
    rows.append("9.wav,anger")
    (tmp_path / "other" / "clips.csv").write_text("\n".join(rows))
    labels = {"excited": "", "sleepy": ""}
    both = joined([open_corpus(table, labels=labels), open_corpus(tmp_path / "other" / "clips.csv", labels=labels)])
    assert both.emotions == ("anger", "happiness", "bored", "neutral calm")
    assert [(use.label, use.clips) for use in both.labels if use.emotion == "bored"] == [("bored", 7)]
    assert both.unmatched == ("sleepy",)
