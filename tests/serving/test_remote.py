"""``thymos predict --server``: the same answers, heard elsewhere."""

import numpy as np
import pytest
import soundfile

from thymos.audio import read_waveform
from thymos.audio.conditioning import resample


@pytest.mark.parametrize("format", ["jsonl", "csv", "table"])
def test_a_server_answers_as_this_machine_does(server, clip, thymos_here, tmp_path, format):
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"no sound at all")
    words = ("predict", clip, bad, "--timeline", "--format", format, "--labels", "anger,fear")
    here, there = thymos_here(*words), thymos_here(*words, "--server", server.address)
    assert there.stdout == here.stdout and there.returncode == here.returncode == 1
    assert there.stderr == here.stderr


@pytest.mark.parametrize(
    "words", [("--channels", "split", "--shortest", "1"), ("--speakers", "2"), ("--vad-threshold", "0.9")]
)
def test_how_it_is_heard_is_passed_on(server, mini, thymos_here, tmp_path, words):
    files = [sorted(mini.glob(f"{emotion}/*"))[3] for emotion in ("anger", "sadness")]
    ends = [resample(read_waveform(path), 16_000).samples for path in files]
    soundfile.write(
        tmp_path / "call.wav", np.stack([end[: min(map(len, ends))] for end in ends], axis=1), 16_000, subtype="PCM_16"
    )
    words = ("predict", "call.wav", "--timeline", "--format", "jsonl", *words)
    here, there = thymos_here(*words), thymos_here(*words, "--server", server.address)
    assert there.stdout == here.stdout and there.returncode == here.returncode == 0, there.stderr
    assert len(here.stdout.splitlines()) == (1 if "--vad-threshold" in words else 2)


def test_a_file_a_recording_is_written(server, clip, thymos_here, tmp_path):
    done = thymos_here("predict", clip, "--format", "textgrid", "--out", "grids", "--server", server.address)
    assert done.returncode == 0
    (grid,) = (tmp_path / "grids").iterdir()
    assert grid.read_text() == thymos_here("predict", clip, "--format", "textgrid").stdout


@pytest.mark.slow
def test_what_is_wrong_with_the_call_is_one_sentence(server, serve, clip, thymos_here, monkeypatch):
    def said(*words) -> str:
        done = thymos_here("predict", clip, *words)
        assert done.returncode == 2, done.stderr
        return done.stderr

    assert "is no address of a server" in said("--server", "localhost")
    assert "http://127.0.0.1:9/ does not answer as a server: Connection refused" in said(
        "--server", "http://127.0.0.1:9"
    )
    assert "has no model 'nobody'; it has thymos, thymos-aesdd" in said("--server", server.address, "--model", "nobody")
    assert "'envy' is none of the labels" in said("--server", server.address, "--labels", "anger,envy")
    assert "without --voice, --adapt and --explain" in said("--server", server.address, "--adapt")
    guarded = serve("--workers", "1", "--token", "κωδικός εισόδου")
    assert "a token is needed" in said("--server", guarded.address)
    monkeypatch.setenv("THYMOS_TOKEN", "κωδικός εισόδου")
    assert thymos_here("predict", clip, "--server", guarded.address).returncode == 0
