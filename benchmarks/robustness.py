"""How much of a recipe's accuracy is left in noise, on the telephone, in a room; and where in a corpus it is right.

    python benchmarks/robustness.py aesdd:PATH --out docs/results [--recipe thymos] [--protocol recording]

Cross-validates a recipe of kind whole that has a discriminant, and lets each fold's network hear its test part once
more under every condition of ``thymos.audio.distort``. Babble is made of recordings of the fold's training part. Writes
robustness.json and robustness.md.
"""

import argparse
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from thymos.audio import Samples, Waveform, played
from thymos.cache import default_cache_dir
from thymos.corpora import open_corpus
from thymos.corpora.folds import Fold, check_all_emotions
from thymos.corpora.protocols import protocol_named
from thymos.encoder import experiment as whole_folds
from thymos.encoder.descriptions import fit_discriminant, voice_network
from thymos.encoder.encoder_file import resolved
from thymos.encoder.level_mel import LevelMel
from thymos.encoder.recipe import WholeRecipe
from thymos.encoder.voice_network import VoiceNetwork
from thymos.engine.process import set_up_process
from thymos.errors import ThymosError
from thymos.evaluation.evaluate import usable_for
from thymos.evaluation.robustness import breakdown, predict_conditions, score_conditions
from thymos.files import write_json, write_text
from thymos.recipes import load_recipe
from thymos.scoring.predictions import Scored
from thymos.scoring.results import versions

BABBLERS = 40
"""Voices that babble is made of, at most."""
GENDERS = {"1": "female", "2": "female", "5": "female", "3": "male", "4": "male", "6": "male"}
"""Of AESDD's actors, by the median pitch of ten sad clips of each, 223 to 251 Hz and 122 to 125 Hz: the corpus does not
say, but that three of its first five are women."""


class Predictor:
    """A fold's network, from waveforms on."""

    def __init__(self, network: VoiceNetwork, recipe: WholeRecipe, speeds: Sequence[float]):
        self.network, self.speeds, self.rate_hz = network, speeds, recipe.features.rate_hz
        self.front_end = LevelMel(recipe.features).eval()

    def __call__(self, heard: Sequence[tuple[Samples, int]]) -> NDArray[np.float64]:
        return np.array([self._one(Waveform(samples, rate_hz)) for samples, rate_hz in heard])

    def _one(self, waveform: Waveform) -> NDArray[np.float64]:
        with torch.inference_mode():
            logits = [
                self.network(
                    self.front_end.levels(torch.from_numpy(played(waveform, speed, self.rate_hz).copy())[None])
                )
                for speed in self.speeds
            ]
            probabilities: NDArray[np.float64] = torch.stack(logits).mean(0)[0].double().softmax(0).numpy()
        return probabilities


def babblers(fold: Fold, root: Path, seed: int) -> list[Path]:
    """Recordings of a fold's training part, drawn at random."""
    count = min(BABBLERS, len(fold.train))
    return [root / path for path in np.random.default_rng(seed).choice(fold.train, count, False)]


def measure(args: argparse.Namespace) -> dict[str, Any]:
    recipe = load_recipe(args.recipe, args.set)
    if not isinstance(recipe, WholeRecipe) or recipe.discriminant is None:
        raise SystemExit(f"recipe {recipe.name} has no discriminant")
    cache_dir = args.cache_dir or default_cache_dir()
    corpus = usable_for(open_corpus(args.corpus, cache_dir=cache_dir), recipe)
    split = protocol_named(args.protocol).split(corpus, args.seed)
    whole_folds.check(corpus, recipe)
    settings, pretrained = resolved(recipe)
    material = whole_folds.prepare(corpus, recipe, cache_dir, lambda: None, 2, args.seed)
    place = {clip.path: i for i, clip in enumerate(corpus.clips)}
    labels = corpus.emotions
    targets = np.array([labels.index(clip.emotion) for clip in corpus.clips])
    pooled: dict[str, list[NDArray[np.float64]]] = {}
    tested: list[str] = []
    folds: list[tuple[int, int]] = []
    for fold in split.folds:
        check_all_emotions(corpus, fold)
        train = [place[path] for path in fold.train]
        fitted = fit_discriminant(recipe, pretrained, material.descriptions_file, targets, train)
        network = voice_network(pretrained, fitted)
        predict = Predictor(network, settings, settings.speeds[: recipe.discriminant.scored_speeds])
        around = babblers(fold, corpus.root, args.seed)
        for name, probabilities in predict_conditions(predict, corpus.root, fold.test, around, seed=args.seed).items():
            pooled.setdefault(name, []).append(probabilities)
        tested += fold.test
        folds += [(fold.repeat, fold.index)] * len(fold.test)
        print(f"{fold.name}: done", file=sys.stderr, flush=True)
    truth = targets[[place[path] for path in tested]]
    speakers = np.array([corpus.clips[place[path]].speaker for path in tested])
    everything = {name: np.concatenate(parts) for name, parts in pooled.items()}
    scored = Scored(np.array(tested), speakers, np.array(folds), truth, everything["clean"])
    durations_s = {clip.path: clip.sound.duration_s for clip in corpus.clips}
    genders = GENDERS if corpus.kind == "aesdd" and not corpus.synthetic else None
    return {
        "command": shlex.join(["python", *sys.argv]),
        "recipe": recipe.model_dump(mode="json"),
        "protocol": split.name,
        "seed": args.seed,
        "conditions": [asdict(row) for row in score_conditions(truth, everything, tested, args.seed)],
        "groups": [asdict(row) for row in breakdown(scored, labels, durations_s, genders, args.seed)],
        "versions": versions(),
    }


def as_markdown(found: dict[str, Any]) -> str:
    lines = [
        f"`{found['command']}`, {found['conditions'][0]['recordings']} recordings; percent [95 % interval].",
        "",
        "| condition | accuracy | UAR | points beside clean |",
        "|---|---|---|---|",
    ]
    for row in found["conditions"]:
        accuracy, uar = (_percent(row[name], row[f"{name}_ci95"]) for name in ("accuracy", "uar"))
        low, high = row["difference_ci95"]
        lines.append(f"| {row['condition']} | {accuracy} | {uar} | {row['difference']:.1f} [{low:.1f}, {high:.1f}] |")
    lines += ["", "| by | group | recordings | accuracy, clean |", "|---|---|---|---|"]
    for row in found["groups"]:
        accuracy = _percent(row["accuracy"], row["accuracy_ci95"])
        lines.append(f"| {row['by']} | {row['group']} | {row['recordings']} | {accuracy} |")
    return "\n".join(lines) + "\n"


def _percent(value: float, interval: Sequence[float]) -> str:
    low, high = interval
    return f"{100 * value:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--recipe", default="thymos")
    parser.add_argument("--set", action="append", default=[])
    parser.add_argument("--protocol", default="recording")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache-dir", type=Path)
    args = parser.parse_args()
    try:
        found = measure(args)
    except ThymosError as error:
        raise SystemExit(str(error)) from None
    write_json(args.out / "robustness.json", found)
    write_text(args.out / "robustness.md", as_markdown(found))
    print(as_markdown(found))


if __name__ == "__main__":
    set_up_process()
    main()
