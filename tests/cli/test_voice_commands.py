"""``thymos enrol``, ``voices`` and ``adapt``; ``predict`` and ``listen`` by a voice; ``predict --adapt`` by groups."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner, Result

from thymos.audio import read_waveform
from thymos.cli import app
from thymos.cli.inputs import SpeakerError, find_recordings, groups_of
from thymos.cli.journal import Journal, key_of
from thymos.runtime.adaptation import FEW, find_voice
from thymos.runtime.bundle import AdaptationAbout, ConformalAbout
from thymos.runtime.recognizer import load


def thymos(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def rows(done: Result) -> list[dict]:
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def folder(spoken: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two speakers' folders, of four recordings each."""
    root = tmp_path_factory.mktemp("calls")
    for number, clip in enumerate(spoken[:8]):
        place = root / ("anna" if number % 2 else "ben")
        place.mkdir(exist_ok=True)
        shutil.copy(clip, place / f"s{number % 2}_{number}{clip.suffix}")
    return root


@pytest.fixture
def enrolled(bundle: Path, folder: Path, tmp_path: Path) -> Path:
    """A folder of voices that has anna's."""
    done = thymos("enrol", "anna", folder / "anna", "--model", bundle, "--voices", tmp_path / "voices", "--quiet")
    assert done.exit_code == 0, done.output
    return tmp_path / "voices"


@pytest.mark.slow
def test_enrolment_says_how_well_a_voice_is_known(bundle: Path, folder: Path, tmp_path: Path) -> None:
    words = ["enrol", "anna", folder / "anna", "--model", bundle, "--voices", tmp_path]
    done = thymos(*words)
    assert done.exit_code == 0, done.output
    voice = find_voice("anna", tmp_path)
    recognizer = load(bundle)
    variety = voice.offset(recognizer.space).variety
    said = f"anna: 4 clips, {voice.speech_s:.1f} s of speech, in {variety:.1f} emotions; kept: {tmp_path / 'anna.json'}"
    assert done.stdout.splitlines() == [said]
    np.testing.assert_allclose(
        voice.coordinates, recognizer.enrol(sorted((folder / "anna").iterdir())).coordinates, atol=5.1e-5
    )
    few = thymos("enrol", "ben", next((folder / "ben").iterdir()), *words[3:], "--quiet")
    assert few.exit_code == 0 and few.stderr == f"ben: {FEW}\n"


@pytest.mark.slow
def test_a_known_voice_is_kept_unless_it_is_told_otherwise(bundle: Path, folder: Path, enrolled: Path) -> None:
    words = ["enrol", "anna", folder / "ben", "--model", bundle, "--voices", enrolled, "--quiet"]
    before = (enrolled / "anna.json").read_bytes()
    refused = thymos(*words)
    assert str(refused.exception) == "the voice anna is known already: --add knows it better, --replace begins anew"
    assert "give one of both" in str(thymos(*words, "--add", "--replace").exception)
    assert (enrolled / "anna.json").read_bytes() == before
    assert thymos(*words, "--add").exit_code == 0 and len(find_voice("anna", enrolled).coordinates) == 8
    assert thymos(*words, "--replace").exit_code == 0 and len(find_voice("anna", enrolled).coordinates) == 4
    absent = thymos("enrol", "carl", *words[2:], "--add")
    assert "no voice is called carl; known are anna" in str(absent.exception)


def test_what_cannot_be_heard_is_named_and_the_rest_is_kept(bundle: Path, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.wav").write_bytes(b"RIFF")
    soundfile.write(tmp_path / "silence.wav", np.zeros(16_000), 16_000)
    bad = [tmp_path / "bad.wav", tmp_path / "silence.wav", tmp_path / "absent.wav"]
    common = ["--model", bundle, "--voices", tmp_path / "voices", "--quiet"]
    done = thymos("enrol", "anna", folder / "anna", *bad, *common)
    assert done.exit_code == 1 and len(find_voice("anna", tmp_path / "voices").coordinates) == 4
    assert done.stderr.count("not heard: ") == 3 and f"{bad[1]} holds no speech" in done.stderr
    none = thymos("enrol", "ben", *bad, *common)
    assert none.exit_code == 1 and none.stdout == ""
    assert [path.name for path in (tmp_path / "voices").iterdir()] == ["anna.json"]
    model = thymos("adapt", *bad, "--model", bundle, "--out", tmp_path / "model", "--quiet")
    assert model.exit_code == 1 and not (tmp_path / "model").exists()


def test_voices_are_listed_and_forgotten(enrolled: Path) -> None:
    (enrolled / "torn.json").write_text("{")
    listed = thymos("voices", "--voices", enrolled)
    told = next(line for line in listed.stdout.splitlines() if "anna" in line)
    speech_s = find_voice("anna", enrolled).speech_s
    assert [word for word in told.split() if word not in "│|"] == ["anna", "toy", "7", "4", f"{speech_s:.1f}", "s"]
    assert listed.exit_code == 1 and "torn.json is damaged" in listed.stderr.replace("\n", "")
    assert thymos("voices", "--voices", enrolled, "--forget", "torn").exit_code == 0
    assert thymos("voices", "--voices", enrolled, "--forget", "anna").exit_code == 0
    assert list(enrolled.iterdir()) == []
    again = thymos("voices", "--voices", enrolled, "--forget", "anna")
    assert "no voice is called anna; none is known yet" in str(again.exception)
    empty = thymos("voices", "--voices", enrolled)
    assert empty.exit_code == 0 and "no voice is known in" in empty.stderr


@pytest.mark.slow
def test_prediction_by_a_voice_by_name_and_by_file(bundle: Path, folder: Path, enrolled: Path, tmp_path: Path) -> None:
    words = ["predict", folder / "anna", "--model", bundle, "--format", "jsonl"]
    by_name = rows(thymos(*words, "--voice", "anna", "--voices", enrolled))
    own = load(bundle).for_voice(find_voice("anna", enrolled))
    expected = [own.predict(path).to_dict() for path in sorted((folder / "anna").iterdir())]
    assert by_name == [
        {"file": row["file"], **one, "voice": "anna"} for row, one in zip(by_name, expected, strict=True)
    ]
    assert rows(thymos(*words, "--voice", enrolled / "anna.json")) == by_name
    plain = rows(thymos(*words))
    assert all("voice" not in row for row in plain)
    assert [row["probabilities"] for row in plain] != [row["probabilities"] for row in by_name]
    thymos("enrol", "anna", folder / "ben", "--model", bundle, "--voices", enrolled, "--replace", "--quiet")
    clip = sorted((folder / "anna").iterdir())[0]
    out = tmp_path / "out.jsonl"
    about = own.bundle.about.sha256
    decides = {"model": about, "timeline": False, "labels": own.labels, "voice": [[0.0]]}
    with Journal(out, decides) as journal:  # of an earlier run, by what was known of the voice then
        journal.add(key_of(clip), expected[0] | {"model": "of another voice"})
    done = thymos("predict", clip, *words[2:], "--voice", "anna", "--voices", enrolled, "--out", out, "--quiet")
    assert done.exit_code == 0 and json.loads(out.read_text())["model"] == "toy 7"


@pytest.mark.slow
def test_adapting_by_folders_is_adapting_each_alone(bundle: Path, folder: Path) -> None:
    words = ["--model", bundle, "--format", "jsonl", "--adapt", "--quiet"]
    both = thymos("predict", folder, *words, "--speaker-from", "folder")
    assert both.exit_code == 0, both.output
    assert both.stderr == f"voices: {folder}/anna (4 clips), {folder}/ben (4 clips)\n"
    assert {row["voice"] for row in rows(both)} == {f"{folder}/anna", f"{folder}/ben"}
    alone = [*rows(thymos("predict", folder / "anna", *words)), *rows(thymos("predict", folder / "ben", *words))]
    assert {row["voice"] for row in alone} == {"all"}
    assert [row["probabilities"] for row in rows(both)] == [row["probabilities"] for row in alone]
    together = rows(thymos("predict", folder, *words))
    files = sorted(folder.glob("*/*"))
    recognizer = load(bundle)
    expected = [heard.to_dict()["probabilities"] for heard in recognizer.predict_adapted(files)]
    assert [row["probabilities"] for row in together] == expected
    # Rounded, the toy's answers may be the same: what is taken out is not.
    heard = list(recognizer.listen_many(files))
    of_each, (of_all,) = (
        recognizer.offsets(heard, [path.parent.name for path in files]),
        recognizer.offsets(heard).values(),
    )
    assert all(np.abs(own.values - of_all.values).max() > 1e-3 for own in of_each.values())
    one = thymos(
        "predict", *sorted(folder.glob("*/*"))[3:5], *words, "--speaker-from", "folder", "--labels", "anger,fear"
    )
    assert one.stderr.splitlines()[1] == f"{folder}/anna, {folder}/ben: {FEW}"
    assert list(rows(one)[0]["probabilities"]) == ["anger", "fear"]


def test_who_speaks_is_told_in_three_ways(folder: Path, tmp_path: Path) -> None:
    recordings = find_recordings([str(folder)])
    assert groups_of(recordings, None) == ["all"] * 8
    by_group = groups_of(recordings, r"(s\d)_")
    assert by_group == ["s1"] * 4 + ["s0"] * 4
    assert groups_of(recordings, r"/s\d") == ["/s1"] * 4 + ["/s0"] * 4
    table = folder / "table.csv"
    lines = [{"file": str(r.path.relative_to(folder)), "who": f"w{i % 3}"} for i, r in enumerate(recordings) if r.path]
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, ["file", "who"])
        writer.writeheader()
        writer.writerows(lines)
    assert groups_of(recordings, f"{table}:who") == [f"w{i % 3}" for i in range(8)]
    with_problem = find_recordings([str(folder / "anna"), str(tmp_path / "none*")])
    assert groups_of(with_problem, "folder")[-1] == "" == groups_of(with_problem, r"s\d")[-1]
    table.write_text("file,who\nanna/s1_1.opus,w1\n")
    refused = {
        "s(": "--speaker-from s( is no regular expression: ",
        "anna": f"--speaker-from anna matches nothing in {folder}/ben/",
        "(x)?s": f"--speaker-from (x)?s matches nothing in {folder}/anna/",
        f"{table}:whom": "table.csv has no column whom",
        f"{table}:who": f"table.csv does not say the who of {folder}/anna/s1_3",
        f"{tmp_path}/absent.csv:who": "absent.csv cannot be read: No such file",
    }
    for told, sentence in refused.items():
        with pytest.raises(SpeakerError) as error:
            groups_of(recordings, told)
        assert sentence in str(error.value) and "\n" not in str(error.value)
    table.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SpeakerError, match="cannot be read as a table: it is no text"):
        groups_of(recordings, f"{table}:who")
    table.unlink()


@pytest.mark.parametrize(
    ("command", "words", "sentence"),
    [
        ("predict", ["x.wav", "--adapt", "--voice", "a"], "give one of both"),
        ("predict", ["x.wav", "--speaker-from", "folder"], "--speaker-from says whose voices --adapt takes out"),
        ("predict", ["-", "--adapt"], "standard input is a single one: name files"),
        ("predict", ["x.wav", "--voice", "nobody"], "no voice is called nobody"),
        ("listen", ["-", "--rate", "16000", "--adapt", "--voice", "a"], "give one of both"),
        ("enrol", ["a/b", "x.wav"], "'a/b' cannot name a voice"),
    ],
)
def test_what_cannot_be_is_one_sentence(bundle: Path, command: str, words: list[str], sentence: str) -> None:
    done = thymos(command, *words, "--model", bundle)
    assert sentence in str(done.exception) and "\n" not in str(done.exception)


@pytest.mark.slow
def test_a_run_that_adapts_goes_on_where_it_was_cut_short(bundle: Path, folder: Path, tmp_path: Path) -> None:
    """What was heard is kept, so that voices and labels may even be others the second time."""
    words = ["--model", bundle, "--format", "jsonl", "--timeline", "--adapt", "--quiet"]
    whole, out = tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    assert thymos("predict", folder, *words, "--out", whole).exit_code == 0
    recognizer = load(bundle)
    files = sorted(folder.glob("*/*"))
    decides = {"model": recognizer.bundle.about.sha256, "timeline": True, "keeps": "what was heard"}
    with Journal(out, decides) as journal:
        for path, heard in zip(files[:4], recognizer.listen_many(files[:4], True), strict=True):
            entry = heard.to_dict()  # type: ignore[union-attr]
            journal.add(key_of(path), entry | ({"duration_s": 77.125} if path == files[0] else {}))
    marked = journal.path.read_text()
    assert thymos("predict", folder, *words, "--out", out).exit_code == 0
    first, *rest = out.read_text().splitlines()
    assert json.loads(first)["duration_s"] == 77.125, "what is done is not heard again"
    assert rest == whole.read_text().splitlines()[1:]
    true_s = json.loads(whole.read_text().splitlines()[0])["duration_s"]
    assert true_s != 77.125 and not journal.path.exists()
    heard = next(recognizer.listen_many(files[:1], True))
    journal.path.write_text(marked.replace('"duration_s": 77.125', f'"duration_s": {heard.duration_s}') + '["torn')
    assert thymos("predict", folder, *words, "--out", out).exit_code == 0
    assert out.read_bytes() == whole.read_bytes()


def test_failures_beside_voices_that_are_adapted_to(bundle: Path, folder: Path, tmp_path: Path) -> None:
    words = [folder / "anna", tmp_path / "absent.wav", "--model", bundle, "--format", "jsonl", "--adapt", "--quiet"]
    done = thymos("predict", *words)
    assert done.exit_code == 1 and "4 of 5 recordings were heard" in done.stderr
    told = rows(done)
    assert told[-1].keys() == {"file", "error"} and told[:-1] == rows(thymos("predict", words[0], *words[2:]))


@pytest.mark.slow
def test_explanations_are_drawn_of_the_voice(bundle: Path, folder: Path, tmp_path: Path) -> None:
    clips = sorted((folder / "anna").iterdir())[:2]
    words = ["--model", bundle, "--adapt", "--format", "jsonl", "--explain", "--explain-out", tmp_path, "--quiet"]
    done = thymos("predict", *clips, *words)
    assert done.exit_code == 0, done.output
    for row in rows(done):
        assert f"{row['file']}: {row['emotion']} {row['probabilities'][row['emotion']]:.2f}" in done.stderr
    assert len(list(tmp_path.glob("*.png"))) == 2


def listen(bundle: Path, content: bytes, *words: object) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "thymos", "listen", "--rate", "24000", "--model", str(bundle), *map(str, words)]
    return subprocess.run(command, input=content, capture_output=True, timeout=300)


@pytest.mark.slow
def test_listening_to_a_voice_and_getting_to_know_one(bundle: Path, folder: Path, enrolled: Path) -> None:
    clips = [read_waveform(path) for path in sorted((folder / "anna").iterdir())]
    assert {clip.rate_hz for clip in clips} == {24_000}
    pcm = (np.concatenate([clip.samples for clip in clips]) * 32_767).astype("<i2")
    recognizer = load(bundle)
    voice = find_voice("anna", enrolled)
    hop_s = recognizer.bundle.about.hop_s
    by_voice = listen(bundle, pcm.tobytes(), "--hop", hop_s, "--voice", "anna", "--voices", enrolled)
    assert (by_voice.returncode, by_voice.stderr) == (0, b"")
    windows = recognizer.for_voice(voice).timeline((pcm, 24_000)).windows
    told = [json.loads(line) for line in by_voice.stdout.splitlines()]
    assert [row["probabilities"] for row in told] == [window.to_dict()["probabilities"] for window in windows]
    assert {row["voice"] for row in told} == {"anna"}
    adapted = listen(bundle, pcm.tobytes(), "--hop", hop_s, "--adapt")
    assert adapted.returncode == 0
    with recognizer.stream(24_000, adapt=True) as stream:
        expected = [window.to_dict()["probabilities"] for window in (*stream.feed(pcm), *stream.close())]
    told = [json.loads(line) for line in adapted.stdout.splitlines()]
    assert [row["probabilities"] for row in told] == expected and "voice" not in told[0]


@pytest.mark.slow
def test_a_model_for_a_room_hears_everybody_as_that_voice(
    bundle: Path, make_bundle, folder: Path, tmp_path: Path
) -> None:
    conformal = ConformalAbout(coverage=0.8, threshold=0.6, rows=11)
    adaptation = AdaptationAbout(temperature=1.7, conformal=conformal).model_dump(mode="json")
    model = make_bundle(tmp_path / "calibrated", adaptation=adaptation)
    for source in (bundle, model):
        out = tmp_path / f"{source.name}-room"
        words = ["adapt", folder / "anna", "--model", source, "--out", out, "--quiet"]
        done = thymos(*words)
        assert done.exit_code == 0, done.output
        before, room = load(source), load(out)
        known = before.enrol(sorted((folder / "anna").iterdir()))
        offset = known.offset(before.space)
        for clip in sorted((folder / "ben").iterdir()):
            one, other = room.predict(clip, True), before.for_voice(known).predict(clip, True)
            assert one.probabilities is not None and other.probabilities is not None
            assert one.probabilities == pytest.approx(other.probabilities, abs=1e-4)
            assert one.prediction_set == other.prediction_set and one.flags == other.flags
        about = json.loads((out / "model.json").read_text())
        assert about["name"] == "toy-adapted" and about["scores"] == []
        assert about["adapted_to"] == {
            "clips": 4,
            "speech_s": round(known.speech_s, 3),
            "variety": round(offset.variety, 3),
            "model": {"name": "toy", "version": "7", "sha256": before.bundle.digest},
        }
        # Its space is moved: what was taken out is not there to be taken out again.
        np.testing.assert_allclose(room.space.origin, before.space.origin + offset.values, rtol=1e-6)
        again = room.enrol(sorted((folder / "anna").iterdir())).coordinates
        np.testing.assert_allclose(again, known.coordinates - offset.values, atol=1e-3)
    assert "4 clips, " in thymos("models", out).stdout and "toy 7 before" in thymos("models", out).stdout
    assert "adapted to" not in thymos("models", source).stdout
    own = thymos("adapt", folder / "anna", "--model", source, "--out", source, "--quiet")
    assert "choose another --out" in str(own.exception) and load(source).name == "toy 7"
    other = thymos("adapt", folder / "anna", "--model", source, "--out", folder, "--quiet")
    assert "no part of a model; choose another --out" in str(other.exception)


@pytest.mark.slow
def test_enrolling_and_adapting_need_no_training_stack(bundle: Path, folder: Path, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "for name in ('torch', 'pandas', 'scipy', 'sklearn', 'matplotlib', 'yaml', 'onnx', 'safetensors'):\n"
        "    sys.modules[name] = None\n"
        "sys.argv[0] = 'thymos'; from thymos.cli import main; main()"
    )
    for words in (
        ["enrol", "anna", folder / "anna", "--voices", tmp_path / "voices", "--model", bundle],
        ["voices", "--voices", tmp_path / "voices"],
        ["adapt", folder / "anna", "--out", tmp_path / "room", "--model", bundle],
    ):
        done = subprocess.run([sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
