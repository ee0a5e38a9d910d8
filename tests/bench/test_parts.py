"""The parts of the benchmark: processes, made sound, arithmetic, tables, and the peers' shapes."""

import io
import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from rich.console import Console

from thymos.bench.child import BenchError, NotInstalledError, run_child
from thymos.bench.machine import Machine, peak_memory_mb, this_machine
from thymos.bench.published_shapes import SHAPES, Shape, SpeechTransformer, _buckets
from thymos.bench.report import IMPORT, OWN, Report, Row, aims, timed_row
from thymos.bench.sound import RATE_HZ, RepeatedWav, joined, make_clips
from thymos.bench.tables import BEGIN, END, headline, markdown, rich_tables, write_report

MACHINE = Machine(
    date="2026-01-01 00:00 UTC",
    processor="A | B",
    cores=4,
    memory_gb=8.0,
    system="Linux x86_64",
    load_average=0.1,
    versions={"python": "3.11.1"},
)


def report(*rows, load_average: float = 0.1) -> Report:
    machine = MACHINE.model_copy(update={"load_average": load_average})
    return Report(machine=machine, threads=1, quick=False, model="toy 1", wall_s=60.0, rows=rows)


def test_a_child_has_its_cores_and_threads_and_the_parent_keeps_its_own():
    code = "import os; print(os.environ['OMP_NUM_THREADS'], len(getattr(os, 'sched_getaffinity', lambda _: [0])(0)))"
    before = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None
    assert run_child([sys.executable, "-c", code], 1).stdout.split() == ["1", "1"]
    if before is not None:
        assert os.sched_getaffinity(0) == before


def test_a_child_is_timed_by_clock_and_processor():
    sleeping = run_child([sys.executable, "-c", "import time; time.sleep(0.5)"], 1)
    assert sleeping.wall_s >= 0.5 and sleeping.cpu_s < 0.5
    code = "import time\nwhile time.process_time() < 0.4: pass"
    assert 0.4 <= run_child([sys.executable, "-c", code], 1).cpu_s < 1


def test_a_failing_child_says_why():
    with pytest.raises(BenchError, match="ended with 1: ValueError: so it is"):
        run_child([sys.executable, "-c", "raise ValueError('so it is')"], 1)
    with pytest.raises(NotInstalledError, match="not installed: smile"):
        run_child([sys.executable, "-c", "import smile"], 1)
    with pytest.raises(BenchError, match="could not be started"):
        run_child(["/no/such/program"], 1)
    before = time.monotonic()
    with pytest.raises(BenchError, match="took too long"):
        run_child([sys.executable, "-c", "import time; time.sleep(60)"], 1, longest_s=0.3)
    assert time.monotonic() - before < 30


def test_peak_memory_is_a_childs_own():
    """On Linux a process that was started by a large one is said to have been as large, if asked the usual way."""
    ballast = np.ones(40_000_000)  # 320 MB
    code = "from thymos.bench.machine import peak_memory_mb; print(peak_memory_mb())"
    assert 5 < float(run_child([sys.executable, "-c", code], 1).stdout) < 200 < peak_memory_mb()
    assert ballast[0] == 1


def test_this_machine_is_described():
    machine = this_machine()
    assert machine.processor and machine.cores >= 1 and machine.versions["numpy"] == np.__version__


def test_a_repeated_wav_is_a_file_of_its_length(tmp_path):
    samples = np.random.default_rng(0).integers(-32768, 32767, 1000, dtype=np.int16)
    wav = RepeatedWav(samples, RATE_HZ, 0.2)
    with soundfile.SoundFile(io.BufferedReader(wav)) as sound:
        assert (sound.samplerate, sound.frames, sound.channels) == (RATE_HZ, 8820, 1)
        heard = sound.read(dtype="int16")
        sound.seek(8000)
        assert np.array_equal(sound.read(dtype="int16"), heard[8000:])
    assert np.array_equal(heard, np.resize(samples, 8820))


def test_clips_are_flac_at_44_1_khz_of_the_length_that_was_asked_for(mini, tmp_path):
    clips = make_clips([str(mini / "anger")], 30, tmp_path)
    lengths = [soundfile.info(clip).duration for clip in clips]
    assert 30 <= sum(lengths) < 30 + max(lengths)
    assert {(soundfile.info(clip).format, soundfile.info(clip).samplerate) for clip in clips} == {("FLAC", RATE_HZ)}
    assert len(joined(clips)) == pytest.approx(sum(lengths) * RATE_HZ)


def test_few_recordings_are_heard_again_and_long_ones_cut(tmp_path, write_sound, make_tone):
    source = write_sound(tmp_path / "long.wav", make_tone(40.0))
    (tmp_path / "clips").mkdir()
    clips = make_clips([str(source)], 50, tmp_path / "clips")
    assert [soundfile.info(clip).duration for clip in clips] == [30, 30]
    with pytest.raises(BenchError, match="nowhere does not exist"):
        make_clips([str(tmp_path / "nowhere")], 1, tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(BenchError, match="no recordings"):
        make_clips([str(tmp_path / "empty")], 1, tmp_path)


def test_a_row_is_for_a_second_of_sound():
    row = timed_row("files", OWN, [0.1, 0.4], [0.05, 0.2], [1.0, 2.0])
    assert row.median_ms == pytest.approx(150) and row.cpu_ms == pytest.approx(75)
    assert row.real_time == pytest.approx(6) and row.real_time_cpu == pytest.approx(12)
    assert timed_row("start", IMPORT, [0.2], [None]).cpu_ms is None


def test_aims_are_met_or_not_by_what_was_measured():
    def met(*rows) -> dict[str, bool]:
        return {aim.what: aim.met for aim in aims(report(*rows))}

    fast, slow = (timed_row("files", OWN, [wall], [wall], [1.0]) for wall in (0.004, 0.006))
    assert met(fast) == {"whole files, one core": True} and met(slow) == {"whole files, one core": False}
    short, flat, growing = (
        timed_row("long", name, [s / 100], [s / 100], [s], peak)
        for name, s, peak in (("10 min", 600.0, 150.0), ("10 h", 36000.0, 160.0), ("10 h", 36000.0, 200.0))
    )
    assert all(met(short, flat).values()) and len(met(short, flat)) == 3
    assert not met(short, growing)["its memory beside the shortest file's"]
    assert met() == {}


def test_speed_beside_a_peer_is_by_clock_and_by_processor():
    own, peer = timed_row("files", OWN, [0.1], [0.1], [1.0]), timed_row("files", "peer", [0.8], [0.4], [1.0])
    both = report(own, peer)
    assert both.times_as_fast(peer) == pytest.approx(8) and both.times_as_fast(peer, by_cpu=True) == pytest.approx(4)
    assert both.times_as_fast(own) is None and report(peer).times_as_fast(peer) is None
    assert "| 8.0 × | 4.0 × |" in markdown(both)


def test_a_busy_machine_is_named():
    assert not any("busy" in line for line in headline(report()))
    assert any("busy" in line for line in headline(report(load_average=3.0)))


def test_a_page_without_marks_is_written_whole_and_one_with_marks_kept(tmp_path):
    first = report(timed_row("start", IMPORT, [0.05], [0.04]))
    write_report(first, tmp_path)
    page = tmp_path / "speed.md"
    assert page.read_text() == markdown(first)
    assert "| import thymos | 0.050 | – | 0.040 | – | 1 |  |" in page.read_text()
    page.write_text(f"a\n{BEGIN}\n{END}\nb\n")
    for row in (timed_row("start", IMPORT, [0.06], [0.04]), timed_row("start", IMPORT, [0.07], [0.04])):
        write_report(report(row), tmp_path)
    assert page.read_text() == f"a\n{BEGIN}\n{markdown(report(row))}{END}\nb\n"


def test_a_terminal_of_80_columns_shows_every_number_and_who_is_missing():
    own = timed_row("files", OWN, [0.123] * 4321, [0.1] * 4321, [1.0] * 4321, 1234.0)
    shown = io.StringIO()
    console = Console(file=shown, width=80)
    for table in rich_tables(report(own, Row(part="files", name="A peer's name", missing="not installed: opensmile"))):
        console.print(table)
    for text in (" 8.1 ", " 123 ", " 1234 ", " 4321 ", "A peer's name: not installed: opensmile"):
        assert text in shown.getvalue()


# The papers' Table 1 and text: 95 and 94.7, 316.6 million; trained checkpoints without pretraining's own parts.
@pytest.mark.parametrize(("name", "published"), [("wav2vec2-base", 95.0e6), ("wavlm-large", 316.62e6)])
def test_peers_have_the_published_size(name, published):
    with torch.device("meta"):
        network = SpeechTransformer(SHAPES[name])
    assert sum(parameter.numel() for parameter in network.parameters()) == pytest.approx(published, rel=0.01)


@pytest.mark.parametrize("style", [False, True])
def test_peers_make_a_frame_every_20_ms(style):
    network = SpeechTransformer(Shape(2, 32, 64, 4, norm_first=style, relative=style)).eval()
    with torch.inference_mode():
        assert network(torch.randn(2, 16_000)).shape == (2, 49, 32)


def test_relative_distances_fill_their_buckets():
    buckets = _buckets(1000)
    assert buckets.min() == 0 and buckets.max() == 319
    assert len(buckets[500, 420:581].unique()) == 161, "near distances are told apart"
    assert (buckets[0, 1:] >= 160).all() and (buckets[1:, 0] < 160).all(), "and directions"


def test_the_torch_way_gives_the_recognisers_answer(mini: Path, tmp_path: Path):
    from thymos.bench.torch_way import answer, stand_in
    from thymos.encoder.bundle_writer import read_recogniser, write_recogniser
    from thymos.runtime.bundle import shipped_folder
    from thymos.runtime.recognizer import load

    folder, note = stand_in(shipped_folder(), tmp_path / "stand-in")
    assert "random weights" in note
    recogniser, about = read_recogniser(folder)
    write_recogniser(tmp_path / "whole", recogniser, about)
    recognizer = load(tmp_path / "whole")
    for clip in sorted(mini.glob("*/*"))[::40]:
        assert answer(tmp_path / "whole", clip, 1) == recognizer.predict(clip).emotion
    assert stand_in(tmp_path / "whole", tmp_path / "unused")[0] == tmp_path / "whole", (
        "weights that are there are taken"
    )
