import csv
import io
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from rich.console import Console
from typer.testing import CliRunner

import thymos
from thymos.audio import Samples
from thymos.cli import app
from thymos.cli.audit import print_audit
from thymos.corpora import Clip, Corpus, Measurements, open_corpus
from thymos.corpora.findings import findings, printable
from thymos.reports.audit_report import CLIP_COLUMNS, audit, audit_page, clips_csv, counts_figure

RATE_HZ = 16_000


def speech(seconds: float, seed: int, level: float = 0.3) -> Samples:
    """Noise that is never silent and never twice the same."""
    noise = np.random.default_rng(seed).uniform(-level, level, int(seconds * RATE_HZ))
    return noise.astype(np.float32)


def write(path: Path, samples: Samples) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, RATE_HZ)


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    for number, emotion in enumerate(("anger", "sadness")):
        for clip in range(8):
            seed = 100 * number + clip
            write(tmp_path / "clean" / emotion / f"{clip}.wav", speech(1 + 0.01 * clip, seed))
    return tmp_path / "clean"


@pytest.fixture
def hostile(clean: Path) -> Path:
    anger = clean / "anger"
    (anger / "words.wav").write_text("this is no sound, " * 100)
    (anger / "folder.wav").mkdir()
    (anger / "empty.wav").touch()
    (anger / "loop.wav").symlink_to(anger / "loop.wav")
    (anger / "gone.wav").symlink_to(anger / "nowhere.wav")
    (anger / "around").symlink_to(anger, target_is_directory=True)
    write(anger / "θυμός [red]ά.wav", speech(1, 300))
    (anger / "σπασμένο [bold].wav").write_bytes(b"RIFF")
    write(clean / "sadness" / "copy.flac", soundfile.read(anger / "3.wav", dtype="float32")[0])
    clipped = speech(1, 301)
    clipped[4000:4100] = 1.0
    write(anger / "clipped.wav", clipped)
    write(clean / "sadness" / "silent.wav", np.concatenate([np.zeros(5 * RATE_HZ, np.float32), speech(1, 302)]))
    write(clean / "sadness" / "nothing.wav", np.zeros(RATE_HZ, np.float32))
    write(clean / "sadness" / "quiet.wav", speech(1, 303, level=0.01))
    return clean


REASONS = {
    "anger/words.wav": "is not sound in a known format",
    "anger/folder.wav": "is a directory, not a sound file",
    "anger/empty.wav": "is empty (0 bytes)",
    "anger/loop.wav": "is a symbolic link that leads back to itself",
    "anger/gone.wav": "is a symbolic link to nothing",
}


def run(*arguments: str | Path) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["audit", *map(str, arguments)])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


@pytest.mark.slow
def test_python_and_command_line_are_one_call(clean: Path, tmp_path: Path) -> None:
    found = thymos.audit(clean, tmp_path / "report", cache_dir=tmp_path / "cache")
    assert found == thymos.audit(thymos.open_corpus(clean))
    assert (tmp_path / "report" / "audit.html").is_file()
    assert run(clean, "--out", tmp_path / "same", "--cache-dir", tmp_path / "cache", "--quiet")[0] == 0
    for name in ("audit.html", "clips.csv"):
        assert (tmp_path / "same" / name).read_bytes() == (tmp_path / "report" / name).read_bytes()


def test_clean_corpus_exits_0_and_finds_nothing(clean: Path, tmp_path: Path) -> None:
    code, output = run(clean, "--cache-dir", tmp_path / "cache", "--quiet")
    assert code == 0
    assert "16 clips" in output
    assert findings(audit(open_corpus(clean))) == []


def test_hostile_corpus_names_every_bad_file_and_exits_1(hostile: Path, tmp_path: Path) -> None:
    code, output = run(hostile, "--cache-dir", tmp_path / "cache", "--quiet")
    assert code == 1
    for name, reason in REASONS.items():
        assert f"  {name}: {reason}\n" in output
    assert "  anger/σπασμένο [bold].wav: " in output


def test_file_that_may_not_be_read_is_named(clean: Path) -> None:
    locked = clean / "anger" / "0.wav"
    locked.chmod(0)
    if os.access(locked, os.R_OK):
        pytest.skip("this user may read every file")
    found = audit(open_corpus(clean))
    assert [(e.clip, e.reason) for e in found.unusable] == [("anger/0.wav", "may not be read: permission denied")]


def test_what_is_odd_is_found_by_measure(hostile: Path) -> None:
    found = audit(open_corpus(hostile))
    assert {clip.path for clip in found.silent} == {"sadness/silent.wav", "sadness/nothing.wav"}
    assert found.silent[0].path == "sadness/silent.wav"
    assert [clip.path for clip in found.longest] == ["sadness/silent.wav"]
    assert [clip.path for clip in found.clipped] == ["anger/clipped.wav"]
    assert found.clipped[0].sound.clipped_samples == 100
    assert [clip.path for clip in found.quiet] == ["sadness/nothing.wav", "sadness/quiet.wav"]
    (same,) = found.duplicates
    assert [clip.path for clip in same.clips] == ["anger/3.wav", "sadness/copy.flac"]
    assert same.labels_differ
    assert found.problems["anger/3.wav"] == ["same sound as sadness/copy.flac"]


@pytest.mark.slow
def test_report_is_written_whole_and_lists_every_file(hostile: Path, tmp_path: Path) -> None:
    out = tmp_path / "report"
    code, output = run(hostile, "--out", out, "--cache-dir", tmp_path / "cache", "--quiet")
    assert code == 1
    assert str(out / "audit.html") in output.replace("\n", "")
    assert {path.name for path in (out / "figures").iterdir()} == {"durations.png", "counts.png"}
    with (out / "clips.csv").open(encoding="utf-8", newline="") as lines:
        rows = {row["path"]: row for row in csv.DictReader(lines)}
    assert tuple(rows["anger/0.wav"]) == CLIP_COLUMNS
    on_disk = {f"{folder.name}/{path.name}" for folder in hostile.iterdir() for path in folder.iterdir()}
    assert set(rows) == on_disk - {"anger/around"}, "a link to a folder that is read anyway is no recording"
    for name, reason in REASONS.items():
        assert rows[name]["problems"].startswith(reason)
        assert rows[name]["duration_s"] == ""
    assert rows["anger/0.wav"]["duration_s"] == "1.0000"
    assert rows["anger/clipped.wav"]["problems"] == "clipped"
    page = (out / "audit.html").read_text(encoding="utf-8")
    assert "anger/σπασμένο [bold].wav" in page
    assert "http" not in page


def test_without_out_everything_is_printed_and_nothing_written(hostile: Path, tmp_path: Path) -> None:
    before = set(tmp_path.rglob("*"))
    code, _ = run(hostile, "--cache-dir", tmp_path / "cache", "--quiet")
    assert code == 1
    assert {path.parts[len(tmp_path.parts)] for path in set(tmp_path.rglob("*")) - before} == {"cache"}


def clip(
    path: str = "x.wav",
    emotion: str = "anger",
    speaker: str = "",
    sentence: str = "",
    take: str = "",
    seconds: float = 2.0,
    silence_s: float = 0.2,
) -> Clip:
    sound = Measurements(
        RATE_HZ, 1, round(seconds * RATE_HZ), "WAV PCM_16", 0.5, 0, silence_s, f"{path}{emotion}{speaker}"
    )
    return Clip(path, emotion, speaker, sentence, take, sound=sound)


def corpus(*clips: Clip) -> Corpus:
    return Corpus("csv", Path("somewhere"), clips)


WORKED = corpus(
    clip("a.wav", "anger", "2", seconds=1, silence_s=0.25),
    clip("b.wav", "anger", "10", seconds=2, silence_s=0.5),
    clip("c.wav", "anger", "10", seconds=3, silence_s=0.75),
    clip("d.wav", "sadness", "2", seconds=4, silence_s=1),
    clip("e.wav", "sadness", "10", seconds=10, silence_s=5),
)
"""20 s of sound. Lengths have the quartiles 2 and 4 s, so their upper fence is 4 + 1.5 × 2 = 7 s; seconds of silence
0.5 and 1, so 1 + 1.5 × 0.5 = 1.75 s; shares of silence are alike but for one, so their fence is 0.25 + 0.05."""


def test_what_people_read_of_a_worked_example() -> None:
    found = audit(WORKED)
    text = io.StringIO()
    print_audit(found, Console(file=text, width=200))
    lines = [line.rstrip() for line in text.getvalue().splitlines()]
    assert lines[1:9] == [
        "5 clips, 2 emotions, 0.3 min: mean 4.00 s, median 3.00 s, 1.00 to 10.00 s",
        "found 5 recordings: 5 used, 0 left out, 0 errors",
        "16000 Hz; mono; WAV PCM_16",
        "",
        "  speaker  anger  sadness  all",
        "  2            1        1    2",
        "  10           2        1    3",
        "  all          3        2    5",
    ]
    odd = {finding.name: (finding.note, finding.rows) for finding in findings(found)}
    assert odd["long"] == ("Longer than 7.00 s, the upper Tukey fence.", (("e.wav", "10.00"),))
    note, rows = odd["silent"]
    assert note.startswith("Silent for more than 1.75 s and for more than 30\N{NO-BREAK SPACE}% of the length")
    assert rows == (("e.wav", "5.00", "10.00", "50\N{NO-BREAK SPACE}%"),)
    assert found.by_emotion == {"anger": 3, "sadness": 2}
    assert found.imbalance == 1.5
    assert (found.histogram.edges_s[0], found.histogram.edges_s[-1], sum(found.histogram.counts)) == (1, 10, 5)
    table = {row["path"]: row for row in csv.DictReader(io.StringIO(clips_csv(found)))}
    assert [table["e.wav"][name] for name in ("duration_s", "silence_s", "silence_share", "problems")] == [
        "10.0000", "5.0000", "0.5000", "long; mostly silent",
    ]  # fmt: skip
    assert repr(found).endswith("2 speakers, 0.01 h>: clips with problems 1, unusable files 0>")


def test_takes_and_missing_recordings_need_speaker_and_sentence() -> None:
    grid = [clip(f"{s}{n}", speaker=s, sentence=n) for s in "123" for n in ("01", "02")]
    lacking = [c for c in grid if c.path != "202"]
    found = audit(corpus(*lacking, clip("again", speaker="1", sentence="01", take="b")))
    assert [(m.emotion, m.speaker, m.sentence) for m in found.missing] == [("anger", "2", "02")]
    (take,) = found.repeated_takes
    assert (take.speaker, take.sentence, len(take.clips)) == ("1", "01", 2)

    unknown = audit(corpus(clip("a"), clip("b")))
    assert unknown.missing == unknown.repeated_takes == ()


def test_sentences_of_their_own_are_not_missing_from_others() -> None:
    assert audit(corpus(*(clip(s, speaker=s, sentence=s) for s in "12345"))).missing == ()


def test_clips_cut_to_one_length_have_no_outliers() -> None:
    found = audit(corpus(*(clip(str(i), seconds=2 + (i == 7) / RATE_HZ) for i in range(20))))
    assert found.longest == found.shortest == ()


def test_near_empty_emotions_are_named() -> None:
    found = audit(corpus(*(clip(str(i)) for i in range(40)), clip("s", "sadness")))
    assert found.near_empty == ("sadness",)
    assert found.imbalance == 40
    assert [finding.name for finding in findings(found)] == ["near-empty"]


def test_speakers_are_in_natural_order() -> None:
    assert audit(corpus(*(clip(s, speaker=s) for s in ("10", "2", "s10", "s2")))).speakers == (
        "2",
        "10",
        "s2",
        "s10",
    )


@pytest.mark.parametrize("seconds", [0.01, 3.0, 100.0, 50_000.0])
def test_histogram_counts_every_clip(seconds: float) -> None:
    lengths = [seconds, seconds * 1.5, 1.0]
    found = audit(corpus(*(clip(str(i), seconds=length) for i, length in enumerate(lengths))))
    assert sum(found.histogram.counts) == 3
    assert len(found.histogram.counts) <= 31
    assert len(found.histogram.edges_s) == len(found.histogram.counts) + 1


def test_names_are_printed_literally_however_narrow_the_console() -> None:
    name = "anger/[red]πολύ μακρύ όνομα[/red] that is longer than the console is wide\x1b[31m\n.wav"
    found = audit(corpus(clip(name, speaker="[bold]Ω", seconds=90), *map(clip, "cdefgh")))
    text = io.StringIO()
    print_audit(found, Console(file=text, width=30))
    assert "[bold]Ω" in text.getvalue()
    assert "  anger/[red]πολύ μακρύ όνομα[/red] that is longer than the console is wide\\x1b[31m" in text.getvalue()
    assert "\x1b" not in text.getvalue()
    assert "[red]πολύ μακρύ όνομα[/red]" in audit_page(found)
    assert "\\x1b[31m\\n.wav" in clips_csv(found)
    counts_figure(found)


def test_long_labels_stand_aslant_below_their_columns() -> None:
    labels = (r"$\no{such}$ formula", "rather frustrated", "bored")
    found = audit(corpus(*(clip(f"{i}{word}", word) for word in labels for i in range(6))))
    figure = counts_figure(found)
    figure.draw_without_rendering()
    assert {label.get_rotation() for label in figure.axes[0].get_xticklabels()} == {45}


def test_printable_escapes_what_is_no_text() -> None:
    assert printable("ά [b] x") == "ά [b] x"
    assert printable("a\nb\udcff") == "a\\nb\\udcff"


@pytest.mark.real
def test_aesdd(aesdd: Path) -> None:
    found = audit(open_corpus(aesdd))
    assert len(found.corpus.clips) == 603
    assert [(e.clip, e.reason) for e in found.unusable] == [
        ("anger/a20 (5).wav", "is empty (0 bytes)"),
        ("sadness/s05 (3).wav", "is a WAV file without a data chunk (36 bytes)"),
    ]
    assert found.silent[0].path == "sadness/s19 (6).flac"
    assert found.silent[0].sound.silence_s == pytest.approx(8.35, abs=0.01)
    assert found.fences.silence_share.high == pytest.approx(0.547, abs=0.001)
    assert found.longest[0].path == "sadness/s19 (6).flac"
    assert len(found.repeated_takes) == 8
    assert {take.speaker for take in found.repeated_takes} == {"5"}
    assert [(cell.emotion, cell.speaker, cell.sentence) for cell in found.missing] == [
        ("anger", "5", "20"),
        ("disgust", "5", "18"),
        ("fear", "4", "02"),
        ("happiness", "3", "11"),
        ("sadness", "3", "05"),
    ]
    assert found.duplicates == ()
    assert found.imbalance < 1.03
