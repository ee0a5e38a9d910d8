"""What chance in the fine-tuning is worth: encoders of several seeds, each judged as the one that ships is.

    for SEED in 0 1 2 3 4; do
        thymos pretrain CORPORA/clips.csv --layers-file WHISPER --seed $SEED --steps 700 --batch 32 \\
            --set encoder_rate=5e-5 --set warm_up=100 --out ENCODERS/$SEED
    done
    python benchmarks/seeds.py aesdd:PATH ENCODERS/* --lists EMOBOX [--out docs/results]

A fine-tuning of 700 steps of 32 takes half an hour of a core; the rest, minutes an encoder. Probabilities are not
calibrated, which moves no decision. Writes seeds.json and seeds.md: each encoder's figures, mean and standard deviation
over encoders, and the lowest and highest.
"""

import argparse
import statistics
from pathlib import Path
from typing import Any

import thymos
from thymos.encoder.experiment import EncoderExperiment
from thymos.evaluation.enrolment import enrolment
from thymos.files import write_json, write_text
from thymos.recipes import load_experiment

COMMAND = "python benchmarks/seeds.py aesdd:PATH ENCODERS/* --lists EMOBOX"
RECIPE = "thymos-aesdd"
ROWS = {
    "EmoBox fold 1, accuracy": ("lists", "accuracy"),
    "recording, 5 × 5, accuracy": ("recording", "accuracy"),
    "sentence, accuracy": ("sentence", "accuracy"),
    "speaker, UAR": ("speaker", "uar"),
}
VOICES = {
    "speaker, UAR, 3 clips of the voice": ("random", 3),
    "· 10 clips": ("random", 10),
    "· 10 clips, all of one emotion": ("one emotion", 10),
    "· 30 clips": ("random", 30),
    "· all clips of the voice (transductive)": ("each voice", 0),
}


def figures(corpus: Any, encoder: Path, lists: Path, cache_dir: Path | None) -> dict[str, float]:
    """Return every figure of one encoder."""
    changes = [f"start_from={encoder}", "calibrated=false"]
    found: dict[str, float] = {}
    for row, (protocol, metric) in ROWS.items():
        run = thymos.evaluate(
            corpus,
            RECIPE,
            f"file:{lists}" if protocol == "lists" else protocol,
            changes=changes,
            repeats=5 if protocol == "recording" else 1,
            cache_dir=cache_dir,
            threads=1,
        )
        found[row] = run.results["summary"]["recording"][metric]["mean"]
    experiment = load_experiment(RECIPE, changes)
    assert isinstance(experiment, EncoderExperiment)
    known = {(row["way"], row["clips"]): row["uar"] for row in enrolment(corpus, experiment, cache_dir=cache_dir)}
    return found | {row: known[way] for row, way in VOICES.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("corpus")
    parser.add_argument("encoders", nargs="+", type=Path)
    parser.add_argument("--lists", type=Path, required=True, help="folder of EmoBox's fold lists")
    parser.add_argument("--cache-dir", type=Path)
    parser.add_argument("--out", type=Path, default=Path("docs/results"))
    given = parser.parse_args()
    corpus = thymos.open_corpus(given.corpus, cache_dir=given.cache_dir)
    encoders: dict[str, dict[str, float]] = {}
    for encoder in given.encoders:
        encoders[encoder.name] = figures(corpus, encoder, given.lists, given.cache_dir)
        print(encoder, encoders[encoder.name], flush=True)
    write_json(given.out / "seeds.json", {"command": COMMAND, "encoders": encoders})
    lines = [f"| | {' | '.join(f'seed {name}' for name in encoders)} | mean ± sd | lowest, highest |"]
    lines.append("|---" * (len(encoders) + 3) + "|")
    for row in (*ROWS, *VOICES):
        own = [100 * each[row] for each in encoders.values()]
        spread = f" ± {statistics.stdev(own):.1f}" if len(own) > 1 else ""
        cells = [*(f"{value:.1f}" for value in own), f"{statistics.mean(own):.1f}{spread}"]
        lines.append(f"| {row} | {' | '.join(cells)} | {min(own):.1f}, {max(own):.1f} |")
    write_text(given.out / "seeds.md", "\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
