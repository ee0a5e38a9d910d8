import hashlib
import json
import pickle
import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thymos.audio.excerpt import excerpt_name
from thymos.corpora import Clip, Corpus, Fold, Measurements, Protocol, Split, TakeFolds, open_corpus
from thymos.corpora.folds import GROUPS
from thymos.corpora.protocols import NAMES, protocol_named, shuffle_labels
from thymos.errors import LeakageError, ProtocolError
from thymos.labels import AESDD_EMOTIONS


def clip(path: str, emotion: str, speaker: str = "", sentence: str = "", take: str = "", sound: str = "") -> Clip:
    """A row of a table; without ``sound`` its audio is like no other's."""
    measured = Measurements(16_000, 1, 16_000, "WAV PCM_16", 0.5, 0, 0.0, sound or f"sound of {path}")
    return Clip(path, emotion, speaker, sentence, take, sound=measured)


def table(*clips: Clip) -> Corpus:
    return Corpus("aesdd", Path(), clips)


def like_aesdd(sentences: int = 5) -> Corpus:
    """Five emotions × six speakers × a few sentences, and a second take of speaker 5's first sentences."""
    clips = []
    for emotion in AESDD_EMOTIONS:
        for sentence in range(1, sentences + 1):
            for speaker in "123456":
                stem = f"{emotion[0]}{sentence:02d} ({speaker})"
                clips.append(clip(f"{emotion}/{stem}.wav", emotion, speaker, f"{sentence:02d}"))
                if speaker == "5" and sentence <= 2:
                    clips.append(clip(f"{emotion}/{stem}b.wav", emotion, speaker, f"{sentence:02d}", "b"))
    return table(*clips)


def assert_each_clip_is_tested_once_a_repeat(corpus: Corpus, split: Split) -> None:
    paths = sorted(clip.path for clip in corpus.clips)
    tested = defaultdict(list)
    for fold in split.folds:
        assert sorted(fold.train + fold.test) == paths
        tested[fold.repeat] += fold.test
    for repeat in tested.values():
        assert sorted(repeat) == paths


def crossing(corpus: Corpus, split: Split, what: str) -> set[tuple[str, ...]]:
    """The groups of ``what`` that are on both sides of a fold: the guard's question, asked another way."""
    group = {clip.path: GROUPS[what](clip) for clip in corpus.clips}
    return {
        shared
        for fold in split.folds
        for shared in {group[path] for path in fold.train + fold.validation} & {group[path] for path in fold.test}
    }


# --- the protocols that draw folds ---


@pytest.mark.parametrize("name", ["recording", "take", "sentence"])
def test_drawn_folds_test_every_clip_once_and_keep_groups_whole(name: str) -> None:
    corpus = like_aesdd()
    split = protocol_named(name, folds=5, repeats=2).split(corpus, seed=3)
    assert len(split.folds) == 10
    assert [(fold.repeat, fold.index) for fold in split.folds] == [(r, i) for r in range(2) for i in range(5)]
    assert len({fold.name for fold in split.folds}) == 10
    assert_each_clip_is_tested_once_a_repeat(corpus, split)
    assert not crossing(corpus, split, name)
    assert name in split.must_not_cross
    assert not any(fold.validation for fold in split.folds)


def test_folds_by_recording_are_balanced_by_emotion() -> None:
    corpus = like_aesdd()
    emotion = {clip.path: clip.emotion for clip in corpus.clips}
    for fold in protocol_named("recording").split(corpus).folds:
        counts = Counter(emotion[path] for path in fold.test)
        assert len(counts) == 5
        assert max(counts.values()) - min(counts.values()) <= 1


def test_what_each_protocol_lets_cross_tells_them_apart() -> None:
    corpus = like_aesdd()
    assert crossing(corpus, protocol_named("recording").split(corpus), "take")
    assert crossing(corpus, protocol_named("take").split(corpus), "sentence")
    assert crossing(corpus, protocol_named("sentence").split(corpus), "speaker")
    assert crossing(corpus, protocol_named("speaker").split(corpus), "sentence")


@pytest.mark.parametrize("name", ["recording", "take", "sentence"])
def test_the_same_seed_draws_the_same_folds_and_another_seed_others(name: str) -> None:
    corpus = like_aesdd()
    assert protocol_named(name).split(corpus, seed=1) == protocol_named(name).split(corpus, seed=1)
    assert protocol_named(name).split(corpus, seed=1).folds != protocol_named(name).split(corpus, seed=2).folds
    first, second = (
        [fold.test for fold in protocol_named(name, repeats=2).split(corpus).folds if fold.repeat == repeat]
        for repeat in (0, 1)
    )
    assert first != second


def test_exact_copies_of_a_recording_stay_together() -> None:
    twins = [clip(f"{i}{half}.wav", AESDD_EMOTIONS[i % 5], sound=f"{i}") for i in range(25) for half in "ab"]
    corpus = table(*twins)
    for seed in range(5):
        split = protocol_named("recording").split(corpus, seed=seed)
        for fold in split.folds:
            assert {path[:-5] + "b.wav" for path in fold.test} == {path for path in fold.test if "b" in path}


def test_groups_joined_through_a_third_clip_stay_together() -> None:
    # The sound of "0" occurs again as a take of sentence 1: so sentences 0 and 1 must stay together.
    clips = [clip(f"{s}{i}.wav", AESDD_EMOTIONS[i], "1", f"{s}") for s in range(8) for i in range(5)]
    clips.append(clip("copy.wav", "anger", "1", "1", sound="sound of 00.wav"))
    corpus = table(*clips)
    for fold in protocol_named("sentence", folds=4).split(corpus).folds:
        sentences = {path[0] for path in fold.test}
        assert ("0" in sentences) == ("1" in sentences) == ("c" in sentences)


numbers = st.integers(0, 8).map(str)
rows = st.lists(
    st.tuples(st.sampled_from(AESDD_EMOTIONS), numbers, numbers, st.integers(0, 40)), min_size=2, max_size=40
)


@pytest.mark.slow
@given(rows, st.sampled_from(["recording", "take", "sentence", "speaker"]), st.integers(2, 5), st.integers(0, 9))
@pytest.mark.filterwarnings("ignore:The least populated class")
def test_no_group_ever_crosses(rows: list[tuple[str, str, str, int]], name: str, folds: int, seed: int) -> None:
    clips = [clip(f"{i}.wav", emotion, who, what, "", f"{s}") for i, (emotion, who, what, s) in enumerate(rows)]
    corpus = table(*clips)
    try:
        split = protocol_named(name, folds).split(corpus, seed=seed)
    except ProtocolError:
        return  # too few groups, or, by speaker, one sound under two speakers
    assert_each_clip_is_tested_once_a_repeat(corpus, split)
    assert all(fold.train and fold.test for fold in split.folds)
    assert not any(crossing(corpus, split, what) for what in split.must_not_cross)


# --- speakers ---


def test_speaker_leaves_each_one_out_in_natural_order() -> None:
    corpus = table(*(clip(f"{s}{e}.wav", e, s, "01") for s in ("10", "2", "ann", "1") for e in AESDD_EMOTIONS))
    split = protocol_named("speaker").split(corpus)
    assert [fold.name for fold in split.folds] == ["speaker 1", "speaker 2", "speaker 10", "speaker ann"]
    assert_each_clip_is_tested_once_a_repeat(corpus, split)
    assert not crossing(corpus, split, "speaker")


def test_serab_trains_on_2_3_6_validates_on_4_and_tests_on_1_5() -> None:
    corpus = like_aesdd()
    (fold,) = protocol_named("serab").split(corpus).folds
    who = {clip.path: clip.speaker for clip in corpus.clips}
    sides = [{who[path] for path in side} for side in (fold.train, fold.validation, fold.test)]
    assert sides == [{"2", "3", "6"}, {"4"}, {"1", "5"}]
    assert len(fold.train) + len(fold.validation) + len(fold.test) == len(corpus.clips)
    assert not crossing(corpus, protocol_named("serab").split(corpus), "speaker")


# --- what is refused ---


class Given(Protocol):
    """A protocol of somebody's own, which draws what it is told to draw."""

    name = "mine"
    must_not_cross: tuple[str, ...] = ()

    def __init__(self, *folds: Fold, keeping: tuple[str, ...] = ()) -> None:
        self.given = folds
        self.must_not_cross = keeping

    def draw(self, corpus: Corpus, seed: int) -> Iterable[Fold]:
        return self.given


@pytest.mark.parametrize("side", ["validation", "test"])
def test_the_guard_names_the_offenders(side: str) -> None:
    corpus = table(
        clip("a.wav", "anger", "1", "01"), clip("b.wav", "anger", "1", "01", "b"), clip("c.wav", "fear", "2", "02")
    )
    sides = {"test": ("c.wav",)} | {side: ("b.wav",)}
    fold = Fold(0, 0, "fold 1", ("a.wav",), **sides)
    assert Given(fold, keeping=("recording",)).split(corpus).folds == (fold,)
    for what in ("take", "sentence", "speaker"):
        with pytest.raises(LeakageError) as caught:
            Given(fold, keeping=("recording", what)).split(corpus)
        assert str(caught.value) == (
            f"protocol mine, fold 1: one {what} is on both sides, a.wav in train and b.wav in {side}"
        )


def test_no_protocol_can_forget_that_a_recording_is_on_one_side() -> None:
    corpus = table(clip("a.wav", "anger"), clip("copy.wav", "anger", sound="sound of a.wav"), clip("c.wav", "fear"))
    with pytest.raises(LeakageError, match=r"one recording is on both sides, a\.wav in train and copy\.wav in test"):
        Given(Fold(0, 0, "fold 1", ("a.wav", "c.wav"), ("copy.wav",))).split(corpus)


@pytest.mark.parametrize(
    ("folds", "keeping", "words"),
    [
        ([], (), "protocol mine has no folds of this corpus"),
        ([Fold(0, 0, "fold 1", ("a.wav",), ())], (), "protocol mine, fold 1: no recording to test"),
        ([Fold(0, 0, "fold 1", (), ("a.wav",))], (), "protocol mine, fold 1: no recording to train"),
        ([Fold(0, 0, "fold 1", ("a.wav",), ("x.wav",))], (), "protocol mine, fold 1: not in the corpus: x.wav"),
        ([Fold(0, 0, "fold 1", ("a.wav",), ("b.wav",))], ("room",), "protocol mine keeps room together; known are rec"),
    ],
)
def test_folds_that_cannot_be_used_are_refused(folds: list[Fold], keeping: tuple[str, ...], words: str) -> None:
    with pytest.raises(ProtocolError, match=words):
        Given(*folds, keeping=keeping).split(table(clip("a.wav", "anger"), clip("b.wav", "fear")))


def test_a_protocol_says_its_name_and_what_must_not_cross() -> None:
    class Nameless(Protocol):
        def draw(self, corpus: Corpus, seed: int) -> Iterable[Fold]:
            return ()

    with pytest.raises(TypeError, match=r"must_not_cross.*name"):
        Nameless()  # type: ignore[abstract]


def test_one_sound_under_two_speakers_is_leakage_by_speaker() -> None:
    clips = [clip(f"{s}{e}.wav", e, s, "01") for s in "123" for e in AESDD_EMOTIONS]
    corpus = table(*clips, clip("thief.wav", "anger", "3", "02", sound="sound of 1anger.wav"))
    with pytest.raises(LeakageError, match=r"one recording is on both sides") as caught:
        protocol_named("speaker").split(corpus)
    assert "1anger.wav" in str(caught.value)
    assert "thief.wav" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "folds", "repeats", "words"),
    [
        ("random", 5, 1, "there is no protocol 'random'; the protocols are recording, take, sentence"),
        ("recording", 1, 1, "needs at least 2 folds and 1 repeat"),
        ("recording", 5, 0, "needs at least 2 folds and 1 repeat"),
        ("recording", 99, 1, "99 folds need an emotion with as many recordings"),
        ("sentence", 6, 1, "6 folds need as many groups of sentence; there are 5"),
        ("file:absent", 5, 1, "absent does not exist"),
    ],
)
def test_what_cannot_be_is_refused(name: str, folds: int, repeats: int, words: str) -> None:
    with pytest.raises(ProtocolError, match=words):
        protocol_named(name, folds, repeats).split(like_aesdd())


@pytest.mark.parametrize(
    ("name", "missing"), [("take", "speaker"), ("sentence", "sentence"), ("speaker", "speaker"), ("serab", "speaker")]
)
def test_protocols_say_which_clips_lack_what_they_need(name: str, missing: str) -> None:
    corpus = table(*(clip(f"{i}{e}.wav", e) for i in range(5) for e in AESDD_EMOTIONS))
    with pytest.raises(ProtocolError, match=f"needs every clip's {missing}, unknown for 0anger.wav, .* and 20 more"):
        protocol_named(name).split(corpus)
    protocol_named("recording").split(corpus)


def test_serab_is_only_for_all_speakers_of_a_corpus() -> None:
    corpus = table(*(clip(f"{s}.wav", "anger", s, "01") for s in "12345"))
    with pytest.raises(ProtocolError, match="divides the 6 speakers of AESDD; here are 5"):
        protocol_named("serab").split(corpus)
    with pytest.raises(ProtocolError, match="at least 3 speakers, not 2"):
        protocol_named("serab").split(replace(corpus, kind="folders", clips=corpus.clips[:2]))


def test_one_speaker_cannot_be_left_out() -> None:
    with pytest.raises(ProtocolError, match="at least two speakers"):
        protocol_named("speaker").split(table(clip("a.wav", "anger", "1"), clip("b.wav", "fear", "1")))


# --- folds from files ---


def write_emobox(folder: Path, name: str, *stems: str) -> None:
    lines = [json.dumps({"key": stem, "wav": f"downloads/aesdd/x/{stem}.wav"}) for stem in stems]
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("\n".join(lines) + "\n\n", encoding="utf-8")


SMALL = table(
    clip("anger/a01 (1).flac", "anger", "1", "01"),
    clip("anger/a02 (1).flac", "anger", "1", "02"),
    clip("fear/f01 (1).flac", "fear", "1", "01"),
)


def test_emobox_lists_are_matched_by_stem_and_the_absent_named(tmp_path: Path) -> None:
    lists = tmp_path / "lists"
    write_emobox(lists, "emobox_aesdd_train_fold_2.jsonl", "a01 (1)", "a02 (1)", "a01 (1)")
    write_emobox(lists, "emobox_aesdd_test_fold_2.jsonl", "f01 (1)", "f99 (1)")
    write_emobox(lists, "emobox_aesdd_train_fold_10.jsonl", "f01 (1)")
    write_emobox(lists, "emobox_aesdd_valid_fold_10.jsonl", "a02 (1)")
    write_emobox(lists, "emobox_aesdd_test_fold_10.jsonl", "a01 (1)")
    (lists / "README.md").write_text("not a list")
    split = protocol_named(f"file:{lists}").split(SMALL)
    a01, a02, f01 = (clip.path for clip in SMALL.clips)
    assert split.folds == (
        Fold(0, 0, "fold 2", (a01, a02), (f01,)),
        Fold(0, 1, "fold 10", (f01,), (a01,), (a02,)),
    )
    assert split.absent == ("downloads/aesdd/x/f99 (1).wav",)
    assert split.name == "file:lists"


def test_a_csv_of_folds(tmp_path: Path) -> None:
    splits = tmp_path / "splits.csv"
    splits.write_text(
        "\ufefffold,file,split\n1,C:\\data\\a01 (1).wav,Train\n1,f01 (1).wav,test\n1,a02 (1),val\n1,gone.wav,train\n",
        encoding="utf-8",
    )
    split = protocol_named(f"file:{splits}").split(SMALL)
    a01, a02, f01 = (clip.path for clip in SMALL.clips)
    assert split.folds == (Fold(0, 0, "fold 1", (a01,), (f01,), (a02,)),)
    assert split.absent == ("gone.wav",)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("s.csv", b"file,split\n", "no row below it"),
        ("s.csv", b"file,fold,split\n", "no row below it"),
        ("s.csv", b"file,fold,split\na01 (1),1,other\n", "line 2: split is 'other'"),
        ("s.csv", b"split,file,fold\ntrain\n", "has no recording of this corpus to train"),
        ("s.csv", b"file,fold,split\na01 (1),1,train\n", "fold 1 has no recording of this corpus to test"),
        ("s.csv", b"\xff\xfe\0", "cannot be read as a table: it is no text"),
        ("x_train_fold_1.jsonl", b'{"wav": "a01 (1).wav"}\n{"fiel": 1}\n', "line 2, is not a JSON object with a 'wav'"),
        ("x_train_fold_1.jsonl", b"[]", "line 1, is no JSON object"),
        ("x_train_fold_1.jsonl", b"a01 (1).wav", "line 1, is no JSON object"),
        ("x_train_fold_1.jsonl", b"\0\xff\0", "cannot be read as a table: it is no text"),
        ("x_train_fold_1.jsonl", b'{"wav": "a01 (1).wav"}\n', "fold 1 has no recording of this corpus to test"),
        ("notes.txt", b"", "names no folds"),
    ],
)
def test_bad_fold_files_are_refused(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ProtocolError, match=words):
        protocol_named(f"file:{tmp_path / name if name.endswith('.csv') else tmp_path}").split(SMALL)


def test_a_file_on_both_sides_of_a_list_is_leakage(tmp_path: Path) -> None:
    write_emobox(tmp_path, "x_train_fold_1.jsonl", "a01 (1)", "a02 (1)")
    write_emobox(tmp_path, "x_test_fold_1.jsonl", "a01 (1)", "f01 (1)")
    with pytest.raises(LeakageError, match=r"anger/a01 \(1\).flac in train and anger/a01 \(1\).flac in test"):
        protocol_named(f"file:{tmp_path}").split(SMALL)


TWICE = [f"{emotion}/{number}.wav" for emotion in ("anger", "sadness") for number in "1234"]


@pytest.mark.parametrize("spelled", ["{}", "./{}", "corpus/{}", "{}.flac", "C:\\data\\{}"])
def test_files_of_one_name_are_told_apart_by_their_paths(tmp_path: Path, spelled: str) -> None:
    """Many corpora number their files anew in each folder."""
    corpus = table(*(clip(path, path.split("/")[0]) for path in TWICE))
    rows = ["file;fold;Set"]
    for path in TWICE:
        file = spelled.format(path.removesuffix(".wav") if ".flac" in spelled else path)
        rows.append(f"{file.replace('/', chr(92)) if ':' in file else file};1;{'train' if path[-5] < '3' else 'test'}")
    (tmp_path / "folds.csv").write_text("\n".join(rows))
    (fold,) = protocol_named(f"file:{tmp_path / 'folds.csv'}").split(corpus).folds
    assert fold.train == ("anger/1.wav", "anger/2.wav", "sadness/1.wav", "sadness/2.wav")
    assert fold.test == ("anger/3.wav", "anger/4.wav", "sadness/3.wav", "sadness/4.wav")


def test_a_name_that_fits_two_files_is_refused_with_both(tmp_path: Path) -> None:
    corpus = table(*(clip(path, path.split("/")[0]) for path in TWICE))
    write_emobox(tmp_path, "x_train_fold_1.jsonl", "1")
    write_emobox(tmp_path, "x_test_fold_1.jsonl", "2")
    with pytest.raises(ProtocolError, match=r"x/2.wav may be anger/2.wav, sadness/2.wav: give paths as the corpus has"):
        protocol_named(f"file:{tmp_path}").split(corpus)


def test_two_names_for_one_file_are_refused_unless_one_is_its_own(tmp_path: Path) -> None:
    corpus = table(clip("anger/1.wav", "anger"), clip("fear/2.wav", "fear"))
    folds = tmp_path / "folds.csv"
    folds.write_text("file,fold,split\na/1.wav,1,train\nb/1.wav,1,test\nfear/2.wav,1,test\n")
    with pytest.raises(ProtocolError, match=r"a/1.wav, b/1.wav may all be anger/1.wav"):
        protocol_named(f"file:{folds}").split(corpus)
    folds.write_text("file,fold,split\nanger/1.wav,1,train\nsadness/1.wav,1,test\nfear/2.wav,1,test\n")
    split = protocol_named(f"file:{folds}").split(corpus)
    assert (split.folds[0].train, split.folds[0].test) == (("anger/1.wav",), ("fear/2.wav",))
    assert split.absent == ("sadness/1.wav",)


def test_lists_may_name_excerpts_or_the_files_that_these_are_of(tmp_path: Path) -> None:
    parts = [("talk", 0.0, 1.5), ("talk", 2.0, None), ("more", 0.0, 1.0)]
    clips = [
        replace(
            clip(excerpt_name(f"{file}.wav", *times), "anger"), file=f"{file}.wav", start_s=times[0], end_s=times[1]
        )
        for file, *times in parts
    ]
    corpus = table(*clips)
    folds = tmp_path / "folds.csv"
    folds.write_text(
        "file,start,end,fold,split\n"
        "talk.wav,0 days,0 days 00:00:01.5,1,train\ntalk.wav,0 days 00:00:02,NaT,1,test\n"
        "old/talk.flac,,,2,train\nmore.wav,,,2,test\n"
    )
    one, two = protocol_named(f"file:{folds}").split(corpus).folds
    assert (one.train, one.test) == (("talk.wav#t=0,1.5",), ("talk.wav#t=2",))
    assert (two.train, two.test) == (("talk.wav#t=0,1.5", "talk.wav#t=2"), ("more.wav#t=0,1",))


@pytest.mark.real
def test_emoboxs_own_lists_on_the_real_aesdd(aesdd: Path, protocols: Path) -> None:
    corpus = open_corpus(aesdd)
    split = protocol_named(f"file:{protocols}").split(corpus)
    (fold,) = split.folds
    assert (len(fold.train), len(fold.test), fold.validation) == (454, 149, ())
    assert [Path(name).stem for name in split.absent] == ["a20 (5)"]
    assert not crossing(corpus, split, "recording")
    assert crossing(corpus, split, "speaker")  # EmoBox's own choice: it is not speaker-independent


@pytest.mark.real
@pytest.mark.parametrize(
    ("name", "folds"), [("recording", 5), ("take", 5), ("sentence", 5), ("speaker", 6), ("serab", 1)]
)
def test_every_protocol_works_on_the_real_aesdd(aesdd: Path, name: str, folds: int) -> None:
    corpus = open_corpus(aesdd)
    split = protocol_named(name).split(corpus)
    assert len(split.folds) == folds
    assert not any(crossing(corpus, split, what) for what in split.must_not_cross)
    if name != "serab":
        assert_each_clip_is_tested_once_a_repeat(corpus, split)


# --- the same folds for ever ---

# (protocol, folds, repeats, seed): digest of its folds, and of the inner folds of each. A figure that was published
# can only be made again with the folds that it was made of.
MINI_DIGESTS = {
    ("recording", 5, 1, 0): ("4e3cbb8b865e0bfe", "3be566b845d0b75c"),
    ("recording", 5, 1, 7): ("29f2bc1c1589f3ed", "070bf81064e4cf0c"),
    ("take", 5, 2, 7): ("b95d1137cabf57e1", "a5d6843d72e789ee"),
    ("sentence", 5, 2, 0): ("16c071b4b4832af8", "64a01c4b61cc8ca0"),
    ("speaker", 5, 1, 0): ("474a26f9f5bc3a72", "849fe4c37a500857"),
    ("serab", 5, 1, 0): ("2a2f7c635204ce3e", "ada352322df1281c"),
}
AESDD_DIGESTS = {
    ("recording", 5, 1, 0): ("e3202b89e6bcfa1f", "be021feae7d93c48"),
    ("recording", 5, 1, 7): ("e6c4afca8c063346", "cebd2473987a0a68"),
    ("take", 5, 2, 7): ("891e241c689eeb73", "2b7bdf35c96104be"),
    ("sentence", 5, 2, 0): ("3f36c90ecfe334d4", "5e3671aeb1ba9786"),
    ("speaker", 5, 1, 0): ("c758650dbb3e6f00", "2695ba0018ab2104"),
    ("serab", 5, 1, 0): ("c7d0949e3a177c34", "b6592a1873a743db"),
    ("file", 5, 1, 0): ("ad384dae376a0799", "cd5eaec28bc3f53a"),
    ("file", 5, 1, 7): ("ad384dae376a0799", "e969003d19ff4241"),
}


def digests(corpus: Corpus, protocol: Protocol, seed: int) -> tuple[str, str]:
    folds = protocol.split(corpus, seed).folds
    inner = [part for fold in folds for part in protocol.inner(corpus, fold, seed=seed)]

    def digest(drawn: Iterable[Fold]) -> str:
        return hashlib.sha256(json.dumps([asdict(fold) for fold in drawn]).encode()).hexdigest()[:16]

    return digest(folds), digest(inner)


@pytest.mark.slow
def test_folds_of_the_mini_corpus_are_what_they_always_were(mini: Path) -> None:
    corpus = open_corpus(mini)
    for (name, folds, repeats, seed), expected in MINI_DIGESTS.items():
        assert digests(corpus, protocol_named(name, folds, repeats), seed) == expected, name


@pytest.mark.real
def test_folds_of_the_real_aesdd_are_what_they_always_were(aesdd: Path, protocols: Path) -> None:
    corpus = open_corpus(aesdd)
    for (name, folds, repeats, seed), expected in AESDD_DIGESTS.items():
        words = f"file:{protocols}" if name == "file" else name
        assert digests(corpus, protocol_named(words, folds, repeats), seed) == expected, name


# --- inner folds ---


@pytest.mark.parametrize("name", ["recording", "take", "sentence", "speaker", "serab"])
def test_inner_folds_divide_the_training_part_alone_by_the_same_rule(name: str) -> None:
    corpus = like_aesdd()
    protocol = protocol_named(name, 3)
    for fold in protocol.split(corpus).folds:
        inner = protocol.inner(corpus, fold, most=2)
        assert len(inner) == (1 if name == "serab" else 2)
        for part in inner:
            assert set(part.train) | set(part.test) == set(fold.train) | set(fold.validation)
            assert (part.repeat, part.index) == (fold.repeat, fold.index)
        assert not any(crossing(corpus, Split(protocol, inner), what) for what in protocol.must_not_cross)


@pytest.mark.parametrize("speakers", [4, 6, 9])
def test_inner_folds_by_speaker_hold_every_speaker_out_once_however_many_there_are(speakers: int) -> None:
    """With the first five of eight alone, three would never have a say in a temperature."""
    names = [str(number) for number in range(speakers)]
    corpus = table(*(clip(f"{s}{e}.wav", e, s) for s in names for e in AESDD_EMOTIONS))
    protocol = protocol_named("speaker")
    for fold in protocol.split(corpus).folds:
        inner = protocol.inner(corpus, fold)
        assert len(inner) == min(5, speakers - 1)
        assert sorted(path for part in inner for path in part.test) == sorted(fold.train)
        assert not crossing(corpus, Split(protocol, inner), "speaker")


def test_a_validation_part_is_the_one_inner_fold() -> None:
    corpus = like_aesdd()
    fold = protocol_named("recording").split(corpus).folds[0]
    held = replace(fold, train=fold.train[10:], validation=fold.train[:10])
    (inner,) = protocol_named("recording").inner(corpus, held, 3)
    assert (inner.train, inner.test, inner.validation) == (fold.train[10:], fold.train[:10], ())


def test_inner_folds_of_a_protocol_of_ones_own_keep_together_what_it_keeps_together() -> None:
    corpus = like_aesdd()
    fold = protocol_named("speaker").split(corpus).folds[0]
    own = Given(fold, keeping=("take", "speaker"))
    inner = own.inner(corpus, fold)
    assert len(inner) == 5
    assert not crossing(corpus, Split(own, inner), "speaker")


def test_a_training_part_too_small_to_be_divided_is_refused() -> None:
    corpus = table(*(clip(f"{s}{e}.wav", e, s, "01") for s in "12" for e in AESDD_EMOTIONS))
    protocol = protocol_named("speaker")
    with pytest.raises(ProtocolError, match="at least two speakers"):
        protocol.inner(corpus, protocol.split(corpus).folds[0])


# --- names and objects ---


def test_every_name_makes_its_protocol_and_every_protocol_says_its_name(tmp_path: Path) -> None:
    for name in NAMES[:-2]:
        assert protocol_named(name).name == name
        assert pickle.loads(pickle.dumps(protocol_named(name))) == protocol_named(name)
    assert protocol_named("take", 3, 2) == TakeFolds(folds=3, repeats=2)
    plain = ("recording", "take", "sentence", "speaker", "own", "serab", "corpus", "pairs")
    assert (*plain, "file:PATH", "pairs:PATH") == NAMES
    for words in ("file", "file:", "pairs:", "take:3", "Recording", ""):
        with pytest.raises(ProtocolError, match="there is no protocol"):
            protocol_named(words)


def test_the_protocol_that_the_documentation_writes_can_be_used() -> None:
    page = (Path(__file__).parents[2] / "docs" / "protocols.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, type[Protocol]] = {}
    exec(example, names)
    protocol = names["LeaveOneGenderOut"]()
    who = {"1": "female", "2": "female", "3": "male", "4": "male"}
    clips = (clip(f"{speaker}{i}{e}", e, speaker) for speaker in who for i in "12" for e in AESDD_EMOTIONS)
    corpus = table(*(replace(each, gender=who[each.speaker]) for each in clips))
    split = protocol.split(corpus)
    assert [fold.name for fold in split.folds] == ["female", "male"]
    assert [{path[0] for path in fold.test} for fold in split.folds] == [{"1", "2"}, {"3", "4"}]
    assert_each_clip_is_tested_once_a_repeat(corpus, split)
    for fold in split.folds:
        inner = protocol.inner(corpus, fold)
        assert len(inner) == 2
        assert not crossing(corpus, Split(protocol, inner), "speaker")


# --- the control ---


def test_shuffled_labels_are_the_same_labels_dealt_out_anew() -> None:
    corpus = like_aesdd()
    shuffled = shuffle_labels(corpus, seed=0)
    before, after = ([clip.emotion for clip in c.clips] for c in (corpus, shuffled))
    assert Counter(before) == Counter(after)
    agreement = sum(a == b for a, b in zip(before, after, strict=True)) / len(before)
    assert 0.1 < agreement < 0.3
    assert [clip.path for clip in shuffled.clips] == [clip.path for clip in corpus.clips]
    assert [clip.sound for clip in shuffled.clips] == [clip.sound for clip in corpus.clips]
    assert shuffle_labels(corpus, seed=0) == shuffled
    assert shuffle_labels(corpus, seed=1) != shuffled
