"""Two voices in one channel: who speaks when, and what is heard in each."""

import json
from itertools import pairwise

import numpy as np
import pytest
import soundfile

from thymos.audio import read_waveform, resample
from thymos.runtime.speakers import RATE_HZ, predict_speakers, speaker_turns, two_clusters
from thymos.runtime.vad import FRAME_S, VadStream, speech_spans

PAUSE_S = 0.4
VOICES = (1, 4)


@pytest.fixture(scope="module")
def talk(mini, tmp_path_factory):
    """A conversation of two of the corpus's voices, in turns of two clips: its path, and the turns."""
    clips = [sorted(mini.glob(f"*/*({voice}).opus")) for voice in VOICES]
    parts, turns, at_s = [], [], 0.0
    for number in range(8):
        begins_s = at_s
        for path in clips[number % 2][number // 2 * 2 :][:2]:
            sound = resample(read_waveform(path), RATE_HZ).samples
            parts += [sound / np.abs(sound).max() / 2, np.zeros(round(PAUSE_S * RATE_HZ), np.float32)]
            at_s += len(sound) / RATE_HZ + PAUSE_S
        turns.append((begins_s, at_s - PAUSE_S, number % 2))
    path = tmp_path_factory.mktemp("talk") / "talk.wav"
    soundfile.write(path, np.concatenate(parts), RATE_HZ, "FLOAT")
    return path, turns


def told(turns, at_s) -> int | None:
    return next((voice for start_s, end_s, voice in turns if start_s <= at_s < end_s), None)


def spans_of(samples):
    vad = VadStream(RATE_HZ)
    vad.push(samples)
    vad.finish()
    return speech_spans(vad.probabilities())


@pytest.mark.slow
def test_who_speaks_when_is_found(talk):
    path, turns = talk
    samples = read_waveform(path).samples
    spans = spans_of(samples)
    found = speaker_turns(samples, spans)
    moments = [at for first, last in spans.tolist() for at in np.arange(first, last) * FRAME_S]
    both = [(told(turns, at), told(found, at)) for at in moments]
    right = np.mean([one == other for one, other in both if one is not None and other is not None])
    assert right > 0.95, "the first voice is the first, and few moments are the other's"
    assert all(start_s < end_s for start_s, end_s, _ in found)
    assert all(one[1] <= other[0] + 1e-9 for one, other in pairwise(found))
    assert speaker_turns(samples, spans) == found, "the same each time"


def test_of_little_speech_all_is_of_one_voice(talk):
    samples = read_waveform(talk[0]).samples[: 2 * RATE_HZ]
    assert {voice for *_, voice in speaker_turns(samples, spans_of(samples))} <= {0}
    assert speaker_turns(np.zeros(RATE_HZ, np.float32), np.zeros((0, 2), np.int64)) == []


def test_clusters_are_those_that_lie_apart():
    points = np.concatenate([np.random.default_rng(0).normal(place, 1, (30, 4)) for place in (0, 9)])
    own = two_clusters(points)
    assert len(set(own[:30])) == len(set(own[30:])) == 1 and own[0] != own[-1]


@pytest.mark.slow
def test_each_voice_is_heard_in_its_own_turns_and_centred_on_itself(talk, recognizer):
    path, turns = talk
    voices = predict_speakers(recognizer, path, timeline=True)
    assert len(voices) == 2
    whole = recognizer.predict(path)
    assert sum(voice.speech_s for voice in voices) == pytest.approx(whole.speech_s, abs=0.1)
    for number, voice in enumerate(voices):
        assert voice.emotion in recognizer.labels and voice.duration_s == pytest.approx(whole.duration_s, abs=0.01)
        heard = [at for at in voice.timeline.stretches if at.emotion is not None]
        middles = [told(turns, (at.start_s + at.end_s) / 2) for at in heard]
        assert np.mean([middle == number for middle in middles if middle is not None]) > 0.7


@pytest.mark.slow
def test_the_command_line_names_voices(talk, bundle, thymos_here):
    path = talk[0]
    done = thymos_here("predict", str(path), "--speakers", "2", "--model", str(bundle), "--format", "jsonl")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(row["file"], row["speaker"]) for row in rows] == [(f"{path}#speaker={n}", n) for n in (1, 2)]
    absent = thymos_here("predict", "gone.wav", str(path), "--speakers", "2", "--model", str(bundle))
    assert absent.returncode == 1 and "does not exist" in absent.stderr and "#speaker=2" in absent.stdout
    assert thymos_here("predict", str(path), "--speakers", "2", "--adapt").returncode == 2
