"""Who speaks and is not heard, and what is heard though nobody speaks: docs/results/vad.md and .json.

python benchmarks/vad.py CORPORA [--others FOLDER …] [--out docs/results]

Every clip of CORPORA (clips.csv, and aesdd beside it) holds speech: one in which nobody is heard is missed. Noise of
several colours and levels, hum and silence are made here; FOLDERs hold music and effects, of which each file counts in
pieces of 5 s, one minute of it at most. Those of the reported figures are in four packages of Debian 12: asc-music,
lincity-ng-data, frozen-bubble-data, sound-theme-freedesktop (`apt-get download`, `dpkg-deb -x`). Some of their effects
are voices. The corpora are the recogniser's own training corpora: of others, its opinion of faint speech is worth less.
"""

import argparse
import csv
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from thymos.audio import read_waveform, resample
from thymos.audio.search import sounds_below
from thymos.errors import AudioError
from thymos.files import write_json, write_text
from thymos.runtime.listening import LEAST_SPEECH_S
from thymos.runtime.recognizer import load
from thymos.runtime.vad import FRAME_S, GOES_ON, STARTS, VadStream, speech_spans

RATE_HZ, PIECE_S, LEVELS_DB = 16_000, 5, (-40, -20, -3)
THRESHOLDS = (0.5, 0.3, 0.2, 0.1, 0.05)
ASKED = "0.5, then the model"
Sound = tuple[str, NDArray[np.float32]]


def clips(corpora: Path) -> Iterator[Sound]:
    """Yield corpus and samples of every clip that can be read."""
    with (corpora / "clips.csv").open(encoding="utf-8") as file:
        paths = [(row["corpus"], corpora / row["file"]) for row in csv.DictReader(file)]
    paths += [("aesdd", path) for path in sorted((corpora / "aesdd").glob("*/*"))]
    for corpus, path in paths:
        try:
            yield corpus, resample(read_waveform(path), RATE_HZ).samples
        except AudioError as error:
            print(f"{path} {error.reason}", flush=True)


def made() -> Iterator[Sound]:
    """Yield sounds that are no speech."""
    random = np.random.default_rng(0)
    length = PIECE_S * RATE_HZ
    times_s = np.arange(length) / RATE_HZ
    yield "silence", np.zeros(length, np.float32)
    for level_db in LEVELS_DB:
        for _ in range(20):
            spectrum = np.fft.rfft(random.normal(size=length))
            hz = np.maximum(np.fft.rfftfreq(length, 1 / RATE_HZ), 20)
            pink = np.fft.irfft(spectrum / np.sqrt(hz))
            swell = np.abs(np.sin(2 * np.pi * random.uniform(0.5, 6) * times_s + random.uniform(0, 6)))
            mains_hz = random.uniform(49, 61)
            sounds = {
                "white noise": np.fft.irfft(spectrum),
                "pink noise": pink,
                "brown noise": np.fft.irfft(spectrum / hz),
                "noise that swells": pink * swell,
                "hum": sum(np.sin(2 * np.pi * mains_hz * k * times_s) / k for k in range(1, 12)),
            }
            for name, sound in sounds.items():
                yield name, (sound / np.abs(sound).max() * 10 ** (level_db / 20)).astype(np.float32)


def others(folders: list[Path]) -> Iterator[Sound]:
    """Yield pieces of music, and effects as a whole."""
    for folder in folders:
        for path in sounds_below(folder).sounds:
            try:
                samples = resample(read_waveform(path), RATE_HZ).samples
            except AudioError as error:
                print(f"{path} {error.reason}", flush=True)
                continue
            length = PIECE_S * RATE_HZ
            if "music" in str(path).lower() or len(samples) > 4 * length:
                for at in range(0, min(len(samples), 12 * length) - length + 1, length):
                    yield "music", samples[at : at + length]
            elif len(samples):
                yield "effects", samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpora", type=Path)
    parser.add_argument("--others", type=Path, nargs="*", default=[], help="folders of music and effects")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    given = parser.parse_args()
    recognizer = load("thymos", 1)

    def heard_by(samples: NDArray[np.float32]) -> set[str]:
        """Return the ways in which somebody is heard in ``samples``."""
        vad = VadStream(RATE_HZ)
        vad.push(samples)
        vad.finish()
        ways = set()
        for threshold in THRESHOLDS:
            spans = speech_spans(vad.probabilities(), threshold, threshold * GOES_ON / STARTS)
            if float((spans[:, 1] - spans[:, 0]).sum()) * FRAME_S >= LEAST_SPEECH_S:
                ways.add(f"{threshold:g}")
        if "0.5" in ways or recognizer.predict((samples, RATE_HZ)).emotion is not None:
            ways.add(ASKED)
        return ways

    columns = [*(f"{threshold:g}" for threshold in THRESHOLDS), ASKED]
    counts: Counter[str] = Counter()
    corpora: set[str] = set()
    wrong: dict[str, Counter[str]] = {column: Counter() for column in columns}
    for speaks, sounds in ((True, clips(given.corpora)), (False, made()), (False, others(given.others))):
        for number, (kind, samples) in enumerate(sounds):
            counts[kind] += 1
            corpora |= {kind} if speaks else set()
            ways = heard_by(samples)
            for column in columns:
                wrong[column][kind] += (column in ways) != speaks
            if number % 1000 == 999:
                print(f"{number + 1} …", flush=True)
    spoken = [kind for kind in counts if kind in corpora]
    head = "| {} | " + " | ".join(columns) + " |\n|---|" + "---|" * len(columns)
    lines = [head.format("missed")]
    for kind in [*spoken, "all"]:
        of = sum(counts[each] for each in spoken) if kind == "all" else counts[kind]
        own = [sum(wrong[c][each] for each in spoken) if kind == "all" else wrong[c][kind] for c in columns]
        cells = " | ".join(f"{number} ({number / of:.2%})" for number in own)
        lines.append(f"| {kind if kind == 'all' else kind.upper()} ({of}) | {cells} |")
    lines += ["", head.format("heard though nobody speaks")]
    for kind in counts:
        if kind not in spoken:
            cells = " | ".join(str(wrong[column][kind]) for column in columns)
            lines.append(f"| {kind} ({counts[kind]}) | {cells} |")
    write_json(given.out / "vad.json", {"counts": counts, "wrong": wrong})
    write_text(given.out / "vad.md", "\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
