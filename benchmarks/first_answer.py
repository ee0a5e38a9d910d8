"""How much speech a live stream takes until it first answers, and what that answer is worth, on the clips of a folder.

    python benchmarks/first_answer.py FOLDER --clips 24                 # speech from the first sample on
    python benchmarks/first_answer.py FOLDER --clips 24 --silence 10    # after ten seconds of hardly any sound

Each clip is cut where its speech begins and fed in blocks of 20 ms. Counted are the seconds from there to the first
answer that tells an emotion, of the last window and smoothed, and how often that is the emotion of the whole clip.
"""

import argparse
import random
from pathlib import Path

import numpy as np

from thymos.audio import read_waveform
from thymos.audio.search import sounds_below
from thymos.errors import AudioError
from thymos.live import HOP_S
from thymos.live.smoothing import Smoother
from thymos.runtime.recognizer import Recognizer, load

BLOCK_S, SHORTEST_S = 0.02, 2.6
"""Of a stream; and of clips that are long enough to have more than a first answer."""


def first_answers(recognizer: Recognizer, samples: np.ndarray, rate_hz: int, silence_s: float) -> dict:
    """Return for the last window and the smoothed answer: seconds of speech until it tells an emotion, and which."""
    quiet = np.random.default_rng(1).normal(0, 1e-4, round(silence_s * rate_hz)).astype(np.float32)
    sound, size = np.concatenate([quiet, samples]), round(BLOCK_S * rate_hz)
    stream, smoother, first = recognizer.stream(rate_hz, hop_s=HOP_S), Smoother(recognizer.labels), {}
    for start in range(0, len(sound), size):
        for window in stream.feed(sound[start : start + size]):
            after_s = (min(start + size, len(sound)) - len(quiet)) / rate_hz
            heard = smoother.take(window)
            for name, emotion in (("window", window.emotion), ("smoothed", heard.smoothed_emotion)):
                if emotion is not None:
                    first.setdefault(name, (after_s, emotion))
    return first


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--clips", type=int, default=24, help="Drawn at random, always the same.")
    parser.add_argument("--silence", type=float, default=0.0, help="Seconds before speech, and up to a hop more.")
    told = parser.parse_args()
    recognizer, dice = load(threads=1), random.Random(0)
    clips = list(sounds_below(told.folder).sounds)
    dice.shuffle(clips)
    after: dict[str, list[float]] = {"window": [], "smoothed": []}
    same, taken = {"window": 0, "smoothed": 0}, 0
    for path in clips:
        try:
            waveform = read_waveform(path)
        except AudioError:  # AESDD has one that is empty
            continue
        spoken = [at for at in recognizer.timeline((waveform.samples, waveform.rate_hz)).stretches if at.emotion]
        samples = waveform.samples[round(spoken[0].start_s * waveform.rate_hz) :] if spoken else waveform.samples[:0]
        if len(samples) < SHORTEST_S * waveform.rate_hz:
            continue
        taken += 1
        whole = recognizer.predict((samples, waveform.rate_hz)).emotion
        silence_s = told.silence + dice.random() * HOP_S * (told.silence > 0)
        for name, (after_s, emotion) in first_answers(recognizer, samples, waveform.rate_hz, silence_s).items():
            after[name].append(after_s)
            same[name] += emotion == whole
        if taken == told.clips:
            break
    print(f"{recognizer.name}, {taken} clips, silence before: {told.silence:g} s")
    for name, seconds in after.items():
        median, ninth, most = np.percentile(seconds, (50, 90, 100))
        print(
            f"{name:9} first after {median:.2f} s of speech (9 of 10 within {ninth:.2f}, all within {most:.2f}); "
            f"the whole clip's emotion in {same[name]} of {len(seconds)}; no answer: {taken - len(seconds)}"
        )


if __name__ == "__main__":
    main()
