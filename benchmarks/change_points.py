"""Where emotions change: docs/results/change-points.md and .json.

python benchmarks/change_points.py CORPORA [--sequences 5] [--out docs/results]

Clips of one speaker of AESDD or EMOVO, in any order, are cut to their speech and joined with pauses of 0.1 to 1 s, up
to 30 s; with probability 0.6 the next one is of another emotion. A change is in the middle of the pause between two
emotions. A timeline finds it if it has one within 0.5 s, each for one. What smooths timelines is chosen on half of the
speakers, and reported on the other half. AESDD is heard by the shipped model `thymos`, which has heard its clips; EMOVO
by `thymos-aesdd`, whose head has not, its encoder has: timelines are compared, not how well emotions are told.
"""

import argparse
import csv
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from thymos.audio import read_waveform, resample
from thymos.files import write_json, write_text
from thymos.runtime import timeline as timelines
from thymos.runtime.hearing import MOMENT_S
from thymos.runtime.listening import Recording
from thymos.runtime.prediction import Stretch
from thymos.runtime.recognizer import Recognizer, load
from thymos.runtime.vad import FRAME_S, VadStream

EMOTIONS = ("anger", "disgust", "fear", "happiness", "sadness")
CHOSEN_ON = {"aesdd_1", "aesdd_2", "aesdd_3", "emovo_f1", "emovo_m1", "emovo_f2"}
MODELS = {"aesdd": "thymos", "emovo": "thymos-aesdd"}
RATE_HZ, LONGEST_S, TOLERANCE_S, CHANGES = 16_000, 29.9, 0.5, 0.6
COSTS = [(inside, pause) for inside in (1.0, 2.0, 3.0, 4.0) for pause in (0.5, 1.0, 1.5, 2.0, 3.0) if pause <= inside]
Line = Sequence[Stretch]
MakesLine = Callable[[Recognizer, Recording], Line]


@dataclass(frozen=True)
class Joined:
    """Clips of one speaker, one after another."""

    speaker: str
    samples: NDArray[np.float32]
    parts: list[tuple[float, float, str]]

    @property
    def corpus(self) -> str:
        return self.speaker.split("_")[0]

    @property
    def changes_s(self) -> list[float]:
        return [(one[1] + other[0]) / 2 for one, other in pairwise(self.parts) if one[2] != other[2]]


def speakers(corpora: Path) -> dict[str, dict[str, list[Path]]]:
    """Return the clips of each speaker, by emotion."""
    found: dict[str, dict[str, list[Path]]] = {}
    for path in sorted((corpora / "aesdd").glob("*/*.flac")):
        actor = re.search(r"\(0?(\d)\)", path.name)
        if actor is not None:
            found.setdefault(f"aesdd_{actor[1]}", {}).setdefault(path.parent.name, []).append(path)
    with (corpora / "clips.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["corpus"] == "emovo" and row["emotion"] in EMOTIONS:
                found.setdefault(row["speaker"], {}).setdefault(row["emotion"], []).append(corpora / row["file"])
    return found


def joined(speaker: str, clips: dict[str, list[Path]], seed: Sequence[int]) -> Joined:
    """Return a sequence of ``clips``, each once."""
    random = np.random.default_rng(seed)
    left = {word: list(random.permutation(np.array(paths, object))) for word, paths in sorted(clips.items())}
    pieces: list[NDArray[np.float32]] = []
    parts: list[tuple[float, float, str]] = []
    at, emotion = 0, ""
    while True:
        if not emotion or random.random() < CHANGES:
            emotion = str(random.choice([word for word in left if word != emotion]))
        clip = resample(read_waveform(left[emotion].pop()), RATE_HZ)
        vad = VadStream(RATE_HZ)
        vad.push(clip.samples)
        vad.finish()
        spans = vad.spans()
        if not len(spans):
            continue
        first, last = max(0.0, spans[0, 0] * FRAME_S - 0.05), spans[-1, 1] * FRAME_S + 0.05
        speech = clip.samples[int(first * RATE_HZ) : int(last * RATE_HZ)]
        pause = random.normal(0, 1e-4, int(random.uniform(0.1, 1.0) * RATE_HZ)).astype(np.float32)
        if at + len(speech) > LONGEST_S * RATE_HZ:
            return Joined(speaker, np.concatenate(pieces), parts)
        parts.append((at / RATE_HZ, (at + len(speech)) / RATE_HZ, emotion))
        pieces += [speech, pause]
        at += len(speech) + len(pause)


def by_windows(recognizer: Recognizer, heard: Recording) -> Line:
    """Return the timeline as it was before: the mean of windows in slots as long as their hop, the largest wins."""
    hop_s = recognizer.bundle.about.hop_s
    count = max(1, int(np.ceil(heard.duration_s / hop_s - 1e-9)))
    sums, weights = np.zeros((count, len(recognizer.labels))), np.zeros((count, 1))
    for window in recognizer.decide(heard, True).timeline.windows:  # type: ignore[union-attr]
        if window.probabilities is not None:
            first = round(window.start_s / hop_s)
            last = max(first + 1, int(np.ceil(window.end_s / hop_s - 1e-9)))
            sums[first:last] += window.speech_s * np.array(list(window.probabilities.values()))
            weights[first:last] += window.speech_s
    with np.errstate(invalid="ignore"):
        return put_together(recognizer, heard, sums / weights, hop_s, 0.0, 0.0, 0.0, 0.0)


def by_moments(
    inside: float, pause: float, snap_s: float, shortest_s: float
) -> Callable[[Recognizer, Recording], Line]:
    def line(recognizer: Recognizer, heard: Recording) -> Line:
        moments = recognizer._decider._moments(heard)
        return put_together(recognizer, heard, moments, MOMENT_S, inside, pause, snap_s, shortest_s)

    return line


def put_together(
    recognizer: Recognizer,
    heard: Recording,
    moments: NDArray[np.float64],
    moment_s: float,
    inside: float,
    pause: float,
    snap_s: float,
    shortest_s: float,
) -> Line:
    kept = timelines.CHANGE_COST_S, timelines.PAUSE_COST_S, timelines.SNAP_S
    timelines.CHANGE_COST_S, timelines.PAUSE_COST_S, timelines.SNAP_S = inside, pause, snap_s
    try:
        labels, end_s = recognizer.labels, heard.duration_s
        made = timelines.make_timeline(moments, [], heard.spans, labels, end_s, moment_s, shortest_s)
    finally:
        timelines.CHANGE_COST_S, timelines.PAUSE_COST_S, timelines.SNAP_S = kept
    return made.stretches


def judged(cases: Sequence[tuple[Joined, Line]]) -> dict[str, float]:
    """Return how well changes are found, how far off, what share of the speech has its emotion, and flicker."""
    hits, found, true, errors = 0, 0, 0, []
    right_s, spoken_s, short = 0.0, 0.0, 0
    for sequence, line in cases:
        spoken = [at for at in line if at.emotion is not None]
        told = [(one.end_s + other.start_s) / 2 for one, other in pairwise(spoken) if one.emotion != other.emotion]
        wanted = sequence.changes_s
        near = sorted((abs(a - b), i, j) for i, a in enumerate(wanted) for j, b in enumerate(told))
        used: tuple[set[int], set[int]] = (set(), set())
        for error, i, j in near:
            if error <= TOLERANCE_S and i not in used[0] and j not in used[1]:
                used[0].add(i)
                used[1].add(j)
                errors.append(error)
        hits, found, true = hits + len(used[0]), found + len(told), true + len(wanted)
        short += sum(at.end_s - at.start_s < timelines.SHORTEST_S - 1e-9 for at in spoken)
        for start_s, end_s, emotion in sequence.parts:
            for at in spoken:
                both_s = max(0.0, min(end_s, at.end_s) - max(start_s, at.start_s))
                spoken_s += both_s
                right_s += both_s * (at.emotion == emotion)
    return {
        "changes": true,
        "told": found,
        "precision": hits / max(1, found),
        "recall": hits / max(1, true),
        "f1": 2 * hits / max(1, found + true),
        "boundary_error_s": float(np.mean(errors)) if errors else float("nan"),
        "speech_right": right_s / max(1e-9, spoken_s),
        "shorter_than_half_a_second": short,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpora", type=Path)
    parser.add_argument("--sequences", type=int, default=5, help="of each speaker")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    given = parser.parse_args()
    recognizers = {corpus: load(name, 1).among(EMOTIONS) for corpus, name in MODELS.items()}
    heard: list[tuple[Joined, Recording]] = []
    for number, (speaker, clips) in enumerate(sorted(speakers(given.corpora).items())):
        sequences = [joined(speaker, clips, (given.seed, number, each)) for each in range(given.sequences)]
        sounds = recognizers[speaker.split("_")[0]].listen_many([(one.samples, RATE_HZ) for one in sequences], True)
        for one, recording in zip(sequences, sounds, strict=True):
            assert isinstance(recording, Recording), recording
            heard.append((one, recording))
        print(speaker, flush=True)

    def table(line: MakesLine, reported: bool) -> dict[str, dict[str, float]]:
        return {
            corpus: judged(
                [
                    (one, line(recognizer, recording))
                    for one, recording in heard
                    if one.corpus == corpus and (one.speaker not in CHOSEN_ON) == reported
                ]
            )
            for corpus, recognizer in recognizers.items()
        }

    tried = {costs: table(by_moments(*costs, timelines.SNAP_S, timelines.SHORTEST_S), False) for costs in COSTS}
    best = max(COSTS, key=lambda costs: sum(own["f1"] for own in tried[costs].values()))
    shipped = (timelines.CHANGE_COST_S, timelines.PAUSE_COST_S)
    kinds: dict[str, MakesLine] = {
        "before: windows of 3.5 s every 1.75 s": by_windows,
        "moments, no smoothing": by_moments(0.0, 0.0, 0.0, 0.0),
        "moments, nothing below 0.5 s": by_moments(0.0, 0.0, 0.0, timelines.SHORTEST_S),
        "· Viterbi, every change costs the same": by_moments(shipped[0], shipped[0], 0.0, timelines.SHORTEST_S),
        "· changes cost less in pauses": by_moments(*shipped, 0.0, timelines.SHORTEST_S),
        "· and are put into the pause (shipped)": by_moments(*shipped, timelines.SNAP_S, timelines.SHORTEST_S),
    }
    results = {name: table(line, True) for name, line in kinds.items()}
    told: dict[str, Any] = {
        "chosen_on": sorted(CHOSEN_ON),
        "sequences_a_speaker": given.sequences,
        "tried": [
            {"inside_s": costs[0], "pause_s": costs[1], **{c: own["f1"] for c, own in tried[costs].items()}}
            for costs in COSTS
        ],
        "best": best,
        "shipped": shipped,
        "results": results,
    }
    write_json(given.out / "change-points.json", told)
    lines = [
        "| timeline | corpus | changes | told | precision | recall | F1 | boundary error | speech right | < 0.5 s |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for name, own in results.items():
        for corpus, one in own.items():
            lines.append(
                f"| {name} | {corpus.upper()} | {one['changes']} | {one['told']} | {one['precision']:.2f} | "
                f"{one['recall']:.2f} | {one['f1']:.2f} | {one['boundary_error_s']:.3f} s | "
                f"{one['speech_right']:.1%} | {one['shorter_than_half_a_second']} |"
            )
    lines += [
        "",
        f"Best on the other speakers, by F1 summed over both corpora: a change costs {best[0]:g} s of evidence, "
        f"{best[1]:g} s in a pause; shipped are {shipped[0]:g} and {shipped[1]:g}.",
    ]
    write_text(given.out / "change-points.md", "\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
