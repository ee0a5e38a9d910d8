"""How surely are near-copies found, and nothing else: docs/results/near-copies.md and .json.

python benchmarks/near_copies.py CORPORA/clips.csv aesdd:CORPORA/aesdd --parts PARTS

What one change, or one kind of pair, came to is kept in PARTS as soon as it is known: cut short, the same command goes
on from there. Of another fingerprint, or other clips, nothing is taken.

Clips are drawn at random and changed in the ways in which recordings circulate. Each changed clip is looked up among
all clips of the corpora, as `thymos evaluate` looks clips up among those that an encoder has heard. All clips are
looked up among each other, too, and hard pairs compared at every shift: what is found is right if the waveforms
themselves correlate, which those of two takes never do.
"""

import argparse
import hashlib
import inspect
import json
import os
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import combinations
from math import comb
from pathlib import Path
from typing import Any

import numpy as np
from report import environment, save, table, thymos_versions

from thymos.audio import Samples, Waveform, resample
from thymos.audio.distort import telephone, through_mp3, through_opus
from thymos.cache import default_cache_dir
from thymos.corpora import Clip, Corpus, near_copies, open_corpus
from thymos.corpora.near_copies import HOP_S, SPARSE, Fingerprints, Words, fingerprint_of, from_text
from thymos.files import write_json

Change = Callable[[Samples, int], Waveform]
CUT_S, SILENCE_S = 0.5, 0.3


def in_16_bits(samples: Samples, rate_hz: int) -> Waveform:
    return Waveform(np.round(np.clip(samples, -1, 1) * 32767).astype(np.float32) / np.float32(32768), rate_hz)


def at(rate_hz: int) -> Change:
    return lambda samples, own: in_16_bits(resample(Waveform(samples, own), rate_hz).samples, rate_hz)


def mu_law(samples: Samples, rate_hz: int) -> Waveform:
    """The telephone's band, and its 8 bits (ITU-T G.711, by its formula)."""
    heard = resample(Waveform(telephone(samples, rate_hz), rate_hz), 8_000).samples
    heard = np.clip(heard, -1, 1)
    steps = np.round(127 * np.sign(heard) * np.log1p(255 * np.abs(heard)) / np.log(256)) / 127
    return Waveform((np.sign(steps) * (256 ** np.abs(steps) - 1) / 255).astype(np.float32), 8_000)


def faster(speed: float) -> Change:
    def change(samples: Samples, rate_hz: int) -> Waveform:
        other = round(16_000 * speed)
        return in_16_bits(
            resample(Waveform(resample(Waveform(samples, rate_hz), 16_000).samples, other), 16_000).samples, 16_000
        )

    return change


CHANGES: dict[str, Change] = {
    "at 48 kHz": at(48_000),
    "at 22.05 kHz": at(22_050),
    "20 dB softer, 16 bits": lambda samples, rate_hz: in_16_bits(samples / 10, rate_hz),
    "3 dB over full scale, clipped": lambda samples, rate_hz: in_16_bits(
        1.41 * samples / np.abs(samples).max(), rate_hz
    ),
    "6 dB over full scale, clipped": lambda samples, rate_hz: in_16_bits(2 * samples / np.abs(samples).max(), rate_hz),
    "Opus, 16 kbit/s": lambda samples, rate_hz: Waveform(through_opus(samples, rate_hz, 16_000), rate_hz),
    "MP3, 32 kbit/s": lambda samples, rate_hz: Waveform(through_mp3(samples, rate_hz, 32_000), rate_hz),
    "telephone band, µ-law, 8 kHz": mu_law,
    "0.5 s cut off at the start": lambda samples, rate_hz: Waveform(samples[round(CUT_S * rate_hz) :], rate_hz),
    "0.5 s cut off at the end": lambda samples, rate_hz: Waveform(samples[: -round(CUT_S * rate_hz)], rate_hz),
    "0.3 s of silence before": lambda samples, rate_hz: Waveform(
        np.pad(samples, (round(SILENCE_S * rate_hz), 0)), rate_hz
    ),
    "a direct current of 0.05": lambda samples, rate_hz: in_16_bits(0.9 * samples + 0.05, rate_hz),
    "× 0.999": lambda samples, rate_hz: Waveform(samples * np.float32(0.999), rate_hz),
    "speed 0.999": faster(0.999),
    "speed 1.001": faster(1.001),
}
CUT = {"0.5 s cut off at the start", "0.5 s cut off at the end"}
LEFT_S = 1.0
"""Clips of which a cut would leave less are not cut: half a second of a word of half a second is nothing."""
PIECES, PIECES_S = 300, (0.6, 0.75, 1.0)
SAME_WAVEFORM = 0.5
"""Two files whose waveforms correlate so much at some shift are one recording: no voice repeats itself in phase."""


class Parts:
    """What was measured already, one file a part."""

    def __init__(self, folder: Path | None, *decided_by: object):
        """Keep parts in ``folder``, if there is one, under all that decides them."""
        self._folder = folder
        decided = [inspect.getsource(near_copies), Path(__file__).read_text("utf-8"), *map(str, decided_by)]
        self._key = hashlib.sha256("\0".join(decided).encode()).hexdigest()

    def get(self, name: str, measure: Callable[[], Any]) -> Any:
        """Return what ``measure`` returns, as it was kept if it was."""
        if self._folder is None:
            return measure()
        place = self._folder / f"{hashlib.sha256(f'{self._key} {name}'.encode()).hexdigest()[:16]}.json"
        if not place.exists():
            write_json(place, {"name": name, "measured": measure()})
        print(f"{name}: done", flush=True)
        return json.loads(place.read_text("utf-8"))["measured"]


def found_again(
    corpus: Corpus, stored: Fingerprints, same: set[frozenset[str]], parts: Parts, n_clips: int, seed: int
) -> list[Any]:
    """Return of each change how many of some clips are found, and how many are taken for others."""
    rows = np.random.default_rng(seed).choice(len(corpus.clips), n_clips, replace=False).tolist()

    def measured(name: str) -> dict[str, Any]:
        agreements, others, missed, asked = [], [], [], 0
        for row in rows:
            waveform = corpus.waveform(corpus.clips[row])
            if name in CUT and waveform.duration_s < LEFT_S + CUT_S:
                continue
            asked += 1
            changed = CHANGES[name](waveform.samples, waveform.rate_hz)
            copies = {copy.place: copy.agreement for copy in stored.near_copies(fingerprint_of(changed))}
            own = corpus.clips[row].path
            if row in copies:
                agreements.append(copies.pop(row))
            else:
                missed.append(own)
            paths = [corpus.clips[index].path for index in copies]
            others += [[own, path] for path in paths if frozenset((own, path)) not in same]
        return {
            "change": name,
            "clips": asked,
            "found": len(agreements),
            "agreement": [round(float(np.percentile(agreements, share)), 3) for share in (0, 5, 50)],
            "missed": missed,
            "others": others,
        }

    return [parts.get(name, partial(measured, name)) for name in CHANGES]


def waveform_correlation(one: Waveform, other: Waveform) -> float:
    """Return the largest correlation of two waveforms at 8 kHz over all shifts, of what then overlaps."""
    first, second = (resample(each, 8_000).samples.astype(np.float64) for each in (one, other))
    first, second = first - first.mean(), second - second.mean()
    length = len(first) + len(second)
    products = np.fft.irfft(np.fft.rfft(first, length) * np.conj(np.fft.rfft(second, length)), length)
    return float(np.abs(products).max() / np.sqrt((first**2).sum() * (second**2).sum()))


def correlation_of(corpus: Corpus, one: int, other: int) -> float:
    return waveform_correlation(*(corpus.waveform(corpus.clips[row]) for row in (one, other)))


def found_within(corpus: Corpus, prints: list[Words], stored: Fingerprints) -> dict[str, Any]:
    """Look all clips up among each other, and return what is found: whose waveforms correlate, and others."""
    started = time.process_time()
    found = {}
    for row, words in enumerate(prints):
        for copy in stored.near_copies(words):
            if copy.place != row:
                found[min(row, copy.place), max(row, copy.place)] = copy.agreement
    cpu_s = time.process_time() - started
    listed = [
        {
            "files": [corpus.clips[row].path for row in pair],
            "agreement": round(agreement, 3),
            "waveforms": round(correlation_of(corpus, *pair), 3),
        }
        for pair, agreement in sorted(found.items(), key=lambda each: -each[1])
    ]
    said = Counter((clip.corpus, clip.speaker, clip.sentence) for clip in corpus.clips)
    return {
        "pairs": comb(len(prints), 2),
        "of_one_voice_and_sentence": sum(comb(n, 2) for n in said.values()),
        "cpu_s": round(cpu_s, 1),
        "copies": [each for each in listed if each["waveforms"] >= SAME_WAVEFORM],
        "false": [each for each in listed if each["waveforms"] < SAME_WAVEFORM],
    }


def moved(corpus: Corpus, root: Path) -> list[Clip]:
    inside = Path(os.path.relpath(corpus.root, root))
    return [
        replace(clip, path=(inside / clip.path).as_posix(), corpus=clip.corpus or corpus.root.name)
        for clip in corpus.clips
    ]


def hard_pairs(corpus: Corpus, n_pairs: int, seed: int) -> dict[str, list[tuple[int, int]]]:
    """Return pairs of clips by one voice: of one sentence, in one emotion and in two, and of TESS's carrier phrase."""
    kinds: dict[str, Callable[[Clip], tuple[str, ...] | None]] = {
        "one voice, sentence and emotion": lambda clip: (clip.corpus, clip.speaker, clip.sentence, clip.emotion),
        "one voice and sentence": lambda clip: (clip.corpus, clip.speaker, clip.sentence),
        "one voice and emotion, `say the word …` (TESS)": lambda clip: (clip.speaker, clip.emotion),
    }
    random = np.random.default_rng(seed)
    drawn: dict[str, list[tuple[int, int]]] = {}
    taken: set[tuple[int, int]] = set()
    for number, (name, key) in enumerate(kinds.items()):
        groups: dict[Any, list[int]] = defaultdict(list)
        for row, clip in enumerate(corpus.clips):
            if "TESS" not in name or clip.corpus == "tess":
                groups[key(clip)].append(row)
        pairs = [pair for rows in groups.values() for pair in combinations(rows, 2) if pair not in taken]
        most = (n_pairs - len(taken)) // (len(kinds) - number)
        drawn[name] = [pairs[place] for place in sorted(random.permutation(len(pairs))[:most].tolist())]
        taken |= {*drawn[name]}
    return drawn


def pieces(
    corpus: Corpus, prints: list[Words], stored: Fingerprints, same: set[frozenset[str]], seed: int
) -> dict[str, dict[str, list[int]]]:
    """Return how many of some pieces are found as a part of their recording, and how many others are found."""
    random = np.random.default_rng(seed)
    table: dict[str, dict[str, list[int]]] = {}
    for name in ("tess", "the other corpora"):
        rows = [row for row, clip in enumerate(corpus.clips) if (clip.corpus == "tess") == (name == "tess")]
        table[name] = {}
        for seconds in PIECES_S:
            own = others = 0
            for row in random.choice(rows, PIECES, replace=False).tolist():
                start = int(np.flatnonzero(prints[row])[0])
                found = {copy.place for copy in stored.near_copies(prints[row][start:][: round(seconds / HOP_S)])}
                own += row in found
                path = corpus.clips[row].path
                others += sum(frozenset((path, corpus.clips[each].path)) not in same for each in found - {row})
            table[name][f"{seconds:g} s"] = [own, others]
    return table


def page(record: dict[str, Any]) -> str:
    rows = [
        [
            each["change"],
            str(each["clips"]),
            f"{100 * each['found'] / each['clips']:.1f} %",
            *(f"{agreement:.2f}" for agreement in each["agreement"]),
            str(len(each["others"])),
        ]
        for each in record["found"]
    ]
    header = ["change", "clips", "found", "agreement: least", "5 %", "median", "taken for others"]
    within, hard = record["within"], record["hard_pairs"]
    copies = [
        [" and ".join(each["files"]), f"{each['agreement']:.2f}", f"{each['waveforms']:.2f}"]
        for each in within["copies"]
    ]
    return "\n".join(
        [
            f"{record['clips']} clips, {record['hours']} h. Each changed clip was looked up among all of them:\n",
            table(header, rows),
            f"All clips among each other, {within['pairs']} pairs, {within['of_one_voice_and_sentence']} of them of "
            f"one voice and sentence: {len(within['copies'])} were found whose waveforms correlate by {SAME_WAVEFORM} "
            f"or more, so that they are one recording, and {len(within['false'])} others. "
            f"The look-ups took {within['cpu_s']:.0f} s of one core ({record['environment']['processor']}).\n",
            *(
                f"- {' and '.join(each['files'])}: agreement {each['agreement']:.2f}, waveforms {each['waveforms']:.2f}"
                for each in within["false"]
            ),
            "Pairs that were compared at every shift, whatever a look-up would find:\n",
            table(
                ["pairs of", "pairs", "found, waveforms correlate", "found, others"],
                [[name, *map(str, own.values())] for name, own in hard.items()],
            ),
            f"Pieces of {PIECES} clips each, from where speech begins: found in their own recording, and in others. "
            "TESS begins each recording with the same words:\n",
            table(
                ["of", *(f"{seconds:g} s: own" if i == 0 else "others" for seconds in PIECES_S for i in range(2))],
                [[name, *(str(n) for pair in own.values() for n in pair)] for name, own in record["pieces"].items()],
            ),
            "What the corpora have twice:\n",
            table(["files", "agreement", "correlation of waveforms"], copies),
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpora", nargs="+")
    parser.add_argument("--clips", type=int, default=500)
    parser.add_argument("--pairs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache-dir", type=Path, default=default_cache_dir())
    parser.add_argument("--parts", type=Path, help="where what was measured is kept until all is")
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    given = parser.parse_args()
    # Not `joined`, which looks for near-copies itself.
    opened = [open_corpus(spec, cache_dir=given.cache_dir) for spec in given.corpora]
    corpus = Corpus("joined", opened[0].root, tuple(clip for each in opened for clip in moved(each, opened[0].root)))
    prints = [from_text(clip.sound.fingerprint) for clip in corpus.clips]
    stored = Fingerprints([words[::SPARSE] for words in prints])
    parts = Parts(given.parts, given.clips, given.pairs, given.seed, *(clip.identity for clip in corpus.clips))
    within = parts.get("all among each other", lambda: found_within(corpus, prints, stored))
    same = {frozenset(each["files"]) for each in within["copies"]}

    def of_pairs(pairs: list[tuple[int, int]]) -> dict[str, int]:
        stored_alone = (Fingerprints([prints[one][::SPARSE]]).near_copies(prints[other], False) for one, other in pairs)
        found = [pair for pair, copies in zip(pairs, stored_alone, strict=True) if copies]
        right = sum(correlation_of(corpus, *pair) >= SAME_WAVEFORM for pair in found)
        return {"pairs": len(pairs), "copies": right, "others": len(found) - right}

    hard = {
        name: parts.get(name, partial(of_pairs, pairs))
        for name, pairs in hard_pairs(corpus, given.pairs, given.seed).items()
    }
    record: dict[str, Any] = {
        "environment": environment(),
        "versions": thymos_versions(),
        "seed": given.seed,
        "clips": len(prints),
        "hours": round(sum(clip.sound.duration_s for clip in corpus.clips) / 3600, 2),
        "found": found_again(corpus, stored, same, parts, given.clips, given.seed),
        "within": within,
        "hard_pairs": hard,
        "pieces": parts.get("pieces", lambda: pieces(corpus, prints, stored, same, given.seed)),
    }
    save(record, page(record), given.out, "near-copies")
    print(page(record))


if __name__ == "__main__":
    main()
