"""Protocols across corpora and published divisions: which clips are on which side, worked out by hand."""

import json
from pathlib import Path

import pytest

from thymos.corpora import Clip, Corpus, Measurements, protocol_named
from thymos.corpora.given_sides import CorpusPairs, HeldOutCorpora
from thymos.corpora.opening import joined
from thymos.errors import LeakageError, ProtocolError
from thymos.scoring.summary import chance_of


def clip(path: str, emotion: str, corpus: str = "", speaker: str = "", split: str = "", sound: str = "") -> Clip:
    measured = Measurements(16_000, 1, 16_000, "WAV PCM_16", 0.5, 0, 0.0, sound or f"sound of {path}")
    return Clip(path, emotion, speaker, corpus=corpus, split=split, sound=measured)


def table(*clips: Clip, kind: str = "joined") -> Corpus:
    return Corpus(kind, Path("/corpora"), clips)


def one(name: str, emotions: str, speakers: int = 3) -> list[Clip]:
    """A clip of each speaker in each emotion."""
    return [
        clip(f"{name}/{speaker}{emotion}.wav", emotion, name, f"{name}/{speaker}")
        for speaker in range(speakers)
        for emotion in emotions.split()
    ]


THREE = table(*one("a", "anger fear calm"), *one("b", "anger fear"), *one("c", "anger fear calm joy"))


def sides(corpus: Corpus, protocol: object) -> dict[str, tuple[set[str], set[str]]]:
    """By the fold's name: corpora and emotions of its training part, and of its test part, in a word each."""
    by_path = {each.path: each for each in corpus.clips}

    def said(paths: tuple[str, ...]) -> set[str]:
        return {f"{by_path[path].corpus}:{by_path[path].emotion}" for path in paths}

    return {fold.name: (said(fold.train), said(fold.test)) for fold in protocol.split(corpus).folds}  # type: ignore[attr-defined]


def test_each_corpus_is_left_out_on_the_labels_that_both_sides_have() -> None:
    found = sides(THREE, protocol_named("corpus"))
    assert list(found) == ["corpus a", "corpus b", "corpus c"]
    assert found["corpus a"] == (
        {"b:anger", "b:fear", "c:anger", "c:fear", "c:calm"},
        {"a:anger", "a:fear", "a:calm"},
    )
    assert found["corpus b"] == ({"a:anger", "a:fear", "c:anger", "c:fear"}, {"b:anger", "b:fear"})


def test_what_is_left_out_is_said_with_its_count() -> None:
    notes = protocol_named("corpus").split(THREE).notes
    assert notes == (
        "corpus a: labels that one side alone has are left out: joy (3 in training)",
        "corpus b: labels that one side alone has are left out: calm (6 in training), joy (3 in training)",
        "corpus c: labels that one side alone has are left out: joy (3 in the test part)",
    )


def test_some_corpora_are_tested_and_the_others_trained_on() -> None:
    found = sides(THREE, HeldOutCorpora(("c", "b")))
    assert found == {
        "test on c": ({"a:anger", "a:fear", "a:calm"}, {"c:anger", "c:fear", "c:calm"}),
        "test on b": ({"a:anger", "a:fear"}, {"b:anger", "b:fear"}),
    }


def test_every_pair_is_a_fold() -> None:
    found = sides(THREE, protocol_named("pairs"))
    assert list(found) == ["a to b", "a to c", "b to a", "b to c", "c to a", "c to b"]
    assert found["a to c"] == ({"a:anger", "a:fear", "a:calm"}, {"c:anger", "c:fear", "c:calm"})


@pytest.mark.parametrize("name", ["corpus", "pairs"])
def test_one_corpus_alone_cannot_be_left_out(name: str) -> None:
    with pytest.raises(ProtocolError, match=f"{name} needs several corpora, and here is only a"):
        protocol_named(name).split(table(*one("a", "anger fear")))
    with pytest.raises(ProtocolError, match="needs every clip's corpus"):
        protocol_named(name).split(table(clip("x.wav", "anger"), clip("y.wav", "fear")))


def test_sides_with_hardly_a_label_in_common_are_refused_with_what_they_have() -> None:
    corpus = table(*one("a", "anger fear"), *one("b", "anger joy"))
    with pytest.raises(ProtocolError) as error:
        protocol_named("corpus").split(corpus)
    assert "training has anger, joy, the test part anger, fear, which a label map may bring together" in str(
        error.value
    )


def test_a_copy_in_another_corpus_is_a_leak() -> None:
    copy = clip("b/copy.wav", "fear", "b", sound="sound of a/0fear.wav")
    corpus = table(*one("a", "anger fear"), *one("b", "anger fear"), copy)
    with pytest.raises(LeakageError, match=r"both sides, b/copy\.wav in train and a/0fear\.wav in test"):
        protocol_named("corpus").split(corpus)


def test_inner_folds_hold_out_corpora_and_in_one_corpus_speakers() -> None:
    protocol = protocol_named("corpus")
    who = {each.path: each for each in THREE.clips}
    fold = protocol.split(THREE).folds[0]  # trains on b and c
    inner = protocol.inner(THREE, fold)
    assert {frozenset(who[path].corpus for path in part.test) for part in inner} == {frozenset("b"), frozenset("c")}
    protocol = HeldOutCorpora(("b", "c"))
    fold = protocol.split(THREE).folds[0]  # trains on a
    inner = protocol.inner(THREE, fold)
    assert [{who[path].speaker for path in part.test} for part in inner] == [{"a/0"}, {"a/1"}, {"a/2"}]


# --- EmoBox's balanced choices ---


def write_choices(folder: Path, name: str, *rows: tuple[str, str, str]) -> None:
    folder.mkdir(exist_ok=True)
    lines = [json.dumps(dict(zip(("wav_filename", "label", "speaker"), row, strict=True))) for row in rows]
    (folder / f"{name}_selected_balenced.jsonl").write_text("\n".join(lines) + "\n")


def test_pairs_test_on_emoboxs_choices_where_there_are_some(tmp_path: Path) -> None:
    corpus = table(
        *one("ravdess", "anger happiness", 4),
        clip("meld/train/dia1_utt2.wav", "anger", "meld", "meld/Joey"),
        clip("meld/dev/dia1_utt2.wav", "anger", "meld", "meld/Ross"),
        clip("meld/test/dia1_utt2.wav", "happiness", "meld", "meld/Joey"),
        clip("meld/test/dia3_utt0.wav", "happiness", "meld", "meld/Joey"),
    )
    write_choices(
        tmp_path,
        "MELD",
        ("audio/dia1_utt2.wav", "happy", "Joey"),  # told by its label
        ("audio/dia1_utt2.wav", "angry", "Ross"),  # told by its speaker
        ("audio/dia9_utt9.wav", "sad", "Ross"),
    )
    protocol = protocol_named(f"pairs:{tmp_path}")
    assert protocol == CorpusPairs(tmp_path)
    split = protocol.split(corpus)
    by_name = {fold.name: fold.test for fold in split.folds}
    assert set(by_name["ravdess to meld"]) == {"meld/dev/dia1_utt2.wav", "meld/test/dia1_utt2.wav"}
    assert len(by_name["meld to ravdess"]) == 8
    assert split.absent == ("meld: audio/dia9_utt9.wav",)


def test_what_is_no_folder_of_choices_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ProtocolError, match="holds none of EmoBox's choices, such as RAVDESS_"):
        protocol_named(f"pairs:{tmp_path}")
    (tmp_path / "SAVEE_selected_balenced.jsonl").write_text('{"wav": "DC_a01.wav"}\n')
    with pytest.raises(ProtocolError, match="has a line without 'wav_filename'"):
        protocol_named(f"pairs:{tmp_path}")


# --- the corpus's own split ---


def test_the_own_split_has_a_fold_for_each_test_part() -> None:
    parts = ("train", "train", "validation", "test", "test2", "")
    corpus = table(*(clip(f"{number}.wav", "anger", split=split) for number, split in enumerate(parts)), kind="csv")
    split = protocol_named("own").split(corpus)
    assert [(fold.name, fold.train, fold.validation, fold.test) for fold in split.folds] == [
        ("test", ("0.wav", "1.wav"), ("2.wav",), ("3.wav",)),
        ("test2", ("0.wav", "1.wav"), ("2.wav",), ("4.wav",)),
    ]
    assert split.notes == ("1 recordings are in no fold: 5.wav",)


def test_without_a_test_part_the_validation_part_is_tested() -> None:
    corpus = table(clip("a.wav", "anger", split="train"), clip("b.wav", "anger", split="validation"), kind="csv")
    (fold,) = protocol_named("own").split(corpus).folds
    assert (fold.name, fold.train, fold.test, fold.validation) == ("validation", ("a.wav",), ("b.wav",), ())


@pytest.mark.parametrize(("parts", "told"), [(("", ""), ""), (("train", "train"), ": its clips tell train 2")])
def test_a_corpus_that_is_not_divided_has_no_own_split(parts: tuple[str, ...], told: str) -> None:
    corpus = table(*(clip(f"{number}.wav", "anger", split=split) for number, split in enumerate(parts)))
    with pytest.raises(ProtocolError, match=f"with a training and a test part, which this one does not{told}"):
        protocol_named("own").split(corpus)


def test_copies_in_two_parts_of_the_own_split_are_refused() -> None:
    corpus = table(clip("a.wav", "anger", split="train", sound="x"), clip("b.wav", "anger", split="test", sound="x"))
    with pytest.raises(LeakageError, match=r"a\.wav in train and b\.wav in test"):
        protocol_named("own").split(corpus)


# --- SERAB ---


@pytest.mark.parametrize(
    ("kind", "speakers", "train", "validation", "test"),
    [
        # As SERAB's own code divides them: numpy.random.RandomState(0).shuffle of the sorted speakers, 60 to 20 to 20.
        ("emovo", "f1 f2 f3 m1 m2 m3", "f2 f3 m3", "m1", "f1 m2"),
        ("savee", "DC JE JK KL", "JK KL", "JE", "DC"),
        ("emo-db", "03 08 09 10 11 12 13 14 15 16", "08 09 11 13 15 16", "10 14", "03 12"),
    ],
)
def test_serab_divides_other_corpora_as_its_code_does(
    kind: str, speakers: str, train: str, validation: str, test: str
) -> None:
    corpus = table(*(clip(f"{name}.wav", "anger", speaker=name) for name in speakers.split()), kind=kind)
    (fold,) = protocol_named("serab").split(corpus).folds
    found = [sorted(path.removesuffix(".wav") for path in side) for side in (fold.train, fold.validation, fold.test)]
    assert found == [train.split(), validation.split(), test.split()]


# --- joined corpora ---


def test_corpora_in_folders_of_one_name_stay_apart() -> None:
    first = Corpus("folders", Path("/data/berlin/wav"), (clip("a.wav", "anger", speaker="1"),))
    second = Corpus("folders", Path("/data/rome/wav"), (clip("a.wav", "anger", speaker="1"),))
    assert {(each.corpus, each.speaker) for each in joined([first, second]).clips} == {
        ("berlin/wav", "berlin/wav/1"),
        ("rome/wav", "rome/wav/1"),
    }


def test_tables_in_one_folder_stay_apart() -> None:
    first = Corpus("csv", Path("/data/two"), (clip("a.wav", "anger", speaker="1"),), table="here")
    second = Corpus("csv", Path("/data/two"), (clip("b.wav", "anger", speaker="1"),), table="there")
    assert {(each.corpus, each.speaker) for each in joined([first, second]).clips} == {
        ("two/here", "two/here/1"),
        ("two/there", "two/there/1"),
    }


def test_chance_is_among_what_both_sides_have() -> None:
    corpus = table(*one("A", "anger fear sadness"), *one("B", "anger fear disgust"))
    assert chance_of(corpus, HeldOutCorpora(("B",)).split(corpus)) == 1 / 2, "anger and fear are told apart"
