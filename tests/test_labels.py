"""Words for emotions, how labels are compared, and their order."""

import csv
import unicodedata

import pytest

from thymos.labels import EMOTIONS, chosen_among, in_order, label_key, natural_key, one_spelling, spaced, to_emotion

FEAR = ["afraid", "Angst", "φόβος", "peur", "paura", "miedo", "strach", "korku", "medo", "bang"]
ANGER = ["angry", "wütend", "θυμωμένος", "colère", "rabbia", "enojado", "złość", "kızgın", "raiva", "boos"]


def test_the_houses_words_are_known() -> None:
    assert [to_emotion(word) for word in EMOTIONS] == list(EMOTIONS)
    assert to_emotion("pleasant-surprise") == to_emotion("Pleasant_Surprise") == "surprise"


def test_words_of_ten_languages_are_known() -> None:
    assert {to_emotion(word) for word in FEAR} == {"fear"}
    assert {to_emotion(word) for word in ANGER} == {"anger"}
    assert [to_emotion(code) for code in ("ANG", "dis", "FEA", "hap", "SAD", "neu", "sur")] == [
        "anger", "disgust", "fear", "happiness", "sadness", "neutral", "surprise",
    ]  # fmt: skip


@pytest.mark.parametrize("word", ["ΘΥΜΌΣ", "ΘΥΜΟΣ", " Ärger\t", "arger", "KIZGIN", "zlosc", "Colere", "en  colère"])
def test_case_accents_and_spaces_do_not_matter(word: str) -> None:
    assert to_emotion(word) == to_emotion(unicodedata.normalize("NFD", word)) == "anger"


@pytest.mark.parametrize("word", ["bored", "frustrated", "exc", "fru", "oth", "xxx", "neutral calm", "", "A"])
def test_other_words_are_not(word: str) -> None:
    assert to_emotion(word) is None


def test_labels_are_one_whatever_their_case_and_encoding() -> None:
    assert label_key(" BORED  a bit") == label_key("bored a bit\n") != label_key("bored")
    assert label_key("Müde") == label_key(unicodedata.normalize("NFD", "MÜDE"))
    assert one_spelling(["bored", "Bored", "BORED", "Bored"]) == {"bored": "Bored"}
    assert one_spelling(["bored", "Bored"]) == {"bored": "Bored"}, "of equals, the first by the alphabet"


def test_known_words_come_first_then_the_alphabet() -> None:
    assert in_order(["zeal", "Ärger b", "calm", "bored", "anger", "Arger a", "bored"]) == (
        "anger", "calm", "Arger a", "Ärger b", "bored", "zeal",
    )  # fmt: skip


def test_what_is_chosen_is_found_in_any_case_and_language() -> None:
    labels = ("anger", "neutral", "bored", "neutral calm")
    assert chosen_among(["Neutral Calm", "wütend", "ANGER"], labels) == ([0, 3], [])
    assert chosen_among(["bored", "sad", "borde"], labels) == ([2], ["sad", "borde"])


def test_words_with_spaces_can_be_told_apart() -> None:
    words = ["anger", "neutral calm", 'a "kind" of', "Ärger"]
    assert spaced(words) == 'anger "neutral calm" "a ""kind"" of" Ärger'
    assert next(csv.reader([spaced(words)], delimiter=" ")) == words


def test_names_are_sorted_as_people_count() -> None:
    names = ["s10", "10", "", "s2", "2", "ann", "s2b", "01"]
    assert sorted(names, key=natural_key) == ["", "01", "2", "10", "ann", "s2", "s2b", "s10"]
