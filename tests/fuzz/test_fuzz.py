"""Hostile files, in a small form; ``make fuzz`` is the full one."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

FUZZ = Path(__file__).with_name("fuzz.py")
FILES = 260


def test_hostile_files_are_answered_or_refused_in_time_and_in_memory(tmp_path):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, FUZZ, "--files", str(FILES), "--quiet", "--out", tmp_path / "failed"],
        capture_output=True,
        text=True,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(done.stdout, f"{after.ru_utime - before.ru_utime:.0f} s of processor time")
    assert done.returncode == 0, done.stdout + done.stderr[-2_000:]
    assert done.stdout.startswith(f"{FILES} files in ")
    for outcome in ("answer", "none heard", "refused"):
        assert f" {outcome}" in done.stdout, "all kinds of ends are among them"


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
        "    if count == 3: return SimpleNamespace(emotion='fear', probabilities={'fear': float('nan')})\n"
        "    if count == 4:\n"
        "        began = time.process_time()\n"
        "        while time.process_time() < began + 3.2: pass\n"
        "    if count == 5: b'x' * (1_100 << 20)\n"
        "    if count == 6: os.abort()\n"
        "    return SimpleNamespace(emotion=None, probabilities=None)\n"
        "def load(threads): return SimpleNamespace(predict=predict)\n"
    )
    code = (
        "import json, sys; sys.path.insert(0, sys.argv.pop(1)); import fuzz; fuzz.MOST_CPU_S = 3\n"
        "outcomes, failures, slowest, largest = fuzz.watch(0, 12, False)\n"
        "print(json.dumps([dict(outcomes), failures]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(FUZZ.parent)],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
    )
    outcomes, failures = json.loads(done.stdout.splitlines()[-1])
    assert sum(outcomes.values()) == 12 and outcomes["no answer"] == 2
    for first in ("0", "6"):  # another child goes on where one has died
        words = [failures[str(int(first) + number)] for number in range(6)]
        assert "two" in words[0] and words[1] == "ValueError('x')" and "nan" in words[2]
        assert words[3].startswith("took 3") and " MB" in words[4] and words[5] == "the process ended with -6"
