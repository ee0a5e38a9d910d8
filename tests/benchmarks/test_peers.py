"""The benchmark beside peers: arithmetic, page, processes, and a small run. Nothing is said about how fast that is."""

import importlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import thymos

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
MACHINE = {
    "date": "2026-01-01 00:00 UTC",
    "processor": "A | B",
    "cores": 4,
    "memory_gb": 8.0,
    "system": "Linux x86_64",
    "load_average": 0.1,
    "versions": {"python": "3.11.1"},
}
FACTS = {"threads": 1, "quick": False, "model": "toy 1", "wall_s": 60.0}


@pytest.fixture(scope="module")
def peers() -> Iterator[SimpleNamespace]:
    """The benchmark's modules, which find each other as they do for a script."""
    names = ("jobs", "page", "run")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "benchmarks" / "peers"))
        yield SimpleNamespace(**{name: importlib.import_module(name) for name in names})
    for name in names:
        del sys.modules[name]


@pytest.fixture(scope="module")
def rows(mini: Path, peers: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> list:
    """All rows of a run at the smallest settings, beside a peer that is here and two that are not."""
    absent = tmp_path_factory.mktemp("absent")
    for library in ("opensmile", "transformers"):
        (absent / f"{library}.py").write_text(f"raise ModuleNotFoundError('No module named {library}')")
    plan = peers.run.Plan(starts=1, clips_s=4.0, budget_s=0.0, least=2, hops=3, hop_s=0.5, lengths_s=(31.0, 60.0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(absent), prepend=os.pathsep)
        names = ("silero-vad", "opensmile-egemaps", "wavlm-large")
        model, measured = peers.run.measure([str(mini / "anger")], plan, names, None)
    assert model == thymos.load().name
    return measured


def test_every_row_is_measured_or_says_what_is_missing(rows, peers):
    install = peers.run.INSTALL
    assert {row.name: row.missing for row in rows} == {
        peers.page.OTHER_ANSWER: f"not installed: transformers ({install})",
        "Python itself": None,
        peers.page.IMPORT: None,
        peers.page.COMMAND: None,
        peers.page.OWN: None,
        "Silero VAD": None,
        "openSMILE eGeMAPSv02": f"not installed: opensmile ({install})",
        "WavLM LARGE": f"not installed: transformers ({install})",
        "hop of 0.5 s": None,
        "31 s": None,
        "1 min": None,
    }
    for row in rows:
        if row.missing is None:
            assert row.repeats >= 1 and row.median_ms > 0 and 5 < row.peak_mb < 8000
            assert (row.real_time is None) == (row.part not in ("files", "long"))


def test_what_takes_more_work_takes_more(rows, peers):
    by_name = {row.name: row for row in rows}
    assert 0 < by_name[peers.page.IMPORT].cpu_ms < by_name[peers.page.COMMAND].cpu_ms
    own, vad = by_name[peers.page.OWN], by_name["Silero VAD"]
    assert own.real_time_cpu < vad.real_time_cpu, "the VAD is a part of the whole"
    assert vad.thymos_is == pytest.approx(own.real_time / vad.real_time) and own.thymos_is is None
    assert "speech in 100% of the files" in own.note
    assert [by_name[name].sound_s for name in ("31 s", "1 min")] == [31.0, 60.0]


def test_a_row_is_for_a_second_of_sound(peers):
    row = peers.page.measurement("files", "Thymos", [0.1, 0.4], [0.05, 0.2], [1.0, 2.0])
    assert row.median_ms == pytest.approx(150) and row.cpu_ms == pytest.approx(75)
    assert row.real_time == pytest.approx(6) and row.real_time_cpu == pytest.approx(12)
    hundred = peers.page.measurement("stream", "hop", [i / 1000 for i in range(1, 102)], [0.0] * 101)
    assert (hundred.median_ms, hundred.p95_ms, hundred.p99_ms) == pytest.approx((51, 96, 100))


def test_a_peer_is_so_many_times_as_slow_by_clock_and_by_cpu(peers):
    own, peer = (
        peers.page.measurement("files", name, [wall], [cpu], [1.0])
        for name, wall, cpu in (("Thymos", 0.1, 0.1), ("peer", 0.8, 0.4))
    )
    compared = peers.page.beside(own, peer)
    assert (compared.thymos_is, compared.thymos_is_cpu) == pytest.approx((8, 4))
    assert "| 8.0 × | 4.0 × |" in peers.page.markdown(MACHINE, FACTS, [own, compared])
    missing = peers.page.Measurement("files", "peer", missing="not installed: x")
    assert peers.page.beside(own, missing) is missing


def test_aims_are_met_or_not_by_what_was_measured(peers):
    def met(*rows) -> dict[str, bool]:
        return {what: is_met for what, *_, is_met in peers.page.aims(rows)}

    fast, slow = (peers.page.measurement("files", "Thymos", [wall], [wall], [1.0]) for wall in (0.004, 0.006))
    assert met(fast) == {"whole files, one core": True} and met(slow) == {"whole files, one core": False}
    short, flat, growing = (
        peers.page.measurement("long", name, [s / 100], [s / 100], [s], peak)
        for name, s, peak in (("10 min", 600.0, 150.0), ("10 h", 36000.0, 160.0), ("10 h", 36000.0, 200.0))
    )
    assert all(met(short, flat).values()) and len(met(short, flat)) == 3
    assert not met(short, growing)["its memory beside the shortest file's"]
    assert met() == {}


def test_the_page_keeps_what_is_around_its_marks_and_says_what_the_file_says(peers, tmp_path):
    begin, end = peers.page.BEGIN, peers.page.END
    rows = [
        peers.page.measurement("start", peers.page.IMPORT, [0.05], [0.04], note="a | b"),
        peers.page.Measurement("files", "A peer", missing="not installed: x"),
    ]
    page = tmp_path / "speed.md"
    page.write_text(f"before {begin}\nold\n{end} after")
    peers.page.write(tmp_path, MACHINE, FACTS, rows)
    text = page.read_text()
    assert text.startswith(f"before {begin}\n- A | B, 4 cores, 8 GB of memory") and text.endswith(f"{end} after")
    assert "| import thymos | 0.050 | – | 0.040 | – | 1 | a \\| b |" in text and "old" not in text
    assert "| A peer | – | – | – | – | – | – | – | – | not installed: x |" in text
    assert json.loads((tmp_path / "speed.json").read_text())["rows"][1]["missing"] == "not installed: x"
    page.unlink()
    peers.page.write(tmp_path, MACHINE | {"load_average": 9.0}, FACTS, rows)
    assert page.read_text().count("The machine was busy") == 1 and "busy" not in text


def test_the_page_in_the_documents_has_the_marks(peers):
    text = (ROOT / "docs" / "speed.md").read_text(encoding="utf-8")
    assert text.count(peers.page.BEGIN) == text.count(peers.page.END) == 1


def test_a_process_is_timed_and_its_failure_named(peers):
    sleeping = peers.run.run([sys.executable, "-c", "import time; time.sleep(0.5); print('done')"])
    assert sleeping.wall_s >= 0.5 and sleeping.cpu_s < 0.5 and sleeping.stdout == "done\n"
    with pytest.raises(peers.run.JobError, match="failed: ValueError: so it is"):
        peers.run.run([sys.executable, "-c", "raise ValueError('so it is')"])


def test_an_unknown_peer_is_refused(peers, capsys):
    with pytest.raises(SystemExit):
        peers.run.parse_arguments(["--peers", "silero-vad,nobody"])
    assert "not nobody" in capsys.readouterr().err
    assert peers.run.parse_arguments(["--peers", "none"]).peers == []


@pytest.mark.parametrize(
    "shape", ["wav2vec2-base", "wav2vec2-large-12", "hubert-large", "wavlm-large", "whisper-small"]
)
def test_networks_have_the_published_size(peers, shape):
    pytest.importorskip("transformers")
    with torch.device("meta"):
        network = peers.jobs.make_network(shape)
    millions = sum(parameter.numel() for parameter in network.parameters()) / 1e6
    assert millions == pytest.approx(peers.jobs.SHAPES[shape][-1], rel=0.01)
