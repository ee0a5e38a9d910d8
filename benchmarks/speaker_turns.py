"""Who speaks when, measured on mixtures of two actors: ``python benchmarks/speaker_turns.py CORPUS…``.

Each mixture alternates ten turns of two speakers of one corpus, one to three clips each, with pauses of 0.3 s. The
reference is where each clip by itself has speech. The diarization error rate (DER) is missed speech, false speech and
confused voices over all speech, with the best assignment of voices, every 10 ms, without a collar and with one of
0.25 s around each change of voice. Beside it stands what one gets who hears one voice only, and how much is confused.
"""

import argparse
import itertools
import json
import random
from pathlib import Path

import numpy as np

from thymos.audio import read_waveform, resample
from thymos.corpora import open_corpus
from thymos.runtime.speakers import RATE_HZ, speaker_turns
from thymos.runtime.vad import FRAME_S, VadStream, speech_spans

TURNS, PAUSE_S, COLLAR_S, STEP_S = 10, 0.3, 0.25, 0.01
MIXTURES = 2
"""Of each pair of speakers."""


def spans_of(samples):
    """Return the VAD's runs of speech in ``samples``."""
    vad = VadStream(RATE_HZ)
    vad.push(samples)
    vad.finish()
    return speech_spans(vad.probabilities())


def mixture(corpus, clips, pair, rng):
    """Return the samples of a conversation of ``pair``, and who speaks every 10 ms: 0 for nobody, 1, or 2."""
    sound, told = [], []
    for turn in range(TURNS):
        who = turn % 2
        for clip in rng.sample(clips[pair[who]], rng.randint(1, 3)):
            samples = resample(read_waveform(corpus.root / clip.lies_in), RATE_HZ).samples
            samples = samples / max(1e-6, float(np.abs(samples).max())) * 0.5
            samples = samples[: len(samples) - len(samples) % round(STEP_S * RATE_HZ)].astype(np.float32)
            own = np.zeros(round(len(samples) / RATE_HZ / STEP_S), np.int64)
            for first, last in spans_of(samples).tolist():
                own[round(first * FRAME_S / STEP_S) : round(last * FRAME_S / STEP_S)] = who + 1
            sound += [samples, np.zeros(round(PAUSE_S * RATE_HZ), np.float32)]
            told += [own, np.zeros(round(PAUSE_S / STEP_S), np.int64)]
    return np.concatenate(sound), np.concatenate(told)


def errors(told, found, collar):
    """Return missed, false and confused shares of speech under the best assignment; ``collar`` in steps."""
    kept = np.ones(len(told), bool)
    speaking = np.flatnonzero(told)
    changes = speaking[1:][np.diff(told[speaking]) != 0]
    for place in changes if collar else ():
        kept[max(0, place - collar) : place + collar] = False
    told, found = told[kept], found[kept]
    speech = max(1, int((told > 0).sum()))
    missed, false = ((told > 0) & (found == 0)).sum(), ((told == 0) & (found > 0)).sum()
    both = (told > 0) & (found > 0)
    confused = min((both & (told != found)).sum(), (both & (told != 3 - found)).sum())
    return np.array([missed, false, confused]) / speech


def main() -> None:
    """Measure, and print a table and a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("corpora", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, help="JSON of all figures")
    options = parser.parse_args()
    figures = []
    print("| corpus | pairs | mixtures | DER | DER, collar 0.25 s | confused | one voice for all: confused |")
    print("|---|---|---|---|---|---|---|")
    for path in options.corpora:
        corpus, clips = open_corpus(path), {}
        for clip in corpus.clips:
            clips.setdefault(clip.speaker, []).append(clip)
        speakers = sorted(speaker for speaker in clips if speaker)
        rows, rng = [], random.Random(0)
        for pair in itertools.combinations(speakers, 2):
            for _ in range(MIXTURES):
                samples, told = mixture(corpus, clips, pair, rng)
                found = np.zeros(len(told), np.int64)
                for start_s, end_s, voice in speaker_turns(samples, spans_of(samples)):
                    found[round(start_s / STEP_S) : round(end_s / STEP_S)] = voice + 1
                plain, collared = errors(told, found, 0), errors(told, found, round(COLLAR_S / STEP_S))
                alone = errors(told, np.minimum(found, 1), 0)[2]
                rows.append([plain.sum(), collared.sum(), plain[2], alone])
        mean = np.mean(rows, axis=0)
        pairs = len(rows) // MIXTURES
        print(f"| {corpus.root.name} | {pairs} | {len(rows)} | " + " | ".join(f"{100 * v:.1f} %" for v in mean) + " |")
        names = ("der", "der_collar", "confused", "one_voice_confused")
        figures.append(
            {
                "corpus": corpus.root.name,
                "pairs": pairs,
                "mixtures": len(rows),
                **dict(zip(names, mean.tolist(), strict=True)),
            }
        )
    if options.out is not None:
        options.out.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
