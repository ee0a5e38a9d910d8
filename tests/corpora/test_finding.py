"""Folders as people have them: divided, nested, linked, littered. Everything that is found is counted."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from thymos.audio.search import sounds_below
from thymos.corpora import Corpus, open_corpus
from thymos.corpora.readers.listed_files import split_of
from thymos.errors import CorpusError

WriteSound = Callable[..., Path]


def told(corpus: Corpus) -> list[tuple[str, str, str]]:
    return [(clip.path, clip.emotion, clip.split) for clip in corpus.clips]


def on_disk(root: Path) -> int:
    """Files that are sound by their suffix, counted with nothing of Thymos's."""
    return sum(path.suffix in (".wav", ".m4a", ".aifc", ".webm") for path in root.rglob("*") if path.is_file())


# --- split folders ---


@pytest.mark.parametrize(
    ("folders", "splits"),
    [
        (("train", "test"), ("train", "test")),
        (("Train", "Val", "Test"), ("train", "validation", "test")),
        (("training", "dev", "evaluation"), ("train", "validation", "test")),
        (("train_set", "test-set"), ("train", "test")),
        (("trainset", "testset"), ("train", "test")),
        (("train",), ("train",)),
    ],
)
def test_split_folders_are_one_corpus(
    tmp_path: Path, write_sound: WriteSound, folders: tuple[str, ...], splits: tuple[str, ...]
) -> None:
    for folder in folders:
        for name in ("anger/1.wav", "sadness/2.wav"):
            write_sound(tmp_path / folder / name)
    corpus = open_corpus(tmp_path)
    assert sorted(told(corpus)) == sorted(
        (f"{folder}/{name}", emotion, split)
        for folder, split in zip(folders, splits, strict=True)
        for name, emotion in (("anger/1.wav", "anger"), ("sadness/2.wav", "sadness"))
    )
    assert corpus.tally.found == corpus.tally.used == on_disk(tmp_path) == 2 * len(folders)
    assert corpus.root == tmp_path


@pytest.mark.slow
def test_a_named_corpus_may_come_in_split_folders(tmp_path: Path, mini: Path) -> None:
    for split, emotion in (("train", "anger"), ("train", "sadness"), ("test", "anger")):
        shutil.copytree(mini / emotion, tmp_path / split / emotion)
    corpus = open_corpus(tmp_path)
    assert corpus.kind == "aesdd"
    assert {clip.split for clip in corpus.clips} == {"train", "test"}
    assert len(corpus.speakers) > 1


def test_any_words_are_labels_in_split_folders_whose_kind_is_named(tmp_path: Path, write_sound: WriteSound) -> None:
    for name in ("train/grue/1.wav", "train/bleen/2.wav", "test/grue/3.wav"):
        write_sound(tmp_path / name)
    with pytest.raises(CorpusError, match="say folders:"):
        open_corpus(tmp_path)
    assert told(open_corpus(f"folders:{tmp_path}")) == [
        ("test/grue/3.wav", "grue", "test"),
        ("train/bleen/2.wav", "bleen", "train"),
        ("train/grue/1.wav", "grue", "train"),
    ]


def test_what_is_no_split_is_none() -> None:
    assert [split_of(word) for word in ("anger", "session1", "", "trainer", "tests")] == [""] * 5
    assert [split_of(word) for word in ("Test2", "test_set 3", "eval-1", "train2")] == ["test2", "", "test1", ""]


# --- folders in folders ---


def test_several_corpora_in_a_folder_are_refused_with_their_names(tmp_path: Path, write_sound: WriteSound) -> None:
    for name in ("ann/anger/1.wav", "bob/anger/1.wav", "bob/fear/2.wav", "bob/3.wav"):
        write_sound(tmp_path / name)
    with pytest.raises(CorpusError) as caught:
        open_corpus(tmp_path)
    assert "holds 2 folders that are a corpus each: ann, bob; name one of them" in str(caught.value)
    assert f"say speakers:{tmp_path}" in str(caught.value)
    corpus = open_corpus(f"speakers:{tmp_path}")
    assert [(clip.path, clip.emotion, clip.speaker) for clip in corpus.clips] == [
        ("ann/anger/1.wav", "anger", "ann"),
        ("bob/anger/1.wav", "anger", "bob"),
        ("bob/fear/2.wav", "fear", "bob"),
    ]
    assert [(each.clip, each.reason) for each in corpus.excluded] == [
        ("bob/3.wav", "lies in no label's folder in a speaker's")
    ]


def test_recordings_beside_the_folder_that_is_the_corpus_are_named(tmp_path: Path, write_sound: WriteSound) -> None:
    for name in ("mine/anger/1.wav", "mine/fear/2.wav", "more/3.wav", "4.wav"):
        write_sound(tmp_path / name)
    corpus = open_corpus(tmp_path)
    assert corpus.root == tmp_path / "mine"
    assert {(each.clip, each.reason) for each in corpus.excluded} == {
        ("../more/3.wav", "is no part of the corpus of kind folders"),
        ("../4.wav", "is no part of the corpus of kind folders"),
    }
    assert corpus.tally.found == on_disk(tmp_path) == 4


def test_recordings_without_folders_are_counted_in_the_refusal(tmp_path: Path, write_sound: WriteSound) -> None:
    for number in range(3):
        write_sound(tmp_path / f"{number}.wav")
    with pytest.raises(CorpusError, match="only 3 recordings; a table with columns file and emotion tells"):
        open_corpus(tmp_path)
    (tmp_path / "labels.csv").write_text("file,emotion\n")
    for number in range(3):
        (tmp_path / f"{number}.wav").unlink()
    with pytest.raises(CorpusError, match=r"it has the table labels\.csv, which may be one"):
        open_corpus(tmp_path)


# --- links, hidden files, and what is no sound ---


def test_linked_folders_are_followed_once(tmp_path: Path, write_sound: WriteSound) -> None:
    root, elsewhere = tmp_path / "corpus", tmp_path / "elsewhere"
    for name in ("anger/1.wav", "fear/2.wav"):
        write_sound(root / name)
    for name in ("3.wav", "deeper/4.wav"):
        write_sound(elsewhere / name)
    (elsewhere / "deeper" / "round").symlink_to(elsewhere)
    (root / "a-fear-link").symlink_to(root / "fear")  # read anyway, under its own name
    (root / "anger" / "up").symlink_to(root)
    (root / "anger" / "way-up").symlink_to(tmp_path)
    (root / "joy").symlink_to(elsewhere)
    (root / "sadness").mkdir()
    (root / "sadness" / "again").symlink_to(elsewhere)
    corpus = open_corpus(root)
    assert told(corpus) == [
        ("anger/1.wav", "anger", ""),
        ("fear/2.wav", "fear", ""),
        ("joy/3.wav", "happiness", ""),
        ("joy/deeper/4.wav", "happiness", ""),
    ]
    assert corpus.excluded == ()
    (note,) = corpus.notes
    assert note.startswith("not followed, since they lead up or to a folder that is read anyway: links ")
    names = ("a-fear-link", "anger/up", "anger/way-up", "joy/deeper/round", "sadness/again")
    assert all(name in note for name in names)


def littered(root: Path, write_sound: WriteSound) -> Path:
    """A stick that a Mac wrote to."""
    write_sound(root / "anger" / "a.wav")
    fork = bytes.fromhex("0005160700020000") + b"Mac OS X        " + bytes(4000)
    for name in ("anger/._a.wav", "__MACOSX/anger/._a.wav", ".Trashes/b.wav", ".DS_Store", "anger/notes.txt"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(fork)
    return root


def test_hidden_files_are_passed_over_and_said(tmp_path: Path, write_sound: WriteSound) -> None:
    corpus = open_corpus(littered(tmp_path, write_sound))
    assert told(corpus) == [("anger/a.wav", "anger", "")]
    assert str(corpus.tally) == "found 1 recording: 1 used, 0 left out, 0 errors"
    hidden, others = corpus.notes
    assert hidden.startswith("passed over, since hidden: ")
    assert all(name in hidden for name in ("._a.wav", "__MACOSX", ".Trashes"))
    assert others == "passed over, since not named like sound: 1 files (.txt 1)"


def test_predict_passes_over_the_same(tmp_path: Path, write_sound: WriteSound) -> None:
    from thymos.cli.inputs import find_recordings

    said: list[str] = []
    found = find_recordings([str(littered(tmp_path, write_sound))], said.append)
    assert [(recording.inside.as_posix(), recording.problem) for recording in found] == [("anger/a.wav", None)]
    (sentence,) = said
    assert sentence == "passed over, since hidden: .Trashes, __MACOSX, ._a.wav"


def test_a_command_is_told_of_playlists_in_a_folder(tmp_path: Path, write_sound: WriteSound) -> None:
    from thymos.cli.inputs import find_recordings

    write_sound(tmp_path / "a.wav")
    for name in ("live.m3u8", "deep/mix.PLS", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("a.wav")
    said: list[str] = []
    assert [each.path for each in find_recordings([str(tmp_path)], said.append)] == [tmp_path / "a.wav"]
    assert said == ["passed over, since playlists, which hold no sound (name the files themselves): live.m3u8, mix.PLS"]


@pytest.mark.slow
def test_every_format_that_is_heard_counts(tmp_path: Path, write_sound: WriteSound) -> None:
    av = pytest.importorskip("av")
    sound = write_sound(tmp_path / "anger" / "a.wav")
    for name, codec in (("anger/b.m4a", "aac"), ("fear/c.webm", "libopus"), ("fear/d.mka", "pcm_s16le")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        with av.open(str(sound)) as source, av.open(str(tmp_path / name), "w") as target:
            stream = target.add_stream(codec, rate=48_000)
            resampler = av.AudioResampler(stream.format, stream.layout, 48_000)
            for frame in source.decode(audio=0):
                for changed in resampler.resample(frame):
                    target.mux(stream.encode(changed))
            target.mux(stream.encode(None))
    write_sound(tmp_path / "fear" / "e.aiff").rename(tmp_path / "fear" / "e.aifc")
    corpus = open_corpus(tmp_path)
    assert [clip.path for clip in corpus.clips] == [
        "anger/a.wav",
        "anger/b.m4a",
        "fear/c.webm",
        "fear/d.mka",
        "fear/e.aifc",
    ]
    assert corpus.tally.found == 5


def test_without_the_extra_they_are_named_with_the_command(
    tmp_path: Path, write_sound: WriteSound, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_sound(tmp_path / "anger" / "a.wav")
    (tmp_path / "anger" / "b.m4a").write_bytes(b"\0\0\0\x20ftypM4A " + bytes(100))
    monkeypatch.setattr("importlib.util.find_spec", lambda name, package=None: None)
    corpus = open_corpus(tmp_path)
    (left_out,) = corpus.excluded
    assert left_out.clip == "anger/b.m4a"
    assert "pip install 'thymos[media]'" in left_out.reason
    assert str(corpus.tally) == "found 2 recordings: 1 used, 0 left out, 1 error"


def test_the_order_is_files_then_folders(tmp_path: Path, write_sound: WriteSound) -> None:
    for name in ("b/1.wav", "a/deep/2.wav", "a/z.wav", "c.wav"):
        write_sound(tmp_path / name)
    found = sounds_below(tmp_path)
    names = [path.relative_to(tmp_path).as_posix() for path in found.sounds]
    assert names == ["c.wav", "a/z.wav", "a/deep/2.wav", "b/1.wav"]


# --- it adds up ---


def test_it_adds_up_in_terminal_report_and_json(
    tmp_path: Path, write_sound: WriteSound, thymos_here: Callable[..., Any]
) -> None:
    root = littered(tmp_path / "corpus", write_sound)
    for name in ("anger/b.wav", "fear/c.wav", "boredom/d.wav", "boredom/e.wav", "stray.wav"):
        write_sound(root / name)
    (root / "fear" / "broken.wav").write_text("no sound")
    (root / "fear" / "empty.webm").touch()
    cache = ["--cache-dir", str(tmp_path / "cache"), "--quiet"]
    done = thymos_here("audit", root, "--out", tmp_path / "out", *cache, "--label-map", "boredom=")
    assert done.returncode == 1, done.stderr
    # a, b, c; d, e; stray, broken, empty
    sentence = "found 8 recordings: 3 used, 2 left out, 3 errors"
    assert sentence in done.stdout.splitlines()
    assert sentence[1:] in (tmp_path / "out" / "audit.html").read_text()
    facts = json.loads((tmp_path / "out" / "audit.json").read_text())
    assert facts["corpus"]["files"] == {"found": 8, "used": 3, "left_out": 2, "errors": 3}
    assert facts["corpus"]["clips"] == 3 and len(facts["excluded"]) == 5
    assert {each["clip"] for each in facts["excluded"] if not each["readable"]} == {
        "stray.wav",
        "fear/broken.wav",
        "fear/empty.webm",
    }
    visible = [path for path in root.rglob("*") if not any(part[0] in "._" for part in path.relative_to(root).parts)]
    assert sum(path.suffix in (".wav", ".webm") for path in visible) == 8


def test_a_corpus_that_is_known_by_its_names_may_come_in_split_folders(tmp_path: Path, write_sound: WriteSound) -> None:
    for name in ("train/03-01-05-01-01-01-01.wav", "train/03-01-04-01-01-01-02.wav", "test/03-01-05-01-02-01-03.wav"):
        write_sound(tmp_path / name)
    corpus = open_corpus(tmp_path)
    assert (corpus.kind, corpus.tally.found) == ("ravdess", 3)
    assert [(clip.emotion, clip.speaker, clip.split) for clip in corpus.clips] == [
        ("anger", "03", "test"),
        ("sadness", "02", "train"),
        ("anger", "01", "train"),
    ]
