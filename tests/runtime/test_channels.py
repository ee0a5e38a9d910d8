"""Channels of a recording: all as one, each by itself, or one alone; from Python and from the command line."""

import io
import json

import numpy as np
import pytest
import soundfile

from thymos.audio import read_waveform
from thymos.errors import ArgumentError, AudioError

PAUSE_S = 2.0


@pytest.fixture(scope="module")
def call(mini, tmp_path_factory):
    """A call: who speaks first is on the left, who answers on the right; and either alone."""
    first, second = (read_waveform(sorted(mini.glob(f"{word}/*"))[0]) for word in ("anger", "sadness"))
    rate_hz = first.rate_hz
    pause = np.zeros(round(PAUSE_S * rate_hz), np.float32)
    left = np.concatenate([first.samples, pause, 0 * second.samples])
    right = np.concatenate([0 * first.samples, pause, second.samples])
    path = tmp_path_factory.mktemp("calls") / "call.wav"
    soundfile.write(path, np.stack([left, right], 1), rate_hz, "FLOAT")
    return path, left, right, rate_hz


def test_channels_are_mixed_and_told_apart_or_taken_alone(call, recognizer):
    path, left, right, rate_hz = call
    mixed = recognizer.predict(path)
    assert "mixed_channels" in mixed.flags
    agent, customer = recognizer.predict(path, timeline=True, channels="split")
    for number, own, samples in ((1, agent, left), (2, customer, right)):
        alone = recognizer.predict((samples, rate_hz), timeline=True)
        assert own == alone == recognizer.predict(path, timeline=True, channels=number)
        assert "mixed_channels" not in own.flags
    spoken = [[at for at in own.timeline.stretches if at.emotion] for own in (agent, customer)]
    assert spoken[0][-1].end_s < spoken[1][0].start_s, "who speaks first stops before the other begins"
    assert mixed.speech_s == pytest.approx(agent.speech_s + customer.speech_s, abs=0.3)


def test_bytes_files_and_arrays_have_channels_too(call, recognizer):
    path, left, right, rate_hz = call
    expected = recognizer.predict(path, channels="split")
    for source in (path.read_bytes(), io.BytesIO(path.read_bytes()), (np.stack([left, right], 1), rate_hz)):
        assert recognizer.predict(source, channels="split") == expected


@pytest.mark.parametrize("wrong", ["left", 0, -1, None, True, 1.5])
def test_what_is_no_channel_is_refused(call, recognizer, wrong):
    with pytest.raises(ArgumentError, match="channels are mix, split, or the number of one from 1, not"):
        recognizer.predict(call[0], channels=wrong)
    with pytest.raises(AudioError, match="has 2 channels, so there is no channel 3"):
        recognizer.predict(call[0], channels=3)


@pytest.mark.slow
def test_the_command_line_names_channels_in_every_format(call, bundle, thymos_here, tmp_path):
    path = call[0]
    words = ["predict", str(path), "--channels", "split", "--model", str(bundle)]
    rows = [json.loads(line) for line in thymos_here(*words, "--format", "jsonl").stdout.splitlines()]
    assert [row["channel"] for row in rows] == [1, 2]
    assert [row["file"] for row in rows] == [f"{path}#channel=1", f"{path}#channel=2"]
    for format in ("table", "csv"):
        said = thymos_here(*words, "--format", format).stdout
        assert "call.wav#channel=1" in said and "call.wav#channel=2" in said
    assert thymos_here(*words, "--format", "srt", "--out", str(tmp_path / "srt")).returncode == 0
    assert sorted(each.name for each in (tmp_path / "srt").iterdir()) == ["call.channel1.srt", "call.channel2.srt"]


@pytest.mark.slow
def test_the_command_line_says_what_was_done_and_hears_one_channel(call, mini, bundle, thymos_here, tmp_path):
    mono = sorted(mini.glob("*/*"))[0]
    done = thymos_here("predict", str(call[0]), str(mono), "--model", str(bundle))
    assert "mixed_channels: channels that differ were mixed; --channels split hears each by itself (1 of 2)" in (
        " ".join(done.stderr.split())
    )
    done = thymos_here("predict", str(call[0]), str(mono), "--channels", "2", "--model", str(bundle))
    assert done.returncode == 1 and "has 1 channel, so there is no channel 2" in " ".join(done.stderr.split())
    done = thymos_here("predict", str(call[0]), str(mono), "--channels", "split", "--model", str(bundle))
    assert done.returncode == 0 and f"{mono}#" not in done.stdout.replace("\n", ""), "one channel is no part of it"
    assert thymos_here("predict", str(mono), "--channels", "left").returncode == 2


def test_a_killed_run_does_not_take_one_channel_for_the_other(call, bundle, thymos_here, tmp_path, monkeypatch):
    """What is heard is kept by channel."""
    from thymos.cli.inputs import by_channel, find_recordings
    from thymos.cli.rows import _key

    keys = {_key(each) for each in by_channel(find_recordings([str(call[0])]), "split")}
    assert len(keys) == 2 and None not in keys
