import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import soundfile

from thymos.audio import Samples, Waveform, read_waveform, resample
from thymos.audio.distort import CONDITIONS, through_mp3, through_opus
from thymos.corpora import Fold, RecordingFolds, open_corpus
from thymos.corpora import near_copies as module
from thymos.corpora.audit import audit_corpus
from thymos.corpora.findings import findings
from thymos.corpora.folds import check_leakage, near_copies_among
from thymos.corpora.near_copies import HOP_S, LONGEST_S, SPARSE, Fingerprints, Words, fingerprint_of, from_text, to_text
from thymos.corpora.opening import joined
from thymos.errors import LeakageError

RATE_HZ = 24_000
"""Of the mini corpus."""


@pytest.fixture(scope="module")
def sounds(mini: Path) -> dict[str, Waveform]:
    """Five sentences by six voices of a synthesiser, which says each in the same way whenever it is asked."""
    return {path.name: read_waveform(path) for path in sorted((mini / "anger").glob("*.opus"))}


@pytest.fixture(scope="module")
def stored(sounds: dict[str, Waveform]) -> Fingerprints:
    return Fingerprints([fingerprint_of(waveform)[::SPARSE] for waveform in sounds.values()])


def at(samples: Samples, rate_hz: int) -> Waveform:
    return resample(Waveform(samples, RATE_HZ), rate_hz)


def faster(samples: Samples, speed: float) -> Waveform:
    return Waveform(resample(Waveform(samples, round(RATE_HZ * speed)), RATE_HZ).samples, RATE_HZ)


def clipped(samples: Samples) -> Samples:
    return np.clip(2 * samples / np.abs(samples).max(), -1, 1)


CHANGES: dict[str, Callable[[Samples], Waveform | Samples]] = {
    "at 48 kHz": lambda samples: at(samples, 48_000),
    "at 8 kHz": lambda samples: at(samples, 8_000),
    "on the telephone": lambda samples: CONDITIONS["telephone"](samples, RATE_HZ, 0, ()),
    "20 dB softer, in 16 bits": lambda samples: np.round(samples * 3276.8).astype(np.float32) / 32768,
    "clipped": clipped,
    "Opus": lambda samples: through_opus(samples, RATE_HZ, 16_000),
    "MP3": lambda samples: through_mp3(samples, RATE_HZ, 32_000),
    "cut at the start": lambda samples: samples[RATE_HZ // 2 + 77 :],
    "cut at the end": lambda samples: samples[: -RATE_HZ // 2],
    "later": lambda samples: np.pad(samples, (7_333, 0)),
    "with a direct current": lambda samples: 0.8 * samples + np.float32(0.1),
    "by a thousandth softer": lambda samples: samples * np.float32(0.999),
    "by a thousandth faster": lambda samples: faster(samples, 1.001),
}


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES)
def test_a_recording_is_known_again(change: str, sounds: dict[str, Waveform], stored: Fingerprints) -> None:
    for place in (0, 9, 29):
        changed = CHANGES[change](list(sounds.values())[place].samples)
        changed = changed if isinstance(changed, Waveform) else Waveform(changed, RATE_HZ)
        assert [copy.place for copy in stored.near_copies(fingerprint_of(changed))] == [place]


@pytest.mark.slow
def test_of_other_voices_and_sentences_none_is_taken_for_a_copy(
    sounds: dict[str, Waveform], stored: Fingerprints
) -> None:
    for place, waveform in enumerate(sounds.values()):
        (itself,) = stored.near_copies(fingerprint_of(waveform))
        assert itself.place == place and itself.agreement == 1 and itself.later_s == 0


def test_it_is_told_how_much_later_the_shared_sound_is(sounds: dict[str, Waveform], stored: Fingerprints) -> None:
    samples = sounds["a03 (2).opus"].samples
    for seconds in (0.4, 1.0):
        (copy,) = stored.near_copies(fingerprint_of(Waveform(np.pad(samples, (int(seconds * RATE_HZ), 0)), RATE_HZ)))
        assert copy.later_s == pytest.approx(seconds, abs=HOP_S)
    (copy,) = stored.near_copies(fingerprint_of(Waveform(samples[int(0.6 * RATE_HZ) :], RATE_HZ)))
    assert copy.later_s == pytest.approx(-0.6, abs=HOP_S)
    assert copy.overlap_s < len(samples) / RATE_HZ - 0.5


def test_a_part_of_a_long_recording_is_found_either_way(sounds: dict[str, Waveform], stored: Fingerprints) -> None:
    long = np.concatenate([waveform.samples for waveform in list(sounds.values())[:8]])
    assert {copy.place for copy in stored.near_copies(fingerprint_of(Waveform(long, RATE_HZ)))} == {*range(8)}
    of_long = Fingerprints([fingerprint_of(Waveform(long, RATE_HZ))[::SPARSE]])
    assert [len(of_long.near_copies(fingerprint_of(waveform))) for waveform in sounds.values()] == [1] * 8 + [0] * 22


def test_what_says_nothing_has_no_fingerprint(make_tone: Callable[..., Samples]) -> None:
    for samples in (np.zeros(16_000, np.float32), np.zeros(0, np.float32), np.full(16_000, 0.5, np.float32)):
        assert not fingerprint_of(Waveform(samples, 16_000)).any()
    # A hum is nothing to know a recording by, nor is a click.
    clicks = np.zeros(32_000, np.float32)
    clicks[3_000::8_000] = 1
    for samples in (make_tone(3.0, hz=440), clicks):
        words = fingerprint_of(Waveform(samples, 16_000))
        assert np.count_nonzero(words) < len(words) / 10
        assert not Fingerprints([words[::SPARSE]]).near_copies(words)


@pytest.mark.parametrize(
    ("words", "of", "errors", "later"),
    # The weight of an overlap is its agreement times the root of its bits: 13.9 for 6 words, 19.6 for 12, 27.7 for 24.
    [(6, 6, 3, 2), (6, 6, 5, 1), (12, 12, 7, 2), (12, 12, 8, 1), (24, 24, 6, 0), (60, 60, 8, 0), (12, 24, 4, 0)],
    ids=["0.4 s", "0.4 s, aligned", "0.7 s", "0.7 s, aligned", "1.4 s", "3.6 s", "a piece"],
)
def test_short_sounds_and_pieces_must_agree_better(
    words: int, of: int, errors: int, later: int, sounds: dict[str, Waveform]
) -> None:
    """With so many wrong bits in each word, an overlap is a copy; with one more, it is none. Where both begin at once,
    give or take a word, a short one may have more."""
    known = np.concatenate([fingerprint_of(sounds[f"a0{sentence} (1).opus"]) for sentence in (1, 2)])
    stored = known[known != 0][:of]
    random = np.random.default_rng(0)
    for wrong in (errors, errors + 1):
        flipped = [sum(1 << int(bit) for bit in random.permutation(32)[:wrong]) for _ in range(words)]
        asked = np.zeros(SPARSE * (words + later), np.uint32)
        asked[SPARSE * later :: SPARSE] = stored[:words] ^ np.array(flipped, np.uint32)
        found = Fingerprints([stored]).near_copies(asked, look_up=False)
        assert [copy.agreement for copy in found] == ([1 - 2 * wrong / 32] if wrong == errors else [])


def test_only_the_first_minutes_are_looked_at_and_many_copies_cost_little(sounds: dict[str, Waveform]) -> None:
    day = Waveform(np.zeros(LONGEST_S * 3 * 100, np.float32), 100)
    day.samples[:] = np.random.default_rng(0).normal(0, 0.1, len(day.samples))
    assert len(fingerprint_of(day)) == LONGEST_S / HOP_S + 1
    words = fingerprint_of(sounds["a01 (1).opus"])
    many = Fingerprints([words[::SPARSE]] * 2000)
    assert 0 < len(many.near_copies(words)) < 2000


def test_words_survive_as_text(sounds: dict[str, Waveform]) -> None:
    words = fingerprint_of(sounds["a01 (1).opus"])
    assert len(words) == 1 + sounds["a01 (1).opus"].duration_s // HOP_S
    np.testing.assert_array_equal(from_text(to_text(words)), words)
    for damaged in ("no text", "AAA", "AAAA"):
        with pytest.raises(ValueError):
            from_text(damaged)


def test_bits_are_counted_alike_by_every_numpy(monkeypatch: pytest.MonkeyPatch) -> None:
    words = np.random.default_rng(0).integers(0, 1 << 32, (100, 10), np.uint32)
    expected = [[int(word).bit_count() for word in row] for row in words]
    assert module._ones(words).tolist() == expected
    monkeypatch.delattr(np, "bitwise_count", raising=False)  # numpy 1
    assert module._ones(words).tolist() == expected


# --- what becomes of them in a corpus ---


@pytest.fixture
def copied(mini: Path, sounds: dict[str, Waveform], tmp_path: Path) -> Path:
    """Two emotions of eight recordings each, and in either a copy of one of the other's."""
    for emotion in ("anger", "sadness"):
        (tmp_path / "corpus" / emotion).mkdir(parents=True)
        for path in sorted((mini / emotion).glob("*.opus"))[::4]:
            shutil.copy(path, tmp_path / "corpus" / emotion)
    samples = sounds["a01 (1).opus"].samples
    soundfile.write(tmp_path / "corpus/sadness/at another rate.wav", 0.5 * at(samples, 16_000).samples, 16_000)
    soundfile.write(tmp_path / "corpus/anger/cut.flac", sounds["a01 (1).opus"].samples[9_000:], RATE_HZ)
    return tmp_path / "corpus"


ONE = ("anger/a01 (1).opus", "anger/cut.flac", "sadness/at another rate.wav")


@pytest.mark.slow
def test_near_copies_never_cross_folds(copied: Path, tmp_path: Path) -> None:
    for _ in range(2):  # measured, then from the cache
        corpus = open_corpus(f"folders:{copied}", cache_dir=tmp_path / "cache")
        assert {clip.path: clip.recording for clip in corpus.clips if clip.recording} == dict.fromkeys(ONE, ONE[0])
    for fold in RecordingFolds(5, 2).split(corpus).folds:
        assert {*ONE} <= {*fold.train} or {*ONE} <= {*fold.test}
    for train, test in combinations(ONE, 2):
        with pytest.raises(LeakageError, match="one recording is on both sides"):
            check_leakage(corpus, [Fold(0, 0, "fold 1", (train,), (test,))], ["recording"], "mine")


@pytest.mark.slow
def test_audit_lists_them(copied: Path, tmp_path: Path) -> None:
    found = audit_corpus(open_corpus(f"folders:{copied}", cache_dir=tmp_path / "cache"))
    assert found.duplicates == () and [[clip.path for clip in each.clips] for each in found.near_copies] == [[*ONE]]
    (listed,) = (finding for finding in findings(found) if finding.name == "near-copies")
    assert listed.serious and listed.rows == ((", ".join(ONE), "differ"),)
    assert f"shares sound with {ONE[0]}, {ONE[2]}" in found.problems[ONE[1]]
    without = audit_corpus(found.corpus.excluding(lambda clip: "is out" if clip.path in ONE[1:] else None))
    assert without.near_copies == ()


@pytest.mark.slow
def test_of_joined_corpora_a_recording_may_be_in_both(copied: Path, mini: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    for emotion in ("anger", "fear"):
        (other / emotion).mkdir(parents=True)
        for path in sorted((mini / emotion).glob("*.opus"))[1::4]:
            shutil.copy(path, other / emotion)
    shutil.copy(copied / ONE[1], other / "fear/again.flac")
    corpora = [open_corpus(f"folders:{folder}", cache_dir=tmp_path / "cache") for folder in (copied, other)]
    shared = {clip.path for clip in joined(corpora).clips if clip.recording}
    assert shared == {*(f"corpus/{path}" for path in ONE), "other/fear/again.flac"}


def words_of(corpora: Path, names: Sequence[str]) -> list[Words]:
    return [fingerprint_of(read_waveform(corpora / name)) for name in names]


@pytest.mark.real
def test_takes_of_one_sentence_are_no_copies_and_the_corpora_s_own_copies_are(corpora: Path) -> None:
    takes = [
        *(f"ravdess/anger/03-01-05-01-02-0{take}-22.opus" for take in (1, 2)),
        *(f"tess/neutral/YAF_{word}_neutral.opus" for word in ("dip", "shall", "dodge", "lid")),
        *(f"aesdd/anger/a0{sentence} (5).flac" for sentence in (1, 2, 6)),
        "aesdd/anger/a06 (5)b.flac",
    ]
    words = words_of(corpora, takes)
    stored = Fingerprints([each[::SPARSE] for each in words])
    assert [[copy.place for copy in stored.near_copies(each)] for each in words] == [[i] for i in range(len(words))]
    # Two repetitions of ASED are one recording, encoded twice.
    first, second = words_of(corpora, [f"ased/anger/a5-02-0{take}-01-37.opus" for take in (1, 2)])
    assert Fingerprints([first[::SPARSE]]).near_copies(second)


@pytest.mark.slow
def test_where_nobody_measured_there_is_nothing_to_compare(copied: Path, tmp_path: Path) -> None:
    corpus = open_corpus(f"folders:{copied}", cache_dir=tmp_path / "cache")
    bare = [replace(clip, sound=replace(clip.sound, fingerprint="")) for clip in corpus.clips]
    assert near_copies_among(bare) == []
