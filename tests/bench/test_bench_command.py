"""``thymos bench --quick`` as a user runs it, on the synthetic corpus. Nothing is said about how fast that is."""

import json
import os
import subprocess
import sys
import venv
from pathlib import Path
from types import SimpleNamespace

import pytest

from thymos.bench.child import NotInstalledError, run_job
from thymos.bench.plan import EGEMAPS, PEERS, QUICK, SILERO
from thymos.bench.report import COMMAND, IMPORT, OWN, TORCH_ANSWER, Report
from thymos.bench.tables import BEGIN, END, all_cells

BEFORE, AFTER = "# Speed\n\nWords before.\n\n", "\n\nWords after.\n"


def thymos(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "thymos", *map(str, words)], capture_output=True, text=True)


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python that has no libraries at all."""
    folder = tmp_path_factory.mktemp("bare") / "venv"
    venv.create(folder, with_pip=False)
    return folder / ("Scripts" if os.name == "nt" else "bin") / "python"


@pytest.fixture(scope="module")
def ran(mini: Path, bare_python: Path, tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """A quick run into a folder whose page has marks, beside a peer that is there and one that is not."""
    out = tmp_path_factory.mktemp("out")
    (out / "speed.md").write_text(f"{BEFORE}{BEGIN}\nold\n{END}{AFTER}")
    peers = ("--peers", f"{SILERO},{EGEMAPS}", "--peer-python", bare_python)
    done = thymos("bench", mini, "--quick", "--quiet", *peers, "--out", out)
    assert done.returncode == 0, done.stderr
    return SimpleNamespace(
        done=done,
        page=(out / "speed.md").read_text(),
        report=Report.model_validate(json.loads((out / "speed.json").read_text())),
    )


def test_it_measures_starts(ran):
    rows = {row.name: row for row in ran.report.rows if row.part == "start"}
    assert [rows[name].missing for name in (IMPORT, COMMAND, TORCH_ANSWER)] == [None, None, None]
    assert {row.repeats for row in rows.values()} == {QUICK["starts"]}
    # Each does what the one before does, and more.
    for less, more in ((IMPORT, COMMAND), (COMMAND, TORCH_ANSWER)):
        assert 0 < rows[less].cpu_ms < rows[more].cpu_ms
        assert 5 < rows[less].peak_mb < rows[more].peak_mb < 2000
    for row in rows.values():
        assert row.cpu_ms <= 1.2 * row.p95_ms + 20, "one core cannot work longer than the clock runs"


def test_it_measures_whole_files_beside_peers_and_names_those_that_are_missing(ran):
    rows = {row.name: row for row in ran.report.rows if row.part == "files"}
    own, gate, smile = rows[OWN], rows[PEERS[SILERO]], rows[PEERS[EGEMAPS]]
    assert smile.missing == "not installed: opensmile" and smile.real_time is None
    assert ran.report.times_as_fast(smile) is None
    assert "speech in 100% of the files" in own.note
    assert own.real_time < gate.real_time, "the gate is a part of the whole"
    for row in (own, gate):
        assert row.repeats >= 1 and row.sound_s > row.repeats
        assert row.median_ms <= row.p95_ms
        assert row.median_ms == pytest.approx(1000 / row.real_time, rel=0.9)
        assert row.real_time <= 1.2 * row.real_time_cpu
    assert ran.report.times_as_fast(gate) == pytest.approx(own.real_time / gate.real_time)


def test_it_measures_a_stream_and_long_files(ran):
    (stream,) = (row for row in ran.report.rows if row.part == "stream")
    # Windows of 5 s that end every half second, of which the first ends no hop.
    assert 0 < stream.repeats <= (stream.sound_s - 5) / 0.5
    assert stream.median_ms <= stream.p95_ms
    lengths = [row for row in ran.report.rows if row.part == "long"]
    assert [row.sound_s for row in lengths] == pytest.approx(list(QUICK["lengths_s"]))
    assert all(row.peak_mb > 30 for row in lengths)


def test_it_measures_the_install(ran):
    (row,) = (row for row in ran.report.rows if row.part == "install")
    assert 50 < row.disk_mb < 1000
    assert "onnxruntime" in row.note and "torch" not in row.note


def test_the_page_says_what_the_file_says_and_keeps_what_is_around_the_marks(ran):
    assert ran.page.startswith(f"{BEFORE}{BEGIN}\n") and ran.page.endswith(f"{END}{AFTER}")
    assert "old" not in ran.page.partition(BEGIN)[2].split()
    for cells in all_cells(ran.report):
        assert f"### {cells.title}" in ran.page
        for row in cells.rows:
            assert len(row) == len(cells.heads)
            assert "| " + " | ".join(row) + " |" in ran.page
    assert ran.report.machine.processor in ran.page and "A quick run" in ran.page


def test_the_terminal_shows_the_same_numbers(ran):
    for row in ran.report.rows:
        if row.part == "files" and row.real_time:
            assert f" {row.repeats} " in ran.done.stdout and f" {row.peak_mb:.0f} " in ran.done.stdout
    assert "not installed" in ran.done.stdout
    assert "Load average" in ran.done.stderr


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--peers", "whisper"), "not whisper"),
        (("--threads", "4096"), "more than the"),
        (("--peer-python", "no-such-python"), "is no program"),
        (("no-such-folder",), "no-such-folder does not exist"),
    ],
)
def test_a_wrong_call_is_one_sentence(words, says):
    done = thymos("bench", "--quick", "--quiet", *words)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and says in done.stderr


@pytest.mark.parametrize("module", ["torch_peers", "torch_way"])
def test_without_torch_its_rows_name_it(module, tmp_path, monkeypatch):
    (tmp_path / "torch.py").write_text("raise ModuleNotFoundError('No module named torch')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(NotInstalledError, match="not installed: torch"):
        run_job(module, {}, 1)


def test_what_the_light_install_runs_needs_no_torch():
    code = "import sys, thymos.bench.measure, thymos.bench.tables, thymos.bench.own_jobs; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"torch", "pandas", "scipy", "sklearn", "matplotlib", "yaml", "safetensors"} & set(loaded)
