"""Hostile files, in a small form; ``make fuzz`` is the full one, with 50 000 and by the command line, too."""

import importlib
import json
import os
import resource
import struct
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

FUZZ = Path(__file__).with_name("fuzz.py")
CLIP = FUZZ.parents[2] / "data" / "mini-aesdd" / "anger" / "a05 (2).opus"
FILES, BY_COMMANDS = 260, 60


def test_hostile_files_are_answered_or_refused_in_time_and_in_memory(tmp_path):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [
            *(sys.executable, FUZZ, "--files", str(FILES), "--commands", str(BY_COMMANDS), "--quiet"),
            *("--out", tmp_path / "failed", "--results", tmp_path / "results"),
        ],
        capture_output=True,
        text=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(done.stdout, f"{after.ru_utime - before.ru_utime:.0f} s of processor time")
    assert done.returncode == 0, done.stdout + done.stderr[-2_000:]
    assert done.stdout.startswith(f"{FILES} files in ")
    for outcome in ("answer", "none heard", "refused"):
        assert f" {outcome}" in done.stdout, "all kinds of ends are among them"
    assert f"{BY_COMMANDS} files by 1 commands: " in done.stdout
    told = json.loads((tmp_path / "results" / "fuzz.json").read_text())
    assert told["files"] == FILES and not told["failures"] and not told["commands"]["problems"]
    assert sum(kind["files"] for kind in told["kinds"].values()) == FILES
    assert "--results" not in told["command"] and f"--files {FILES}" in told["command"]
    assert f"| {told['kinds']['WAV']['files']} |" in (tmp_path / "results" / "fuzz.md").read_text()


KINDS = 11


def test_hostile_clients_are_answered_or_closed_and_cost_the_server_nothing(tmp_path):
    for library in ("httpx", "uvicorn", "websockets"):
        pytest.importorskip(library, reason=f"needs {library}, of the extras serve and dev")
    script, bodies = FUZZ.with_name("hostile_clients.py"), 60
    done = subprocess.run(
        [sys.executable, script, "--bodies", str(bodies), "--results", tmp_path], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2_000:]
    told = json.loads((tmp_path / "hostile-clients.json").read_text())
    assert len(told["kinds"]) == KINDS and not any(kind["problems"] for kind in told["kinds"])
    heard = told["kinds"][0]
    assert heard["clients"] == bodies and {"200", "422"} <= set(heard["outcomes"])
    assert told["kinds"][1]["outcomes"] == {"415": told["kinds"][1]["clients"]}
    table = (tmp_path / "hostile-clients.md").read_text()
    assert f"| mutated recordings | {bodies} |" in table and "nothing grew" in table


@pytest.fixture
def fuzzing(monkeypatch):
    monkeypatch.syspath_prepend(str(FUZZ.parent))
    return importlib.import_module


def test_a_killed_fuzz_goes_on_where_it_was(tmp_path, fuzzing):
    fuzz, given = fuzzing("fuzz"), {"seed": 1, "files": 3}
    journal = tmp_path / "cases.jsonl"
    assert fuzz.known_rows(journal, given) == []
    with journal.open("a") as lines:
        lines.write('{"number": 0}\n{"number": 1}\n{"num')
    assert fuzz.known_rows(journal, given) == [{"number": 0}, {"number": 1}]
    assert journal.read_text().endswith('{"number": 1}\n'), "what was half written is gone"
    assert fuzz.known_rows(journal, {"seed": 2, "files": 3}) == []


def test_files_are_forged_where_readers_look(fuzzing):
    structure, mutations = fuzzing("structure"), fuzzing("mutations")
    wave = mutations.wav(bytes(100), channels=1, rate_hz=8_000)
    assert [(part.name, part.start, part.stop) for part in structure.parts_of(wave)] == [
        (b"RIFF", 0, 12), (b"fmt ", 12, 36), (b"data", 36, 144),
    ]  # fmt: skip
    forged = bytearray(wave)
    rate = next(field for field in structure.fields_of(wave) if field.at == 24)
    structure.put(forged, rate, 0xFFFFFFFF)
    assert struct.unpack_from("<I", forged, 24) == (0xFFFFFFFF,)
    plain, _ = mutations.seeds(CLIP, False, 0.5)
    assert len({case.kind for case in plain}) >= 11
    for case in plain:
        parts = structure.parts_of(case.content)
        assert len(parts) >= 2 and parts[0].start == 0, case.name
        assert max(part.stop for part in parts) == len(case.content) or len(parts) == structure.MOST_PARTS, case.name
    vorbis = next(case for case in plain if case.kind == "Ogg Vorbis")
    assert structure.with_checksums(vorbis.content) == vorbis.content, "they were right already"


def test_a_number_that_is_none_is_found_wherever_it_is(fuzzing):
    wrong_with = fuzzing("fuzz").wrong_with
    assert wrong_with({"probabilities": {"fear": 0.25, "anger": 0.75}, "timeline": [{"start_s": 0.0}]}) is None
    assert wrong_with({"probabilities": None, "timeline": []}) is None
    assert "nan" in wrong_with({"timeline": [{"probability": float("nan")}]})
    assert wrong_with({"probabilities": {"fear": 0.5, "anger": 0.6}}).startswith("probabilities")


def test_the_fuzz_sees_what_it_is_there_to_see(tmp_path):
    """A recogniser that dies, hangs, takes memory, answers nonsense or raises what is no error of Thymos is told of."""
    package = tmp_path / "thymos"
    package.mkdir()
    (package / "errors.py").write_text("class ThymosError(Exception): pass\n")
    (package / "__init__.py").write_text(
        "import os, time\n"
        "from types import SimpleNamespace\n"
        "from thymos.errors import ThymosError\n"
        "count = 0\n"
        "def predict(source, timeline):\n"
        "    global count; count += 1\n"
        "    if count == 1: raise ThymosError('two\\nlines')\n"
        "    if count == 2: raise ValueError('x')\n"
        "    if count == 3: return heard('fear', {'fear': float('nan')})\n"
        "    if count == 4:\n"
        "        began = time.process_time()\n"
        "        while time.process_time() < began + 3.2: pass\n"
        "    if count == 5: b'x' * (1_100 << 20)\n"
        "    if count == 6: os.abort()\n"
        "    return heard(None, None)\n"
        "def heard(emotion, said):\n"
        "    told = {'probabilities': said}\n"
        "    return SimpleNamespace(emotion=emotion, probabilities=said, to_dict=lambda: told)\n"
        "def load(threads): return SimpleNamespace(predict=predict)\n"
    )
    code = (
        "import json, sys; sys.path.insert(0, sys.argv.pop(1)); import fuzz; fuzz.MOST_CPU_S = 3\n"
        "rows = fuzz.watch(0, 12, False)\n"
        "print(json.dumps([[row['outcome'] for row in rows], [row['problem'] for row in rows]]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(FUZZ.parent)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )
    outcomes, failures = json.loads(done.stdout.splitlines()[-1])
    assert len(outcomes) == 12 and outcomes.count("no answer") == 2
    for first in (0, 6):  # another child goes on where one has died
        words = failures[first : first + 6]
        assert "two" in words[0] and words[1] == "ValueError('x')" and "nan" in words[2]
        assert words[3].startswith("took 3") and " MB" in words[4] and words[5] == "the process ended with -6"
