"""``thymos predict`` and files of the extra ``media``: found in folders, heard with it, named without it."""

import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

from thymos.audio import read_waveform
from thymos.cli.inputs import find_recordings

av = pytest.importorskip("av")

WITHOUT_PYAV = (
    "import sys; from importlib import util; found = util.find_spec\n"
    "util.find_spec = lambda name, *more: None if name == 'av' else found(name, *more)\n"
)
PREDICT = "import sys; sys.argv[0] = 'thymos'; from thymos.cli import main; main()"


@pytest.fixture
def folder(mini: Path, tmp_path: Path) -> Path:
    """A clip as it is, as M4A and in a video."""
    clip = sorted(mini.glob("*/*"))[0]
    waveform = read_waveform(clip)
    for name, muxer, codec in (("a.m4a", "ipod", "aac"), ("b.MKV", "matroska", "pcm_s16le")):
        target = io.BytesIO()
        with av.open(target, "w", format=muxer) as container:
            stream = container.add_stream(codec, rate=waveform.rate_hz, layout="mono")
            frame = av.AudioFrame.from_ndarray(waveform.samples[None], "fltp", "mono")
            frame.sample_rate = waveform.rate_hz
            fitting = av.AudioResampler(stream.codec_context.format, "mono", waveform.rate_hz)
            for part in [*fitting.resample(frame), *fitting.resample(None)]:
                container.mux(stream.encode(part))
            container.mux(stream.encode(None))
        (tmp_path / name).write_bytes(target.getvalue())
    (tmp_path / "c.opus").write_bytes(clip.read_bytes())
    (tmp_path / "d.ts").write_text("const typescript = true\n")
    return tmp_path


def predict(before: str, *words: str | Path) -> tuple[int, list[dict], str]:
    command = [sys.executable, "-c", before + PREDICT, "predict", *map(str, words), "--format", "jsonl"]
    done = subprocess.run(command, capture_output=True, text=True)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr


def test_folders_are_searched_for_them_too(folder):
    assert [recording.path.name for recording in find_recordings([str(folder)])] == ["a.m4a", "b.MKV", "c.opus"]


@pytest.mark.slow
def test_with_the_extra_the_same_is_heard_in_every_format(folder):
    code, rows, _ = predict("", folder)
    assert code == 0 and len(rows) == 3
    m4a, mkv, opus = (row["probabilities"] for row in rows)
    for word, probability in opus.items():
        assert mkv[word] == pytest.approx(probability, abs=0.03)  # 16 bits of the very samples
        assert m4a[word] == pytest.approx(probability, abs=0.3)  # encoded once more


@pytest.mark.slow
def test_without_it_each_is_a_failure_that_names_the_extra(folder):
    code, rows, told = predict(WITHOUT_PYAV, folder)
    assert code == 1 and "1 of 3 recordings were heard" in told
    words = "which needs PyAV to be decoded: pip install 'thymos[media]'"
    assert [row.get("error") for row in rows] == [f"is M4A, {words}", f"is Matroska, {words}", None]
    assert rows[2]["emotion"]
